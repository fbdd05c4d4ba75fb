"""The same batches as SageMaker training jobs: no instance to stop, spot prices if wanted, checkpoints in the bucket."""

import contextlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from gan_lib.cloud import bucket, stack
from gan_lib.cloud.batch import Batch
from gan_lib.cloud.instances import Ledger
from gan_lib.cloud.plan import INSTANCE_TYPES
from gan_lib.cloud.prices import rate
from gan_lib.cloud.service import Aws, wait
from gan_lib.errors import CloudError

# Assumed to exist, and not checked against the registry: AWS's PyTorch containers, in the account that it publishes them
# from in most regions. --image names another one.
_REGISTRY = "763104351884.dkr.ecr.{region}.amazonaws.com/pytorch-training"
_TAGS = {"cpu": "2.9.0-cpu-py312-ubuntu22.04-sagemaker", "gpu": "2.9.0-gpu-py312-cu130-ubuntu22.04-sagemaker"}
CHECKPOINTS = "/opt/ml/checkpoints"  # kept in the bucket while the job runs, and put back when it is started again
_VOLUME_GB = 30
_UNPACK = (
    "mkdir -p /tmp/gan-lib && cd /opt/ml/input/data/project && sha256sum --check --status gan-lib.tar.gz.sha256 "
    '&& tar -xzf gan-lib.tar.gz -C /tmp/gan-lib && exec /bin/bash /tmp/gan-lib/lifecycle/run-job.sh "$@"'
)


@dataclass(frozen=True)
class Job:
    """A training job as it is now."""

    name: str
    machine: str
    status: str  # InProgress, Completed, Failed, Stopping, Stopped
    since: datetime

    @property
    def running(self) -> bool:
        """Whether AWS may charge for it."""
        return self.status in ("InProgress", "Stopping")

    @property
    def type(self) -> str:
        """Its instance type."""
        return INSTANCE_TYPES[self.machine]


def image(machine: str, region: str) -> str:
    """The container that a job of a machine uses."""
    return f"{_REGISTRY.format(region=region)}:{_TAGS[machine]}"


def request(
    name: str,
    where: str,
    role: str,
    project_uri: str,
    machine: str,
    arguments: list[str],
    *,
    container: str,
    max_hours: int,
    spot: bool,
) -> dict[str, Any]:
    """The CreateTrainingJob request of one machine's batch. where: the bucket; role: its ARN."""
    seconds = max_hours * 3600
    return {
        "TrainingJobName": name,
        "RoleArn": role,
        "AlgorithmSpecification": {
            "TrainingImage": container,
            "TrainingInputMode": "File",
            "ContainerEntrypoint": ["/bin/bash", "-c", _UNPACK, "gan-lib"],
            "ContainerArguments": arguments,
        },
        "InputDataConfig": [
            {
                "ChannelName": "project",
                "DataSource": {
                    "S3DataSource": {
                        "S3DataType": "S3Prefix",  # the archive and, beside it, its checksum
                        "S3Uri": project_uri,
                        "S3DataDistributionType": "FullyReplicated",
                    }
                },
            }
        ],
        "OutputDataConfig": {"S3OutputPath": f"s3://{where}/{bucket.PREFIX}/jobs/{machine}/output"},
        "CheckpointConfig": {"S3Uri": f"s3://{where}/{bucket.jobs_prefix(machine)}", "LocalPath": CHECKPOINTS},
        # no VolumeKmsKeyId: types with disks of their own, such as ml.g4dn.xlarge, refuse it
        "ResourceConfig": {"InstanceType": INSTANCE_TYPES[machine], "InstanceCount": 1, "VolumeSizeInGB": _VOLUME_GB},
        "StoppingCondition": {
            "MaxRuntimeInSeconds": seconds,
            # the wait for spot capacity and the run together: never less than the run alone
            **({"MaxWaitTimeInSeconds": 2 * seconds} if spot else {}),
        },
        "EnableManagedSpotTraining": spot,
        "Tags": [{"Key": "project", "Value": "gan-lib"}],
    }


def launch(
    aws: Aws,
    there: stack.Stack,
    batch: Batch,
    project: bucket.Project,
    ledger: Ledger,
    say: Callable[[str], None],
    *,
    container: str | None,
    max_hours: int,
    spot: bool,
) -> list[str]:
    """Create one job for each machine; returns their names. Raises CloudError or ServiceError."""
    for job in find(aws, there.name):
        if job.running and job.machine in batch.machines:
            raise CloudError(
                f"{job.name} is {job.status}, and its checkpoints would be shared: wait for it, or gan-lib cloud stop"
            )
    there = stack.extend(aws, there, jobs=True)
    folder = f"{bucket.PREFIX}/jobs/projects/{project.sha256[:16]}"  # of its own: a job that is restarted gets the same again
    bucket.write(aws, there.bucket, f"{folder}/gan-lib.tar.gz", project.archive)
    bucket.write(aws, there.bucket, f"{folder}/gan-lib.tar.gz.sha256", f"{project.sha256}  gan-lib.tar.gz\n")
    names = []
    for machine in batch.machines:
        name = f"{there.name}-{machine}-{datetime.now(UTC):%Y%m%d-%H%M%S}"
        arguments = batch.arguments(machine)
        used = container or image(machine, aws.region)
        uri = f"s3://{there.bucket}/{folder}/gan-lib.tar.gz"
        ask = request(
            name, there.bucket, there.job_role, uri, machine, arguments, container=used, max_hours=max_hours, spot=spot
        )
        kind, spare = INSTANCE_TYPES[machine], ", spot" if spot else ""
        ledger.add(name, kind)
        say(f"starting job {name} ({kind}, {rate(kind, aws.region)}{spare}); to stop it: {ledger.stop_command}")
        say(f"  container {used}{'' if container else ' (assumed to exist in this region; --image names another)'}")
        try:
            aws.sagemaker.create_training_job(**ask)
        except Exception:
            with contextlib.suppress(Exception):
                if not any(job.name == name and job.running for job in find(aws, there.name)):
                    ledger.strike(name)
            raise
        names.append(name)
    return names


def find(aws: Aws, name: str) -> list[Job]:
    """The jobs of a stack's name, the newest first."""
    pattern = re.compile(rf"{re.escape(name)}-(cpu|gpu)-\d{{8}}-\d{{6}}")
    found = []
    answer = aws.sagemaker.list_training_jobs(
        NameContains=f"{name}-", SortBy="CreationTime", SortOrder="Descending", MaxResults=100
    )
    for item in answer["TrainingJobSummaries"]:
        if match := pattern.fullmatch(item["TrainingJobName"]):
            found.append(Job(item["TrainingJobName"], match[1], item["TrainingJobStatus"], item["CreationTime"]))
    return found


def stop(aws: Aws, job: Job) -> None:
    """Stop a job and wait until it has ended; what it wrote so far is in the bucket."""
    aws.sagemaker.stop_training_job(TrainingJobName=job.name)
    wait(lambda: not any(now.name == job.name and now.running for now in find(aws, job.name[: -len("-cpu-20000101-000000")])),
         f"the end of {job.name}", 20)  # fmt: skip
