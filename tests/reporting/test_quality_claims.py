"""The paper's claims about images, by runs made so that each answer comes up."""

import json
from pathlib import Path

import pytest
from conftest import WriteRun

from gan_lib.batch import notebooks
from gan_lib.reporting.claims import best_images, better_model, noise, recognisable
from gan_lib.reporting.comparison import Comparison, compare
from gan_lib.reporting.stats import FAILS, HOLDS, UNKNOWN


@pytest.fixture
def measured(write_run: WriteRun, tmp_path: Path):  # type: ignore[no-untyped-def]
    """measured(name, gan, cgan): runs with these values of one measure, one for each seed, compared."""

    def make(name: str, gan: list[float], cgan: list[float]) -> Comparison:
        for configuration, values in (("gan-cpu", gan), ("cgan-cpu", cgan)):
            for seed, value in enumerate(values):
                quality = {"frechet_distance": 50.0, "recognisable": 0.9, "noise_level": 0.02, "stray_pixels": 1.0, name: value}
                write_run(configuration, facts={"quality": quality, "quality_floor": {"frechet_distance": 0.2}}, seed=seed)
        return compare(tmp_path / "runs", tmp_path / "reference")

    return make


@pytest.mark.parametrize(
    ("gan", "cgan", "answer", "words"),
    [
        ([0.05, 0.06, 0.05], [0.01, 0.02, 0.01], UNKNOWN, "cannot be told with 3 runs"),  # stray pixels are equal
        ([0.01, 0.02, 0.01], [0.05, 0.06, 0.05], FAILS, "a difference of -4.00 (95% interval "),
        ([0.05, 0.06], [0.01, 0.02], UNKNOWN, "cannot be told with 2 runs: 3 of each are the least"),
    ],
)
def test_is_gan_noisier(measured, gan: list[float], cgan: list[float], answer: str, words: str) -> None:  # type: ignore[no-untyped-def]
    claim = noise(measured("noise_level", gan, cgan))
    assert claim.answer == answer
    assert words in claim.because
    assert "% of black to white: " in claim.because


def test_gan_is_noisier_where_both_measures_say_so(write_run: WriteRun, tmp_path: Path) -> None:
    for seed in range(3):
        for name, level in (("gan-cpu", 0.05), ("cgan-cpu", 0.01)):
            quality = {"noise_level": level + 0.001 * seed, "stray_pixels": 100 * level}
            write_run(name, facts={"quality": quality}, seed=seed)
    claim = noise(compare(tmp_path / "runs", tmp_path / "reference"))
    assert claim.answer == HOLDS
    assert claim.because.startswith(
        "noise level, % of black to white: 5.10 with GAN, 1.10 with CGAN, a difference of 4.00 (95%"
    )


@pytest.mark.parametrize(
    ("gan", "cgan", "answer"),
    [
        ([0.6, 0.65, 0.7], [0.9, 0.9, 0.9], HOLDS),
        ([0.4, 0.7, 0.8], [0.9, 0.9, 0.9], UNKNOWN),
        ([0.1, 0.2, 0.3], [0.9, 0.9, 0.9], UNKNOWN),  # the classifier's failing as well as the images'
        ([0.9], [0.9], UNKNOWN),
    ],
)
def test_can_most_be_recognised(measured, gan: list[float], cgan: list[float], answer: str) -> None:  # type: ignore[no-untyped-def]
    claim = recognisable(measured("recognisable", gan, cgan))
    assert claim.answer == answer
    assert claim.because.startswith("% of images that a classifier gives 90% or more for one digit: GAN: ")
    assert ("it gives no more to real digits that are blurred" in claim.because) is (answer == UNKNOWN and len(gan) == 3)
    assert ("cannot be told with 1 run" in claim.because) is (len(gan) == 1)


def test_real_digits_that_are_blurred_are_known_no_better_than_half_of_the_time() -> None:
    """What the answer on recognisable digits says of the classifier, held against the record of known damage."""
    blurred = json.loads((notebooks.ROOT / "results" / "quality" / "sanity.json").read_text())["damage"]["blur"]
    assert min(blurred["recognisable"]) < 0.5


def test_the_best_images_are_named_with_their_floor_and_how_sure_that_is(measured) -> None:  # type: ignore[no-untyped-def]
    said = best_images(measured("frechet_distance", [60.0, 62.0], [40.0, 38.0]))
    assert said == (
        "Best images: CGAN on Test CPU, 2 cores, at a Fréchet distance of 39.0 where real digits are at 0.200 (300 epochs, n = "
        "2); GAN, CPU is at 61.0 (1,200 epochs, n = 2), and whether that is a difference cannot be told with 2 runs: 3 of each "
        "are the least."
    )
    rows = measured("frechet_distance", [60.0, 62.0, 61.0], [40.0, 38.0, 39.0])
    assert "GAN, CPU is at 61.0 (1,200 epochs, n = 3), worse by 22.0 (95% interval " in str(best_images(rows))
    assert better_model(rows)[0] is True


def test_without_measurements_nothing_is_said_of_images(write_run: WriteRun, tmp_path: Path) -> None:
    write_run("gan-cpu")
    rows = compare(tmp_path / "runs", tmp_path / "reference")
    assert best_images(rows) is None
    assert better_model(rows) == (None, "which images are better cannot be told (GAN, CPU: not measured; CGAN, CPU: not run)")
    assert noise(rows).because == "GAN, CPU: not measured; CGAN, CPU: not run"
    write_run("gan-cpu", quality={12: 40.0})
    assert str(best_images(compare(tmp_path / "runs", tmp_path / "reference"))).endswith("; no other model was measured.")
