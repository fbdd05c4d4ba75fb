"""quality_tables.py: the tables of quality, and whether the paper's balance finds the moment to stop."""

from pathlib import Path
from typing import Any

import pytest
from conftest import WriteRun

from gan_lib.balance import NO_BAND
from gan_lib.quality_tables import (
    all_measures,
    balance_answer,
    differences,
    quality_by_configuration,
    run_quality,
    when_to_stop,
)
from gan_lib.record import read_record
from gan_lib.selection import Comparison, all_records, compare
from gan_lib.tables import Table

BALANCED = {"d": [0.55] * 40, "g": [9.0] * 10 + [1.05] * 30}  # balance at epoch 20
NEVER = {"d": [0.1] * 40, "g": [5.0] * 40}
SETTLED_AT_20 = {10: 100.0, 20: 50.0, 30: 49.0, 40: 48.0}
SETTLED_AT_10 = {10: 50.0, 20: 50.0, 30: 49.0, 40: 48.0}
STILL_BETTER = {10: 400.0, 20: 300.0, 30: 200.0, 40: 100.0}


def compared(tmp_path: Path) -> Comparison:
    return compare(tmp_path / "runs", tmp_path / "reference")


def line(table: Table, name: str) -> dict[str, Any]:
    """The row that begins with a name."""
    return next(row for row in table.frame.to_dict("records") if row[table.frame.columns[0]] == name)


def test_a_runs_table_has_value_floor_and_what_better_means(write_run: WriteRun) -> None:
    table = run_quality(read_record(write_run("gan-cpu", quality={12: 40.0})))
    assert line(table, "recognisable, % of images") == {
        "measure": "recognisable, % of images", "this run": 87.5, "floor: real images": 98.5, "better": "higher",
    }  # fmt: skip
    assert "3,000 generated images" in table.caption
    assert "The test's classifier." in table.caption


def test_a_run_without_quality_says_why(write_run: WriteRun) -> None:
    assert run_quality(read_record(write_run("gan-cpu"))).frame["measure"].tolist() == ["not measured"]
    reason = "not measured: held-out images must be at least 100"
    table = run_quality(read_record(write_run("gan-cpu", facts={"quality_about": reason})))
    assert table.frame["measure"].tolist() == [reason]


def test_configurations_have_mean_spread_number_of_runs_and_a_floor_or_a_reason(write_run: WriteRun, tmp_path: Path) -> None:
    for seed, distance in enumerate((30.0, 40.0, 50.0)):
        write_run("gan-cpu", quality={12: distance}, seed=seed)
    write_run("cgan-cpu", below="reference")
    write_run("gan-gpu", status="unavailable", reason="needs a CUDA GPU")
    table = quality_by_configuration(compared(tmp_path))
    assert line(table, "GAN, CPU")["Fréchet distance"] == "40.0 (30.0 to 50.0)"
    assert line(table, "GAN, CPU")["copies, %"] == 2.0  # the same in all three
    assert line(table, "GAN, CPU")["runs"] == 3
    assert line(table, "CGAN, CPU")["Fréchet distance"] == "not measured"
    assert line(table, "GAN, GPU")["Fréchet distance"] == "unavailable: needs a CUDA GPU"
    assert line(table, "CGAN, GPU")["Fréchet distance"] == "not run"
    assert line(table, "real images: the floor")["Fréchet distance"] == 0.2
    assert 'data-label="recognisable, %"' in table._repr_html_()
    every = all_measures(compared(tmp_path))
    assert list(every.frame.columns) == ["measure", "GAN, CPU", "floor: real images", "better"]
    assert line(every, "copies of training images, % of images")["GAN, CPU"] == 2.0


def test_without_a_classifier_the_reason_stands_in_the_distances_place(write_run: WriteRun, tmp_path: Path) -> None:
    about = "no classifier: folder:photos has no labels to train one on"
    write_run("gan-cpu", facts={"quality": {"noise_level": 0.02}, "quality_about": about})
    found = line(quality_by_configuration(compared(tmp_path)), "GAN, CPU")
    assert (found["Fréchet distance"], found["noise level, %"], found["runs"]) == (about, 2.0, 1)


def test_without_any_quality_the_tables_say_so(write_run: WriteRun, tmp_path: Path) -> None:
    write_run("gan-cpu")
    rows = compared(tmp_path)
    assert all_measures(rows).frame["measure"].tolist() == ["not measured"]
    assert len(quality_by_configuration(rows).frame) == 4
    assert line(when_to_stop(all_records(rows)), "gan-cpu/seed-0")["quality no longer improved after epoch"] == "not measured"
    assert "quality was not measured" in balance_answer(all_records(rows))
    assert when_to_stop([]).frame["run"].tolist() == ["none yet"]


def test_differences_have_an_interval_from_three_runs_on(write_run: WriteRun, tmp_path: Path) -> None:
    def told() -> str:
        rows = compared(tmp_path)
        return str(differences([(rows["gan-cpu"], rows["cgan-cpu"])]).frame["value"][0])

    for seed in range(3):
        write_run("gan-cpu", quality={12: 60.0 + seed}, seed=seed)
        write_run("cgan-cpu", quality={12: 40.0 - seed}, seed=seed)
        if seed < 2:
            assert "3 of each are the least" in told()
    assert told().startswith("22.0 (95% interval ")
    assert "spans 0" not in told()
    write_run("cgan-cpu", quality={12: 120.0}, seed=3)
    assert told().endswith(", n = 3), spans 0")
    rows = compared(tmp_path)
    absent = differences([(rows["gan-gpu"], rows["cgan-gpu"])]).frame
    assert absent["value"].tolist() == ["GAN, GPU: not run; CGAN, GPU: not run"]


def test_the_balance_stands_beside_the_plateau(write_run: WriteRun, tmp_path: Path) -> None:
    write_run("gan-cpu", **BALANCED, quality=SETTLED_AT_20)
    write_run("cgan-cpu", **NEVER, quality=STILL_BETTER)
    table = when_to_stop(all_records(compared(tmp_path)))
    assert list(line(table, "gan-cpu/seed-0").values())[1:] == [20, 20, "48.0 at epoch 40"]
    assert list(line(table, "cgan-cpu/seed-0").values())[1:] == ["never in 40", "not yet in 40", "100 at epoch 40"]


@pytest.mark.parametrize(
    ("losses", "quality", "begins"),
    [
        (BALANCED, SETTLED_AT_20, "The paper's balance rule finds the moment to stop: "),
        (BALANCED, SETTLED_AT_10, "The paper's balance rule finds the moment to stop: "),  # one evaluation apart
        (BALANCED, {8: 50.0, 30: 49.0, 40: 48.0}, "The paper's balance rule finds"),  # the coarser of both sides counts
        (BALANCED, {5: 50.0, 10: 50.0, 40: 48.0}, "The paper's balance rule does not find"),  # and not one far away
        (BALANCED, dict.fromkeys(range(4, 41, 4), 50.0), "The paper's balance rule does not find the moment to stop: "),
        (NEVER, SETTLED_AT_20, "The paper's balance rule does not find the moment to stop: "),
        (
            BALANCED,
            STILL_BETTER,
            "Whether the paper's balance rule finds the moment to stop cannot be told, for that takes 3 runs in which",
        ),
    ],
)
def test_does_the_balance_find_the_moment_to_stop(
    write_run: WriteRun, tmp_path: Path, losses: dict[str, Any], quality: dict[int, float], begins: str
) -> None:
    for seed in range(2):
        write_run("gan-cpu", **losses, quality=quality, seed=seed)
    assert "cannot be told, for that takes 3 runs" in balance_answer(all_records(compared(tmp_path)))
    write_run("gan-cpu", **losses, quality=quality, seed=2)
    assert balance_answer(all_records(compared(tmp_path))).startswith(begins)


def test_runs_without_a_balance_have_no_say_in_it(write_run: WriteRun, tmp_path: Path) -> None:
    for seed in range(3):
        write_run("wgan-cpu", **NEVER, quality=SETTLED_AT_20, seed=seed)
    assert line(when_to_stop(all_records(compared(tmp_path))), "wgan-cpu/seed-0")["balance at epoch"] == NO_BAND
    assert balance_answer(all_records(compared(tmp_path))).endswith("quality was not measured in any of these runs.")


def test_runs_that_still_improved_at_their_end_say_so(write_run: WriteRun, tmp_path: Path) -> None:
    for seed, losses in enumerate((NEVER, NEVER, NEVER)):
        write_run("gan-cpu", **losses, quality=STILL_BETTER, seed=seed)
    said = balance_answer(all_records(compared(tmp_path)))
    assert said.endswith("quality was still improving at the end of all 3, of which none ever came into balance.")
    write_run("gan-cpu", **BALANCED, quality=STILL_BETTER, seed=3)
    assert balance_answer(all_records(compared(tmp_path))).endswith("of all 4, of which 1 ever came into balance.")


def test_runs_that_disagree_are_counted(write_run: WriteRun, tmp_path: Path) -> None:
    for seed, losses in enumerate((BALANCED, BALANCED, NEVER)):
        write_run("gan-cpu", **losses, quality=SETTLED_AT_20, seed=seed)
    said = balance_answer(all_records(compared(tmp_path)))
    assert said.startswith("The paper's balance rule finds the moment to stop at times: ")
    assert said.endswith("in 3 of 3 runs, and there the balance came within one evaluation of that epoch 2 times, earlier or "
                         "later 0, never 1.")  # fmt: skip
