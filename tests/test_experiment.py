"""experiment.py: one config becomes one run folder, however it ends."""

import json
import statistics
from pathlib import Path

import pytest
import torch
from conftest import MakeConfig, WriteRun
from PIL import Image

from gan_lib import paper
from gan_lib.balance import find_balance
from gan_lib.config import RunConfig, configure
from gan_lib.data import load_images
from gan_lib.errors import ConfigurationError, DataError, MachineUnavailable, TrainingError
from gan_lib.experiment import Experiment
from gan_lib.images import grid
from gan_lib.models import build_pair
from gan_lib.record import Record, load_weights, read_record
from gan_lib.training import fixed_latents, sample

LOSSES = ("discriminator_loss", "generator_loss", "real_probability", "generated_probability")


@pytest.fixture
def record(finished: Experiment) -> Record:
    return read_record(finished.record.path)


def test_a_finished_run_leaves_its_whole_record_and_nothing_temporary(finished: Experiment) -> None:
    assert {path.name for path in finished.record.path.iterdir()} == {
        "config.json", "machine.json", "history.csv", "summary.json", "samples.png", "progress.gif",
        "generator.safetensors", "discriminator.safetensors",
    }  # fmt: skip


def test_the_record_reads_back_as_an_ok_run_of_this_config(finished: Experiment, record: Record) -> None:
    assert (record.status, record.reason, record.notes) == ("ok", None, [])
    assert record.config == finished.config
    assert record.history["epoch"] == [1, 2, 3]
    assert record.machine["data_sha256"] == load_images(finished.config).checksum
    assert record.machine["threads"] == 1
    assert record.machine["started"] <= str(record.summary["finished"])


def test_the_summarys_numbers_follow_from_the_history(record: Record) -> None:
    seconds = record.history["training_seconds"]
    summary = record.summary
    assert summary["epochs"] == 3
    assert summary["training_seconds"] == pytest.approx(sum(seconds), rel=1e-9)
    assert summary["seconds_per_epoch"] == pytest.approx(statistics.median(seconds[1:]), rel=1e-9)  # the first warms up
    assert summary["discriminator_loss"] == record.history["discriminator_loss"][-1]
    assert summary["generator_loss"] == record.history["generator_loss"][-1]
    price = paper.INSTANCES["cpu"].usd_per_hour
    assert summary["cost_usd_on_named_instance"] == pytest.approx(sum(seconds) / 3600 * price, rel=1e-9)
    assert summary["total_seconds"] >= sum(seconds) + summary["startup_seconds"]
    expected = find_balance(record.history["discriminator_loss"], record.history["generator_loss"])
    assert summary["balance"] == expected._asdict()


def test_the_summary_says_how_large_the_model_is(finished: Experiment, record: Record) -> None:
    parameters = sum(p.numel() for network in finished.trainer.pair for p in network.parameters())
    assert record.summary["parameters"] == parameters
    files = [(record.path / f"{name}.safetensors").stat().st_size for name in ("generator", "discriminator")]
    assert record.summary["weights_bytes"] == sum(files)
    assert record.summary["model_megabytes"] * 2**20 == pytest.approx(sum(files), rel=0.01)


def test_the_saved_weights_are_the_trained_ones(finished: Experiment, record: Record) -> None:
    pair = build_pair(record.config)
    for name, network in pair._asdict().items():
        untrained = {key: tensor.clone() for key, tensor in network.state_dict().items()}
        load_weights(network, record.path / f"{name}.safetensors")
        trained = getattr(finished.trainer.pair, name).state_dict()
        assert all(torch.equal(tensor, trained[key]) for key, tensor in network.state_dict().items())
        assert not any(torch.equal(tensor, untrained[key]) for key, tensor in network.named_parameters())


def test_the_saved_picture_is_nine_images_of_the_trained_generator(finished: Experiment, record: Record) -> None:
    images = sample(finished.trainer.pair.generator, fixed_latents(record.config, 9))
    assert torch.equal(finished.samples(), images)
    expected = grid(images)
    with Image.open(record.path / "samples.png") as picture:
        assert picture.size == (expected.width * 3, expected.height * 3)
        shrunk = picture.convert("L").resize(expected.size, Image.Resampling.NEAREST)
        assert list(shrunk.tobytes()) == list(expected.tobytes())
    with Image.open(record.path / "progress.gif") as animation:
        assert animation.size == (expected.width * 3, expected.height * 3)
        assert animation.n_frames == 3  # type: ignore[attr-defined]


def test_two_runs_of_one_seed_have_the_same_losses_to_the_last_digit(
    tiny: MakeConfig, tmp_path: Path, finished_runs: dict[str, Experiment]
) -> None:
    again = Experiment(tiny(), tmp_path / "again")
    for _ in again:
        pass
    one, other = read_record(finished_runs["gan"].record.path), read_record(tmp_path / "again")
    for column in LOSSES:
        assert one.history[column] == other.history[column]


def test_each_epoch_is_on_disk_before_it_is_seen(tiny: MakeConfig, tmp_path: Path) -> None:
    experiment = Experiment(tiny(), tmp_path)
    assert read_record(tmp_path).status == "running"
    for stats in experiment:
        record = read_record(tmp_path)
        assert record.epochs_done == stats.epoch
        assert record.history["generator_loss"][-1] == stats.generator_loss
    assert read_record(tmp_path).status == "ok"


def test_how_often_samples_are_drawn_changes_the_animation_and_not_the_training(
    tiny: MakeConfig, tmp_path: Path, finished_runs: dict[str, Experiment]
) -> None:
    for _ in Experiment(tiny(sample_every=3), tmp_path):
        pass
    often, seldom = read_record(finished_runs["gan"].record.path), read_record(tmp_path)
    assert often.history["generator_loss"] == seldom.history["generator_loss"]
    with Image.open(tmp_path / "progress.gif") as animation:
        assert animation.n_frames == 2  # type: ignore[attr-defined]  # the first epoch and the last


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA GPU")
@pytest.mark.parametrize("model", ["gan", "cgan"])
def test_a_gpu_configuration_without_a_gpu_is_unavailable_and_nothing_is_trained(
    tiny: MakeConfig, tmp_path: Path, model: str
) -> None:
    with pytest.raises(MachineUnavailable, match="needs a CUDA GPU") as caught:
        Experiment(tiny(model=model, machine="gpu"), tmp_path)
    record = read_record(tmp_path)
    assert (record.status, record.reason, record.epochs_done) == ("unavailable", str(caught.value), 0)
    assert {path.name for path in tmp_path.iterdir()} == {"config.json", "summary.json"}


def test_ctrl_c_leaves_an_interrupted_run_with_its_past(tiny: MakeConfig, tmp_path: Path) -> None:
    experiment = Experiment(tiny(), tmp_path)
    with pytest.raises(KeyboardInterrupt):
        for stats in (epochs := iter(experiment)):
            if stats.epoch == 2:
                epochs.throw(KeyboardInterrupt())  # type: ignore[attr-defined]  # as if it came while training
    record = read_record(tmp_path)
    assert (record.status, record.epochs_done, record.summary["epochs"]) == ("interrupted", 2, 2)
    assert not (tmp_path / "generator.safetensors").exists()


def test_ctrl_c_in_the_loop_that_watches_counts_too(tiny: MakeConfig, tmp_path: Path) -> None:
    def watch() -> None:
        for _ in Experiment(tiny(), tmp_path):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        watch()
    assert (read_record(tmp_path).status, read_record(tmp_path).epochs_done) == ("interrupted", 1)


def test_a_run_that_fails_says_why_and_keeps_its_past(tiny: MakeConfig, tmp_path: Path) -> None:
    experiment = Experiment(tiny(), tmp_path)
    with pytest.raises(TrainingError) as caught:
        for _ in experiment:
            for network in (experiment.trainer.pair.generator, experiment.trainer.generator.working):
                with torch.no_grad():
                    next(network.parameters()).fill_(float("nan"))
    record = read_record(tmp_path)
    assert (record.status, record.reason, record.epochs_done) == ("failed", str(caught.value), 1)
    assert "epoch 2, batch 1 of 3" in str(record.reason)


@pytest.mark.parametrize(
    ("config", "error"),
    [
        (RunConfig(data="folder:/nonexistent/photos"), DataError),
        (RunConfig(training_images=5002), ConfigurationError),
    ],
)
def test_a_run_whose_data_is_missing_records_it(tmp_path: Path, config: RunConfig, error: type[Exception]) -> None:
    with pytest.raises(error) as caught:
        Experiment(config, tmp_path)
    assert (read_record(tmp_path).status, read_record(tmp_path).reason) == ("failed", str(caught.value))


def test_a_second_run_into_a_folder_replaces_the_first(tiny: MakeConfig, tmp_path: Path) -> None:
    for seed in (0, 1):
        for _ in Experiment(tiny(epochs=1, seed=seed), tmp_path):
            pass
    record = read_record(tmp_path)
    assert (record.config.seed, record.epochs_done) == (1, 1)


def test_progress_is_one_line_with_the_losses_the_speed_and_the_time_left(tiny: MakeConfig, tmp_path: Path) -> None:
    experiment = Experiment(tiny(), tmp_path)
    stats = next(iter(experiment))
    line = experiment.progress(stats)
    assert line.startswith("epoch 1/3 · ")
    assert f"D {stats.discriminator_loss:.3f} · G {stats.generator_loss:.3f}" in line
    assert line.endswith(" left")
    assert "\n" not in line


def test_machine_json_is_plain_json_with_a_schema(finished: Experiment) -> None:
    stored = json.loads((finished.record.path / "machine.json").read_text())
    assert stored["schema_version"] == 1
    assert stored["label"]
    assert stored["packages"]["torch"]


def test_a_finished_run_stays_when_this_machine_could_not_make_it_again(write_run: WriteRun) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    folder = write_run("gan-gpu", label="Somebody's GPU")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(MachineUnavailable):
        Experiment(configure("gan-gpu"), folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
