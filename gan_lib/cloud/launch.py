"""Start a batch on notebook instances, and follow it: the on-start hook there finds the request and runs it."""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from gan_lib.cloud import bucket, instances, stack
from gan_lib.cloud.batch import Batch
from gan_lib.cloud.plan import INSTANCE_TYPES
from gan_lib.cloud.prices import rate
from gan_lib.cloud.service import Aws, wait
from gan_lib.errors import CloudError
from gan_lib.runs.record import now

Say = Callable[[str], None]
_FAILED_SETUPS = ("setup failed", "waiting for the project", "project not refreshed")


def instance_name(name: str, machine: str) -> str:
    """ "gan-lib-cpu"."""
    return f"{name}-{machine}"


def instance_type(there: stack.Stack, machine: str) -> str:
    """The type that the stack gives a machine: a stack made in the console may have another than the paper's."""
    return there.parameters.get(f"{machine.capitalize()}InstanceType", INSTANCE_TYPES[machine])


def launch(
    aws: Aws,
    there: stack.Stack,
    batch: Batch,
    project: bucket.Project,
    ledger: instances.Ledger,
    say: Say,
    max_hours: int | None = None,
) -> list[str]:
    """Upload project and requests, start the instances one after the other; returns the names of those in service.

    Raises CloudError or ServiceError; what was started before stays in the ledger.
    """
    _refuse_busy(aws, there.prefix, batch)
    if max_hours:
        there = stack.extend(aws, there, max_hours=max_hours)
    new = bucket.upload_project(aws, there.bucket, project)
    say(f"project {project.commit[:12]} {'uploaded to' if new else 'is in'} s3://{there.bucket}/{bucket.ARCHIVE}")
    started = []
    for machine in batch.machines:
        name, kind = instance_name(there.prefix, machine), instance_type(there, machine)
        request = bucket.request_text(batch.arguments(machine), f"{now()}, project {project.commit[:12]}")
        bucket.write(aws, there.bucket, f"{bucket.instance_prefix(name)}/batch.txt", request)
        ledger.add(name, kind)
        say(f"starting {name} ({kind}, {rate(kind, aws.region)}); to stop it: {ledger.stop_command}")
        try:
            there = _start(aws, there, machine)
        except Exception:
            _withdraw(aws, there, name, ledger)
            raise
        started.append(name)
        say(f"{name} is in service and sets itself up; then it runs: gan-lib run {' '.join(batch.arguments(machine))}")
    return started


def _refuse_busy(aws: Aws, name: str, batch: Batch) -> None:
    for machine in batch.machines:
        instance = instances.find(aws, instance_name(name, machine))
        if instance and instance.status not in ("Stopped", "Failed"):
            raise CloudError(
                f"{instance.name} is {instance.status}, and a request is read at a start only: wait until it has stopped, "
                "or stop it with gan-lib cloud stop"
            )


def _start(aws: Aws, there: stack.Stack, machine: str) -> stack.Stack:
    """Start an instance; one that does not exist yet is added to the stack, which starts it."""
    if machine in there.machines:
        instances.start(aws, instance_name(there.prefix, machine))
        return there
    return stack.extend(aws, there, machines=[machine])


def _withdraw(aws: Aws, there: stack.Stack, name: str, ledger: instances.Ledger) -> None:
    """After a failed start: take the request back, and strike the instance off, if it is certain that it does not run."""
    with contextlib.suppress(Exception):
        instance = instances.find(aws, name)
        if instance is None or not instance.running:
            ledger.strike(name)
            aws.s3.delete_object(Bucket=there.bucket, Key=f"{bucket.instance_prefix(name)}/batch.txt")


@dataclass(frozen=True)
class State:
    """What the bucket says of an instance's batch."""

    setup: str  # "ready", "being set up", ...; "" before the hook's first word
    batch: str  # "no request", "waits for the next start", "running", "ended with exit status 0", ...

    @property
    def ended(self) -> bool:
        """Whether nothing more will come of this request."""
        return self.batch.startswith("ended") or self.setup in _FAILED_SETUPS


def read_state(aws: Aws, where: str, name: str) -> State:
    """The state of the last request. A status that is older than the request speaks of an earlier one."""
    prefix = bucket.instance_prefix(name)
    request = bucket.read(aws, where, f"{prefix}/batch.txt")
    setup, batch = (bucket.read(aws, where, f"{prefix}/{file}") for file in ("status.txt", "batch.status.txt"))
    since = request[1] if request else None
    return State(
        (_fresh(setup, since).splitlines() or [""])[0].removeprefix("gan-lib: "),
        "no request" if request is None else _fresh(batch, since).strip() or "nothing said yet",
    )


def _fresh(found: tuple[str, datetime] | None, since: datetime | None) -> str:
    return found[0] if found and (since is None or found[1] >= since) else ""


def follow(aws: Aws, there: stack.Stack, names: list[str], ledger: instances.Ledger, say: Say) -> bool:
    """Wait for the batches, saying what changes; stop each instance when its batch has ended. Returns whether all is well."""
    left, well = list(names), True
    seen: dict[str, State] = {}
    while left:
        for name in list(left):
            state = read_state(aws, there.bucket, name)
            instance = instances.find(aws, name)
            if state != seen.get(name):
                say(f"{name}: setup {state.setup or 'has begun'}; batch {state.batch}")
                seen[name] = state
            if state.ended or instance is None or not instance.running:
                well &= state.batch == "ended with exit status 0"
                if not state.ended:
                    say(f"{name} stopped before its batch ended; the next gan-lib cloud run goes on with it")
                if instances.stop(aws, name):
                    say(f"{name} stopped")
                ledger.strike(name)
                left.remove(name)
        if left:
            _until_something_changes(aws, there, left, seen)
    return well


def _until_something_changes(aws: Aws, there: stack.Stack, names: list[str], seen: dict[str, State]) -> None:
    def changed() -> bool:
        for name in names:
            instance = instances.find(aws, name)
            if read_state(aws, there.bucket, name) != seen.get(name) or instance is None or not instance.running:
                return True
        return False

    wait(changed, "the batch", 60 * 24 * 7)
