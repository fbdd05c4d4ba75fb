"""fetch: what somebody wrote into a bucket becomes a path only after a look, and no run of the user's is lost."""

from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from gan_lib.cloud import bucket as in_bucket
from gan_lib.cloud import service
from gan_lib.errors import CloudError, RecordError
from gan_lib.presets import ALL_CONFIGURATIONS, PRESETS, configure, run_name

from .conftest import Cloud, client
from .fake_aws import FakeAws

RUN = "gan-lib/gan-lib-cpu/runs/gan-cpu/seed-0"
HISTORY = "epoch,seconds\n1,0.5\n2,0.25\n"


@pytest.fixture
def bucket(cloud: Cloud, aws: FakeAws) -> str:
    cloud("up")
    (found,) = client("s3").list_buckets()["Buckets"]
    put(found["Name"], f"{RUN}/config.json", "{}")
    put(found["Name"], f"{RUN}/history.csv", HISTORY)
    put(found["Name"], f"{RUN}/summary.json", '{"status": "ok"}')
    return str(found["Name"])


def put(bucket: str, key: str, text: str) -> None:
    client("s3").put_object(Bucket=bucket, Key=key, Body=text.encode())


def get(results: Path, replace: bool = False) -> tuple[list[str], list[str]]:
    said: list[str] = []
    return in_bucket.fetch(service.Aws(), "gan-lib", results, replace=replace, say=said.append), said


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
    fetched, said = get(tmp_path / "results")
    assert fetched == ["gan-cpu/seed-0"]
    files = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert files == {f"results/runs/gan-cpu/seed-0/{name}" for name in ("config.json", "history.csv", "summary.json")}
    assert sum("no run writes such a file" in line for line in said) == len(strange)


def test_a_run_that_goes_on_is_left_and_a_finished_one_is_fetched_again(bucket: str, tmp_path: Path) -> None:
    put(bucket, "gan-lib/gan-lib-cpu/runs/cgan-cpu/seed-0/config.json", "{}")
    fetched, said = get(tmp_path)
    assert fetched == ["gan-cpu/seed-0"] and "cgan-cpu/seed-0: not finished yet, left where it is" in said
    put(bucket, f"{RUN}/history.csv", HISTORY + "3,0.25\n")
    get(tmp_path)
    assert (tmp_path / "runs/gan-cpu/seed-0/history.csv").read_text().endswith("3,0.25\n")


def test_every_file_of_every_configuration_is_fetched(bucket: str, tmp_path: Path) -> None:
    """By each preset, with parameters changed, and of names that a registry may gain."""
    presets = [*PRESETS] * len(ALL_CONFIGURATIONS)
    runs = [run_name(configure(name, preset, seed=3)) for name, preset in zip(ALL_CONFIGURATIONS, presets, strict=False)]
    changes = {"epochs": 7, "adam_beta1": 0.25, "data": "fashion-mnist", "latent_size": 50, "evaluate_every": 0}
    runs += [run_name(configure("gan-cpu", **changes)), "hinge-unet-gpu--quick-epochs-5/seed-0"]
    for run in runs:
        for file in (*in_bucket.RUN_FILES, "checkpoint.safetensors", "batch.lock"):
            put(bucket, f"gan-lib/gan-lib-cpu/runs/{run}/{file}", f"{run} {file}")
    fetched, said = get(tmp_path)
    assert set(fetched) == {"gan-cpu/seed-0", *runs}
    assert not [line for line in said if "left where it is" in line]
    for run in runs:
        found = {path.name: path.read_text() for path in (tmp_path / "runs" / run).iterdir()}
        assert found == {file: f"{run} {file}" for file in in_bucket.RUN_FILES}


def test_long_histories_are_compared_to_their_ends(bucket: str, tmp_path: Path) -> None:
    """Two runs that are alike for more than a megabyte are two runs all the same, and a run that went on is one."""
    alike = "epoch,seconds\n" + "1,0.5\n" * 400_000
    put(bucket, f"{RUN}/history.csv", alike + "2,0.25\n")
    folder = tmp_path / "runs/gan-cpu/seed-0"
    folder.mkdir(parents=True)
    (folder / "history.csv").write_text(alike + "2,0.75\n")
    with pytest.raises(CloudError, match="no finished runs"):
        get(tmp_path)
    assert [path.name for path in folder.iterdir()] == ["history.csv"]
    assert (folder / "history.csv").read_text() == alike + "2,0.75\n"
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
    assert not aws.asked(r"StartNotebookInstance|CreateTrainingJob")
    assert aws.refused == [request for request in aws.requests if " /gan-lib-bucket" in request]


def test_another_run_of_the_same_name_is_kept_unless_told(bucket: str, tmp_path: Path) -> None:
    folder = tmp_path / "runs/gan-cpu/seed-0"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "history.csv").write_text("epoch,seconds\n1,0.75\n")
    with pytest.raises(CloudError, match="no finished runs"):
        get(tmp_path)
    assert "0.75" in (folder / "history.csv").read_text()
    get(tmp_path, replace=True)
    assert (folder / "history.csv").read_text() == HISTORY


def test_a_link_does_not_lead_out(bucket: str, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "results/runs").mkdir(parents=True)
    (tmp_path / "results/runs/gan-cpu").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RecordError, match="leads out of"):
        get(tmp_path / "results")
    assert not list((tmp_path / "elsewhere").iterdir())
