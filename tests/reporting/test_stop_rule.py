"""Whether the paper's balance finds the moment to stop."""

from pathlib import Path
from typing import Any

import pytest
from conftest import WriteRun

from gan_lib.reporting.claims import EARLY, LATE, NEVER, RIGHT, balance_answer, timing, when_to_stop
from gan_lib.reporting.convergence import NO_BAND
from gan_lib.runs.record import Record, find_records, read_record

BALANCED = {"d": [0.55] * 40, "g": [9.0] * 10 + [1.05] * 30}  # balance at epoch 20
BALANCED_LATE = {"d": [0.55] * 40, "g": [9.0] * 25 + [1.05] * 15}  # at epoch 35
NO_BALANCE = {"d": [0.1] * 40, "g": [5.0] * 40}
SETTLED_AT_20 = {10: 100.0, 20: 50.0, 30: 49.0, 40: 48.0}
SETTLED_AT_10 = {10: 50.0, 20: 50.0, 30: 49.0, 40: 48.0}
STILL_BETTER = {10: 400.0, 20: 300.0, 30: 200.0, 40: 100.0}
FINELY_SETTLED = dict.fromkeys(range(4, 41, 4), 50.0)  # at epoch 4
UNKNOWN = "Whether the paper's balance rule finds the moment to stop cannot be told"


def records(tmp_path: Path) -> list[Record]:
    return find_records(tmp_path / "runs")[0]


@pytest.mark.parametrize(
    ("losses", "quality", "expected"),
    [
        (BALANCED, SETTLED_AT_20, RIGHT),
        (BALANCED, SETTLED_AT_10, RIGHT),  # one evaluation apart
        (BALANCED, {8: 50.0, 30: 49.0, 40: 48.0}, RIGHT),  # the coarser of both sides counts
        (BALANCED, {5: 50.0, 10: 50.0, 40: 48.0}, LATE),  # and not one far away
        (BALANCED, FINELY_SETTLED, LATE),
        (BALANCED, {4: 90.0, 8: 80.0, 20: 50.0, 28: 40.0, 30: 30.0, 32: 29.0, 40: 28.0}, EARLY),
        (BALANCED, STILL_BETTER, EARLY),  # its plateau is at 40 or later
        (BALANCED_LATE, STILL_BETTER, None),  # might be that epoch
        (NO_BALANCE, SETTLED_AT_20, NEVER),
        (NO_BALANCE, STILL_BETTER, None),  # might come into balance yet
        (BALANCED, None, None),
    ],
)
def test_one_runs_balance_lies_somewhere_to_its_plateau(
    write_run: WriteRun, losses: dict[str, Any], quality: dict[int, float] | None, expected: str | None
) -> None:
    assert timing(read_record(write_run("gan-cpu", **losses, quality=quality))) == expected


@pytest.mark.parametrize(
    ("losses", "quality", "begins"),
    [
        (BALANCED, SETTLED_AT_20, "The paper's balance rule finds the moment to stop: "),
        (BALANCED, FINELY_SETTLED, "The paper's balance rule does not find the moment to stop: "),
        (BALANCED, STILL_BETTER, "The paper's balance rule does not find the moment to stop: "),
        (NO_BALANCE, SETTLED_AT_20, "The paper's balance rule does not find the moment to stop: "),
        (NO_BALANCE, STILL_BETTER, f"{UNKNOWN}: quality still improved at the end of 3 runs"),
        (BALANCED, None, f"{UNKNOWN}: quality was not measured"),
    ],
)
def test_three_runs_can_tell_whether_the_rule_finds_the_moment_to_stop(
    write_run: WriteRun, tmp_path: Path, losses: dict[str, Any], quality: dict[int, float], begins: str
) -> None:
    for seed in range(2):
        write_run("gan-cpu", **losses, quality=quality, seed=seed)
    assert balance_answer(records(tmp_path)).startswith(UNKNOWN)
    write_run("gan-cpu", **losses, quality=quality, seed=2)
    assert balance_answer(records(tmp_path)).startswith(begins)


def test_runs_that_disagree_are_counted(write_run: WriteRun, tmp_path: Path) -> None:
    for seed, losses in enumerate((BALANCED, BALANCED, NO_BALANCE)):
        write_run("gan-cpu", **losses, quality=SETTLED_AT_20, seed=seed)
    write_run("gan-cpu", **NO_BALANCE, quality=STILL_BETTER, seed=3)
    assert balance_answer(records(tmp_path)) == (
        "The paper's balance rule finds the moment to stop at times: of 4 runs with quality measured 3 can tell, and their "
        "balance came before quality stopped improving in 0, within one evaluation of that epoch in 2, later in 0 and never "
        "in 1; in the remaining 1 quality was still improving at the end, without a balance long before."
    )


def test_the_balance_stands_beside_the_plateau(write_run: WriteRun, tmp_path: Path) -> None:
    write_run("gan-cpu", **BALANCED, quality=SETTLED_AT_20)
    write_run("cgan-cpu", **NO_BALANCE, quality=STILL_BETTER)
    write_run("wgan-cpu", **NO_BALANCE)
    assert when_to_stop(records(tmp_path)).frame.values.tolist() == [
        ["cgan-cpu/seed-0", "never in 40", "not yet in 40", "100 at epoch 40"],
        ["gan-cpu/seed-0", 20, 20, "48.0 at epoch 40"],
        ["wgan-cpu/seed-0", NO_BAND, "not measured", None],
    ]
    assert when_to_stop([]).frame["run"].tolist() == ["none yet"]
    assert balance_answer([run for run in records(tmp_path) if run.config.loss != "bce"]).startswith(UNKNOWN)  # no say in it
