"""`gan-lib cloud run`, a real process, ended at ten points: what runs on afterwards, and what the user was shown."""

import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from conftest import until

from .conftest import STOP, Cloud, client, running
from .fake_aws import FakeAws

INT, TERM, KILL = signal.SIGINT, signal.SIGTERM, signal.SIGKILL


@dataclass(frozen=True)
class Point:
    """Where the process is when the signal comes."""

    where: str
    sign: signal.Signals
    arguments: str
    request: str  # the one that is under way
    after: bool  # AWS has done it, its answer is on its way
    runs: tuple[str, ...]  # what runs on


# In this order on one account: instances come into being on the way, and are stopped after each point.
POINTS = [
    Point("looking at the stack", INT, "gan-cpu", "DescribeStacks", False, ()),
    Point("uploading the project", TERM, "gan-cpu", r"PUT .*gan-lib\.tar\.gz$", False, ()),
    Point("uploading the request", INT, "gan-cpu", r"PUT .*batch\.txt$", False, ()),
    Point("asking for a new instance", KILL, "gan-cpu", "UpdateStack", False, ("gan-lib-cpu",)),
    Point("AWS is making a new instance", INT, "gan-gpu", "UpdateStack", True, ("gan-lib-gpu",)),
    Point("waiting for another cap in hours", TERM, "gan-cpu --max-hours 5", "UpdateStack", True, ()),
    Point("AWS has been asked to start", INT, "gan-cpu", "StartNotebookInstance", True, ("gan-lib-cpu",)),
    Point("waiting for the start", KILL, "gan-cpu", "StartNotebookInstance", True, ("gan-lib-cpu",)),
    Point("one started, the next is to be", TERM, "gan-cpu gan-gpu", r"PUT .*gan-lib-gpu/batch\.txt$", False, ("gan-lib-cpu",)),
    Point("following the batch", INT, "gan-cpu --follow", r"GET .*batch\.status\.txt$", False, ("gan-lib-cpu",)),
]


def test_what_runs_on_was_shown_with_price_and_command(cloud: Cloud, aws: FakeAws, tmp_path: Path) -> None:
    assert cloud("up").returncode == 0
    for point in POINTS:
        code, out, err = _kill(aws, point, tmp_path)
        shown = out + err
        assert code == {INT: 130, TERM: 143, KILL: -9}[point.sign], (point, err)
        assert "Traceback" not in err, (point, err)
        assert running() == list(point.runs), point
        for name in point.runs:
            kind, price = {"cpu": ("ml.c5.2xlarge", "0.408"), "gpu": ("ml.g4dn.xlarge", "0.736")}[name[-3:]]
            assert f"{name} ({kind}" in shown and f"{price} USD per hour" in shown and STOP in shown, (point, shown)
        if not point.runs and point.sign is not KILL and "batch" not in point.request:
            assert "started nothing that is still running" in err, (point, err)
        status = cloud("status")
        assert status.returncode == 0, (point, status.stderr)
        seen = status.stdout
        for name in point.runs:  # also after SIGKILL, when nothing could be said any more
            assert f"{name}: ml." in seen and "USD per hour, about" in seen and STOP in seen, (point, seen)
        assert cloud("stop").returncode == 0
        assert running() == []


def _kill(aws: FakeAws, point: Point, tmp_path: Path) -> tuple[int, str, str]:
    """Start the command, end it at the point; returns its exit code and what it printed."""
    aws.requests.clear()
    hold = aws.hold(point.request, point.after)
    out, err = tmp_path / "out", tmp_path / "err"
    command = [sys.executable, "-m", "gan_lib", "cloud", "run", *point.arguments.split()]
    with out.open("wb") as stdout, err.open("wb") as stderr:
        process = subprocess.Popen(command, stdout=stdout, stderr=stderr, env=dict(os.environ), start_new_session=True)
    try:
        assert hold.reached.wait(40), (point, err.read_text())
        process.send_signal(point.sign)
        code = process.wait(20)
    finally:
        process.kill()
        aws.release()
    until(lambda: "UPDATE_IN_PROGRESS" not in client("cloudformation").describe_stacks()["Stacks"][0]["StackStatus"])
    return code, out.read_text(), err.read_text()
