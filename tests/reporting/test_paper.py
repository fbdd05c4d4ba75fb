"""The published numbers, and that they agree with each other."""

import pytest

from gan_lib.presets import CONFIGURATIONS
from gan_lib.reporting import paper


def test_table_1_names_two_instances_and_their_prices() -> None:
    cpu, gpu = paper.INSTANCES["cpu"], paper.INSTANCES["gpu"]
    assert tuple(cpu) == ("ml.c5.2xlarge", 8, "none used", 16, 5, 0.408)
    assert tuple(gpu) == ("ml.g4dn.xlarge", 4, "NVIDIA T4", 16, 5, 0.7364)


def test_tables_2_to_4_have_a_line_for_each_configuration() -> None:
    assert {name: tuple(line) for name, line in paper.RESULTS.items()} == {
        "gan-cpu": (37, 1200, 44_400),
        "cgan-cpu": (437, 300, 131_100),
        "gan-gpu": (0.1, 1200, 120),
        "cgan-gpu": (0.45, 300, 135),
    }
    assert set(paper.RESULTS) == set(CONFIGURATIONS)


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_table_4_is_table_2_times_table_3(name: str) -> None:
    line = paper.RESULTS[name]
    assert line.training_seconds == pytest.approx(line.seconds_per_epoch * line.epochs_to_balance, rel=1e-12)


@pytest.mark.parametrize(("model", "factor"), [("gan", 370), ("cgan", 971)])
def test_the_published_speed_ups_follow_from_table_2(model: str, factor: int) -> None:
    ratio = paper.RESULTS[f"{model}-cpu"].seconds_per_epoch / paper.RESULTS[f"{model}-gpu"].seconds_per_epoch
    assert round(ratio) == factor == paper.GPU_SPEEDUP[model]


def test_the_convolutional_model_needs_a_quarter_of_the_epochs() -> None:
    assert paper.RESULTS["gan-cpu"].epochs_to_balance == 4 * paper.RESULTS["cgan-cpu"].epochs_to_balance


def test_the_models_sizes_and_the_balance_bands_are_the_papers() -> None:
    assert tuple(paper.MODELS["gan"]) == (2_950_161, 11.269)
    assert tuple(paper.MODELS["cgan"]) == (2_382_466, 9.201)
    assert tuple(paper.DISCRIMINATOR_BAND) == (0.5, 0.6)
    assert tuple(paper.GENERATOR_BAND) == (1.0, 1.1)


def test_the_source_is_cited_with_its_doi() -> None:
    assert "10.32782/IT/2022-2-7" in paper.CITATION
