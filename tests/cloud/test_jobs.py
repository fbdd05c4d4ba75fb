"""--on jobs: the request against botocore's own model of the service, the jobs against moto, the entry script in a sandbox."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore.validate import ParamValidator
from conftest import until
from lifecycle.sandbox import LIFECYCLE

from gan_lib.cloud import jobs
from gan_lib.cloud.stack import Stack
from gan_lib.runs.record import count_epochs, lock_holder, read_record

from .conftest import Cloud, client
from .fake_aws import FakeAws

MODEL = botocore.session.get_session().get_service_model("sagemaker")


def request(machine: str, spot: bool) -> dict[str, Any]:
    name = f"{'x' * 40}-gpu-20261122-101500"
    stack = Stack("gan-lib", bucket="bucket", job_role="arn:aws:iam::123456789012:role/gan-lib-JobRole")
    settings = jobs.Settings(12, spot, jobs.image(machine, "us-east-1"))
    return jobs.request(name, stack, "gan-lib/k", machine, ["cgan-gpu"], settings)


@pytest.mark.parametrize("machine", ["cpu", "gpu"])
@pytest.mark.parametrize("spot", [False, True])
def test_the_request_is_one_that_the_services_own_model_takes(machine: str, spot: bool) -> None:
    ask = request(machine, spot)
    report = ParamValidator().validate(ask, MODEL.operation_model("CreateTrainingJob").input_shape)
    assert not report.has_errors(), report.generate_report()
    assert ask["ResourceConfig"]["InstanceType"] in MODEL.shape_for("TrainingInstanceType").enum
    assert len(ask["TrainingJobName"]) <= MODEL.shape_for("TrainingJobName").metadata["max"], "with the longest name of a stack"
    entry = ask["AlgorithmSpecification"]["ContainerEntrypoint"]
    assert all(len(part) <= MODEL.shape_for("TrainingContainerEntrypointString").metadata["max"] for part in entry)
    assert "VolumeKmsKeyId" not in ask["ResourceConfig"], "types with disks of their own refuse it"
    folder = f"s3://bucket/gan-lib/jobs/{machine}/checkpoints"
    assert ask["CheckpointConfig"] == {"S3Uri": folder, "LocalPath": "/opt/ml/checkpoints"}
    condition = ask["StoppingCondition"]
    assert ask["EnableManagedSpotTraining"] is spot and condition["MaxRuntimeInSeconds"] == 12 * 3600
    assert ("MaxWaitTimeInSeconds" in condition) is spot, "refused without spot"
    assert condition.get("MaxWaitTimeInSeconds", 12 * 3600) >= 12 * 3600, "no less than it may run"


def test_jobs_are_made_seen_and_stopped(cloud: Cloud, aws: FakeAws) -> None:
    cloud("up")
    ran = cloud("run", "gan-cpu", "cgan-gpu", "--on", "jobs", "--spot")
    assert ran.returncode == 0, ran.stderr
    assert "assumed to exist" in ran.stdout and "cloud stop" in ran.stdout
    sagemaker = client("sagemaker")
    names = [item["TrainingJobName"] for item in sagemaker.list_training_jobs()["TrainingJobSummaries"]]
    assert sorted(name[:11] for name in names) == ["gan-lib-cpu", "gan-lib-gpu"]
    (gpu,) = [sagemaker.describe_training_job(TrainingJobName=name) for name in names if "-gpu-" in name]
    assert gpu["AlgorithmSpecification"]["ContainerArguments"] == ["cgan-gpu", "--preset", "quick", "--seeds", "0"]
    assert gpu["RoleArn"].endswith(client("iam").get_role(RoleName=gpu["RoleArn"].split("/")[-1])["Role"]["RoleName"])
    shown = cloud("status").stdout
    assert all(f"job {name}" in shown for name in names)
    assert "InProgress" in shown and "USD so far" in shown and "gan-lib cloud stop" in shown
    again = cloud("run", "gan-cpu", "--on", "jobs")
    assert again.returncode == 2 and "its checkpoints would be shared" in again.stderr
    assert cloud("stop").returncode == 0
    assert cloud("status").stdout.endswith("nothing runs\n")
    assert cloud("down", "--delete-bucket").returncode == 0


def test_a_job_that_the_quota_forbids_is_one_line(cloud: Cloud, aws: FakeAws) -> None:
    cloud("up")
    aws.fail("CreateTrainingJob", "ResourceLimitExceeded", "limit 'ml.g4dn.xlarge for spot training job usage' is 0 Instances")
    ran = cloud("run", "gan-gpu", "--on", "jobs", "--spot")
    assert ran.returncode == 2 and "quota" in ran.stderr
    assert "Traceback" not in ran.stderr and "may be running" not in ran.stderr


def test_the_entry_script_installs_what_is_missing_and_runs_in_the_checkpoint_folder(tmp_path: Path) -> None:
    project = tmp_path / "project"
    (project / "lifecycle").mkdir(parents=True)
    (project / "lifecycle/run-job.sh").write_bytes((LIFECYCLE / "run-job.sh").read_bytes())
    lock = "papermill==2.7.0\ntorch==2.14.1\nnvidia-cublas==13.1 ; sys_platform == 'linux'\n"
    (project / "requirements.lock").write_text(lock)
    python = tmp_path / "python3"

    def run(*lines: str) -> subprocess.CompletedProcess[str]:
        """The script, with these lines for Python."""
        python.write_text("\n".join(["#!/bin/bash", *lines, ""]))
        python.chmod(0o755)
        environment = {"PATH": os.environ["PATH"], "PYTHON": str(python), "GAN_LIB_ROOT": str(tmp_path / "root")}
        command = ["/bin/bash", str(project / "lifecycle/run-job.sh"), "gan-gpu", "--preset", "paper"]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=20)

    keep = f'while (($#)); do [[ "$1" != --requirement ]] || cat "$2" >>{tmp_path}/wanted; shift; done'
    done = run(f'echo "$*" >>{tmp_path}/calls', keep)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "wanted").read_text() == "papermill==2.7.0\n", "never PyTorch"
    *_, last = (tmp_path / "calls").read_text().splitlines()
    assert last == f"-m gan_lib run gan-gpu --preset paper --results-dir {tmp_path}/root/opt/ml/checkpoints"
    assert run("[[ $* != *pip* ]]").returncode == 1
    assert "could not install" in (tmp_path / "root/opt/ml/output/failure").read_text()


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGKILL])
def test_a_job_that_is_started_again_elsewhere_resumes_from_the_checkpoints_in_the_bucket(
    tmp_path: Path, sign: signal.Signals
) -> None:
    """The real script and the real training; only pip is left out."""
    python = tmp_path / "python3"
    python.write_text(f'#!/bin/bash\n[[ $* == "-m pip "* ]] || exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    settings = {"training_images": 64, "batch_size": 32, "image_size": 8, "latent_size": 10, "threads": 1, "epochs": 600}
    settings |= {"sample_every": 50, "evaluate_every": 0, "checkpoint_seconds": 0.2}
    arguments = ["gan-cpu", *(part for name, value in settings.items() for part in ("--set", f"{name}={value}"))]
    command = ["/bin/bash", str(LIFECYCLE / "run-job.sh"), *arguments]

    def start(root: Path) -> subprocess.Popen[str]:
        environment = {**os.environ, "PYTHON": str(python), "GAN_LIB_ROOT": str(root)}
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def run_folder(root: Path) -> Path | None:
        return next(iter((root / "opt/ml/checkpoints/runs").glob("gan-cpu--*/seed-0")), None)

    job = start(tmp_path / "one")

    def trains() -> bool:
        assert job.poll() is None, job.communicate(timeout=60)
        folder = run_folder(tmp_path / "one")
        return folder is not None and count_epochs(folder) > 30 and any(folder.glob("checkpoint*"))

    until(trains, 300)
    folder = run_folder(tmp_path / "one") or tmp_path
    job.send_signal(sign)  # SageMaker's SIGTERM, two minutes before a spot instance goes; or no warning at all
    output, _ = job.communicate(timeout=120)
    assert job.returncode == {signal.SIGTERM: 143, signal.SIGKILL: -signal.SIGKILL}[sign], output
    until(lambda: lock_holder(folder) is None, 60)  # its notebook saves a last checkpoint once the job is gone
    (tmp_path / "two/opt/ml").mkdir(parents=True)
    shutil.copytree(tmp_path / "one/opt/ml/checkpoints", tmp_path / "two/opt/ml/checkpoints")  # what the bucket brings back
    again = start(tmp_path / "two")
    output, _ = again.communicate(timeout=300)
    assert again.returncode == 0, output
    record = read_record(run_folder(tmp_path / "two") or tmp_path)
    assert (record.status, record.epochs_done) == ("ok", 600)
    assert any(note.startswith("resumed after epoch ") for note in record.notes)
    assert (tmp_path / "two/opt/ml/checkpoints/comparison.html").exists()
