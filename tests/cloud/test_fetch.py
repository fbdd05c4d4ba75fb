"""fetch: what somebody wrote into a bucket becomes a path only after a look, and no run of the user's is lost."""

from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from gan_lib.cloud import bucket as in_bucket
from gan_lib.cloud import service
from gan_lib.errors import CloudError, RecordError
from gan_lib.presets import ALL_CONFIGURATIONS, PRESETS, configure, run_name

from .conftest import Cloud, client, only_bucket
from .fake_aws import FakeAws

RUN = "gan-lib/gan-lib-cpu/runs/gan-cpu/seed-0"
HISTORY = "epoch,seconds\n1,0.5\n2,0.25\n"


@pytest.fixture
def bucket(cloud: Cloud, aws: FakeAws) -> str:
    cloud("up")
    name = only_bucket()
    for file, text in {"config.json": "{}", "history.csv": HISTORY, "summary.json": '{"status": "ok"}'}.items():
        put(name, f"{RUN}/{file}", text)
    return name


def put(bucket: str, key: str, text: str) -> None:
    client("s3").put_object(Bucket=bucket, Key=key, Body=text.encode())


def get(results: Path, replace: bool = False) -> tuple[list[str], list[str]]:
    lines: list[str] = []
    return in_bucket.fetch(service.Aws(), "gan-lib", results, replace=replace, say=lines.append), lines


@pytest.mark.quick
def test_a_key_is_no_path(bucket: str, tmp_path: Path) -> None:
    below = "gan-lib/gan-lib-cpu/runs"
    strange = [
        f"{below}/../../../../etc/cron.d/x",
        f"{below}/gan-cpu/seed-0/../../../outside",
        f"{below}/gan-cpu/seed-0/evil.pkl",
        f"{below}//etc/passwd",
        f"{below}/gan-cpu/seed-0/sub/config.json",
        f"{below}/..cpu/seed-0/config.json",
        f"{below}/gan-cpu/seed-x/config.json",
        f"{below}/gan-cpu--..%2f..%2f/seed-0/config.json",
    ]
    for key in [*strange, *(f"{RUN}/{file}" for file in ("checkpoint.pt", "run.lock", "batch.lock", ".run.log.tmp"))]:
        put(bucket, key, "x")
    fetched, lines = get(tmp_path / "results")
    assert fetched == ["gan-cpu/seed-0"]
    files = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert files == {f"results/runs/gan-cpu/seed-0/{name}" for name in ("config.json", "history.csv", "summary.json")}
    assert sum("no run writes such a file" in line for line in lines) == len(strange)


def test_a_run_that_goes_on_is_left_and_a_finished_one_is_fetched_again(bucket: str, tmp_path: Path) -> None:
    put(bucket, "gan-lib/gan-lib-cpu/runs/cgan-cpu/seed-0/config.json", "{}")
    fetched, lines = get(tmp_path)
    assert fetched == ["gan-cpu/seed-0"] and "cgan-cpu/seed-0: not finished yet, left where it is" in lines
    put(bucket, f"{RUN}/history.csv", HISTORY + "3,0.25\n")
    get(tmp_path)
    assert (tmp_path / "runs/gan-cpu/seed-0/history.csv").read_text().endswith("3,0.25\n")


def test_every_file_of_every_configuration_is_fetched(bucket: str, tmp_path: Path) -> None:
    """By each preset, with parameters changed, and of names that a registry may gain."""
    presets = [*PRESETS] * len(ALL_CONFIGURATIONS)
    runs = [run_name(configure(name, preset, seed=3)) for name, preset in zip(ALL_CONFIGURATIONS, presets, strict=False)]
    changes = {"epochs": 7, "adam_beta1": 0.25, "data": "fashion-mnist", "latent_size": 50, "evaluate_every": 0}
    runs += [run_name(configure(name, **changes)) for name in ("gan-cpu", "cgan-hinge-gpu")]
    runs.append("unet-rahinge-gpu--quick-epochs-5/seed-0")
    for run in runs:
        for file in (*in_bucket.RUN_FILES, "checkpoint.safetensors", "batch.lock"):
            put(bucket, f"gan-lib/gan-lib-cpu/runs/{run}/{file}", f"{run} {file}")
    fetched, lines = get(tmp_path)
    assert set(fetched) == {"gan-cpu/seed-0", *runs}
    assert not [line for line in lines if "left where it is" in line]
    for run in runs:
        files = {path.name: path.read_text() for path in (tmp_path / "runs" / run).iterdir()}
        assert files == {file: f"{run} {file}" for file in in_bucket.RUN_FILES}


def test_another_run_of_the_same_name_is_kept_unless_it_is_to_be_replaced(bucket: str, tmp_path: Path) -> None:
    """Histories are compared to their ends: two runs may be alike for more than a megabyte; a run that continued is one."""
    alike = "epoch,seconds\n" + "1,0.5\n" * 400_000
    put(bucket, f"{RUN}/history.csv", alike + "2,0.25\n")
    folder = tmp_path / "runs/gan-cpu/seed-0"
    folder.mkdir(parents=True)
    (folder / "history.csv").write_text(alike + "2,0.75\n")
    with pytest.raises(CloudError, match="no finished runs"):
        get(tmp_path)
    assert [path.name for path in folder.iterdir()] == ["history.csv"]
    assert (folder / "history.csv").read_text() == alike + "2,0.75\n"
    get(tmp_path, replace=True)
    assert (folder / "history.csv").read_text() == alike + "2,0.25\n"
    (folder / "history.csv").write_text(alike)
    assert get(tmp_path)[0] == ["gan-cpu/seed-0"]
    assert (folder / "history.csv").read_text() == alike + "2,0.25\n"


def test_a_download_that_breaks_off_leaves_the_run_as_it_was(bucket: str, aws: FakeAws, tmp_path: Path) -> None:
    get(tmp_path)
    put(bucket, f"{RUN}/history.csv", HISTORY + "3,0.25\n")
    aws.fail(rf"GET .*{RUN}/summary.json", "AccessDenied", "no", 403)
    with pytest.raises(ClientError):
        get(tmp_path)
    assert (tmp_path / "runs/gan-cpu/seed-0/history.csv").read_text() == HISTORY
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["gan-cpu"], "nothing is left beside it"


def test_a_bucket_of_another_account_is_refused(bucket: str, cloud: Cloud, aws: FakeAws, tmp_path: Path) -> None:
    """Somebody else made it under our name: nothing is read from it, nothing put into it, nothing started for it."""
    aws.bucket_owner = "999999999999"
    aws.requests.clear()
    for command in (["fetch", "--results-dir", tmp_path], ["run", "gan-cpu"], ["run", "gan-cpu", "--on", "jobs"]):
        done = cloud(*command)
        assert done.returncode == 2 and "a bucket of another account is refused" in done.stderr, command
    assert not list(tmp_path.glob("runs"))
    assert not {"StartNotebookInstance", "CreateTrainingJob"} & set(aws.requests)
    assert aws.refused == [request for request in aws.requests if " /gan-lib-bucket" in request]


def test_a_link_does_not_lead_out(bucket: str, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "results/runs").mkdir(parents=True)
    (tmp_path / "results/runs/gan-cpu").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RecordError, match="leads out of"):
        get(tmp_path / "results")
    assert not list((tmp_path / "elsewhere").iterdir())
