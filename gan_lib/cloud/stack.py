"""The CloudFormation stack: all resources of gan-lib in an account, created and removed together.

Why a stack and not single calls: lifecycle/stack.yaml is the only description of roles, bucket and instances, for the console
and for this program. The service rolls a failed creation back, even after this program has ended. One deletion removes
everything.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gan_lib.cloud.service import Aws, ask, wait
from gan_lib.errors import CloudError, ConfigurationError

TEMPLATE = Path(__file__).resolve().parents[2] / "lifecycle" / "stack.yaml"
MACHINES = ("cpu", "gpu")


@dataclass(frozen=True)
class Stack:
    """The stack as it is now. Without an id it does not exist."""

    name: str
    id: str = ""
    status: str = "DELETE_COMPLETE"
    parameters: dict[str, str] = field(default_factory=dict)
    bucket: str = ""
    job_role: str = ""  # ARN, where jobs were asked for

    @property
    def exists(self) -> bool:
        """Whether the stack exists."""
        return self.status != "DELETE_COMPLETE"

    @property
    def moving(self) -> bool:
        """Whether the service is still working on it."""
        return self.status.endswith("_IN_PROGRESS")

    @property
    def machines(self) -> set[str]:
        """Return the machines (cpu, gpu) that have an instance in the stack."""
        chosen = self.parameters.get("Instances", "none")
        return set(MACHINES) if chosen == "both" else {chosen} & set(MACHINES)

    def instance(self, machine: str) -> str:
        """Return the name of a machine's instance. A stack made in the console may use other names."""
        return f"{self.parameters.get('NamePrefix', self.name)}-{machine}"


def check_name(name: str) -> None:
    """Raise ConfigurationError unless NAME is a valid stack name, and NAME-cpu a valid instance name."""
    if len(name) > 40 or not re.fullmatch(r"[a-zA-Z](-?[a-zA-Z0-9])*", name):
        raise ConfigurationError(f"name must be at most 40 letters, digits and single hyphens, a letter first, got {name!r}")


def find(aws: Aws, name: str) -> Stack:
    """Return the stack with this name or id."""
    answer = ask(aws.cloudformation.describe_stacks, "does not exist", StackName=name)
    if answer is None:
        return Stack(name)
    (facts,) = answer["Stacks"]
    parameters = {item["ParameterKey"]: item["ParameterValue"] for item in facts.get("Parameters", [])}
    outputs = {item["OutputKey"]: item["OutputValue"] for item in facts.get("Outputs", [])}
    bucket, role = outputs.get("BucketName", ""), outputs.get("JobRoleArn", "")
    return Stack(facts["StackName"], facts["StackId"], facts["StackStatus"], parameters, bucket, role)


def require(aws: Aws, name: str) -> Stack:
    """Return the stack, ready for use. Raises CloudError when none exists, or when it is broken or busy."""
    stack = find(aws, name)
    if not stack.exists:
        raise CloudError(f"stack {name} does not exist in {aws.region}: gan-lib cloud up makes it")
    if stack.moving:
        raise CloudError(f"stack {name} is being changed ({stack.status}): wait, gan-lib cloud status shows it")
    if stack.status not in ("CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE") or not stack.bucket:
        raise CloudError(f"stack {name} cannot be used ({stack.status}): gan-lib cloud down removes it, then gan-lib cloud up")
    return stack


def create(aws: Aws, name: str, *, idle_minutes: int, max_hours: int) -> Stack:
    """Create the stack without instances: nothing in it costs by the hour. The service removes it again if this fails."""
    values = {"NamePrefix": name, "Instances": "none", "IdleMinutes": idle_minutes, "MaxHours": max_hours}
    made = aws.cloudformation.create_stack(
        StackName=name,
        TemplateBody=TEMPLATE.read_text(encoding="utf-8"),
        Parameters=_parameters(values),
        Capabilities=["CAPABILITY_IAM"],
        OnFailure="DELETE",
        Tags=[{"Key": "project", "Value": "gan-lib"}],
    )["StackId"]
    settle(aws, made, "stack_create_complete", f"stack {name} could not be made")
    return require(aws, name)


def extend(aws: Aws, stack: Stack, *, machines: Iterable[str] = (), jobs: bool = False, max_hours: int | None = None) -> Stack:
    """Add instances (which start at once) or the role for jobs, or set the cap in hours. Removes nothing.

    Raises CloudError or ServiceError with the service's reason when it rolls the change back.
    """
    wanted = stack.machines | set(machines)
    values: dict[str, Any] = {"Instances": "both" if len(wanted) == 2 else next(iter(wanted), "none")}
    values["Jobs"] = "yes" if jobs or stack.parameters.get("Jobs") == "yes" else "no"
    values["MaxHours"] = max_hours or stack.parameters.get("MaxHours", "12")
    if all(stack.parameters.get(key) == str(value) for key, value in values.items()):
        return stack
    kept = [key for key in stack.parameters if key not in values]
    answer = ask(
        aws.cloudformation.update_stack,
        "No updates are to be performed",
        StackName=stack.id,
        TemplateBody=TEMPLATE.read_text(encoding="utf-8"),
        Parameters=[*_parameters(values), *({"ParameterKey": key, "UsePreviousValue": True} for key in kept)],
        Capabilities=["CAPABILITY_IAM"],
    )
    if answer is None:
        return stack
    what = " and ".join(sorted(machines)) or "the change"
    settle(aws, stack.id, "stack_update_complete", f"{what} could not be added to {stack.name}")
    return require(aws, stack.name)


def delete(aws: Aws, stack: Stack) -> None:
    """Remove the stack except its bucket, and wait until it is gone."""
    aws.cloudformation.delete_stack(StackName=stack.id)
    settle(aws, stack.id, "stack_delete_complete", f"stack {stack.name} could not be removed")


def settle(aws: Aws, stack_id: str, waiter: str, trouble: str) -> None:
    """Wait until a change of a stack has ended. Raises CloudError or ServiceError with the service's reason if it failed."""
    wait(aws.cloudformation, waiter, trouble, lambda: failure_reason(aws, stack_id), StackName=stack_id)


def failure_reason(aws: Aws, stack_id: str) -> str:
    """Return why the last change of a stack failed: the reason of the first failed resource. The others were cancelled."""
    events = aws.cloudformation.describe_stack_events(StackName=stack_id)["StackEvents"]  # the newest first
    reasons = []
    for event in events:
        status = event.get("ResourceStatus", "")
        if status.endswith("_FAILED"):
            reasons.append(f"{event.get('LogicalResourceId')}: {event.get('ResourceStatusReason', '')}")
        if event.get("PhysicalResourceId") == stack_id and status in ("CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS"):
            break  # where this change began
    telling = [reason for reason in reversed(reasons) if "cancelled" not in reason.lower()]
    return next(iter(telling), next(iter(reasons), ""))


def find_bucket(aws: Aws, stack: Stack) -> str:
    """Return the stack's bucket, else the newest one that a deleted stack of this name left, else ""."""
    return stack.bucket or next(reversed(left_buckets(aws, stack.name)), "")


def left_buckets(aws: Aws, name: str) -> list[str]:
    """Return the buckets of this stack name, by bucket name and tags, newest last."""
    buckets = [item for item in aws.s3.list_buckets()["Buckets"] if item["Name"].startswith(f"{name.lower()}-bucket")]
    names = []
    for bucket in sorted(buckets, key=lambda item: item["CreationDate"]):
        answer = ask(aws.s3.get_bucket_tagging, "NoSuchTagSet", "AccessDenied", Bucket=bucket["Name"])
        tags = {tag["Key"]: tag["Value"] for tag in answer["TagSet"]} if answer else {}
        if tags.get("project") == "gan-lib" and tags.get("stack", name) == name:
            names.append(bucket["Name"])
    return names


def _parameters(values: dict[str, Any]) -> list[dict[str, str]]:
    return [{"ParameterKey": key, "ParameterValue": str(value)} for key, value in values.items()]
