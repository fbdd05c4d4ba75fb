"""fetch: what somebody wrote into a bucket becomes a path only after a look, and no run of the user's is lost."""

from pathlib import Path

import pytest

from gan_lib.cloud import fetch, service
from gan_lib.errors import CloudError, RecordError

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
    return fetch.fetch(service.Aws(), "gan-lib", results, replace=replace, say=said.append), said


def test_a_key_is_no_path(bucket: str, tmp_path: Path) -> None:
    below = "gan-lib/gan-lib-cpu/runs"
    strange = [
        f"{below}/../../../../etc/cron.d/x",
        f"{below}/gan-cpu/seed-0/../../../outside",
        f"{below}/gan-cpu/seed-0/evil.pkl",
        f"{below}//etc/passwd",
        f"{below}/gan-cpu/seed-0/sub/config.json",
        f"{below}/other-cpu/seed-0/config.json",
        f"{below}/gan-cpu--..%2f..%2f/seed-0/config.json",
    ]
    for key in [*strange, f"{RUN}/checkpoint.pt", f"{RUN}/run.lock"]:
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
