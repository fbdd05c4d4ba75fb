"""One config becomes one run folder, however it ends."""

import json
import signal
import statistics
from pathlib import Path

import pytest
import torch
from conftest import MakeConfig, WriteRun
from PIL import Image
from torch import Tensor

from gan_lib.config import RunConfig
from gan_lib.data import load_images
from gan_lib.errors import ConfigurationError, DataError, MachineUnavailable, RecordError, TrainingError
from gan_lib.pictures import grid
from gan_lib.presets import configure
from gan_lib.runs import experiment as experiment_module
from gan_lib.runs.experiment import Experiment
from gan_lib.runs.record import Record, load_weights, read_record
from gan_lib.runs.storage import pack, unpack
from gan_lib.training.models import build_pair
from gan_lib.training.sampling import fixed_latents, sample

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
    assert summary["total_seconds"] >= sum(seconds) + summary["startup_seconds"]
    assert not summary.keys() & {"balance", "quality_plateau", "cost_usd_on_named_instance"}  # judged in reporting


@pytest.mark.parametrize("loss", ["wgan", "wgan-gp"])
def test_a_wasserstein_run_records_scores_in_the_same_columns(loss: str, tiny: MakeConfig, tmp_path: Path) -> None:
    experiment = Experiment(tiny(loss=loss, critic_steps=2), tmp_path / "run")
    list(experiment)
    record = read_record(tmp_path / "run")
    assert record.status == "ok"
    assert [*experiment.history] == ["discriminator_loss", "generator_loss", "real_probability", "generated_probability"]
    assert experiment.history == {
        name: record.history[name] for name in experiment.history
    }  # scores, from which the estimate is


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
    assert (record.status, record.epochs_done) == ("failed", 1)
    assert record.reason == f"{caught.value}; there is no checkpoint yet"
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


def test_a_run_of_other_parameters_replaces_one_only_when_told_to(tiny: MakeConfig, tmp_path: Path) -> None:
    for _ in Experiment(tiny(epochs=1), tmp_path):
        pass
    with pytest.raises(RecordError, match="seed = 0 there, 1 here"):
        Experiment(tiny(epochs=1, seed=1), tmp_path)
    assert read_record(tmp_path).status == "ok"
    for _ in Experiment(tiny(epochs=1, seed=1), tmp_path, fresh=True):
        pass
    assert (read_record(tmp_path).config.seed, read_record(tmp_path).epochs_done) == (1, 1)


def same_results(one: Path, other: Path) -> None:
    """Histories, but for their seconds, weights and pictures of two runs are the same to the last bit."""
    first, second = read_record(one), read_record(other)
    assert (first.status, second.status) == ("ok", "ok")
    for column in LOSSES:
        assert first.history[column] == second.history[column], column
    for name in ("generator.safetensors", "discriminator.safetensors", "samples.png", "progress.gif"):
        assert (one / name).read_bytes() == (other / name).read_bytes(), name


@pytest.mark.parametrize("model", ["gan", "cgan"])
@pytest.mark.parametrize("precision", ["fp32", "auto"])
@pytest.mark.parametrize("seconds", [0.0, 30.0])  # a checkpoint after every batch, or only at the stop
def test_a_run_that_was_stopped_goes_on_to_the_same_last_bit(
    tiny: MakeConfig, tmp_path: Path, model: str, precision: str, seconds: float
) -> None:
    config = tiny(model=model, precision=precision, epochs=5, sample_every=2, checkpoint_seconds=seconds)
    for _ in Experiment(config, tmp_path / "undisturbed"):
        pass
    for stop_at in (2, 4):
        epochs = iter(Experiment(config, tmp_path / "stopped"))
        assert any(stats.epoch == stop_at for stats in epochs)
        epochs.close()  # type: ignore[attr-defined]  # as when the cell that shows the progress is interrupted
        assert read_record(tmp_path / "stopped").status == "interrupted"
    last = Experiment(config, tmp_path / "stopped")
    assert [stats.epoch for stats in last] == [5]
    same_results(tmp_path / "undisturbed", tmp_path / "stopped")
    assert [note.split(",")[0] for note in read_record(tmp_path / "stopped").notes] == [
        "resumed after epoch 2",
        "resumed after epoch 4",
    ]
    assert not list((tmp_path / "stopped").glob("*checkpoint*"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_in_the_middle_of_an_epoch_loses_nothing(tiny: MakeConfig, tmp_path: Path, number: int) -> None:
    config = tiny(epochs=3)
    for _ in Experiment(config, tmp_path / "undisturbed"):
        pass
    experiment = Experiment(config, tmp_path / "stopped")
    run, batches = experiment.trainer._run, 0

    def signal_at_the_fifth_batch(batch: Tensor, place: int) -> Tensor:
        nonlocal batches
        batches += 1
        if batches == 5:
            signal.raise_signal(number)
        return run(batch, place)

    experiment.trainer._run = signal_at_the_fifth_batch
    with pytest.raises(KeyboardInterrupt if number == signal.SIGINT else SystemExit):
        for _ in experiment:
            pass
    assert batches == 5, "it stops at the end of the batch that it is in"
    assert (read_record(tmp_path / "stopped").status, read_record(tmp_path / "stopped").epochs_done) == ("interrupted", 1)
    again = Experiment(config, tmp_path / "stopped")
    assert "resumed after epoch 1 and 2 batches, " in again.notes[0]
    assert [stats.epoch for stats in again] == [2, 3]
    same_results(tmp_path / "undisturbed", tmp_path / "stopped")


def test_a_finished_run_is_shown_and_not_trained_again(finished: Experiment) -> None:
    before = {path.name: path.read_bytes() for path in finished.record.path.iterdir()}
    again = Experiment(finished.config, finished.record.path)
    assert list(again) == []
    assert again.summary == read_record(finished.record.path).summary
    assert again.history == finished.history
    assert torch.equal(again.samples(), finished.samples())
    assert {path.name: path.read_bytes() for path in finished.record.path.iterdir()} == before


def stopped_run(config: RunConfig, folder: Path) -> None:
    """A run with two whole checkpoints, stopped in its second epoch's end."""
    epochs = iter(Experiment(config, folder))
    assert any(stats.epoch == 2 for stats in epochs)
    epochs.close()  # type: ignore[attr-defined]


def test_a_torn_checkpoint_falls_back_to_the_one_before_and_two_to_the_beginning(tiny: MakeConfig, tmp_path: Path) -> None:
    config = tiny(checkpoint_seconds=0.0)
    for _ in Experiment(config, tmp_path / "undisturbed"):
        pass
    for torn in (["checkpoint.safetensors"], ["checkpoint.safetensors", "checkpoint.previous.safetensors"]):
        folder = tmp_path / str(len(torn))
        stopped_run(config, folder)
        for name in torn:
            (folder / name).write_bytes((folder / name).read_bytes()[:-1000])
        experiment = Experiment(config, folder)
        for name, note in zip(torn, experiment.notes, strict=False):
            assert note.startswith(f"{folder / name} ")
            assert note.endswith("; left out")
        if len(torn) == 2:
            assert experiment.notes[2] == "no checkpoint was whole: started again from the first epoch"
        else:
            assert (
                "resumed after epoch 1 and 2 batches" in experiment.notes[1] or "resumed after epoch 2" in experiment.notes[1]
            )
        for _ in experiment:
            pass
        same_results(tmp_path / "undisturbed", folder)
        assert read_record(folder).notes == experiment.notes


@pytest.mark.parametrize("field", ["precision", "data_sha256"])
def test_a_checkpoint_of_another_machine_or_other_images_is_refused_and_kept(
    tiny: MakeConfig, tmp_path: Path, field: str
) -> None:
    config = tiny()
    stopped_run(config, tmp_path)
    tensors, facts = unpack(tmp_path / "checkpoint.safetensors")
    (tmp_path / "checkpoint.safetensors").write_bytes(
        pack(tensors, {**facts, "machine": {**facts["machine"], field: "another"}})
    )
    with pytest.raises(RecordError, match=f"cannot be resumed here: {field} was another, here it is"):
        Experiment(config, tmp_path)
    assert (read_record(tmp_path).status, read_record(tmp_path).epochs_done) == ("failed", 2)
    assert (tmp_path / "checkpoint.safetensors").exists()


def test_a_failed_runs_last_good_checkpoint_is_named_and_good(tiny: MakeConfig, tmp_path: Path) -> None:
    config = tiny(checkpoint_seconds=0.0)
    experiment = Experiment(config, tmp_path)
    with pytest.raises(TrainingError):
        for stats in experiment:
            if stats.epoch == 2:
                with torch.no_grad():
                    for network in (experiment.trainer.pair.generator, experiment.trainer.generator.working):
                        next(network.parameters()).fill_(float("nan"))
    assert "epoch 3, batch 1 of 3; the last good checkpoint is after epoch 2" in str(read_record(tmp_path).reason)
    assert [stats.epoch for stats in Experiment(config, tmp_path)] == [3]


def test_a_collapsed_generator_stops_the_run(tiny: MakeConfig, tmp_path: Path) -> None:
    experiment = Experiment(tiny(), tmp_path)
    with torch.no_grad():
        for network in (experiment.trainer.pair.generator, experiment.trainer.generator.working):
            for parameter in network.parameters():
                parameter.zero_()
    with pytest.raises(TrainingError, match=r"the generator has collapsed: all its images are equal: epoch 1, batch 1 of 3"):
        for _ in experiment:
            pass


def test_a_run_of_two_machines_names_both_and_from_which_epoch_on(
    tiny: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped_run(tiny(), tmp_path)
    first = read_record(tmp_path).machine
    assert [stretch["first_epoch"] for stretch in first["stretches"]] == [1]
    here = experiment_module.fingerprint
    monkeypatch.setattr(experiment_module, "fingerprint", lambda device: {**here(device), "label": "Another CPU", "threads": 7})
    list(Experiment(tiny(), tmp_path))
    machine = read_record(tmp_path).machine
    assert [(each["first_epoch"], each["label"]) for each in machine["stretches"]] == [(1, first["label"]), (3, "Another CPU")]
    assert machine["label"] == f"{first['label']} then Another CPU"
    assert (machine["started"], machine["threads"]) == (first["started"], first["threads"]), "the first one's facts on top"


def test_an_animation_has_at_most_120_frames_however_long_the_run(tiny: MakeConfig, tmp_path: Path) -> None:
    experiment = Experiment(tiny(epochs=300, training_images=24), tmp_path)
    list(experiment)
    assert 90 < len(experiment._frames) <= 120
    with Image.open(tmp_path / "progress.gif") as animation:
        assert animation.n_frames <= 120  # type: ignore[attr-defined]


def test_losses_that_left_all_bounds_and_a_single_class_are_noted() -> None:
    calm = {"discriminator_loss": 0.6, "generator_loss": -999.0}
    assert experiment_module._warnings(calm, None) == experiment_module._warnings(calm, 0.3) == []
    (diverged,) = experiment_module._warnings({**calm, "generator_loss": -2e5}, 0.3)
    assert "generator_loss was -2e+05" in diverged
    (collapsed,) = experiment_module._warnings(calm, 0.75)
    assert "75%" in collapsed


def test_what_checkpoints_cost_is_in_the_record(tiny: MakeConfig, tmp_path: Path) -> None:
    for _ in Experiment(tiny(checkpoint_seconds=0.0), tmp_path):
        pass
    summary = read_record(tmp_path).summary
    assert summary["checkpoints"] == 9  # three epochs of three batches
    assert 0 < summary["checkpoint_write_seconds"] < summary["total_seconds"]


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
    assert stored["schema_version"] == 2
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
