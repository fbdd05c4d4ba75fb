"""choices_study.py: combinations of what the paper leaves open, and how near their runs end to what it reports."""

from pathlib import Path

import pytest
from conftest import WriteRun

from gan_lib import choices_study
from gan_lib.choices_study import CHOICES, Choice, Fit, answers, at_length, choices_table, configs, fit, ranked, spread
from gan_lib.record import Record, find_records, read_record


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
    for model, epochs in choices_study.EPOCHS.items():
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
    assert (found.balanced, found.runs) == (0, 1)
    assert found.scatter == pytest.approx(0.1)
    assert found.frechet == 30.0


def test_a_sum_of_both_halves_is_twice_their_mean(write_run: WriteRun) -> None:
    found = fit_of(write_run("gan-cpu", d=[0.28] * 12, g=[1.05] * 12))
    assert found.outside == pytest.approx(0.22)
    assert found.outside_if_sum == 0


def test_seeds_are_one_fit_in_the_mean_and_a_failed_one_does_not_count(write_run: WriteRun) -> None:
    seeds = [write_run("gan-cpu", g=[level] * 12, seed=seed) for seed, level in enumerate((1.05, 1.25))]
    found = fit_of(*seeds, write_run("gan-cpu", g=[9.0] * 12, seed=2, status="failed"))
    assert (found.generator_loss, found.outside) == (pytest.approx(1.15), pytest.approx(0.075))
    assert (found.balanced, found.runs) == (1, 2)
    assert fit([]) is None


@pytest.fixture
def records(write_run: WriteRun, tmp_path: Path) -> list[Record]:
    """Two combinations with both models, one with GAN alone, one run that failed, one with another loss."""
    for model, level in (("gan", 1.2), ("cgan", 1.5)):
        write_run(f"{model}-cpu", g=[level] * 12, epochs=12)
        write_run(f"{model}-cpu", g=[1.15] * 12, epochs=12, adam_beta1=0.5)
    write_run("gan-cpu", epochs=12, initialisation="glorot")
    write_run("gan-cpu", epochs=12, initialisation="dcgan", status="failed", reason="the loss is not finite any more")
    write_run("wgan-cpu", epochs=12)
    return find_records(tmp_path / "runs")[0]


def test_combinations_are_ranked_by_the_model_that_fits_worse(records: list[Record]) -> None:
    (best, least, runs), (second, more, _) = ranked(records)
    assert (best, second, runs) == (Choice(0.5), Choice(), 1)
    assert (least, more) == (pytest.approx(0.05), pytest.approx(0.4))
    said = answers(records)
    assert said[0] == (
        "Nearest to the paper's bands in both models: betas (0.5, 0.999), pytorch, fresh noise, dropout active, "
        "outside by 0.0500 (n = 1 of each model)."
    )
    assert "Next comes betas (0.9, 0.999)" in said[1]


def test_nothing_is_ranked_that_has_nothing_beside_it(records: list[Record]) -> None:
    only = [record for record in records if record.config.adam_beta1 == 0.5]
    assert answers([]) == ["Nothing can be said yet: 0 of at least two combinations were run with both models."]
    assert answers(only) == ["Nothing can be said yet: 1 of at least two combinations were run with both models."]


def test_the_table_has_a_line_for_each_combination_that_was_run_and_says_what_failed(records: list[Record]) -> None:
    lines = choices_table(records).frame.to_dict("records")
    assert [line["Adam's betas"] for line in lines] == ["(0.9, 0.999)", "(0.9, 0.999)", "(0.9, 0.999)", "(0.5, 0.999)"]
    assert [line["initialisation"] for line in lines] == ["pytorch", "glorot", "dcgan", "pytorch"]
    assert lines[0]["CGAN, D / G"] == "0.550 / 1.50"
    assert lines[1]["GAN, in balance"] == "1 of 1"
    assert lines[1]["CGAN, D / G"] == "not run"
    assert lines[2]["GAN, D / G"] == "failed: the loss is not finite any more"
    assert "GAN 12 epochs and CGAN 12 epochs" in choices_table(records).caption
    assert choices_table([]).frame.iloc[0, 0] == "none was run"


def test_lengths_are_told_apart_and_a_seed_counts_once(write_run: WriteRun, tmp_path: Path) -> None:
    write_run("gan-cpu", g=[3.0] * 12, epochs=12)
    write_run("gan-cpu", d=[0.55] * 24, epochs=24)
    records = find_records(tmp_path / "runs")[0]
    (short,) = at_length(records, {"gan": 12, "cgan": 12})
    assert short.config.epochs == 12
    write_run("gan-gpu", g=[3.0] * 12, epochs=12)
    twice = at_length(find_records(tmp_path / "runs")[0], {"gan": 12, "cgan": 12})
    assert len(twice) == 2
    assert [len(runs) for runs in choices_study.by_choice(twice)[Choice()].values()] == [1]


def test_the_spread_of_seeds_is_told_where_there_are_several(write_run: WriteRun, tmp_path: Path) -> None:
    for seed, level in enumerate((1.2, 1.4)):
        write_run("cgan-cpu", g=[level] * 12, seed=seed)
    write_run("gan-cpu")
    (said,) = spread(find_records(tmp_path / "runs")[0])
    assert said.startswith("CGAN, betas (0.9, 0.999), pytorch, fresh noise, dropout active: 2 seeds are outside by 0.1")
    assert "to 0.300" in said
    assert spread([]) == ["How far seeds of one combination go apart is not known: none was run with two."]
