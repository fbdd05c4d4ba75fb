"""Combinations of what the paper leaves open, and how their runs end."""

from pathlib import Path

import pytest
from conftest import WriteRun

from gan_lib.reporting.convergence import roughness
from gan_lib.runs.record import find_records, read_record
from gan_lib.studies import unstated_choices
from gan_lib.studies.unstated_choices import CHOICES, Choice, Fit, at_length, by_choice, configs, fit, read_study


def test_every_combination_is_there_once_and_each_run_has_a_folder_of_its_own() -> None:
    assert len(CHOICES) == len(set(CHOICES)) == 16
    assert CHOICES[0] == Choice()
    for name, values in (
        ("adam_beta1", {0.9, 0.5}),
        ("initialisation", {"pytorch", "glorot", "dcgan"}),
        ("generator_noise", {"fresh", "reused"}),
        ("generator_dropout", {"active", "off"}),
    ):
        assert {getattr(choice, name) for choice in CHOICES} == values
    for model, epochs in unstated_choices.LENGTHS.items():
        runs = configs(model)
        assert len(set(runs)) == 16
        assert {(run.model, run.machine, run.epochs, run.threads) for run in runs} == {(model, "cpu", epochs, 1)}


def fit_of(*folders: Path) -> Fit:
    found = fit([read_record(folder) for folder in folders])
    assert found
    return found


def test_a_fit_takes_the_last_ten_epochs_and_both_bands(write_run: WriteRun) -> None:
    losses = {"d": [9.0] * 10 + [0.65] * 10, "g": [9.0] * 10 + [1.4, 1.2] * 5}
    found = fit_of(write_run("gan-cpu", **losses, quality={20: 30.0}))
    assert (found.discriminator_loss, found.generator_loss) == (pytest.approx(0.65), pytest.approx(1.3))
    assert found.outside == pytest.approx(0.2)  # G's 1.3 above 1.1; D's 0.65 is 0.05 above 0.6
    assert found.outside_if_sum == pytest.approx(0.7)  # 2 x 0.65 above 0.6
    assert (found.balance_epoch, found.runs) == (None, 1)
    assert found.scatter == roughness(losses["g"]) > 0
    assert found.frechet == 30.0


def test_a_sum_of_both_halves_is_twice_their_mean(write_run: WriteRun) -> None:
    found = fit_of(write_run("gan-cpu", d=[0.28] * 12, g=[1.05] * 12))
    assert found.outside == pytest.approx(0.22)
    assert found.outside_if_sum == 0


def test_seeds_are_one_fit_in_the_mean_and_a_failed_one_does_not_count(write_run: WriteRun) -> None:
    seeds = [write_run("gan-cpu", g=[level] * 12, seed=seed) for seed, level in enumerate((1.05, 1.25))]
    found = fit_of(*seeds, write_run("gan-cpu", g=[9.0] * 12, seed=2, status="failed"))
    assert (found.generator_loss, found.outside) == (pytest.approx(1.15), pytest.approx(0.075))
    assert (found.balance_epoch, found.runs) == (None, 2)  # one of two is no majority
    assert fit([]) is None


def test_lengths_are_told_apart_and_a_seed_counts_once(write_run: WriteRun, tmp_path: Path) -> None:
    write_run("gan-cpu", g=[3.0] * 12, epochs=12)
    write_run("gan-cpu", d=[0.55] * 24, epochs=24)
    records = find_records(tmp_path / "runs")[0]
    (short,) = at_length(records, {"gan": 12, "cgan": 12})
    assert short.config.epochs == 12
    write_run("gan-gpu", g=[3.0] * 12, epochs=12)
    twice = at_length(find_records(tmp_path / "runs")[0], {"gan": 12, "cgan": 12})
    assert len(twice) == 2
    assert [len(runs) for runs in by_choice(twice)[Choice()].values()] == [1]


def test_the_study_has_its_short_runs_and_all_of_the_papers_length(write_run: WriteRun, tmp_path: Path) -> None:
    write_run("gan-cpu", epochs=unstated_choices.LENGTHS["gan"])
    write_run("cgan-cpu", epochs=300, adam_beta1=0.5)
    write_run("gan-cpu", epochs=7)
    write_run("gan-cpu", below="reference", preset="paper")
    (tmp_path / "runs" / "gan-cpu--torn" / "seed-0").mkdir(parents=True)
    (tmp_path / "runs" / "gan-cpu--torn" / "seed-0" / "config.json").write_text("{")
    study = read_study(tmp_path / "runs", tmp_path / "reference")
    assert [(run.config.model, run.config.epochs) for run in study.short] == [("gan", unstated_choices.LENGTHS["gan"])]
    assert [(run.config.model, run.config.epochs) for run in study.long] == [("gan", 1200), ("cgan", 300)]
    (problem,) = study.unreadable
    assert "gan-cpu--torn" in problem
