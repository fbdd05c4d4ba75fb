"""The published numbers, and that they agree with each other."""

import pytest

from gan_lib.presets import CONFIGURATIONS
from gan_lib.reporting import paper


def test_the_papers_numbers() -> None:
    assert {machine: tuple(line) for machine, line in paper.INSTANCES.items()} == {
        "cpu": ("ml.c5.2xlarge", 8, "none used", 16, 5, 0.408),
        "gpu": ("ml.g4dn.xlarge", 4, "NVIDIA T4", 16, 5, 0.7364),
    }
    assert {name: tuple(line) for name, line in paper.RESULTS.items()} == {
        "gan-cpu": (37, 1200, 44_400),
        "cgan-cpu": (437, 300, 131_100),
        "gan-gpu": (0.1, 1200, 120),
        "cgan-gpu": (0.45, 300, 135),
    }
    assert {name: tuple(size) for name, size in paper.MODELS.items()} == {
        "gan": (2_950_161, 11.269),
        "cgan": (2_382_466, 9.201),
    }
    assert (*paper.DISCRIMINATOR_BAND, *paper.GENERATOR_BAND) == (0.5, 0.6, 1.0, 1.1)
    assert "10.32782/IT/2022-2-7" in paper.CITATION


def test_table_4_is_table_2_times_table_3_in_every_configuration() -> None:
    assert set(paper.RESULTS) == set(CONFIGURATIONS)
    for line in paper.RESULTS.values():
        assert line.training_seconds == pytest.approx(line.seconds_per_epoch * line.epochs_to_balance, rel=1e-12)


@pytest.mark.parametrize(("model", "factor"), [("gan", 370), ("cgan", 971)])
def test_the_published_speed_ups_follow_from_table_2(model: str, factor: int) -> None:
    ratio = paper.RESULTS[f"{model}-cpu"].seconds_per_epoch / paper.RESULTS[f"{model}-gpu"].seconds_per_epoch
    assert round(ratio) == factor == paper.GPU_SPEEDUP[model]


def test_a_price_is_by_the_hour() -> None:
    assert [paper.cost_usd(1800, machine) for machine in ("cpu", "gpu")] == [0.204, 0.3682]
