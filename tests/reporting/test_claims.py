"""What the runs say of the paper's claims, by runs made so that each answer comes up."""

import json
from pathlib import Path
from typing import Any

import pytest
from conftest import WriteRun

from gan_lib.batch import notebooks
from gan_lib.reporting.claims import (
    FAILS,
    HOLDS,
    UNKNOWN,
    Claim,
    answer,
    best_images,
    better_model,
    claims,
    claims_table,
    verdict,
)
from gan_lib.reporting.comparison import Comparison, at_paper_length, compare

GPU_GAN, GPU_CGAN, SMALLER, QUARTER, SCATTER, BY_200, NOISE, RECOGNISABLE, BEST = range(9)
NEVER = {"d": [0.1] * 60, "g": [5.0] * 60}


def compared(tmp_path: Path) -> Comparison:
    return compare(tmp_path / "runs", tmp_path / "reference")


def judged(tmp_path: Path) -> list[Claim]:
    return of_paper(compared(tmp_path))


def of_paper(rows: Comparison) -> list[Claim]:
    return claims(rows, rows)


def balanced_at(epoch: int, epochs: int = 60) -> dict[str, list[float]]:
    """Losses far outside the bands, then inside them, so that the mean over 10 epochs is inside from `epoch` on."""
    before = epoch - 10
    return {"d": [0.55] * epochs, "g": [9.0] * before + [1.05] * (epochs - before)}


@pytest.fixture
def write_three(write_run: WriteRun):  # type: ignore[no-untyped-def]
    """Three seeds, whose seconds lie a hundredth apart."""

    def write(configuration: str, seconds: float = 0.5, **changes: Any) -> None:
        for seed in range(3):
            write_run(configuration, seed=seed, seconds=seconds * (1 + 0.01 * (seed - 1)), **changes)

    return write


@pytest.mark.parametrize(
    ("verdicts", "given"),
    [([True, True], HOLDS), ([True, None], UNKNOWN), ([None, None], UNKNOWN), ([True, False], FAILS), ([None, False], FAILS)],
)
def test_all_findings_must_speak_for_a_claim_and_one_against_it_is_enough(verdicts: list[bool | None], given: str) -> None:
    assert answer(verdicts) == given


def test_without_runs_no_claim_can_be_judged(tmp_path: Path) -> None:
    assert [claim.answer for claim in judged(tmp_path)] == [UNKNOWN] * 9
    assert verdict(compared(tmp_path)).startswith("Nothing can be said yet")
    table = claims_table(judged(tmp_path))
    assert table.frame["answer"].tolist() == [UNKNOWN] * 9
    assert "3 runs or more" in table.caption


def test_of_one_or_two_runs_no_claim_is_judged_and_of_three_each_is(write_run: WriteRun, tmp_path: Path) -> None:
    for seed, noisy in enumerate((1.0, 1.1, 0.9)):
        for name, loss, level, seconds in (("gan", [3.0, 2.0], 0.2, 50.0), ("cgan", [9.0, 1.0], 0.1, 990.0)):
            for machine, faster in (("cpu", 1), ("gpu", 1000)):
                write_run(
                    f"{name}-{machine}",
                    seed=seed,
                    seconds=noisy * seconds / faster,
                    d=[0.5] * 40,
                    g=[noisy * value for value in loss * 20],
                    quality={40: 300 * level * noisy},
                    facts={
                        "quality": {
                            **{"frechet_distance": 300 * level * noisy, "recognisable": 0.9 * noisy - 0.1},
                            **{"noise_level": level * noisy, "stray_pixels": level * noisy},
                        }
                    },
                )
        answers = [claim.answer for claim in judged(tmp_path)]
        if seed < 2:
            assert answers == [UNKNOWN] * 9
            assert all("3 of each are the least" in claim.because for claim in judged(tmp_path))
    assert answers[QUARTER] == UNKNOWN  # none was ever in balance
    assert answers[GPU_GAN] == answers[SMALLER] == answers[SCATTER] == answers[NOISE] == answers[RECOGNISABLE] == HOLDS
    assert answers[BEST] == HOLDS


@pytest.mark.parametrize(
    ("model", "number", "cpu", "gpu", "given", "ratio"),
    [
        ("gan", GPU_GAN, 40.0, 0.1, HOLDS, "400 times"),
        ("gan", GPU_GAN, 37.0, 0.1, UNKNOWN, "370 times"),
        ("gan", GPU_GAN, 0.5, 0.1, FAILS, "5.00 times"),
        ("cgan", GPU_CGAN, 500.0, 0.45, HOLDS, "1,110 times"),
        ("cgan", GPU_CGAN, 400.0, 0.45, FAILS, "889 times"),
    ],
)
def test_the_gpus_speed_up_is_held_against_the_papers(  # type: ignore[no-untyped-def]
    write_three, tmp_path: Path, model: str, number: int, cpu: float, gpu: float, given: str, ratio: str
) -> None:
    write_three(f"{model}-cpu", cpu)
    write_three(f"{model}-gpu", gpu, label="NVIDIA T4")
    claim = judged(tmp_path)[number]
    assert claim.answer == given
    assert claim.because.startswith(f"{ratio} faster on NVIDIA T4 than on Test CPU, 2 cores")


@pytest.mark.parametrize(("cgan", "given"), [(2.0, HOLDS), (0.25, FAILS), (0.5, UNKNOWN)])
def test_fewer_parameters_yet_slower(write_three, tmp_path: Path, cgan: float, given: str) -> None:  # type: ignore[no-untyped-def]
    write_three("gan-cpu", 0.5)
    write_three("cgan-cpu", cgan)
    claim = judged(tmp_path)[SMALLER]
    assert claim.answer == given
    assert "2,382,466 against 2,950,161 parameters" in claim.because


@pytest.mark.parametrize(
    ("gan", "cgan", "given"),
    [
        (balanced_at(48), balanced_at(12), HOLDS),  # exactly a quarter
        (balanced_at(48), balanced_at(13), FAILS),
        (balanced_at(48), NEVER, FAILS),
        (NEVER, balanced_at(12), HOLDS),  # GAN was not there after 1,200 epochs, and 12 is less than 300
        (NEVER, NEVER, UNKNOWN),
    ],
)
def test_a_quarter_of_the_epochs(  # type: ignore[no-untyped-def]
    write_three, tmp_path: Path, gan: dict[str, list[float]], cgan: dict[str, list[float]], given: str
) -> None:
    write_three("gan-cpu", **gan)
    write_three("cgan-cpu", **cgan)
    assert judged(tmp_path)[QUARTER].answer == given


@pytest.mark.parametrize(("gan", "cgan", "given"), [(0.01, 0.5, HOLDS), (0.5, 0.01, FAILS)])
def test_the_losses_scatter_is_compared(write_run: WriteRun, tmp_path: Path, gan: float, cgan: float, given: str) -> None:
    for seed in range(3):
        for name, size in (("gan-cpu", gan), ("cgan-cpu", cgan)):
            losses = [2 + size, 2 - size] * 20  # it strays `size` from its mean
            write_run(name, d=[0.5] * 40, g=[loss * (1 + seed / 1e4) for loss in losses], seed=seed)
    claim = judged(tmp_path)[SCATTER]
    assert claim.answer == given
    assert "a difference of " in claim.because


@pytest.mark.parametrize(("losses", "given"), [(balanced_at(200, 210), HOLDS), (balanced_at(201, 210), FAILS), (NEVER, FAILS)])
@pytest.mark.parametrize("machine", ["cpu", "gpu"])  # the losses do not depend on it
def test_cgan_in_the_band_by_epoch_200(  # type: ignore[no-untyped-def]
    write_three, tmp_path: Path, losses: dict[str, list[float]], given: str, machine: str
) -> None:
    write_three(f"cgan-{machine}", **losses)
    assert judged(tmp_path)[BY_200].answer == given


def test_a_claim_about_balance_says_how_near_and_in_how_many_runs(write_run: WriteRun, tmp_path: Path) -> None:
    write_run("cgan-cpu", d=[0.55] * 12, g=[1.5] * 12)  # 0.4 above the band, always
    assert "CGAN never in 300 epochs; nearest at epoch 10, 0.400 outside" in judged(tmp_path)[BY_200].because
    for seed, losses in enumerate((balanced_at(30), NEVER, NEVER)):
        write_run("cgan-cpu", **losses, seed=seed)
    assert judged(tmp_path)[BY_200].because == "CGAN not in 300 epochs (1 of 3 runs)"
    write_run("cgan-cpu", **balanced_at(50), seed=3)
    write_run("cgan-cpu", **balanced_at(40), seed=4)
    assert judged(tmp_path)[BY_200] == Claim(
        "CGAN is inside the balance band by epoch 200", HOLDS, "CGAN reached it at epoch 50 (3 of 5 runs)"
    )


def test_what_short_runs_cannot_tell_is_judged_on_runs_of_the_papers_length(write_three, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    for name, seconds in (("gan-cpu", 0.5), ("cgan-cpu", 2.0), ("gan-gpu", 0.1), ("cgan-gpu", 0.1)):
        write_three(name, seconds, preset="quick")
    listed = claims(compared(tmp_path), at_paper_length(tmp_path / "runs", tmp_path / "reference"))
    assert listed[SMALLER].answer == HOLDS
    assert {listed[number].answer for number in (QUARTER, SCATTER, BY_200, NOISE, RECOGNISABLE, BEST)} == {UNKNOWN}
    assert listed[BEST].because == "no run of GAN, CPU or CGAN, CPU or GAN, GPU or CGAN, GPU"


@pytest.mark.parametrize(
    ("cgan", "gpu", "given"), [(10.0, 1.0, HOLDS), (90.0, 1.0, FAILS), (50.0, 1.0, UNKNOWN), (10.0, 9.0, FAILS)]
)
def test_the_best_configuration_has_the_better_images_and_is_the_quicker_of_those(
    write_run: WriteRun, tmp_path: Path, cgan: float, gpu: float, given: str
) -> None:
    for seed, noisy in enumerate((-1.0, 0.0, 1.5)):
        write_run("gan-cpu", seconds=4.0, quality={12: 50.0 + noisy}, seed=seed)
        write_run("cgan-cpu", seconds=3.0, quality={12: cgan + 2 * noisy}, seed=seed)
        for name in ("gan-gpu", "cgan-gpu"):
            write_run(name, seconds=gpu, seed=seed)
    assert judged(tmp_path)[BEST].answer == given


def test_own_images_and_other_losses_decide_no_claim(write_three, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    for name, seconds in (("gan-cpu", 0.5), ("cgan-cpu", 2.0)):
        write_three(name, seconds, data="folder:/photos", channels=3)
    assert {claim.answer for claim in judged(tmp_path)} == {UNKNOWN}
    for name, seconds in (("gan-cpu", 0.5), ("cgan-cpu", 2.0)):
        write_three(name, seconds, below="digits/runs")
    digits = compare(tmp_path / "digits" / "runs", tmp_path)
    before = claims(digits, digits)
    assert before[SMALLER].answer == HOLDS
    write_three("cwgan-cpu", 0.25, d=[-5.0] * 12, g=[3.0] * 12, below="digits/runs")
    digits = compare(tmp_path / "digits" / "runs", tmp_path)
    assert claims(digits, digits) == before


@pytest.fixture
def measured(write_run: WriteRun, tmp_path: Path):  # type: ignore[no-untyped-def]
    """measured(name, gan, cgan): runs with these values of one measure, one for each seed, compared."""

    def make(name: str, gan: list[float], cgan: list[float]) -> Comparison:
        for configuration, values in (("gan-cpu", gan), ("cgan-cpu", cgan)):
            for seed, value in enumerate(values):
                quality = {"frechet_distance": 50.0, "recognisable": 0.9, "noise_level": 0.02, "stray_pixels": 1.0, name: value}
                write_run(configuration, facts={"quality": quality, "quality_floor": {"frechet_distance": 0.2}}, seed=seed)
        return compared(tmp_path)

    return make


@pytest.mark.parametrize(
    ("gan", "cgan", "given", "words"),
    [
        ([0.05, 0.06, 0.05], [0.01, 0.02, 0.01], UNKNOWN, "cannot be told with 3 runs"),  # stray pixels are equal
        ([0.01, 0.02, 0.01], [0.05, 0.06, 0.05], FAILS, "a difference of -4.00 (95% interval "),
        ([0.05, 0.06], [0.01, 0.02], UNKNOWN, "cannot be told with 2 runs: 3 of each are the least"),
        ([0.05] * 3, [0.01] * 3, UNKNOWN, "cannot be told with 3 runs"),  # without a spread nothing is told
    ],
)
def test_is_gan_noisier(measured, gan: list[float], cgan: list[float], given: str, words: str) -> None:  # type: ignore[no-untyped-def]
    claim = of_paper(measured("noise_level", gan, cgan))[NOISE]
    assert claim.answer == given
    assert words in claim.because


@pytest.mark.parametrize(
    ("gan", "cgan", "given"),
    [
        ([0.6, 0.65, 0.7], [0.9, 0.92, 0.9], HOLDS),
        ([0.6, 0.65, 0.7], [0.9, 0.9, 0.9], UNKNOWN),
        ([0.4, 0.7, 0.8], [0.9, 0.91, 0.9], UNKNOWN),
        ([0.1, 0.2, 0.3], [0.9, 0.91, 0.9], UNKNOWN),  # the classifier's failing as well as the images'
        ([0.9], [0.9], UNKNOWN),
    ],
)
def test_can_most_be_recognised(measured, gan: list[float], cgan: list[float], given: str) -> None:  # type: ignore[no-untyped-def]
    claim = of_paper(measured("recognisable", gan, cgan))[RECOGNISABLE]
    assert claim.answer == given
    assert ("real digits that are blurred" in claim.because) is (given == UNKNOWN and len(gan) == 3)
    assert ("cannot be told with 1 run" in claim.because) is (len(gan) == 1)


def test_real_digits_that_are_blurred_are_known_no_better_than_half_of_the_time() -> None:
    """What the answer on recognisable digits says of the classifier, held against the record of known damage."""
    blurred = json.loads((notebooks.ROOT / "results" / "quality" / "sanity.json").read_text())["damage"]["blur"]
    assert min(blurred["recognisable"]) < 0.5


def test_how_sure_it_is_that_the_best_images_are_the_best(measured) -> None:  # type: ignore[no-untyped-def]
    words = str(best_images(measured("frechet_distance", [60.0, 62.0], [40.0, 38.0])))
    assert words.startswith("CGAN, CPU has the best images, at 39.0 (2 runs); GAN, CPU is next, at 61.0 (2 runs), and whether")
    rows = measured("frechet_distance", [60.0, 62.0, 61.0], [40.0, 38.0, 39.0])
    assert "GAN, CPU is next, at 61.0 (3 runs), worse by 22.0 (95% interval " in str(best_images(rows))
    assert better_model(rows)[0] is True


def test_without_measurements_nothing_is_said_of_images(write_run: WriteRun, tmp_path: Path) -> None:
    write_run("gan-cpu", quality={12: 40.0})
    rows = compared(tmp_path)
    assert best_images(rows) is None  # of one model
    assert better_model(rows) == (None, "which images are better cannot be told (CGAN, CPU: not run)")
    assert of_paper(rows)[NOISE].because == "CGAN, CPU: not run"


def test_the_verdict_is_one_sentence_with_the_numbers_that_it_rests_on(write_run: WriteRun, tmp_path: Path) -> None:
    write_run("gan-cpu", seconds=0.5, d=[0.5] * 36)  # 18 s, at 0.408 USD an hour: 0.00204 USD
    assert verdict(compared(tmp_path)) == (
        "GAN, CPU takes 0.500 s per epoch and would cost 0.00204 USD for 1,200 epochs on ml.c5.2xlarge; "
        "the images have no Fréchet distance (not measured)."
    )
    write_run("cgan-cpu", seconds=1.0, d=[0.5] * 12, below="reference", quality={12: 30.0})  # 12 s: 0.00136 USD
    words = verdict(compared(tmp_path))
    assert words.startswith("GAN, CPU is the fastest (0.500 s per epoch), CGAN, CPU (reference run) the cheapest (0.00136 USD ")
    assert words.endswith(
        "CGAN, CPU (reference run) has the best images: a Fréchet distance of 30.0 (1 run) where real images have 0.200."
    )
