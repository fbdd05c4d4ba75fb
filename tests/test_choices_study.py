"""choices_study.py: combinations of what the paper leaves open, and how near their runs end to what it reports."""

from pathlib import Path

import pytest
from conftest import WriteRun

from gan_lib import choices_study
from gan_lib.choices_study import CHOICES, Choice, answers, at_length, choices_table, configs, fit, ranked, spread
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


def test_a_fit_takes_the_last_ten_epochs_and_both_bands(write_run: WriteRun) -> None:
    losses = {"d": [9.0] * 10 + [0.65] * 10, "g": [9.0] * 10 + [1.4, 1.2] * 5}
    found = fit(read_record(write_run("gan-cpu", **losses, quality={20: 30.0})))
    assert (found.discriminator_loss, found.generator_loss) == (pytest.approx(0.65), pytest.approx(1.3))
    assert found.outside == pytest.approx(0.2)  # G's 1.3 above 1.1; D's 0.65 is 0.05 above 0.6
    assert found.outside_if_sum == pytest.approx(0.7)  # 2 x 0.65 above 0.6
    assert found.balance_epoch is None
    assert found.scatter == pytest.approx(0.1)
    assert found.frechet == 30.0


def test_a_sum_of_both_halves_is_twice_their_mean(write_run: WriteRun) -> None:
    found = fit(read_record(write_run("gan-cpu", d=[0.28] * 12, g=[1.05] * 12)))
    assert found.outside == pytest.approx(0.22)
    assert found.outside_if_sum == 0


@pytest.fixture
def records(write_run: WriteRun, tmp_path: Path) -> list[Record]:
    """Two combinations with both models, one with GAN alone, one run that failed."""
    for model, level in (("gan", 1.2), ("cgan", 1.5)):
        write_run(f"{model}-cpu", g=[level] * 12, epochs=12)
        write_run(f"{model}-cpu", g=[1.15] * 12, epochs=12, adam_beta1=0.5)
    write_run("gan-cpu", epochs=12, initialisation="glorot")
    write_run("gan-cpu", epochs=12, initialisation="dcgan", status="failed")
    write_run("wgan-cpu", epochs=12)
    return find_records(tmp_path / "runs")[0]


def test_combinations_are_ranked_by_the_model_that_fits_worse(records: list[Record]) -> None:
    (best, least), (second, more) = ranked(records)
    assert (best, second) == (Choice(0.5), Choice())
    assert (least, more) == (pytest.approx(0.05), pytest.approx(0.4))
    said = answers(records)
    assert said[0] == (
        "Nearest to the paper's bands in both models: betas (0.5, 0.999), pytorch, fresh noise, dropout active, "
        "outside by 0.0500 at most."
    )
    assert "Next comes betas (0.9, 0.999)" in said[1]
    assert answers([]) == ["Nothing can be said yet: no combination was run with both models."]


def test_the_table_has_a_line_for_each_combination_that_was_run(records: list[Record]) -> None:
    lines = choices_table(records).frame.to_dict("records")
    assert [line["Adam's betas"] for line in lines] == ["(0.9, 0.999)", "(0.9, 0.999)", "(0.5, 0.999)"]
    assert [line["initialisation"] for line in lines] == ["pytorch", "glorot", "pytorch"]
    assert lines[0]["CGAN, D / G"] == "0.550 / 1.50"
    assert lines[1]["GAN, balance at epoch"] == 10
    assert lines[1]["CGAN, D / G"] is None
    assert "GAN 12 epochs and CGAN 12 epochs" in choices_table(records).caption


def test_the_longest_run_of_a_combination_stands_for_it_and_lengths_can_be_told_apart(
    write_run: WriteRun, tmp_path: Path
) -> None:
    write_run("gan-cpu", g=[3.0] * 12, epochs=12)
    write_run("gan-cpu", d=[0.55] * 24, epochs=24)
    records = find_records(tmp_path / "runs")[0]
    assert choices_study.by_choice(records)[Choice()]["gan"].config.epochs == 24
    (short,) = at_length(records, {"gan": 12, "cgan": 12})
    assert fit(short).outside == pytest.approx(1.9)


def test_the_spread_of_seeds_is_told_where_there_are_several(write_run: WriteRun, tmp_path: Path) -> None:
    for seed, level in enumerate((1.2, 1.4)):
        write_run("cgan-cpu", g=[level] * 12, seed=seed)
    write_run("gan-cpu")
    (said,) = spread(find_records(tmp_path / "runs")[0])
    assert said.startswith("CGAN, betas (0.9, 0.999), pytorch, fresh noise, dropout active: 2 seeds are outside by 0.1")
    assert "to 0.300" in said
