"""The whole way against moto: up, run, an instance that really trains, status, fetch, down."""

import base64
import re
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from lifecycle.sandbox import Sandbox

from .conftest import STOP, Cloud, client
from .fake_aws import CREDENTIALS, FakeAws

STAND_IN = Path(__file__).with_name("aws_stand_in.py")
TRAIN = Path(__file__).with_name("train_stand_in.py")
TINY = ["image_size=8", "training_images=64", "batch_size=24", "latent_size=10", "epochs=2", "sample_every=1", "threads=1"]
SETTINGS = [part for setting in TINY for part in ("--set", setting)]


class Machine(threading.Thread):
    """A notebook instance: whenever the service says that it is in service, it boots a sandbox and runs the hooks for real.

    The hooks are those that the stack gave the service, settings included. Only the programs around them are stand-ins: conda
    and pip (so no environment is built; `gan-lib` there is this project from the unpacked archive, run by this Python), sudo,
    systemctl and the like; `aws` is a small program that speaks to moto with the real SDK.
    """

    def __init__(self, sandbox: Sandbox, name: str, url: str) -> None:
        super().__init__(daemon=True)
        self.sandbox, self.name = sandbox, name
        self.over = False
        self.trouble = ""
        environment = {**CREDENTIALS, "AWS_DEFAULT_REGION": "us-east-1", "AWS_ENDPOINT_URL": url, "OMP_NUM_THREADS": "1"}
        settings = "".join(f"export {key}={value}\n" for key, value in environment.items())
        python = f"exec nice -n 10 {sys.executable}"
        sandbox.on("aws", settings, f'{python} {STAND_IN} "$@"')
        sandbox.on("gan-lib", settings, f'PYTHONPATH="$PWD" {python} {TRAIN} "$@"')
        sandbox.on("sleep", "exec /bin/sleep 1")
        metadata = sandbox.root / "opt/ml/metadata/resource-metadata.json"
        metadata.write_text(metadata.read_text().replace("gan-lib-gpu", name))

    def run(self) -> None:
        sagemaker, booted = client("sagemaker"), False
        while not self.over:
            items = sagemaker.list_notebook_instances(StatusEquals="InService")["NotebookInstances"]
            if self.name in [item["NotebookInstanceName"] for item in items] and not booted:
                booted = True
                self._boot(sagemaker)
            time.sleep(0.1)

    def _boot(self, sagemaker: object) -> None:
        name = sagemaker.describe_notebook_instance(NotebookInstanceName=self.name)["NotebookInstanceLifecycleConfigName"]  # type: ignore[attr-defined]
        hooks = sagemaker.describe_notebook_instance_lifecycle_config(NotebookInstanceLifecycleConfigName=name)  # type: ignore[attr-defined]
        for hook in ("OnCreate", "OnStart"):
            script = self.sandbox.root / hook
            script.write_bytes(base64.b64decode(hooks[hook][0]["Content"]))
            done = self.sandbox.hook(hook, script)
            self.trouble += done.stderr if done.returncode else ""


@pytest.fixture
def machine(aws: FakeAws, tmp_path: Path) -> Iterator[Machine]:
    for program in ("bash", "flock", "git", "sha256sum"):
        if shutil.which(program) is None:
            pytest.skip(f"the lifecycle scripts are for Linux: {program} is missing here")
    sandbox = Sandbox(tmp_path / "instance", project=False)
    machine = Machine(sandbox, "gan-lib-cpu", aws.url)
    machine.start()
    yield machine
    machine.over = True
    machine.join()
    sandbox.stop()


def test_from_an_empty_account_to_a_report_and_back(machine: Machine, cloud: Cloud, aws: FakeAws, tmp_path: Path) -> None:
    made = cloud("up")
    assert made.returncode == 0, made.stderr
    assert not client("sagemaker").list_notebook_instances()["NotebookInstances"], "nothing that costs by the hour"

    ran = cloud("run", "gan-cpu", *SETTINGS, "--follow")
    assert ran.returncode == 0, ran.stdout + ran.stderr + machine.trouble
    assert f"gan-lib-cpu (ml.c5.2xlarge, 0.408 USD per hour) may be running; to stop it: {STOP}" in ran.stdout
    assert "setup ready; batch ended with exit status 0" in ran.stdout
    assert "gan-lib-cpu stopped" in ran.stdout

    shown = cloud("status").stdout
    (run,) = re.findall(r"^  (gan-cpu--\S+/seed-0): ok$", shown, re.M)
    assert shown.endswith("nothing runs\n")

    results = tmp_path / "results"
    fetched = cloud("fetch", "--results-dir", results)
    assert fetched.returncode == 0, fetched.stderr
    folder, origin = results / "runs" / run, machine.sandbox.project / "results/runs" / run
    written = {path.name for path in origin.iterdir()}
    assert {path.name for path in folder.iterdir()} == {name for name in written if "checkpoint" not in name}
    assert {"config.json", "history.csv", "summary.json", "generator.safetensors", "samples.png"} <= written
    assert (folder / "history.csv").read_bytes() == (origin / "history.csv").read_bytes()
    assert (results / "comparison.html").stat().st_size > 10_000
    for secret in CREDENTIALS["AWS_ACCESS_KEY_ID"], CREDENTIALS["AWS_SECRET_ACCESS_KEY"]:
        assert not [path for path in results.rglob("*") if path.is_file() and secret.encode() in path.read_bytes()]

    gone = cloud("down")
    assert gone.returncode == 0, gone.stderr
    assert "gone, checked" in gone.stdout and "is kept" in gone.stdout
    assert not client("sagemaker").list_notebook_instances()["NotebookInstances"]
    assert not client("iam").list_roles()["Roles"]
    assert len(client("s3").list_buckets()["Buckets"]) == 1, "the results outlive it"
    assert "(left by an earlier stack)" in cloud("status").stdout, "and can still be found"
    assert cloud("down", "--delete-bucket").returncode == 0
    assert not client("s3").list_buckets()["Buckets"]
