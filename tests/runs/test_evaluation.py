"""Quality measured as a run trains, which changes nothing of the run."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from conftest import MakeConfig, tiny_config, train

from gan_lib.data import Images, load_images
from gan_lib.errors import DataError
from gan_lib.quality.measures import ACCURACIES, NAMES, Standard
from gan_lib.runs.evaluation import NOT_ASKED_FOR, Evaluation, measures
from gan_lib.runs.experiment import Experiment
from gan_lib.runs.record import METRICS_COLUMNS, load_weights, read_record
from gan_lib.runs.storage import checksum
from gan_lib.training.models import build_pair
from gan_lib.training.sampling import score


@pytest.fixture(scope="module", autouse=True)
def few_images() -> Iterator[None]:
    """200 images in each set: the numbers mean nothing then, and come at once."""
    with pytest.MonkeyPatch.context() as patch:
        for module in ("quality.measures", "runs.evaluation"):
            patch.setattr(f"gan_lib.{module}.IMAGES", 200)
        yield


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory, few_images: None) -> Experiment:
    """A finished run that was measured after each epoch. Only read it."""
    return train(tiny_config(evaluate_every=1), tmp_path_factory.mktemp("measured"))


def without_seconds(metrics: dict[str, list[float]]) -> dict[str, list[float]]:
    return {name: values for name, values in metrics.items() if not name.endswith("_seconds")}


@pytest.mark.parametrize("model", ["gan", "cgan"])
def test_measuring_leaves_training_bit_identical(
    tiny: MakeConfig, tmp_path: Path, finished_runs: dict[str, Experiment], model: str
) -> None:
    before = torch.get_rng_state()
    measured, plain = train(tiny(model=model, evaluate_every=1), tmp_path), finished_runs[model]
    assert torch.equal(torch.get_rng_state(), before)
    for name, network in measured.trainer.pair._asdict().items():
        weights = f"{name}.safetensors"
        assert (tmp_path / weights).read_bytes() == (plain.record.path / weights).read_bytes()
        assert network.training == getattr(plain.trainer.pair, name).training
    one, other = read_record(tmp_path), read_record(plain.record.path)
    assert without_seconds(one.history) == without_seconds(other.history)
    assert list(one.metrics["epoch"]) == [1, 2, 3]
    assert list(other.metrics["epoch"]) == []
    assert (other.summary["quality"], other.summary["quality_about"]) == (None, NOT_ASKED_FOR)


def test_the_record_holds_each_measurement_and_the_last_with_its_floor(tiny: MakeConfig, tmp_path: Path) -> None:
    experiment = train(tiny(evaluate_every=2), tmp_path)
    record = read_record(tmp_path)
    assert list(record.metrics) == [*METRICS_COLUMNS, *NAMES, "score_gap"]
    assert list(record.metrics["epoch"]) == [2, 3]  # every other one, and the last
    seconds = record.history["training_seconds"]
    assert list(record.metrics["training_seconds"]) == pytest.approx([sum(seconds[:2]), sum(seconds)])
    assert all(value > 0 for value in record.metrics["evaluation_seconds"])
    summary = record.summary
    assert summary["quality"] == {name: record.metrics[name][-1] for name in NAMES}
    again = Standard(experiment.images, experiment.evaluation._standard.classifier)  # type: ignore[union-attr]
    assert summary["quality"] == again.measure(experiment.evaluation.draw(experiment.trainer.pair.generator))
    assert summary["quality_floor"] == again.floor()
    assert summary["largest_class_share"] == max(
        value for name, value in summary["quality"].items() if "digit_" in name and name[-1].isdigit()
    )
    assert summary["quality_floor"]["frechet_distance"] < summary["quality"]["frechet_distance"]
    assert summary["quality_about"].startswith("the classifier of digits that comes with gan-lib")
    assert summary["quality_images"] == 200
    assert summary["quality_duplicates"] == 0
    assert summary["evaluation_seconds"] == pytest.approx(sum(record.metrics["evaluation_seconds"]))
    assert summary["metrics_sha256"] == checksum((tmp_path / "metrics.csv").read_bytes())


@pytest.mark.parametrize(
    ("training", "batch", "reason"),
    [(4, 4, "training_images must be more than 5 for quality"), (4950, 990, "held-out images must be at least 100")],
)
def test_too_few_images_to_measure_are_a_reason_and_no_failure(
    tiny: MakeConfig, tmp_path: Path, training: int, batch: int, reason: str
) -> None:
    train(tiny(training_images=training, batch_size=batch, epochs=1, evaluate_every=1), tmp_path)
    record = read_record(tmp_path)
    assert (record.status, record.summary["quality"], record.summary["quality_floor"]) == ("ok", None, None)
    assert record.summary["quality_about"].startswith(f"not measured: {reason}")
    assert not (tmp_path / "metrics.csv").exists()


def test_a_run_that_was_stopped_has_the_same_measurements(measured: Experiment, tmp_path: Path) -> None:
    config = measured.config.model_copy(update={"checkpoint_seconds": 0.0})
    train(config, tmp_path, stop_after=2)
    assert list(read_record(tmp_path).metrics["epoch"]) == [1, 2]
    (tmp_path / "summary.json").unlink()  # as after a crash, which leaves a torn line too
    with (tmp_path / "metrics.csv").open("a") as file:
        file.write("3,0.5")
    assert "metrics.csv: the last line was broken" in " ".join(read_record(tmp_path).notes)
    train(config, tmp_path)
    one, other = read_record(measured.record.path), read_record(tmp_path)
    assert without_seconds(one.metrics) == without_seconds(other.metrics)
    for name in ("quality", "quality_floor"):
        assert one.summary[name] == other.summary[name]
    assert list(other.metrics["training_seconds"]) == sorted(other.metrics["training_seconds"])


@pytest.mark.parametrize(("every", "measured"), [(4, [1, 2, 4]), (0, [1, 2])])
def test_a_run_may_be_resumed_with_another_interval_and_only_the_last_epoch_is_its_quality(
    tiny: MakeConfig, tmp_path: Path, every: int, measured: list[int]
) -> None:
    train(tiny(epochs=4, evaluate_every=1), tmp_path, stop_after=2)
    train(tiny(epochs=4, evaluate_every=every), tmp_path)
    record = read_record(tmp_path)
    assert list(record.metrics["epoch"]) == measured
    assert (record.summary["quality"] is not None) == (record.summary["quality_floor"] is not None) == bool(every)


def test_images_that_cannot_be_measured_end_no_run(tiny: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> dict[str, float]:
        raise RuntimeError("the matrix has no root")

    monkeypatch.setattr(Standard, "measure", refuse)
    train(tiny(evaluate_every=1), tmp_path)
    summary = read_record(tmp_path).summary
    assert (summary["status"], summary["quality"]) == ("ok", None)
    assert summary["quality_about"] == "not measured after epoch 1: RuntimeError: the matrix has no root"


def test_without_labels_only_what_needs_no_classifier_is_measured(tiny: MakeConfig) -> None:
    config = tiny(data="folder:/nowhere", evaluate_every=1)
    digits = load_images(tiny())
    unlabelled = Images(digits.train, None, digits.held_out, None, "")
    evaluation = Evaluation(config, unlabelled)
    line = evaluation.measure({"generator": build_pair(config).generator}, config.epochs, 0.5)
    assert line is not None
    assert list(measures(line)) == ["noise_level", "stray_pixels", "nearest_distance_ratio", "copies"]
    summary = evaluation.summary()
    assert summary["quality_floor"].keys() == measures(line).keys()
    assert "has no labels" in summary["quality_about"]


def test_images_too_large_to_be_measured_are_refused() -> None:
    large = torch.zeros(1, 3, 1024, 1024)
    with pytest.raises(DataError, match=r"at most 268,435,456 pixels in all .* choose fewer or smaller ones"):
        Standard(Images(large.expand(2, -1, -1, -1), None, large.expand(100, -1, -1, -1), None, ""), None)


def test_the_best_weights_are_chosen_on_one_half_and_reported_on_the_other(tiny: MakeConfig, tmp_path: Path) -> None:
    config = tiny(epochs=4, evaluate_every=1, keep="best", image_size=28)
    experiment = train(config, tmp_path)
    record = read_record(tmp_path)
    choice, reported = record.metrics["choice_distance"], record.metrics["frechet_distance"]
    kept = record.summary["kept_epoch"]
    assert choice[kept - 1] == min(choice)
    assert record.summary["quality"]["frechet_distance"] == pytest.approx(reported[kept - 1])
    assert choice != reported  # two halves
    weights = experiment.trainer.sampled.state_dict()
    again = build_pair(config).generator
    load_weights(again, tmp_path / "generator.safetensors")
    assert all(torch.equal(again.state_dict()[name], tensor) for name, tensor in weights.items())


def test_the_score_gap_is_that_of_training_and_held_out_images(measured: Experiment) -> None:
    images, discriminator = measured.images, measured.trainer.pair.discriminator
    by_hand = score(discriminator, images.train[:1000]).mean() - score(discriminator, images.held_out[:1000]).mean()
    assert read_record(measured.record.path).metrics["score_gap"][-1] == pytest.approx(by_hand.item(), abs=1e-5)


def test_a_run_with_classes_is_measured_by_whether_it_draws_what_was_asked_for(tmp_path: Path) -> None:
    changes = {"model": "small", "loss": "rpgan", "image_size": 16, "classes": 10, "epochs": 1, "evaluate_every": 1}
    record = train(tiny_config(**changes), tmp_path).summary
    names = ["class_accuracy", *ACCURACIES]
    assert [*record["quality"]] == [*NAMES, *names]
    assert record["quality"]["class_accuracy"] == pytest.approx(sum(record["quality"][name] for name in ACCURACIES) / 10)
    assert record["quality_floor"]["class_accuracy"] > 0.9  # real digits are of the class that their label says
