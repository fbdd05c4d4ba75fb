"""The estimated distance as a figure, and words in place of a band that does not exist."""

from pathlib import Path

import pytest
from conftest import WriteRun

from gan_lib.reporting.comparison import compare
from gan_lib.reporting.figures import critic_curves, estimates, run_scores


def history(epochs: int) -> dict[str, list[float]]:
    real = [5.0 - epoch / epochs for epoch in range(epochs)]
    return {
        "discriminator_loss": [-1.5] * epochs,
        "generator_loss": [-2.0] * epochs,
        "real_probability": real,
        "generated_probability": [-1.0] * epochs,
    }


def test_the_estimate_is_the_difference_of_the_mean_scores() -> None:
    assert estimates({"real_probability": [3.0, 0.5], "generated_probability": [-1.0, 1.0]}) == [4.0, -0.5]
    assert estimates({"real_probability": [], "generated_probability": []}) == []


@pytest.mark.parametrize("epochs", [1, 5, 40])
def test_a_runs_scores_are_drawn_from_its_first_epoch_on_without_a_band(epochs: int) -> None:
    chart = run_scores(history(epochs), "cgan")
    assert chart.png().startswith(b"\x89PNG")
    assert f"over {epochs} epochs from 6.00" in chart.alt
    words = [text.get_text() for panel in chart.axes for text in panel.texts] + [panel.get_ylabel() for panel in chart.axes]
    assert not any("balance" in word or "probability" in word or "belief" in word for word in words)


def test_the_comparison_draws_those_that_were_run_and_nothing_without(write_run: WriteRun, tmp_path: Path) -> None:
    write_run("gan-cpu")
    assert critic_curves(compare(tmp_path / "runs", tmp_path / "none")) is None
    write_run("wgan-cpu")
    write_run("wgan-cpu", seed=1)
    write_run("cwgan-cpu", status="failed", reason="no memory")
    chart = critic_curves(compare(tmp_path / "runs", tmp_path / "none"))
    assert chart is not None
    assert chart.png().startswith(b"\x89PNG")
    assert "WGAN, CPU · your run on Test CPU, 2 cores: over 12 epochs from 0.20 to 0.20" in chart.alt
    assert "CWGAN" not in chart.alt
