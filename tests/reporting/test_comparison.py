"""Which run folders stand for the paper's four configurations."""

from pathlib import Path

import pytest
from conftest import WriteRun

from gan_lib.errors import ConfigurationError
from gan_lib.presets import CONFIGURATIONS
from gan_lib.reporting.comparison import REFERENCE, Comparison, compare, describe, papers_own
from gan_lib.runs.record import RunFolder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path


def rows(root: Path, *experiments: str) -> Comparison:
    return compare(root / "runs", root / "reference", experiments)


def test_without_any_run_all_four_are_shown_as_not_run(root: Path) -> None:
    found = rows(root)
    assert list(found) == list(CONFIGURATIONS)
    for name, row in found.items():
        assert (row.configuration, row.records, row.origin, row.missing) == (name, [], "", "not run")
        assert (row.epochs, row.machine, row.middle("seconds_per_epoch"), row.balances()) == (None, "", None, [])


def test_your_own_run_stands_before_the_reference(write_run: WriteRun, root: Path) -> None:
    write_run("gan-cpu", seconds=0.5)
    write_run("gan-cpu", seconds=9.0, below="reference", label="Other CPU")
    row = rows(root)["gan-cpu"]
    assert (row.origin, row.missing, row.middle("seconds_per_epoch")) == ("your run", "", 0.5)


def test_a_reference_run_stands_in_labelled_as_such_with_its_machine_and_why(write_run: WriteRun, root: Path) -> None:
    write_run("gan-cpu", status="failed", reason="no memory")
    write_run("gan-cpu", seconds=9.0, below="reference", label="Reference CPU")
    row = rows(root)["gan-cpu"]
    assert (row.origin, row.machine, row.middle("seconds_per_epoch")) == ("reference run", "Reference CPU", 9.0)
    assert row.missing == "failed: no memory"


def test_a_reference_run_must_be_finished_and_of_paper_length(write_run: WriteRun, root: Path) -> None:
    write_run("gan-cpu", below="reference", status="failed", reason="no")
    write_run("cgan-cpu", below="reference", preset="quick")
    assert [row.records for row in rows(root).values()] == [[]] * 4


@pytest.mark.parametrize("status", ["failed", "killed", "interrupted", "timed-out", "unavailable"])
def test_a_run_that_did_not_finish_is_missing_with_its_reason(write_run: WriteRun, root: Path, status: str) -> None:
    write_run("cgan-gpu", status=status, reason="needs a CUDA GPU")
    row = rows(root)["cgan-gpu"]
    assert (row.records, row.missing) == ([], f"{status}: needs a CUDA GPU")


def test_seeds_are_repetitions_of_one_experiment(write_run: WriteRun, root: Path) -> None:
    for seed, seconds in enumerate([0.5, 2.0, 0.75]):
        write_run("gan-cpu", seed=seed, seconds=seconds, d=[0.1 * (seed + 1)] * 4, g=[1.0] * 4)
    write_run("gan-cpu", seed=3, status="failed", reason="no")
    row = rows(root)["gan-cpu"]
    assert row.numbers("seconds_per_epoch") == [0.5, 2.0, 0.75]
    assert row.middle("seconds_per_epoch") == 0.75
    assert row.losses("discriminator_loss") == pytest.approx([0.2] * 4, abs=1e-12)  # the mean over the seeds


def test_balance_is_found_for_each_run_from_its_history(write_run: WriteRun, root: Path) -> None:
    write_run("gan-cpu", d=[0.55] * 12)
    write_run("gan-cpu", seed=1, d=[0.1] * 12)
    assert [balance.epoch for balance in rows(root)["gan-cpu"].balances()] == [10, None]


def test_the_newest_run_decides_which_variant_is_compared(write_run: WriteRun, root: Path) -> None:
    for preset, finished in (("quick", "2026-05-02T10:00:00+00:00"), ("paper", "2026-05-01T10:00:00+00:00")):
        RunFolder(write_run("gan-cpu", preset=preset)).finish("ok", finished=finished)
        RunFolder(write_run("cgan-cpu", preset=preset)).finish("ok", finished="2026-04-01T10:00:00+00:00")
    assert [run.variant for row in rows(root).values() for run in row.records] == ["quick", "quick"]


def test_an_experiment_can_be_named(write_run: WriteRun, root: Path) -> None:
    write_run("gan-cpu")
    write_run("gan-cpu", preset="quick", epochs=5)
    assert rows(root, "gan-cpu")["gan-cpu"].epochs == 1200
    assert rows(root, "gan-cpu--quick-epochs-5")["gan-cpu"].epochs == 5


def test_two_experiments_of_one_configuration_are_refused(write_run: WriteRun, root: Path) -> None:
    write_run("gan-cpu")
    write_run("gan-cpu", preset="quick")
    with pytest.raises(ConfigurationError, match=r"one experiment for each .*, got gan-cpu and gan-cpu--quick$"):
        rows(root, "gan-cpu", "gan-cpu--quick")


@pytest.mark.parametrize(
    ("preset", "changes", "words"),
    [
        ("paper", {}, "the paper's schedule (GAN 1,200 epochs, CGAN 300 epochs)"),
        ("quick", {}, "Adam betas (0.5, 0.999)"),  # wherever quick results are shown, this is said
        ("paper", {"epochs": 7}, "epochs-7"),
    ],
)
def test_a_schedule_is_described_in_words(
    write_run: WriteRun, root: Path, preset: str, changes: dict[str, int], words: str
) -> None:
    write_run("gan-cpu", preset=preset, **changes)
    assert words in describe(rows(root))


@pytest.mark.parametrize(
    "changes", [{"data": "fashion-mnist"}, {"training_images": 1000}, {"image_size": 32}, {"channels": 3}, {"batch_size": 64}]
)
def test_a_reference_run_stands_in_for_no_run_on_other_images_or_batches(
    write_run: WriteRun, root: Path, changes: dict[str, object]
) -> None:
    write_run("cgan-cpu", below="reference")
    write_run("gan-cpu", **changes)
    row = rows(root)["cgan-cpu"]
    assert (row.records, row.missing) == ([], "not run; the reference run is of other images or batches")
    write_run("gan-cpu", learning_rate=0.001)
    assert rows(root, "gan-cpu--learning-rate-0.001")["cgan-cpu"].origin == REFERENCE


def test_experiments_on_different_images_are_not_compared(write_run: WriteRun, root: Path) -> None:
    write_run("gan-cpu", data="fashion-mnist")
    write_run("cgan-cpu")
    with pytest.raises(
        ConfigurationError, match=r"runs of one data .*'digits' in cgan-cpu and 'fashion-mnist' in gan-cpu--data-f"
    ):
        rows(root, "gan-cpu--data-fashion-mnist", "cgan-cpu")


def test_a_further_configuration_is_a_row_only_when_you_ran_it(write_run: WriteRun, root: Path) -> None:
    write_run("cwgan-cpu", below="reference")
    assert list(rows(root)) == list(CONFIGURATIONS)
    write_run("wgan-cpu", preset="quick")
    write_run("gan-cpu", preset="quick")
    found = rows(root, "wgan-cpu--quick", "gan-cpu--quick")
    assert list(found) == [*CONFIGURATIONS, "wgan-cpu"]
    assert list(papers_own(found)) == list(CONFIGURATIONS)
    row = found["wgan-cpu"]
    assert (row.model, row.named_machine, row.published, row.balances(), row.balance_epoch()) == ("gan", "cpu", None, [], None)
    assert "GAN 150 epochs, CGAN 30 epochs, WGAN" in describe(found)


def test_a_quick_critic_is_told_from_its_like_by_its_length_alone(write_run: WriteRun, root: Path) -> None:
    write_run("wgan-cpu", preset="quick")
    assert describe(rows(root)).endswith("WGAN 300 epochs): fewer passes over the images.")
    write_run("gan-cpu", preset="quick")
    assert "Adam betas (0.5, 0.999)" in describe(rows(root))


def test_without_runs_of_yours_none_is_described(write_run: WriteRun, root: Path) -> None:
    assert describe(rows(root)) == "There are no finished runs of yours."
    write_run("gan-cpu", below="reference")
    said = "All of these are reference runs, of the paper's schedule (GAN 1,200 epochs, CGAN 300 epochs)."
    assert describe(rows(root)) == said


def test_a_folder_of_reference_runs_compared_with_itself_has_reference_runs_alone(write_run: WriteRun, tmp_path: Path) -> None:
    write_run("gan-cpu", below="reference")
    write_run("wgan-cpu", below="reference")
    reference = tmp_path / "reference"
    rows = compare(reference, reference, ["gan-cpu", "wgan-cpu"])
    assert [name for name, row in rows.items() if row.records] == ["gan-cpu", "wgan-cpu"]
    assert {row.origin for row in rows.values() if row.records} == {REFERENCE}
