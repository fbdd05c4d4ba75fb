"""What the runs say of the paper's claims, by runs made so that each answer comes up."""

from pathlib import Path

import pytest
from conftest import WriteRun

from gan_lib.reporting import html
from gan_lib.reporting.claims import FAILS, HOLDS, UNKNOWN, Claim, claims, claims_table, sentences
from gan_lib.reporting.comparison import Comparison, compare

GPU_GAN, GPU_CGAN, SMALLER, QUARTER, SCATTER, BY_200, NOISE, RECOGNISABLE, BEST = range(9)


def compared(tmp_path: Path) -> Comparison:
    return compare(tmp_path / "runs", tmp_path / "reference")


def judged(tmp_path: Path) -> list[Claim]:
    return claims(compared(tmp_path), compared(tmp_path))


def balanced_at(epoch: int, epochs: int = 60) -> dict[str, list[float]]:
    """Losses far outside the bands, then inside them, so that the mean over 10 epochs is inside from `epoch` on."""
    before = epoch - 10
    return {"d": [0.55] * epochs, "g": [9.0] * before + [1.05] * (epochs - before)}


NEVER = {"d": [0.1] * 60, "g": [5.0] * 60}


def test_without_runs_no_claim_can_be_judged(tmp_path: Path) -> None:
    found = judged(tmp_path)
    assert len(found) == 9
    assert {claim.answer for claim in found} == {UNKNOWN}
    assert all("no run of" in claim.because or "not run" in claim.because for claim in found)
    assert sentences(compared(tmp_path)) == ["Nothing can be said yet: no run is finished. Run `gan-lib run` first."]


@pytest.mark.parametrize(
    ("model", "number", "cpu", "gpu", "answer", "ratio"),
    [
        ("gan", GPU_GAN, 37.0, 0.1, HOLDS, "370 times"),
        ("gan", GPU_GAN, 0.5, 0.1, FAILS, "5.00 times"),
        ("cgan", GPU_CGAN, 437.0, 0.45, HOLDS, "971 times"),
        ("cgan", GPU_CGAN, 436.0, 0.45, FAILS, "969 times"),
    ],
)
def test_the_gpus_speed_up_is_held_against_the_papers(
    write_run: WriteRun, tmp_path: Path, model: str, number: int, cpu: float, gpu: float, answer: str, ratio: str
) -> None:
    write_run(f"{model}-cpu", seconds=cpu)
    write_run(f"{model}-gpu", seconds=gpu, label="NVIDIA T4")
    claim = judged(tmp_path)[number]
    assert claim.answer == answer
    assert claim.because == f"{ratio} faster on NVIDIA T4 than on Test CPU, 2 cores"


@pytest.mark.parametrize(("cgan", "answer", "times"), [(2.0, HOLDS, "4.00"), (0.25, FAILS, "0.500")])
def test_fewer_parameters_yet_slower(write_run: WriteRun, tmp_path: Path, cgan: float, answer: str, times: str) -> None:
    write_run("gan-cpu", seconds=0.5)
    write_run("cgan-cpu", seconds=cgan)
    claim = judged(tmp_path)[SMALLER]
    assert claim.answer == answer
    assert claim.because == f"2,382,466 against 2,950,161 parameters, {times} times the seconds (paper: 11.8)"


@pytest.mark.parametrize(
    ("gan", "cgan", "answer"),
    [
        (balanced_at(48), balanced_at(12), HOLDS),  # exactly a quarter
        (balanced_at(48), balanced_at(13), FAILS),
        (balanced_at(48), NEVER, FAILS),
        (NEVER, balanced_at(12), HOLDS),  # GAN was not there after 1,200 epochs, and 12 is less than 300
        (NEVER, NEVER, UNKNOWN),
    ],
)
def test_a_quarter_of_the_epochs(
    write_run: WriteRun, tmp_path: Path, gan: dict[str, list[float]], cgan: dict[str, list[float]], answer: str
) -> None:
    write_run("gan-cpu", **gan)
    write_run("cgan-cpu", **cgan)
    assert judged(tmp_path)[QUARTER].answer == answer


def test_the_epochs_of_balance_are_given(write_run: WriteRun, tmp_path: Path) -> None:
    write_run("gan-cpu", **NEVER)
    write_run("cgan-cpu", **balanced_at(12))
    assert judged(tmp_path)[QUARTER].because == "GAN never in 1,200 epochs, CGAN reached it at epoch 12"


@pytest.mark.parametrize(("gan", "cgan", "answer"), [("0.0100", "0.500", HOLDS), ("0.500", "0.0100", FAILS)])
def test_the_losses_scatter_is_compared(write_run: WriteRun, tmp_path: Path, gan: str, cgan: str, answer: str) -> None:
    words = f"G's loss strays {cgan} from its mean over 10 epochs with CGAN, {gan} with GAN (median over the epochs)"
    for seed in range(3):
        claim = judged(tmp_path)[SCATTER]
        assert claim.answer == UNKNOWN
        if seed:
            runs = "1 run" if seed == 1 else "2 runs"
            assert claim.because == f"{words}; cannot be told with {runs}: 3 of each are the least"
        for name, size in (("gan-cpu", float(gan)), ("cgan-cpu", float(cgan))):
            losses = [2 + size, 2 - size] * 20  # it strays `size` from its mean
            write_run(name, d=[0.5] * 40, g=[loss * (1 + seed / 1e4) for loss in losses], seed=seed)
    claim = judged(tmp_path)[SCATTER]
    assert claim.answer == answer
    assert claim.because.startswith(f"{words}; a difference of ")


@pytest.mark.parametrize(
    ("losses", "answer"),
    [(balanced_at(200, 210), HOLDS), (balanced_at(201, 210), FAILS), (NEVER, FAILS)],
)
def test_cgan_in_the_band_by_epoch_200(
    write_run: WriteRun, tmp_path: Path, losses: dict[str, list[float]], answer: str
) -> None:
    write_run("cgan-cpu", **losses)
    assert judged(tmp_path)[BY_200].answer == answer


def test_never_in_the_band_says_how_near_it_came(write_run: WriteRun, tmp_path: Path) -> None:
    write_run("cgan-cpu", d=[0.55] * 12, g=[1.5] * 12)  # 0.4 above the band, always
    assert judged(tmp_path)[BY_200].because == "CGAN never in 300 epochs; nearest at epoch 10, 0.400 outside"


def test_losses_may_be_judged_on_either_machine(write_run: WriteRun, tmp_path: Path) -> None:
    write_run("cgan-gpu", **balanced_at(12))
    assert judged(tmp_path)[BY_200].answer == HOLDS


def test_the_shape_of_the_curves_is_judged_on_paper_length_runs_only(write_run: WriteRun, tmp_path: Path) -> None:
    write_run("gan-cpu", preset="quick")
    write_run("cgan-cpu", preset="quick", seconds=2.0)
    found = claims(compared(tmp_path), compare(tmp_path / "runs", tmp_path / "reference", ["gan-cpu", "cgan-cpu"]))
    assert found[SMALLER].answer == HOLDS
    for number in (QUARTER, SCATTER, BY_200):
        assert found[number].answer == UNKNOWN
        assert found[number].because.endswith(", at the paper's length")
    for number in (NOISE, RECOGNISABLE):
        assert found[number].answer == UNKNOWN
        assert "not in this comparison" in found[number].because


def test_the_best_configuration_needs_all_four_and_measured_images(write_run: WriteRun, tmp_path: Path) -> None:
    for name, seconds in (("gan-cpu", 4.0), ("cgan-cpu", 3.0), ("gan-gpu", 2.0)):
        write_run(name, seconds=seconds)
    claim = "CGAN on the GPU machine is the best configuration"
    assert judged(tmp_path)[BEST] == Claim(claim, UNKNOWN, "no run of CGAN, GPU")
    write_run("cgan-gpu", seconds=1.0)
    assert judged(tmp_path)[BEST].answer == UNKNOWN
    assert "CGAN, GPU is through first (12.0 s)" in judged(tmp_path)[BEST].because
    assert "which images are better cannot be told (GAN, CPU: not measured; CGAN, CPU: not measured)" in str(
        judged(tmp_path)[BEST]
    )


@pytest.mark.parametrize(
    ("cgan", "gpu", "answer"), [(10.0, 1.0, HOLDS), (90.0, 1.0, FAILS), (50.0, 1.0, UNKNOWN), (10.0, 9.0, FAILS)]
)
def test_the_best_configuration_has_the_better_images_and_is_the_quicker_of_those(
    write_run: WriteRun, tmp_path: Path, cgan: float, gpu: float, answer: str
) -> None:
    for seed, noise in enumerate((-1.0, 0.0, 1.5)):
        write_run("gan-cpu", seconds=4.0, quality={12: 50.0 + noise}, seed=seed)
        write_run("cgan-cpu", seconds=3.0, quality={12: cgan + 2 * noise}, seed=seed)
    for name in ("gan-gpu", "cgan-gpu"):
        write_run(name, seconds=gpu)
    assert judged(tmp_path)[BEST].answer == answer


def test_the_verdict_names_the_fastest_and_the_cheapest_with_numbers_and_what_is_missing(
    write_run: WriteRun, tmp_path: Path
) -> None:
    write_run("gan-cpu", seconds=0.5, d=[0.5] * 36)  # 18 s, at 0.408 USD an hour: 0.00204 USD
    write_run("cgan-cpu", seconds=2.0, d=[0.5] * 12, below="reference")  # 24 s: 0.00272 USD
    write_run("gan-gpu", status="unavailable", reason="needs a CUDA GPU")
    said = sentences(compared(tmp_path))
    assert len(said) == 3
    assert said[2].startswith("How good the images are is left to your eye (Table 6): quality was not measured, and nothing")
    assert said[0] == "Fastest is GAN on Test CPU, 2 cores with 0.500 s per epoch (the paper: 37 s on ml.c5.2xlarge)."
    assert said[1] == (
        "Cheapest, were the instances that the configurations are named after as fast as the machines used here, would be GAN "
        "on Test CPU, 2 cores: its 1,200 epochs would cost 0.00204 USD on ml.c5.2xlarge."
    )
    assert "othing can be said of GAN, GPU and CGAN, GPU" in said[2]
    assert "unavailable: needs a CUDA GPU" in said[2]


def test_a_reference_run_is_called_one_in_the_verdict(write_run: WriteRun, tmp_path: Path) -> None:
    write_run("gan-cpu", below="reference")
    assert "(reference run)" in sentences(compared(tmp_path))[0]


def test_a_wasserstein_run_may_be_the_fastest_and_decides_no_claim(write_run: WriteRun, tmp_path: Path) -> None:
    for name in ("gan-cpu", "cgan-cpu"):
        write_run(name, seconds=0.5)
    without = judged(tmp_path)
    for seed in range(3):
        write_run("cwgan-cpu", seconds=0.25, seed=seed, d=[-5.0] * 12, g=[3.0] * 12)
    assert judged(tmp_path) == without
    rows = compare(tmp_path / "runs", tmp_path / "none")
    assert (
        sentences(rows)[0] == "Fastest is CWGAN on Test CPU, 2 cores with 0.250 s per epoch (the paper: it has no such model)."
    )
    assert "future work" in html.opening(rows)


def test_the_best_configuration_is_judged_on_paper_length_runs_only(write_run: WriteRun, tmp_path: Path) -> None:
    for name in ("gan-cpu", "cgan-cpu", "gan-gpu", "cgan-gpu"):
        write_run(name, preset="quick")
    (tmp_path / "reference").mkdir()
    own = compare(tmp_path / "runs", tmp_path / "reference")
    papers = compare(tmp_path / "runs", tmp_path / "reference", list(own))
    assert all(row.records for row in own.values())
    assert claims(own, papers)[BEST].because.startswith("no run of GAN, CPU or CGAN, CPU or GAN, GPU or CGAN, GPU")


def test_where_a_minority_of_the_runs_reached_balance_that_is_said(write_run: WriteRun, tmp_path: Path) -> None:
    write_run("gan-cpu", **NEVER)
    for seed, losses in enumerate((balanced_at(30), NEVER, NEVER)):
        write_run("cgan-cpu", **losses, seed=seed)
    assert judged(tmp_path)[BY_200].because == "CGAN not in 300 epochs (1 of 3 runs)"
    write_run("cgan-cpu", **balanced_at(50), seed=3)
    write_run("cgan-cpu", **balanced_at(40), seed=4)
    assert judged(tmp_path)[BY_200].because == "CGAN reached it at epoch 50 (3 of 5 runs)"


def test_the_claims_make_a_table(write_run: WriteRun, tmp_path: Path) -> None:
    html = claims_table(judged(tmp_path))._repr_html_()
    assert html.count('<th scope="row">') == 9
    assert "The paper&#x27;s claims, one by one" in html
    assert html.count(UNKNOWN) == 9


def test_the_verdict_names_the_best_images(write_run: WriteRun, tmp_path: Path) -> None:
    write_run("gan-cpu", quality={12: 60.0})
    write_run("cgan-cpu", quality={12: 30.0})
    said = sentences(compared(tmp_path))
    assert said[2].startswith(
        "Best images: CGAN on Test CPU, 2 cores, at a Fréchet distance of 30.0 where real digits are at 0.200 (300 epochs, n ="
    )
    assert said[3].startswith("Nothing can be said of GAN, GPU and CGAN, GPU (not run)")
