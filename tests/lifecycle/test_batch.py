"""A request makes on-start run a batch, once, and the bucket sees it as it goes."""

import subprocess
import time

import pytest

from .sandbox import LOCK, Sandbox

REQUEST = "# 2026-11-22 10:00\ngan-gpu\ncgan-gpu\n\n--preset\npaper\n"


@pytest.fixture
def ready(sandbox: Sandbox) -> Sandbox:
    """An instance that was set up earlier and is stopped."""
    sandbox.start()
    sandbox.stop()
    sandbox.forget_calls()
    return sandbox


def ask(instance: Sandbox, text: str = REQUEST) -> None:
    (instance.volume / "gan-lib-batch.txt").write_text(text)


def ask_in_bucket(instance: Sandbox, text: str = REQUEST) -> None:
    instance.knobs["S3_PREFIX"] = "s3://bucket/gan-lib"
    target = instance.bucket / "bucket/gan-lib/gan-lib-gpu/batch.txt"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text)


def test_a_request_runs_after_the_build_and_once(sandbox: Sandbox) -> None:
    ask(sandbox)
    sandbox.start()
    assert sandbox.arguments("gan-lib") == ["run gan-gpu cgan-gpu --preset paper"]
    assert (sandbox.project / "results/runs/gan-gpu/seed-0/summary.json").exists()
    assert (sandbox.volume / "gan-lib-batch.status.txt").read_text() == "ended with exit status 0\n"
    assert (sandbox.volume / "gan-lib-batch.log").read_text() == "epoch 1 of 1\n"
    sandbox.stop()
    sandbox.start()
    assert len(sandbox.arguments("gan-lib")) == 1


def test_a_batch_that_a_stop_cut_off_goes_on_at_the_next_start(ready: Sandbox) -> None:
    ask(ready)
    ready.on("gan-lib", "power_cut")
    assert ready.hook("on-start").returncode == 0
    ready.wait()
    assert (ready.volume / "gan-lib-batch.status.txt").read_text() == "running\n"
    ready.stop()
    ready.heal()
    ready.start()
    assert len(ready.arguments("gan-lib")) == 2
    assert (ready.volume / "gan-lib-batch.status.txt").read_text() == "ended with exit status 0\n"


def test_two_starts_run_one_batch(ready: Sandbox) -> None:
    ask(ready)
    ready.on("gan-lib", "/bin/sleep 0.5")
    ready.hook("on-start")
    ready.hook("on-start")
    ready.wait()
    assert len(ready.arguments("gan-lib")) == 1


def test_a_request_in_the_bucket_runs_once_and_its_results_are_there(ready: Sandbox) -> None:
    ask_in_bucket(ready)
    ready.start()
    folder = ready.bucket / "bucket/gan-lib/gan-lib-gpu"
    assert (folder / "runs/gan-gpu/seed-0/summary.json").exists()
    assert (folder / "batch.status.txt").read_text() == "ended with exit status 0\n"
    assert (folder / "batch.log").read_text() == "epoch 1 of 1\n"
    assert (folder / "status.txt").read_text() == ready.status()
    ready.stop()
    ready.start()
    assert len(ready.arguments("gan-lib")) == 1
    ask_in_bucket(ready, REQUEST.replace("10:00", "11:00"))
    ready.stop()
    ready.start()
    assert len(ready.arguments("gan-lib")) == 2, "another comment makes it another request"


def test_the_bucket_sees_results_while_the_batch_runs(ready: Sandbox) -> None:
    ask_in_bucket(ready)
    ready.on("gan-lib", "mkdir -p results/runs/gan-gpu/seed-0", "echo 1 >results/runs/gan-gpu/seed-0/history.csv",
             "/bin/sleep 60")  # fmt: skip
    assert ready.hook("on-start").returncode == 0
    folder = ready.bucket / "bucket/gan-lib/gan-lib-gpu"
    deadline = time.monotonic() + 15
    while not (folder / "runs/gan-gpu/seed-0/history.csv").exists() or not (folder / "batch.status.txt").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert (folder / "batch.status.txt").read_text() == "running\n"
    (sync, *_) = [call for call in ready.arguments("aws") if call.startswith("s3 sync")]
    for pattern in ("*checkpoint*", "*.lock", "*/.*"):
        assert f"--exclude {pattern} " in sync


def test_results_that_do_not_reach_the_bucket_are_told(ready: Sandbox) -> None:
    ask_in_bucket(ready)
    ready.on("aws", '[[ "$all" != *sync* ]] || { echo AccessDenied >&2; exit 1; }')
    ready.start()
    status = (ready.volume / "gan-lib-batch.status.txt").read_text()
    assert status == "ended with exit status 0; the results are not all in the bucket\n"
    assert "AccessDenied" in (ready.volume / "gan-lib-upload.log").read_text()
    assert (ready.project / "results/runs/gan-gpu/seed-0/summary.json").exists()


@pytest.mark.parametrize(("text", "arguments"), [
    (REQUEST.replace("\n", "\r\n"), "run gan-gpu cgan-gpu --preset paper"),
    ("\N{BYTE ORDER MARK}# from an editor\r\n  gan-gpu \r\n\tcgan-gpu\r\n \r\n--preset\r\npaper",
     "run gan-gpu cgan-gpu --preset paper"),
    ("gan-gpu\n--name\n$(touch /tmp/x); `id` *\n", "run gan-gpu --name $(touch /tmp/x); `id` *"),
])  # fmt: skip
def test_a_request_is_read_as_editors_write_it_and_its_lines_are_no_commands(ready: Sandbox, text: str, arguments: str) -> None:
    (ready.volume / "gan-lib-batch.txt").write_bytes(text.encode())
    ready.start()
    assert ready.arguments("gan-lib") == [arguments]


@pytest.mark.parametrize(("status", "stops"), [(1, False), (2, True)])
def test_a_batch_that_fails_is_not_repeated_and_one_that_is_refused_stops_its_instance(
    ready: Sandbox, status: int, stops: bool
) -> None:
    """gan-lib run ends with 2 for what it will never do; a failed run, 1, may be looked at in JupyterLab."""
    ask(ready)
    ready.on("gan-lib", f"echo 'batch_size must be at least 2' >&2; exit {status}")
    for name in "kernels", "terminals":
        (ready.control / f"api-{name}").write_text("[]")
    for _ in range(2):  # the next start is another matter
        ready.start()
        subprocess.run([ready.root / "usr/local/sbin/gan-lib-auto-stop"], check=True)
        assert sum("stop-notebook-instance" in call for call in ready.arguments("aws")) == int(stops)
        assert len(ready.arguments("gan-lib")) == 1
        ready.stop()
    assert (ready.volume / "gan-lib-batch.status.txt").read_text() == f"ended with exit status {status}\n"
    assert "batch_size" in (ready.volume / "gan-lib-batch.log").read_text()


def test_no_batch_runs_without_a_request_an_environment_or_the_new_project(sandbox: Sandbox) -> None:
    """Whoever started the instance from afar reads the reason in the bucket."""
    sandbox.start()
    assert not (sandbox.volume / "gan-lib-batch.status.txt").exists()
    ask_in_bucket(sandbox)
    sandbox.knobs["PROJECT_ARCHIVE"] = "s3://bucket/gan-lib/missing.tar.gz"
    sandbox.stop()
    sandbox.start()
    assert "project not refreshed" in sandbox.status()
    del sandbox.knobs["PROJECT_ARCHIVE"]
    sandbox.on("conda", "exit 1")
    (sandbox.project / "requirements.lock").write_text(LOCK + "zipp==3.23.0\n")
    sandbox.stop()
    sandbox.start()
    assert "setup failed" in sandbox.status()
    assert (sandbox.bucket / "bucket/gan-lib/gan-lib-gpu/status.txt").read_text() == sandbox.status()
    assert sandbox.arguments("gan-lib") == []
