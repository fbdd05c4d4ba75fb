"""Processes killed without warning, at random moments: what is resumed is the undisturbed run, to the last bit."""

import os
import random
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from faults.conftest import Count, Start
from faults.training import AVERAGED, FILES, results, run_command, short_run
from gan_lib.presets import run_name
from gan_lib.runs.record import read_record

MEASURED = {"image_size": 28, "evaluate_every": 20}  # its quality, three times: most of such a run's time
# Everything that is not the paper's: average, schedule, penalties, augmentation, classes, the best weights.
EVERYTHING = {
    **{"model": "small", "loss": "rpgan", "image_size": 16, "width": 2, "classes": 10, "keep": "best", "evaluate_every": 30},
    **{"average_decay": 0.9, "schedule": "linear", "augmentation": "shift", "penalty_every": 2},
}


@pytest.mark.parametrize(
    ("changes", "quick", "soak"),
    [
        pytest.param({"model": "gan"}, 4, 16, marks=pytest.mark.quick),
        ({"model": "cgan"}, 4, 16),
        (MEASURED, 1, 8),
        (EVERYTHING, 2, 8),
    ],
)
def test_a_run_killed_again_and_again_is_the_undisturbed_run(
    tmp_path: Path, start: Start, chance: random.Random, count: Count, changes: dict[str, Any], quick: int, soak: int
) -> None:
    config, wanted, folder = short_run(**changes), count(quick, soak), tmp_path / "killed"
    begun = time.monotonic()
    undisturbed = start(config, tmp_path / "undisturbed")
    undisturbed.join()
    took = time.monotonic() - begun
    assert undisturbed.exitcode == 0
    kills, statuses = 0, []
    for _ in range(10 * wanted):
        process = start(config, folder)
        process.join(chance.uniform(0.1, took))
        if process.exitcode is None:
            os.kill(int(process.pid or 0), signal.SIGKILL)
            process.join()
            kills += 1
            if folder.exists() and (folder / "config.json").exists():
                statuses.append(f"{read_record(folder).status} at epoch {read_record(folder).epochs_done}")
        elif kills >= wanted:
            break
        else:  # it got to its end: once more from the beginning, for there are kills left to try
            assert results(folder) == results(tmp_path / "undisturbed")
            for path in folder.iterdir():
                path.unlink()
    print(f"{kills} kills: {', '.join(statuses)}")
    assert kills >= wanted
    process = start(config, folder)
    process.join()
    assert process.exitcode == 0
    assert results(folder) == results(tmp_path / "undisturbed")
    written = FILES | ({"metrics.csv"} if config.evaluate_every else set())
    written |= {AVERAGED} if config.average_decay else set()
    assert {path.name for path in folder.iterdir()} == written, "and nothing temporary is left"


def test_a_batch_killed_at_random_moments_leaves_no_process_and_ends_well(
    tmp_path: Path, chance: random.Random, count: Count
) -> None:
    config = short_run(epochs=80)
    undisturbed, disturbed = (run_command(config, tmp_path / name, "gan-cpu") for name in ("undisturbed", "killed"))
    subprocess.run(undisturbed, check=True, capture_output=True)
    begun = time.monotonic()
    subprocess.run([*undisturbed, "--fresh"], check=True, capture_output=True)
    took = time.monotonic() - begun
    folder = tmp_path / "killed" / "runs" / run_name(config)
    for _ in range(count(1, 8)):
        with subprocess.Popen(disturbed, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as batch:
            time.sleep(chance.uniform(0.3, 1.0) * took)  # while it trains, renders or compares
            children = psutil.Process(batch.pid).children(recursive=True) if batch.poll() is None else []
            batch.kill()
        _, alive = psutil.wait_procs(children, timeout=60)
        assert not alive, "no process outlives its batch"
    done = subprocess.run(disturbed, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert results(folder) == results(tmp_path / "undisturbed" / "runs" / run_name(config))
    assert {path.name for path in folder.iterdir()} == {*FILES, "notebook.ipynb", "report.html"}
    pages = {"comparison.ipynb", "comparison.html", "index.html"}
    assert {path.name for path in (tmp_path / "killed").iterdir()} == {"runs", *pages}
