"""Notebook instances: start a batch on them, follow it, stop them. Their on-start hook reads the request and runs it."""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from gan_lib.cloud import bucket, service
from gan_lib.cloud import stack as stacks
from gan_lib.cloud.plan import INSTANCE_TYPES, Batch, rate
from gan_lib.cloud.service import Aws
from gan_lib.errors import CloudError
from gan_lib.runs.record import now

Say = Callable[[str], None]
_FAILED_SETUPS = ("setup failed", "waiting for the project", "project not refreshed")


@dataclass(frozen=True)
class Instance:
    """A notebook instance, or a training job, as it is now."""

    name: str
    machine: str  # cpu or gpu
    type: str
    status: str  # Pending, InService, Stopping, Stopped, Failed, Deleting, Updating; a job: InProgress, Completed, ...
    since: datetime
    reason: str = ""  # why it failed

    @property
    def running(self) -> bool:
        """Whether AWS may charge for it."""
        return self.status in ("Pending", "InService", "Updating", "Stopping", "InProgress")


@dataclass(frozen=True)
class State:
    """The state of an instance's batch, from the bucket."""

    setup: str  # "ready", "being set up", ...; "" before the hook's first status
    batch: str  # "no request", "running", "ended with exit status 0", ...

    @property
    def ended(self) -> bool:
        """Whether this request has ended, or cannot run."""
        return self.batch.startswith("ended") or self.setup in _FAILED_SETUPS


def ledger(aws: Aws, name: str) -> str:
    """Say in one sentence what may run because of this command, its price, and how to stop it; "" if nothing runs."""
    started = [f"{what} ({kind}, {rate(kind, aws.region)})" for what, kind in aws.started.items()]
    stop = f"AWS_REGION={aws.region} gan-lib cloud stop" + ("" if name == "gan-lib" else f" --name {name}")
    return f"{', '.join(started)} may be running; to stop {'it' if len(started) == 1 else 'them'}: {stop}" if started else ""


def find(aws: Aws, name: str) -> Instance | None:
    """Return the instance with this name, or None."""
    answer = service.ask(aws.sagemaker.describe_notebook_instance, "RecordNotFound", NotebookInstanceName=name)
    if answer is None:
        return None
    status, since = answer["NotebookInstanceStatus"], answer["LastModifiedTime"]
    return Instance(name, name[-3:], answer["InstanceType"], status, since, answer.get("FailureReason", ""))


def stop(aws: Aws, name: str) -> None:
    """Stop an instance in any state, and wait until it has stopped."""
    instance = find(aws, name)
    if instance and instance.status in ("Pending", "Updating"):  # it cannot be stopped before it has started
        with contextlib.suppress(CloudError):
            _wait(aws, "notebook_instance_in_service", name)
        instance = find(aws, name)
    if instance and instance.status == "InService":
        aws.sagemaker.stop_notebook_instance(NotebookInstanceName=name)
    if instance and instance.running:
        _wait(aws, "notebook_instance_stopped", name)
    aws.started.pop(name, None)


def _wait(aws: Aws, waiter: str, name: str) -> None:
    def reason() -> str:
        instance = find(aws, name)
        return f"it is {instance.status}, {instance.reason}" if instance else "it is gone"

    trouble = f"{name} did not {'stop' if waiter.endswith('stopped') else 'start'}"
    service.wait(aws.sagemaker, waiter, trouble, reason, NotebookInstanceName=name)


def launch(
    aws: Aws, stack: stacks.Stack, batch: Batch, project: bucket.Project, say: Say, max_hours: int | None = None
) -> list[str]:
    """Upload project and requests, start the instances one after the other; returns the names of those in service.

    Raises CloudError or ServiceError; what was started before stays in aws.started.
    """
    for machine in batch.machines:
        instance = find(aws, stack.instance(machine))
        if instance and instance.status not in ("Stopped", "Failed"):
            remedy = "wait until it has stopped, or stop it with gan-lib cloud stop"
            raise CloudError(f"{instance.name} is {instance.status}, and a request is read at a start only: {remedy}")
    if max_hours:
        stack = stacks.extend(aws, stack, max_hours=max_hours)
    new = bucket.upload_project(aws, stack.bucket, project)
    say(f"project {project.commit[:12]} {'uploaded to' if new else 'is in'} s3://{stack.bucket}/{bucket.ARCHIVE}")
    names = []
    for machine in batch.machines:
        name, arguments = stack.instance(machine), batch.arguments(machine)
        request = bucket.request_text(arguments, f"{now()}, project {project.commit[:12]}")
        aws.s3.put_object(Bucket=stack.bucket, Key=f"{bucket.PREFIX}/{name}/batch.txt", Body=request.encode())
        # a stack made in the console may have another type than the paper's
        aws.started[name] = stack.parameters.get(f"{machine.capitalize()}InstanceType", INSTANCE_TYPES[machine])
        say(f"starting {name}: {ledger(aws, stack.name)}")
        try:
            if machine in stack.machines:
                aws.sagemaker.start_notebook_instance(NotebookInstanceName=name)
                _wait(aws, "notebook_instance_in_service", name)
            else:  # add it to the stack, which starts it
                stack = stacks.extend(aws, stack, machines=[machine])
        except Exception:
            with contextlib.suppress(Exception):  # delete the request if the instance certainly does not run
                instance = find(aws, name)
                if instance is None or not instance.running:
                    del aws.started[name]
                    aws.s3.delete_object(Bucket=stack.bucket, Key=f"{bucket.PREFIX}/{name}/batch.txt")
            raise
        names.append(name)
        say(f"{name} is in service and sets itself up; then it runs: gan-lib run {' '.join(arguments)}")
    return names


def read_state(aws: Aws, bucket_name: str, name: str) -> State:
    """Return the state of the last request. A status older than the request belongs to an earlier request."""
    files = ("batch.txt", "status.txt", "batch.status.txt")
    request, setup, batch = (bucket.read(aws, bucket_name, f"{bucket.PREFIX}/{name}/{file}") for file in files)

    def fresh(answer: tuple[str, datetime] | None) -> str:
        return answer[0].strip() if answer and (request is None or answer[1] >= request[1]) else ""

    first_line = fresh(setup).partition("\n")[0].removeprefix("gan-lib: ")
    return State(first_line, (fresh(batch) or "no word yet") if request else "no request")


def follow(aws: Aws, bucket_name: str, names: list[str], say: Say) -> bool:
    """Wait for the batches and report changes. Stop each instance when its batch ends. Returns whether all succeeded."""
    import tenacity

    seen: dict[str, State] = {}
    results: dict[str, bool] = {}

    def look() -> bool:
        for name in [name for name in names if name not in results]:
            state, instance = read_state(aws, bucket_name, name), find(aws, name)
            if state != seen.get(name):
                say(f"{name}: setup {state.setup or 'has begun'}; batch {state.batch}")
                seen[name] = state
            if state.ended or instance is None or not instance.running:
                results[name] = state.batch == "ended with exit status 0"
                if not state.ended:
                    say(f"{name} stopped before its batch ended; the next gan-lib cloud run resumes it")
                stop(aws, name)
                say(f"{name} stopped")
        return len(results) == len(names)

    again = tenacity.retry_if_result(lambda finished: not finished)
    tenacity.Retrying(wait=tenacity.wait_fixed(service.POLL_SECONDS), retry=again)(look)
    return all(results.values())
