"""Which run folders stand for the paper's four configurations."""

from dataclasses import replace
from pathlib import Path

import pytest
from conftest import WriteRun

from gan_lib import registry
from gan_lib.errors import ConfigurationError, RecordError
from gan_lib.presets import CONFIGURATIONS, configure
from gan_lib.reporting import claims, figures, quality_figures, tables
from gan_lib.reporting.comparison import (
    OWN,
    REFERENCE,
    Comparison,
    about_paper,
    at_paper_length,
    compare,
    describe,
    missing,
    papers_own,
    papers_work,
)
from gan_lib.runs.record import RunFolder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path


def rows(root: Path, *experiments: str) -> Comparison:
    return compare(root / "runs", root / "reference", experiments)


def test_without_any_run_all_four_are_shown_as_not_run(root: Path) -> None:
    nothing = rows(root)
    assert list(nothing) == list(CONFIGURATIONS)
    for name, row in nothing.items():
        assert (row.configuration, row.records, row.origin, row.missing) == (name, [], "", "not run")
        assert (row.epochs, row.machine, row.middle("seconds_per_epoch"), row.balances()) == (None, "", None, [])


def test_a_loop_of_links_holds_no_runs(tmp_path: Path) -> None:
    (tmp_path / "runs").symlink_to("runs")
    assert not [row for row in compare(tmp_path / "runs", tmp_path / "reference").values() if row.records]


@pytest.mark.parametrize(
    ("status", "reason", "origin", "label", "missing_for"),
    [("ok", None, OWN, "Test CPU, 2 cores", ""), ("failed", "no memory", REFERENCE, "Other CPU", "failed: no memory")],
)
def test_a_reference_run_stands_in_for_what_is_not_finished(
    write_run: WriteRun, root: Path, status: str, reason: str | None, origin: str, label: str, missing_for: str
) -> None:
    write_run("gan-cpu", status=status, reason=reason)
    write_run("gan-cpu", below="reference", label="Other CPU")
    row = rows(root)["gan-cpu"]
    assert (row.origin, row.machine, row.missing, row.stands_in) == (origin, label, missing_for, origin == REFERENCE)


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
        write_run("gan-cpu", seed=seed, seconds=seconds, d=[0.1 if seed else 0.55] * 10)
    write_run("gan-cpu", seed=3, status="failed", reason="no")
    row = rows(root)["gan-cpu"]
    assert (row.numbers("seconds_per_epoch"), row.middle("seconds_per_epoch"), row.runs) == ([0.5, 2.0, 0.75], 0.75, 4)
    assert row.middle("cost_usd") == pytest.approx(7.5 / 3600 * 0.408)
    assert ([balance.epoch for balance in row.balances()], row.balance_epoch()) == ([10, None, None], None)
    assert rows(root)["cgan-cpu"].middle("cost_usd") is None


def test_the_newest_run_decides_which_variant_is_compared(write_run: WriteRun, root: Path) -> None:
    for preset, finished in (("quick", "2026-05-02T10:00:00+00:00"), ("paper", "2026-05-01T10:00:00+00:00")):
        RunFolder(write_run("gan-cpu", preset=preset)).finish("ok", finished=finished)
        RunFolder(write_run("cgan-cpu", preset=preset)).finish("ok", finished="2026-04-01T10:00:00+00:00")
    assert [run.variant for row in rows(root).values() for run in row.records] == ["quick", "quick"]


def test_experiments_can_be_named_one_for_each_configuration(write_run: WriteRun, root: Path) -> None:
    write_run("gan-cpu")
    write_run("gan-cpu", preset="quick", epochs=5)
    assert rows(root, "gan-cpu")["gan-cpu"].epochs == 1200
    assert rows(root, "gan-cpu--quick-epochs-5")["gan-cpu"].epochs == 5
    with pytest.raises(ConfigurationError, match=r"one experiment for each .*, got gan-cpu and gan-cpu--quick-epochs-5$"):
        rows(root, "gan-cpu", "gan-cpu--quick-epochs-5")
    for name, words in (("gan-cpu--quick-epochs-6", "did you mean 'gan-cpu--quick-epochs-5'"), ("x", "choose from gan-cpu")):
        with pytest.raises(RecordError, match=f"experiment '{name}' does not exist in .*{words}"):
            rows(root, name)


def test_experiments_on_different_images_are_not_compared(write_run: WriteRun, root: Path) -> None:
    write_run("gan-cpu", data="fashion-mnist")
    write_run("cgan-cpu")
    with pytest.raises(
        ConfigurationError, match=r"runs of one data .*'digits' in cgan-cpu and 'fashion-mnist' in gan-cpu--data-f"
    ):
        rows(root, "gan-cpu--data-fashion-mnist", "cgan-cpu")


@pytest.mark.parametrize(
    ("preset", "changes", "words"),
    [
        ("paper", {}, "Your runs. GAN, CPU: 1,200 epochs."),
        ("quick", {}, "Your runs. GAN, CPU: 150 epochs with adam_beta1 = 0.5, initialisation = pytorch."),
        ("paper", {"epochs": 7, "batch_size": 64}, "Your runs. GAN, CPU: 7 epochs with batch_size = 64."),
    ],
)
def test_what_sets_runs_apart_from_the_preset_paper_is_said(
    write_run: WriteRun, root: Path, preset: str, changes: dict[str, int], words: str
) -> None:
    assert describe(rows(root)) == "There are no finished runs of yours."
    write_run("gan-cpu", preset=preset, **changes)
    assert describe(rows(root)) == words


def test_what_is_missing_is_said_once_with_its_reason(write_run: WriteRun, root: Path) -> None:
    write_run("gan-cpu", status="failed", reason="no memory")
    write_run("gan-cpu", below="reference")
    for name in ("gan-gpu", "cgan-gpu"):
        write_run(name, status="unavailable", reason="needs a CUDA GPU")
    assert missing(rows(root)) == (
        "Missing: GAN, CPU shown by reference runs (failed: no memory); CGAN, CPU not measured (not run); "
        "GAN, GPU and CGAN, GPU not measured (unavailable: needs a CUDA GPU)."
    )
    for name in CONFIGURATIONS:
        write_run(name)
    assert missing(rows(root)) is None


@pytest.mark.parametrize("changes", [{"data": "fashion-mnist"}, {"training_images": 1000}, {"image_size": 32}, {"channels": 3}])
def test_beside_other_images_nothing_of_the_paper_stands(write_run: WriteRun, root: Path, changes: dict[str, object]) -> None:
    for name in ("cgan-cpu", "optimal-cpu", "wgan-cpu"):
        write_run(name, below="reference")
    write_run("gan-cpu", **changes)
    assert list(rows(root)) == ["gan-cpu"]
    assert not about_paper(rows(root))
    assert {row.missing for row in papers_own(rows(root)).values()} == {"not the paper's images or networks"}
    write_run("gan-cpu", learning_rate=0.001)
    digits = rows(root, "gan-cpu--learning-rate-0.001")
    assert about_paper(digits)
    assert [row.title for row in digits.values() if row.stands_in] == [
        *("CGAN, CPU (reference run)", "optimal, CPU (reference run)")
    ]


def test_the_second_model_on_the_same_images_is_compared_whatever_its_length(write_run: WriteRun, root: Path) -> None:
    photos = {"data": "folder:/photos", "training_images": 640}
    experiments = (
        *(("cgan-cpu", {"epochs": 5}), ("cgan-cpu", {"epochs": 7}), ("gan-cpu", {})),
        *(("wgan-cpu", {"channels": 3}), ("gan-cpu", {"epochs": 9})),
    )
    for day, (name, changes) in enumerate(experiments, start=1):
        RunFolder(write_run(name, **photos, **changes)).finish("ok", finished=f"2026-05-0{day}T10:00:00+00:00")
    assert {name: row.epochs for name, row in rows(root).items()} == {"gan-cpu": 9, "cgan-cpu": 7}


@pytest.mark.parametrize(
    ("changes", "own"),
    [({}, True), ({"data": "mnist"}, True), ({"epochs": 3}, True), ({"latent_size": 64}, False), ({"image_size": 32}, False)],
)
def test_the_papers_work_is_its_images_and_its_networks(changes: dict[str, object], own: bool) -> None:
    assert papers_work(configure("cgan-gpu", **changes)) is own
    assert not papers_work(configure("wgan-cpu"))


def test_a_further_configuration_is_a_row_only_when_you_ran_it(write_run: WriteRun, root: Path) -> None:
    write_run("cwgan-cpu", below="reference")
    assert list(rows(root)) == list(CONFIGURATIONS)
    write_run("wgan-cpu", preset="quick")
    write_run("gan-cpu", preset="quick")
    both = rows(root, "wgan-cpu--quick", "gan-cpu--quick")
    assert list(both) == [*CONFIGURATIONS, "wgan-cpu"]
    assert list(papers_own(both)) == list(CONFIGURATIONS)
    row = both["wgan-cpu"]
    assert (row.family, row.named_machine, row.published, row.balances(), row.balance_epoch()) == (
        "wgan",
        "cpu",
        None,
        [],
        None,
    )


def test_runs_of_the_papers_length_are_found_beside_others(write_run: WriteRun, root: Path) -> None:
    write_run("gan-cpu")
    write_run("gan-cpu", preset="quick")
    write_run("cgan-cpu", below="reference")
    long = at_paper_length(root / "runs", root / "reference")
    assert [long[name].epochs for name in ("gan-cpu", "cgan-cpu", "gan-gpu")] == [1200, 300, None]


def test_a_folder_of_reference_runs_compared_with_itself_has_reference_runs_alone(write_run: WriteRun, tmp_path: Path) -> None:
    write_run("gan-cpu", below="reference")
    write_run("wgan-cpu", below="reference")
    reference = tmp_path / "reference"
    shown = [row for row in compare(reference, reference, ["gan-cpu", "wgan-cpu"]).values() if row.records]
    assert [(row.title, row.origin) for row in shown] == [("GAN, CPU", REFERENCE), ("WGAN, CPU", REFERENCE)]


def test_a_new_model_with_a_new_loss_is_in_the_comparison_its_tables_and_figures(
    write_run: WriteRun, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(registry.LOSSES, "squares", replace(registry.LOSSES["bce"], title="least squares", band=False))
    monkeypatch.setitem(registry.MODELS, "tiny", replace(registry.MODELS["gan"], title="tiny GAN"))
    write_run("tiny-squares-cpu", quality={12: 4.0})
    write_run("gan-cpu", quality={12: 60.0})
    write_run("gan-squares-cpu")
    compared, name = rows(root), "tiny GAN, least squares, CPU"
    assert [row.title for row in compared.values() if row.records] == ["GAN, CPU", "GAN, least squares, CPU", name]
    assert compared["tiny-squares-cpu"].balances() == []
    for table in (tables.overview(compared), tables.seconds_per_epoch(compared), tables.quality_by_configuration(compared)):
        assert name in table.frame["configuration"].tolist()
    for chart in (figures.loss_curves(compared), quality_figures.frechet_curves(compared), figures.epoch_seconds(compared)):
        assert chart is not None and name in chart.alt
    assert f"“{name}”" in claims.verdict(compared)
