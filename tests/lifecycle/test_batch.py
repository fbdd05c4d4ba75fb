"""A request makes on-start run a batch, once, and the bucket sees it as it goes."""

import subprocess
import time

import pytest

from .sandbox import Sandbox

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


def test_without_a_request_nothing_runs(ready: Sandbox) -> None:
    ready.start()
    assert ready.arguments("gan-lib") == []
    assert not (ready.volume / "gan-lib-batch.status.txt").exists()


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


@pytest.mark.parametrize("text", [
    REQUEST.replace("\n", "\r\n"),
    "\N{BYTE ORDER MARK}gan-gpu\ncgan-gpu\n--preset\npaper",
    "\N{BYTE ORDER MARK}# from an editor\r\n  gan-gpu \r\n\tcgan-gpu\r\n \r\n--preset\r\npaper\r\n",
])  # fmt: skip
def test_a_request_is_read_as_editors_write_it(ready: Sandbox, text: str) -> None:
    (ready.volume / "gan-lib-batch.txt").write_bytes(text.encode())
    ready.start()
    assert ready.arguments("gan-lib") == ["run gan-gpu cgan-gpu --preset paper"]


def test_an_instance_whose_batch_is_refused_does_not_wait_for_its_idle_time(ready: Sandbox) -> None:
    """gan-lib run ends with 2 for what it will never do; a failed run, 1, may be looked at in JupyterLab."""
    for status, stopped in (1, False), (2, True):
        ask(ready, f"# {status}\ngan-gpu\n")
        ready.on("gan-lib", f"exit {status}")
        for name in "kernels", "terminals":
            (ready.control / f"api-{name}").write_text("[]")
        ready.start()
        subprocess.run([ready.root / "usr/local/sbin/gan-lib-auto-stop"], check=True)
        assert any("stop-notebook-instance" in call for call in ready.arguments("aws")) is stopped
        ready.stop()
    ready.start()
    subprocess.run([ready.root / "usr/local/sbin/gan-lib-auto-stop"], check=True)
    assert sum("stop-notebook-instance" in call for call in ready.arguments("aws")) == 1, "the next start is another matter"


def test_a_line_is_an_argument_never_a_command(ready: Sandbox) -> None:
    ask(ready, "gan-gpu\n--name\n$(touch /tmp/x); `id` *\n")
    ready.start()
    assert ready.arguments("gan-lib") == ["run gan-gpu --name $(touch /tmp/x); `id` *"]


def test_a_failed_setup_runs_no_batch(sandbox: Sandbox) -> None:
    ask(sandbox)
    sandbox.on("conda", "exit 1")
    sandbox.start()
    assert sandbox.arguments("gan-lib") == []
    assert (sandbox.volume / "gan-lib-batch.txt").exists(), "the request waits"


def test_a_project_that_could_not_be_refreshed_runs_no_batch(ready: Sandbox) -> None:
    """The batch was asked of the new project, not of the copy that is there."""
    ready.knobs["PROJECT_ARCHIVE"] = "s3://bucket/gan-lib/missing.tar.gz"
    ask(ready)
    ready.start()
    assert ready.arguments("gan-lib") == []


def test_a_batch_that_fails_is_told_and_not_repeated(ready: Sandbox) -> None:
    ask(ready)
    ready.on("gan-lib", "echo 'batch_size must be at least 2' >&2; exit 3")
    ready.start()
    assert (ready.volume / "gan-lib-batch.status.txt").read_text() == "ended with exit status 3\n"
    assert "batch_size" in (ready.volume / "gan-lib-batch.log").read_text()
    ready.stop()
    ready.start()
    assert len(ready.arguments("gan-lib")) == 1


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


def test_a_setup_that_fails_is_seen_in_the_bucket(sandbox: Sandbox) -> None:
    """Whoever started the instance from afar reads the reason there."""
    ask_in_bucket(sandbox)
    sandbox.on("conda", "exit 1")
    sandbox.start()
    assert (sandbox.bucket / "bucket/gan-lib/gan-lib-gpu/status.txt").read_text() == sandbox.status()
    assert "setup failed" in sandbox.status()
