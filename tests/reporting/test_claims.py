"""What the runs say of the optimal configuration and of the paper's claims, by runs made so that each answer comes up."""

import json
from pathlib import Path
from typing import Any

import pytest
from conftest import WriteRun

from gan_lib.batch import notebooks
from gan_lib.reporting.claims import FAILS, HOLDS, UNKNOWN, Claim, answer, claims, claims_table, run_verdict, verdict
from gan_lib.reporting.comparison import Comparison, at_paper_length, compare
from gan_lib.runs.record import read_record

GPU_GAN, GPU_CGAN, SMALLER, QUARTER, SCATTER, BY_200, NOISE, RECOGNISABLE, BEST = range(9)
NEVER = {"d": [0.1] * 60, "g": [5.0] * 60}
PRICE = "at the price of ml.c5.2xlarge"


def compared(tmp_path: Path) -> Comparison:
    return compare(tmp_path / "runs", tmp_path / "reference")


def judged(tmp_path: Path) -> list[Claim]:
    return claims(compared(tmp_path), compared(tmp_path))


def balanced_at(epoch: int, epochs: int = 60) -> dict[str, list[float]]:
    """Losses far outside the bands, then inside them, so that the mean over 10 epochs is inside from `epoch` on."""
    before = epoch - 10
    return {"d": [0.55] * epochs, "g": [9.0] * before + [1.05] * (epochs - before)}


@pytest.fixture
def write_three(write_run: WriteRun) -> Any:
    """Three seeds, whose seconds lie a hundredth apart."""

    def write(configuration: str, seconds: float = 0.5, **changes: Any) -> None:
        for seed in range(3):
            write_run(configuration, seed=seed, seconds=seconds * (1 + 0.01 * (seed - 1)), **changes)

    return write


# The verdict.


def test_the_optimal_configuration_is_the_first_at_the_lowest_distance_that_any_reaches(
    write_three: Any, write_run: WriteRun, tmp_path: Path
) -> None:
    write_three("gan-cpu", 1.0, quality={6: 30.0, 12: 18.0})  # 20 in 12 s
    write_run("wgan-cpu", seconds=2.0, quality={6: 9.0, 12: 4.0})  # 20 and 10 in 12 s, 5 in 24 s
    write_three("optimal-cpu", 0.5, quality={6: 15.0, 8: 4.0, 12: 1.5})  # 20 in 3 s, 5 in 4 s, 2 in 6 s
    words = verdict(compared(tmp_path))
    assert words == (
        "The optimal configuration is “optimal, CPU”, measured on Test CPU, 2 cores: it reaches a Fréchet distance of 2 in "
        f"6.00 s of training, for 0.000680 USD {PRICE}, and no other configuration does. "
        "To a distance of 5 it is 6.00 times faster than WGAN, CPU. "
        "To a distance of 20 it is 4.00 (95% interval 3.91 to 4.09, n = 3) times faster than the paper's GAN, CPU. "
        "Fewer than 3 runs, so no sure difference: WGAN, CPU."
    )


def test_where_several_reach_it_the_fastest_is_optimal_and_the_cheapest_named(write_run: WriteRun, tmp_path: Path) -> None:
    write_run("gan-cpu", seconds=1.0, quality={12: 18.0})
    write_run("gan-gpu", seconds=0.9, quality={12: 18.0}, label="NVIDIA T4")
    words = verdict(compared(tmp_path))
    assert "“GAN, GPU”, measured on NVIDIA T4: it reaches a Fréchet distance of 20 in 10.8 s" in words
    assert " At the lowest cost GAN, CPU does, for 0.00136 USD. " in words  # 12 s at 0.408 USD, against 10.8 s at 0.7364 USD
    assert words.count("To a distance of 20 it is 1.11 times faster than the paper's GAN, CPU (on another machine)") == 1


@pytest.mark.parametrize(
    ("runs", "words"),
    [
        ({}, "Nothing can be said yet: no run is finished."),
        (
            {"gan-cpu": {12: 18.0}},
            f"GAN, CPU: 1,200 epochs in 6.00 s of training, for 0.000680 USD {PRICE}; its images reach a Fréchet distance of "
            "20 in 6.00 s and end at 18.0 (1 run), where real images have 0.200.",
        ),
        (
            {"gan-cpu": None},
            f"GAN, CPU: 1,200 epochs in 6.00 s of training, for 0.000680 USD {PRICE}; its images have no Fréchet distance: "
            "not measured.",
        ),
        (
            {"gan-cpu": {12: 60.0}, "cgan-cpu": {12: 50.0}, "wgan-cpu": None},
            "Which configuration is optimal cannot be told: none reaches a Fréchet distance of 20. The nearest is CGAN, CPU: ",
        ),
        (
            {"gan-cpu": None, "cgan-cpu": None},
            "Which configuration is optimal cannot be told: no quality was measured. The fastest is GAN, CPU: ",
        ),
        (
            {"gan-cpu": {12: 60.0}, "wgan-cpu": {12: 15.0}},
            "The optimal configuration is “WGAN, CPU”, measured on Test CPU, 2 cores: it reaches a Fréchet distance of 20 in "
            f"6.00 s of training, for 0.000680 USD {PRICE}, and no other configuration does. The others do not reach 20.",
        ),
    ],
)
def test_the_verdict_says_what_can_be_told(
    write_run: WriteRun, tmp_path: Path, runs: dict[str, dict[int, float] | None], words: str
) -> None:
    for name, course in runs.items():
        write_run(name, quality=course)
    assert verdict(compared(tmp_path)).startswith(words)


def test_on_images_of_ones_own_nothing_is_said_of_the_paper(write_run: WriteRun, tmp_path: Path) -> None:
    for name, distance in (("gan-cpu", 19.0), ("cgan-cpu", 9.0), ("wgan-cpu", 4.0)):
        write_run(name, quality={12: distance}, data="folder:/photos", channels=3)
    words = verdict(compared(tmp_path))
    assert "“WGAN, CPU”" in words and "times faster than CGAN, CPU" in words and "paper" not in words


def test_what_diverged_or_collapsed_is_named(write_run: WriteRun, tmp_path: Path) -> None:
    diverged = write_run("gan-cpu", quality={12: 90.0}, facts={"generator_loss": 4.67e8})
    write_run("cgan-cpu", quality={12: 19.0}, facts={"largest_class_share": 0.44}, seed=2)
    for words in (verdict(compared(tmp_path)), run_verdict(read_record(diverged))):
        assert "GAN, CPU, seed 0: training has diverged: generator_loss was 4.67e+08 in the last epoch." in words
    assert verdict(compared(tmp_path)).endswith(
        " CGAN, CPU, seed 2: mode collapse: 44% of the generated images are of one class."
    )


# The paper's claims.


@pytest.mark.parametrize(
    ("verdicts", "given"),
    [
        *(([True, True], HOLDS), ([True, None], UNKNOWN), ([None, None], UNKNOWN), ([], UNKNOWN)),
        *(([True, False], FAILS), ([None, False], FAILS)),
    ],
)
def test_all_findings_must_speak_for_a_claim_and_one_against_it_is_enough(verdicts: list[bool | None], given: str) -> None:
    assert answer(verdicts) == given


def test_without_runs_no_claim_can_be_judged(tmp_path: Path) -> None:
    table = claims_table(judged(tmp_path))
    assert table.frame["answer"].tolist() == [UNKNOWN] * 9
    assert "3 runs or more" in table.caption


def test_of_one_or_two_runs_no_claim_is_judged_and_of_three_each_is(write_run: WriteRun, tmp_path: Path) -> None:
    for seed, noisy in enumerate((1.0, 1.1, 0.9)):
        for name, loss, level, seconds in (("gan", [3.0, 2.0], 0.2, 50.0), ("cgan", [9.0, 1.0], 0.1, 990.0)):
            distance = 300 * level * noisy
            quality = {"frechet_distance": distance, "noise_level": level * noisy, "stray_pixels": level * noisy}
            for machine, faster in (("cpu", 1), ("gpu", 1000)):
                write_run(
                    f"{name}-{machine}",
                    seed=seed,
                    seconds=noisy * seconds / faster,
                    d=[0.5] * 40,
                    g=[noisy * value for value in loss * 20],
                    quality={40: distance},
                    facts={"quality": {**quality, "recognisable": 0.9 * noisy - 0.1}},
                )
        answers = [claim.answer for claim in judged(tmp_path)]
        if seed < 2:
            assert answers == [UNKNOWN] * 9
            assert all("3 of each are the least" in claim.because for claim in judged(tmp_path))
    assert answers[QUARTER] == UNKNOWN  # none was ever in balance
    assert answers[GPU_GAN] == answers[SMALLER] == answers[SCATTER] == answers[NOISE] == answers[RECOGNISABLE] == HOLDS
    assert answers[BEST] == HOLDS


@pytest.mark.parametrize(
    ("number", "runs", "given", "because"),
    [
        (GPU_GAN, {"gan-cpu": 40.0, "gan-gpu": 0.1}, HOLDS, "400 times faster on NVIDIA T4 than on Test CPU, 2 cores"),
        (GPU_GAN, {"gan-cpu": 37.0, "gan-gpu": 0.1}, UNKNOWN, "370 times"),
        (GPU_GAN, {"gan-cpu": 0.5, "gan-gpu": 0.1}, FAILS, "5.00 times"),
        (GPU_CGAN, {"cgan-cpu": 500.0, "cgan-gpu": 0.45}, HOLDS, "1,110 times"),
        (GPU_CGAN, {"cgan-cpu": 400.0, "cgan-gpu": 0.45}, FAILS, "889 times"),
        (SMALLER, {"gan-cpu": 0.5, "cgan-cpu": 2.0}, HOLDS, "2,382,466 against 2,950,161 parameters, 4.00 times the seconds"),
        (SMALLER, {"gan-cpu": 0.5, "cgan-cpu": 0.25}, FAILS, "2,382,466 against 2,950,161 parameters, 0.500 times the seconds"),
        (SMALLER, {"gan-cpu": 0.5, "cgan-cpu": 0.5}, UNKNOWN, "2,382,466 against 2,950,161 parameters, 1.00 times the seconds"),
    ],
)
def test_claims_about_seconds(
    write_three: Any, tmp_path: Path, number: int, runs: dict[str, float], given: str, because: str
) -> None:
    for name, seconds in runs.items():
        write_three(name, seconds, label="NVIDIA T4" if name.endswith("gpu") else "Test CPU, 2 cores")
    claim = judged(tmp_path)[number]
    assert claim.answer == given and claim.because.startswith(because)


@pytest.mark.parametrize(
    ("number", "gan", "cgan", "given"),
    [
        (QUARTER, balanced_at(48), balanced_at(12), HOLDS),  # exactly a quarter
        (QUARTER, balanced_at(48), balanced_at(13), FAILS),
        (QUARTER, balanced_at(48), NEVER, FAILS),
        (QUARTER, NEVER, balanced_at(12), HOLDS),  # GAN was not there after 1,200 epochs, and 12 is less than 300
        (QUARTER, NEVER, NEVER, UNKNOWN),
        (BY_200, None, balanced_at(200, 210), HOLDS),
        (BY_200, None, balanced_at(201, 210), FAILS),
        (BY_200, None, NEVER, FAILS),
    ],
)
@pytest.mark.parametrize("machine", ["cpu", "gpu"])  # the losses do not depend on it
def test_claims_about_balance(
    write_three: Any, tmp_path: Path, number: int, gan: dict[str, list[float]] | None, cgan: dict[str, list[float]], given: str,
    machine: str,
) -> None:  # fmt: skip
    if gan:
        write_three("gan-cpu", **gan)
    write_three(f"cgan-{machine}", **cgan)
    assert judged(tmp_path)[number].answer == given


@pytest.mark.parametrize(("gan", "cgan", "given"), [(0.01, 0.5, HOLDS), (0.5, 0.01, FAILS)])
def test_the_losses_scatter_is_compared(write_run: WriteRun, tmp_path: Path, gan: float, cgan: float, given: str) -> None:
    for seed in range(3):
        for name, size in (("gan-cpu", gan), ("cgan-cpu", cgan)):
            losses = [2 + size, 2 - size] * 20  # it strays `size` from its mean
            write_run(name, d=[0.5] * 40, g=[loss * (1 + seed / 1e4) for loss in losses], seed=seed)
    claim = judged(tmp_path)[SCATTER]
    assert claim.answer == given
    assert "a difference of " in claim.because


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


def test_what_short_runs_cannot_tell_is_judged_on_runs_of_the_papers_length(write_three: Any, tmp_path: Path) -> None:
    for name, seconds in (("gan-cpu", 0.5), ("cgan-cpu", 2.0), ("gan-gpu", 0.1), ("cgan-gpu", 0.1)):
        write_three(name, seconds, preset="quick")
    listed = claims(compared(tmp_path), at_paper_length(tmp_path / "runs", tmp_path / "reference"))
    assert listed[SMALLER].answer == HOLDS
    assert {listed[number].answer for number in (QUARTER, SCATTER, BY_200, NOISE, RECOGNISABLE, BEST)} == {UNKNOWN}
    assert listed[BY_200].because == "no run of CGAN, CPU, at the paper's length"
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


def test_own_images_and_other_losses_decide_no_claim(write_three: Any, tmp_path: Path) -> None:
    for name, seconds in (("gan-cpu", 0.5), ("cgan-cpu", 2.0)):
        write_three(name, seconds, data="folder:/photos", channels=3)
    assert {claim.answer for claim in judged(tmp_path)} == {UNKNOWN}
    digits = tmp_path / "digits"
    for name, seconds in (("gan-cpu", 0.5), ("cgan-cpu", 2.0)):
        write_three(name, seconds, below="digits/runs")
    before = judged(digits)
    assert before[SMALLER].answer == HOLDS
    write_three("cwgan-cpu", 0.25, d=[-5.0] * 12, g=[3.0] * 12, below="digits/runs")
    assert judged(digits) == before


@pytest.mark.parametrize(
    ("number", "gan", "cgan", "given", "words"),
    [
        (NOISE, [0.05, 0.06, 0.05], [0.01, 0.02, 0.01], UNKNOWN, "cannot be told with 3 runs"),  # stray pixels are equal
        (NOISE, [0.01, 0.02, 0.01], [0.05, 0.06, 0.05], FAILS, "a difference of -4.00 (95% interval "),
        (NOISE, [0.05, 0.06], [0.01, 0.02], UNKNOWN, "cannot be told with 2 runs: 3 of each are the least"),
        (NOISE, [0.05] * 3, [0.01] * 3, UNKNOWN, "cannot be told with 3 runs"),  # without a spread nothing is told
        (NOISE, [0.05], [], UNKNOWN, "CGAN, CPU: not run"),
        (RECOGNISABLE, [0.6, 0.65, 0.7], [0.9, 0.92, 0.9], HOLDS, "CGAN: 90.7 (95% interval "),
        (RECOGNISABLE, [0.6, 0.65, 0.7], [0.9, 0.9, 0.9], UNKNOWN, "real digits that are blurred"),
        (RECOGNISABLE, [0.4, 0.7, 0.8], [0.9, 0.91, 0.9], UNKNOWN, "real digits that are blurred"),
        (RECOGNISABLE, [0.1, 0.2, 0.3], [0.9, 0.91, 0.9], UNKNOWN, "real digits that are blurred"),  # or the classifier fails
        (RECOGNISABLE, [0.9], [0.9], UNKNOWN, "cannot be told with 1 run"),
    ],
)
def test_claims_about_images(
    write_run: WriteRun, tmp_path: Path, number: int, gan: list[float], cgan: list[float], given: str, words: str
) -> None:
    for configuration, values in (("gan-cpu", gan), ("cgan-cpu", cgan)):
        for seed, value in enumerate(values):
            quality = {"recognisable": 0.9, "noise_level": 0.02, "stray_pixels": 1.0}
            quality |= {"noise_level" if number == NOISE else "recognisable": value}
            write_run(configuration, facts={"quality": quality}, seed=seed)
    claim = judged(tmp_path)[number]
    assert claim.answer == given and words in claim.because


def test_real_digits_that_are_blurred_are_known_no_better_than_half_of_the_time() -> None:
    """What the answer on recognisable digits says of the classifier, held against the record of known damage."""
    blurred = json.loads((notebooks.ROOT / "results" / "quality" / "sanity.json").read_text())["damage"]["blur"]
    assert min(blurred["recognisable"]) < 0.5
