"""What there is in the cloud now, what runs, what it costs, how far it is: read from AWS at the moment of asking."""

import json
from datetime import UTC, datetime

from gan_lib.cloud import bucket, instances, jobs, launch, stack
from gan_lib.cloud.prices import price, rate
from gan_lib.cloud.service import Aws
from gan_lib.text import duration


def describe(aws: Aws, name: str) -> list[str]:
    """The state of everything of a stack's name, for people; the command that stops what runs comes last."""
    there = stack.find(aws, name)
    lines = [f"stack {name} in {aws.region}: {there.status if there else 'does not exist'}"]
    where = there.bucket if there else next(reversed(stack.left_buckets(aws, name)), "")
    lines += [f"bucket: s3://{where}" + ("" if there else " (left by an earlier stack)")] if where else []
    ledger = instances.Ledger(aws.region, name)
    for machine in stack.MACHINES:
        instance = instances.find(aws, launch.instance_name(stack.prefix(there, name), machine))
        if instance is None:
            continue
        lines.append(
            f"{instance.name}: {instance.type}, {_state(aws, instance.status, instance.type, instance.since, instance.running)}"
        )
        lines += [f"  reason: {' '.join(instance.reason.split())}"] if instance.reason else []
        if instance.running:
            ledger.add(instance.name, instance.type)
        if where:
            state = launch.read_state(aws, where, instance.name)
            lines.append(f"  setup: {state.setup or 'nothing said yet'}; batch: {state.batch}")
            lines += _runs(aws, where, bucket.instance_prefix(instance.name))
    found = jobs.find(aws, name)
    for job in found:
        if job.running or job in found[:4]:
            lines.append(f"job {job.name}: {job.type}, {_state(aws, job.status, job.type, job.since, job.running)}")
        if job.running:
            ledger.add(job.name, job.type)
    for machine in {job.machine for job in found} if where else ():
        lines += _runs(aws, where, bucket.jobs_prefix(machine))
    return [*lines, *(ledger.lines()[-1:] if any_running(lines) else ["nothing runs"])]


def any_running(lines: list[str]) -> bool:
    """Whether the lines speak of something that AWS may charge for by the hour."""
    return any("USD so far" in line or "price unknown" in line for line in lines)


def _state(aws: Aws, status: str, kind: str, since: datetime, running: bool) -> str:
    if not running:
        return status
    seconds = max(0.0, (datetime.now(UTC) - since).total_seconds())
    known = price(kind, aws.region)
    cost = (
        f"{rate(kind, aws.region)}, about {known.usd_per_hour * seconds / 3600:.2f} USD so far"
        if known
        else rate(kind, aws.region)
    )
    return f"{status} for {duration(seconds)}, {cost}"


def _runs(aws: Aws, where: str, prefix: str) -> list[str]:
    lines = []
    for name, files in sorted(bucket.find_runs(aws, where, prefix).files.items()):
        if "summary.json" in files:
            text = bucket.read(aws, where, files["summary.json"].key)
            lines.append(f"  {name}: {_value(text, 'status') or 'finished'}")
        elif "history.csv" in files:
            history, config = (bucket.read(aws, where, files[file].key) if file in files else None
                               for file in ("history.csv", "config.json"))  # fmt: skip
            done = max(0, history[0].count("\n") - 1) if history else 0
            lines.append(f"  {name}: epoch {done:,} of {_value(config, 'epochs') or '?'}")
        else:
            lines.append(f"  {name}: begun")
    return lines


def _value(found: tuple[str, datetime] | None, key: str) -> str:
    """One value of a JSON text, in print that cannot move the cursor."""
    try:
        value = json.loads(found[0]).get(key, "") if found else ""
    except (ValueError, AttributeError):
        return ""
    text = str(value)[:40]
    return text if text.isprintable() else ""
