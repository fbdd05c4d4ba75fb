"""Notebook instances: what they do now, start, stop; and a list of those that may run because of a command."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime

from gan_lib.cloud.prices import rate
from gan_lib.cloud.service import Aws, failure, wait

RUNNING = ("Pending", "InService", "Updating", "Stopping")  # what AWS may charge for
_MINUTES = 20


@dataclass(frozen=True)
class Instance:
    """A notebook instance as it is now."""

    name: str
    type: str
    status: str  # Pending, InService, Stopping, Stopped, Failed, Deleting, Updating
    since: datetime
    reason: str  # why it failed

    @property
    def running(self) -> bool:
        """Whether AWS may charge for it."""
        return self.status in RUNNING


def find(aws: Aws, name: str) -> Instance | None:
    """The instance of a name, or None."""
    from botocore.exceptions import ClientError

    try:
        found = aws.sagemaker.describe_notebook_instance(NotebookInstanceName=name)
    except ClientError as error:
        if "RecordNotFound" in str(error):
            return None
        raise
    status, since = found["NotebookInstanceStatus"], found["LastModifiedTime"]
    return Instance(name, found["InstanceType"], status, since, found.get("FailureReason", ""))


def start(aws: Aws, name: str) -> None:
    """Start an instance that is stopped, and wait until it is in service. Raises the service's reason when it fails."""
    aws.sagemaker.start_notebook_instance(NotebookInstanceName=name)
    wait_for(aws, name, ("InService",))


def stop(aws: Aws, name: str) -> bool:
    """Stop an instance, whatever it is doing, and wait until it has stopped; returns whether there was anything to stop."""
    instance = find(aws, name)
    if instance is None or not instance.running:
        return False
    if instance.status in ("Pending", "Updating"):  # it cannot be stopped before it has started
        wait(
            lambda: (now := find(aws, name)) is None or now.status not in ("Pending", "Updating"),
            f"the start of {name}",
            _MINUTES,
        )
        instance = find(aws, name)
    if instance and instance.status == "InService":
        aws.sagemaker.stop_notebook_instance(NotebookInstanceName=name)
    wait(lambda: (now := find(aws, name)) is None or not now.running, f"the stop of {name}", _MINUTES)
    return True


def wait_for(aws: Aws, name: str, wanted: tuple[str, ...]) -> None:
    """Wait until an instance is in one of these states. Raises the service's reason when it ends in another one."""
    state: Instance | None = None

    def done() -> bool:
        nonlocal state
        state = find(aws, name)
        return state is None or state.status in (*wanted, "Failed", "Stopped")

    wait(done, f"the start of {name}", _MINUTES)
    if state is None or state.status not in wanted:
        status = state.status if state else "gone"
        raise failure(f"{name} did not start, it is {status}", state.reason if state else "")


class Ledger:
    """What may run, and cost, because of this command: written down before AWS is asked, struck off when it rests."""

    def __init__(self, region: str, name: str) -> None:
        self.region, self.name = region, name
        self._entries: dict[str, str] = {}

    @property
    def stop_command(self) -> str:
        """What to type to stop everything."""
        return f"AWS_REGION={self.region} gan-lib cloud stop" + ("" if self.name == "gan-lib" else f" --name {self.name}")

    def add(self, what: str, instance_type: str) -> None:
        """Write down an instance or job before AWS is asked to start it."""
        self._entries[what] = instance_type

    def strike(self, what: str) -> None:
        """Strike off what is known not to run."""
        self._entries.pop(what, None)

    def lines(self) -> list[str]:
        """What the user must know: each by its name, its cost and the command that stops it."""
        lines = [f"{what} ({kind}) may be running, {rate(kind, self.region)}" for what, kind in self._entries.items()]
        return [*lines, f"to stop {'it' if len(lines) == 1 else 'them'}: {self.stop_command}"] if lines else []


@contextlib.contextmanager
def no_instance_unseen(ledger: Ledger, say: Callable[[str], None]) -> Iterator[None]:
    """However a command ends before its time, say what may be running on its account."""
    try:
        yield
    except BaseException:
        for line in ledger.lines():
            say(line)
        raise
