"""Show the current state in the cloud: resources, progress and cost, read from AWS."""

import json
from datetime import UTC, datetime

from gan_lib.cloud import bucket, instances, jobs
from gan_lib.cloud import stack as stacks
from gan_lib.cloud.plan import price, rate
from gan_lib.cloud.service import Aws
from gan_lib.text import duration


def describe(aws: Aws, name: str) -> list[str]:
    """Describe everything under a stack's name. The last line lists what runs, with the command that stops it."""
    stack = stacks.find(aws, name)
    bucket_name = stacks.find_bucket(aws, stack)
    lines = [f"stack {name} in {aws.region}: {stack.status if stack.exists else 'does not exist'}"]
    lines += [f"bucket: s3://{bucket_name}" + ("" if stack.exists else " (left by an earlier stack)")] if bucket_name else []
    for machine in stacks.MACHINES:
        if (instance := instances.find(aws, stack.instance(machine))) is None:
            continue
        lines.append(f"{instance.name}: {_state(aws, instance)}")
        lines += [f"  reason: {' '.join(instance.reason.split())}"] if instance.reason else []
        if bucket_name:
            state = instances.read_state(aws, bucket_name, instance.name)
            lines.append(f"  setup: {state.setup or 'no word yet'}; batch: {state.batch}")
            lines += _runs(aws, bucket_name, f"{bucket.PREFIX}/{instance.name}")
    job_list = jobs.find(aws, name)
    lines += [f"job {job.name}: {_state(aws, job)}" for job in job_list if job.running or job in job_list[:4]]
    for machine in sorted({job.machine for job in job_list}) if bucket_name else ():
        lines += _runs(aws, bucket_name, bucket.jobs_prefix(machine))
    return [*lines, instances.ledger(aws, name) or "nothing runs"]


def _state(aws: Aws, item: instances.Instance) -> str:
    """Describe type, status and cost of an instance or job. Add it to the ledger if it runs."""
    if not item.running:
        return f"{item.type}, {item.status}"
    aws.started[item.name] = item.type
    seconds = max(0.0, (datetime.now(UTC) - item.since).total_seconds())
    known = price(item.type, aws.region)
    cost = f", about {known * seconds / 3600:.2f} USD so far" if known else ""
    return f"{item.type}, {item.status} for {duration(seconds)}, {rate(item.type, aws.region)}{cost}"


def _runs(aws: Aws, bucket_name: str, prefix: str) -> list[str]:
    """Describe the progress of each run below a prefix."""
    lines = []
    for name, files in sorted(bucket.find_runs(aws, bucket_name, prefix)[0].items()):
        names = files.keys() & {"summary.json", "history.csv", "config.json"}
        text = {file: answer[0] for file in names if (answer := bucket.read(aws, bucket_name, files[file]))}
        if "summary.json" in text:
            lines.append(f"  {name}: {_value(text['summary.json'], 'status') or 'finished'}")
        elif "history.csv" in text:
            done = max(0, text["history.csv"].count("\n") - 1)
            lines.append(f"  {name}: epoch {done:,} of {_value(text.get('config.json', ''), 'epochs') or '?'}")
        else:
            lines.append(f"  {name}: begun")
    return lines


def _value(text: str, key: str) -> str:
    """Return one value of a JSON text, with control characters escaped."""
    try:
        value = str(json.loads(text).get(key, ""))[:40]
    except (ValueError, AttributeError, RecursionError):
        return ""
    return value if value.isprintable() else ""
