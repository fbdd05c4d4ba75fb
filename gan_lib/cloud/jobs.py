"""The same batches as SageMaker training jobs: no instance to stop, spot prices if wanted, checkpoints in the bucket."""

import contextlib
import re
from datetime import UTC, datetime
from typing import Any, NamedTuple

from gan_lib.cloud import bucket
from gan_lib.cloud import stack as stacks
from gan_lib.cloud.instances import Instance, Say, ledger
from gan_lib.cloud.plan import INSTANCE_TYPES, Batch
from gan_lib.cloud.service import Aws, wait
from gan_lib.errors import CloudError, ServiceError

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


class Settings(NamedTuple):
    """The options of a job that a user may set."""

    max_hours: int
    spot: bool = False
    container: str = ""  # the URI of its image; "" for AWS's own


def image(machine: str, region: str) -> str:
    """Return the container image of a machine's job."""
    return f"{_REGISTRY.format(region=region)}:{_TAGS[machine]}"


def request(
    name: str, stack: stacks.Stack, archive: str, machine: str, arguments: list[str], settings: Settings
) -> dict[str, Any]:
    """Return the CreateTrainingJob request of one machine's batch. archive: the project's key in the bucket."""
    where, seconds = f"s3://{stack.bucket}", settings.max_hours * 3600
    project = {"S3DataType": "S3Prefix", "S3Uri": f"{where}/{archive}", "S3DataDistributionType": "FullyReplicated"}
    return {
        "TrainingJobName": name,
        "RoleArn": stack.job_role,
        "AlgorithmSpecification": {
            "TrainingImage": settings.container,
            "TrainingInputMode": "File",
            "ContainerEntrypoint": ["/bin/bash", "-c", _UNPACK, "gan-lib"],
            "ContainerArguments": arguments,
        },
        # of a prefix: the archive and, beside it, its checksum
        "InputDataConfig": [{"ChannelName": "project", "DataSource": {"S3DataSource": project}}],
        "OutputDataConfig": {"S3OutputPath": f"{where}/{bucket.PREFIX}/jobs/{machine}/output"},
        "CheckpointConfig": {"S3Uri": f"{where}/{bucket.jobs_prefix(machine)}", "LocalPath": CHECKPOINTS},
        # no VolumeKmsKeyId: types with disks of their own, such as ml.g4dn.xlarge, refuse it
        "ResourceConfig": {"InstanceType": INSTANCE_TYPES[machine], "InstanceCount": 1, "VolumeSizeInGB": _VOLUME_GB},
        # waiting for spot capacity plus the run; AWS requires at least the run's limit
        "StoppingCondition": {"MaxRuntimeInSeconds": seconds}
        | ({"MaxWaitTimeInSeconds": 2 * seconds} if settings.spot else {}),
        "EnableManagedSpotTraining": settings.spot,
        "Tags": [{"Key": "project", "Value": "gan-lib"}],
    }


def launch(aws: Aws, stack: stacks.Stack, batch: Batch, project: bucket.Project, say: Say, settings: Settings) -> None:
    """Create one job for each machine. Raises CloudError or ServiceError."""
    for job in find(aws, stack.name):
        if job.running and job.machine in batch.machines:
            remedy = "wait for it, or gan-lib cloud stop"
            raise CloudError(f"{job.name} is {job.status}, and its checkpoints would be shared: {remedy}")
    stack = stacks.extend(aws, stack, jobs=True)
    archive = f"{bucket.PREFIX}/jobs/projects/{project.sha256[:16]}/gan-lib.tar.gz"  # a job that is restarted gets it again
    bucket.write_project(aws, stack.bucket, archive, project)
    for machine in batch.machines:
        name = f"{stack.name}-{machine}-{datetime.now(UTC):%Y%m%d-%H%M%S}"
        own = settings._replace(container=settings.container or image(machine, aws.region))
        ask = request(name, stack, archive, machine, batch.arguments(machine), own)
        aws.started[name] = INSTANCE_TYPES[machine]
        say(f"starting {'spot ' if own.spot else ''}job {name}: {ledger(aws, stack.name)}")
        assumed = "" if settings.container else " (assumed to exist in this region; --image names another)"
        say(f"  container {own.container}{assumed}")
        try:
            aws.sagemaker.create_training_job(**ask)
        except Exception:
            with contextlib.suppress(Exception):
                if not any(job.name == name and job.running for job in find(aws, stack.name)):
                    del aws.started[name]
            raise


def find(aws: Aws, name: str) -> list[Instance]:
    """Return the jobs of a stack, newest first."""
    pattern = re.compile(rf"{re.escape(name)}-(cpu|gpu)-\d{{8}}-\d{{6}}")
    order = {"SortBy": "CreationTime", "SortOrder": "Descending", "MaxResults": 100}
    items = aws.sagemaker.list_training_jobs(NameContains=f"{name}-", **order)["TrainingJobSummaries"]
    matches = [(item, pattern.fullmatch(item["TrainingJobName"])) for item in items]
    return [
        Instance(match[0], match[1], INSTANCE_TYPES[match[1]], item["TrainingJobStatus"], item["CreationTime"])
        for item, match in matches
        if match
    ]


def stop(aws: Aws, name: str) -> None:
    """Stop a job and wait until it has ended. Its files so far stay in the bucket."""
    aws.sagemaker.stop_training_job(TrainingJobName=name)
    with contextlib.suppress(ServiceError):  # a job that failed has also ended
        wait(aws.sagemaker, "training_job_completed_or_stopped", f"{name} did not stop", lambda: "", TrainingJobName=name)
    aws.started.pop(name, None)
