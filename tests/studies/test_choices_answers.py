"""Which combination can be the paper's, and what each choice does by itself."""

from pathlib import Path

import pytest
from conftest import WriteRun

from gan_lib.runs.record import Record, find_records
from gan_lib.studies.unstated_choices import Choice, answers, choices_table, effects, ranked, spread


@pytest.fixture
def records(write_run: WriteRun, tmp_path: Path) -> list[Record]:
    """Two combinations of betas 0.9 that end outside, one of betas 0.5 that is in balance at once, some with one model only."""
    for model, level in (("gan", 1.2), ("cgan", 1.5)):
        write_run(f"{model}-cpu", g=[level] * 12, epochs=12)
        write_run(f"{model}-cpu", g=[level + 0.1] * 12, epochs=12, generator_noise="reused")
        write_run(f"{model}-cpu", g=[1.05] * 12, epochs=12, adam_beta1=0.5)
    write_run("gan-cpu", epochs=12, initialisation="dcgan", status="failed", reason="the loss is not finite any more")
    write_run("wgan-cpu", epochs=12)
    return find_records(tmp_path / "runs")[0]


def test_combinations_are_ranked_by_the_model_that_fits_worse(records: list[Record]) -> None:
    order = ranked(records)
    assert [choice for choice, _ in order] == [Choice(0.5), Choice(), Choice(generator_noise="reused")]
    assert [distance for _, distance in order] == [0, pytest.approx(0.4), pytest.approx(0.5)]
    assert [distance for _, distance in ranked(records, ["gan"])] == [0, pytest.approx(0.1), pytest.approx(0.2)]


def test_the_answer_names_the_nearest_in_each_model_and_in_both_and_when_it_was_there(records: list[Record]) -> None:
    reused = "betas (0.9, 0.999), pytorch, reused images, dropout active"
    early = "betas (0.5, 0.999), pytorch, fresh noise, dropout active"
    assert answers(records) == [
        f"Of 3 combinations GAN ends nearest to the paper's bands with {early}: outside by 0 (n = 1), first in balance at "
        f"epoch 10 (the paper: 1,200). It ends farthest with {reused}, by 0.200.",
        f"Of 3 combinations CGAN ends nearest to the paper's bands with {early}: outside by 0 (n = 1), first in balance at "
        f"epoch 10 (the paper: 300). It ends farthest with {reused}, by 0.500.",
        f"In both models at once {early} ends nearest, outside by 0; next comes betas (0.9, 0.999), pytorch, fresh noise, "
        "dropout active, with 0.400.",
        "Were the paper's D loss the sum of its two halves and not their mean, it would be betas (0.9, 0.999), pytorch, fresh "
        "noise, dropout active, with 0.500.",
    ]


def test_one_model_alone_has_its_answer(write_run: WriteRun, tmp_path: Path) -> None:
    write_run("gan-cpu", g=[2.0] * 12)
    write_run("gan-cpu", g=[3.0] * 12, adam_beta1=0.5)
    write_run("cgan-cpu")
    (said,) = answers(find_records(tmp_path / "runs")[0])
    assert said.startswith("Of 2 combinations GAN ends nearest")
    assert "outside by 0.900 (n = 1), never in balance (the paper: 1,200)" in said


def test_nothing_is_ranked_that_has_nothing_beside_it(records: list[Record]) -> None:
    nothing = ["Nothing can be said yet: no model was run with two combinations of this length."]
    assert answers([]) == nothing
    assert answers([record for record in records if record.config.adam_beta1 == 0.5]) == nothing


def test_the_table_has_a_line_for_each_combination_that_a_model_was_run_with(records: list[Record]) -> None:
    lines = choices_table(records, "gan").frame.to_dict("records")
    assert [line["Adam's betas"] for line in lines] == ["(0.9, 0.999)", "(0.9, 0.999)", "(0.9, 0.999)", "(0.5, 0.999)"]
    assert [line["G's step judges"] for line in lines] == ["fresh", "reused", "fresh", "fresh"]
    assert [line["first in balance"] for line in lines] == ["never", "never", None, 10]
    assert (lines[0]["last D loss"], lines[0]["last G loss"]) == (pytest.approx(0.55), pytest.approx(1.2))
    assert lines[2]["last D loss"] == "failed: the loss is not finite any more"
    assert len(choices_table(records, "cgan").frame) == 3
    assert "GAN, 12 epochs" in choices_table(records, "gan").caption
    assert choices_table([], "gan").frame.iloc[0, 0] == "none was run"


def test_a_choice_is_judged_by_pairs_that_differ_in_it_alone(write_run: WriteRun, tmp_path: Path) -> None:
    for initialisation, before, after in (("pytorch", 5.0, 1.5), ("glorot", 4.0, 1.5)):
        for beta, level, distance in ((0.9, before, 80.0), (0.5, after, 20.0)):
            write_run("gan-cpu", g=[level] * 12, adam_beta1=beta, initialisation=initialisation, quality={12: distance})
    write_run("gan-cpu", g=[7.0] * 12, adam_beta1=0.5, generator_noise="reused", generator_dropout="off")  # a pair of no other
    lines = {
        (line["choice"], line["to"]): line for line in effects(find_records(tmp_path / "runs")[0]).frame.to_dict("records")
    }
    betas = lines["Adam's betas", "(0.5, 0.999)"]
    assert (betas["GAN, G's loss"], betas["GAN, Fréchet distance"]) == ("-3.00 (-3.50 to -2.50)", "-60.0 (-60.0 to -60.0)")
    assert (betas["GAN, pairs"], betas["CGAN, pairs"], betas["CGAN, G's loss"]) == (2, 0, None)
    assert lines["initialisation", "glorot"]["GAN, G's loss"] == "-0.500 (-1.00 to 0)"
    assert lines["initialisation", "dcgan"]["GAN, pairs"] == lines["G's step judges", "reused"]["GAN, pairs"] == 0


def test_the_spread_of_seeds_is_told_where_there_are_several(write_run: WriteRun, tmp_path: Path) -> None:
    for seed, level in enumerate((1.2, 1.4)):
        write_run("cgan-cpu", g=[level] * 12, seed=seed)
    write_run("gan-cpu")
    (said,) = spread(find_records(tmp_path / "runs")[0])
    assert said.startswith("CGAN, betas (0.9, 0.999), pytorch, fresh noise, dropout active: 2 seeds are outside by 0.1")
    assert "to 0.300" in said
    assert spread([]) == ["How far seeds of one combination go apart is not known: none was run with two."]
