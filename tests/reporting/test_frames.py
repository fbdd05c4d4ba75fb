"""Frames hold what records hold, under its own name."""

import math
from pathlib import Path

import pytest
from conftest import WriteRun

import gan_lib
from gan_lib import find_records, history_frame, metrics_frame, runs_frame


def test_one_row_a_run_with_config_summary_machine_quality_and_what_is_judged(write_run: WriteRun, tmp_path: Path) -> None:
    for seed, distance in enumerate((10.0, 60.0)):
        write_run("gan-cpu", d=[0.55] * 36, seconds=0.5, seed=seed, quality={6: 80.0, 12: distance, 36: distance})
    write_run("gan-gpu", status="unavailable", reason="needs a CUDA GPU")
    frame = runs_frame(find_records(tmp_path / "runs")[0]).set_index("run")
    first, refused = frame.loc["gan-cpu/seed-0"], frame.loc["gan-gpu/seed-0"]
    assert (first.model, first.epochs, first.epochs_done, first.status) == ("gan", 1200, 36, "ok")
    assert (first.machine, first.machine_label, first.threads, first.machine_threads) == ("cpu", "Test CPU, 2 cores", 0, 2)
    assert (first.precision, first.config_precision) == (0.5, "auto")  # a measure, and a choice
    assert (first.frechet_distance, first.floor_frechet_distance) == (10.0, 0.2)
    assert (first.balance_epoch, first.plateau_epoch) == (10, 12)
    assert (first.seconds_to_20, first.seconds_to_10, first.seconds_to_5) == (6.0, 6.0, math.inf)
    assert (first.cost_usd, first.usd_to_10) == pytest.approx((18 / 3600 * 0.408, 6 / 3600 * 0.408))
    assert refused.reason == "needs a CUDA GPU" and math.isnan(refused.seconds_to_20)
    means = frame.groupby("configuration")[["seconds_per_epoch", "frechet_distance"]].mean()
    assert means.loc["gan-cpu"].tolist() == [0.5, 35.0]
    assert means.loc["gan-gpu"].isna().all()


def test_one_row_an_epoch_and_one_an_evaluation(write_run: WriteRun, tmp_path: Path) -> None:
    write_run("gan-cpu", d=[0.1, 0.2], quality={2: 40.0})
    write_run("cgan-cpu", d=[0.3], seed=4)
    records = find_records(tmp_path / "runs")[0]
    assert history_frame(records)[["run", "seed", "epoch", "discriminator_loss"]].values.tolist() == [
        *(["cgan-cpu/seed-4", 4, 1, 0.3], ["gan-cpu/seed-0", 0, 1, 0.1], ["gan-cpu/seed-0", 0, 2, 0.2])
    ]
    assert metrics_frame(records)[["run", "epoch", "frechet_distance"]].values.tolist() == [["gan-cpu/seed-0", 2, 40.0]]


def test_without_runs_there_are_columns_to_ask_for() -> None:
    assert runs_frame([]).groupby(["configuration", "variant"])["frechet_distance"].mean().empty
    assert history_frame([]).empty and metrics_frame([]).empty


def test_another_name_is_not_there() -> None:
    with pytest.raises(AttributeError, match="no attribute 'run_frame'"):
        gan_lib.run_frame  # noqa: B018
