"""One config becomes one run folder, however it ends."""

import shutil
import signal
import statistics
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import MakeConfig, WriteRun, tiny_config, train
from PIL import Image
from torch import Tensor

from gan_lib.config import RunConfig
from gan_lib.data import load_images
from gan_lib.errors import ConfigurationError, DataError, MachineUnavailable, RecordError, TrainingError
from gan_lib.pictures import grid
from gan_lib.presets import configure
from gan_lib.runs import checkpoint
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


def test_a_finished_run_leaves_its_whole_record_and_nothing_temporary(finished: Experiment, record: Record) -> None:
    assert {path.name for path in record.path.iterdir()} == {
        "config.json", "machine.json", "history.csv", "summary.json", "samples.png", "progress.gif",
        "generator.safetensors", "discriminator.safetensors",
    }  # fmt: skip
    assert (record.status, record.reason, record.notes) == ("ok", None, [])
    assert record.config == finished.config
    assert list(record.history["epoch"]) == [1, 2, 3]
    assert record.machine["data_sha256"] == load_images(finished.config).checksum
    assert record.machine["threads"] == 1
    assert record.machine["started"] <= str(record.summary["finished"])


def test_the_summarys_numbers_follow_from_the_history_and_the_networks(finished: Experiment, record: Record) -> None:
    seconds, summary = record.history["training_seconds"], record.summary
    assert summary["epochs"] == 3
    assert summary["training_seconds"] == pytest.approx(sum(seconds), rel=1e-9)
    assert summary["seconds_per_epoch"] == pytest.approx(statistics.median(seconds[1:]), rel=1e-9)  # the first warms up
    assert summary["discriminator_loss"] == record.history["discriminator_loss"][-1]
    assert summary["generator_loss"] == record.history["generator_loss"][-1]
    assert summary["total_seconds"] >= sum(seconds) + summary["startup_seconds"]
    assert not summary.keys() & {"balance", "quality_plateau", "cost_usd_on_named_instance"}  # judged in reporting
    assert summary["parameters"] == sum(p.numel() for network in finished.trainer.pair for p in network.parameters())
    files = [(record.path / f"{name}.safetensors").stat().st_size for name in ("generator", "discriminator")]
    assert summary["weights_bytes"] == sum(files)
    assert summary["model_megabytes"] * 2**20 == pytest.approx(sum(files), rel=0.01)


@pytest.mark.parametrize("loss", ["wgan", "wgan-gp"])
def test_a_wasserstein_run_records_scores_in_the_same_columns(loss: str, tiny: MakeConfig, tmp_path: Path) -> None:
    experiment = train(tiny(loss=loss, critic_steps=2), tmp_path)
    record = read_record(tmp_path)
    assert record.status == "ok"
    assert experiment.history == {name: list(record.history[name]) for name in LOSSES}


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


def test_the_same_seed_gives_the_same_losses_however_often_samples_are_drawn(
    tiny: MakeConfig, tmp_path: Path, finished_runs: dict[str, Experiment]
) -> None:
    seldom = train(tiny(sample_every=3), tmp_path)
    assert seldom.history == finished_runs["gan"].history
    with Image.open(tmp_path / "progress.gif") as animation:
        assert animation.n_frames == 2  # type: ignore[attr-defined]  # the first epoch and the last


def test_each_epoch_is_on_disk_before_it_is_seen(tiny: MakeConfig, tmp_path: Path) -> None:
    experiment = Experiment(tiny(), tmp_path)
    assert read_record(tmp_path).status == "running"
    for stats in experiment:
        record = read_record(tmp_path)
        assert record.epochs_done == stats.epoch
        assert record.history["generator_loss"][-1] == stats.generator_loss
    assert read_record(tmp_path).status == "ok"


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA GPU")
def test_a_gpu_configuration_without_a_gpu_is_unavailable_and_nothing_is_trained(tiny: MakeConfig, tmp_path: Path) -> None:
    with pytest.raises(MachineUnavailable, match="needs a CUDA GPU") as caught:
        Experiment(tiny(machine="gpu"), tmp_path)
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


def fill(experiment: Experiment, value: float) -> None:
    """Set every weight of the generator to one value."""
    with torch.no_grad():
        for network in (experiment.trainer.pair.generator, experiment.trainer.generator.working):
            for parameter in network.parameters():
                parameter.fill_(value)


@pytest.mark.parametrize(
    ("seconds", "saved", "rest"),
    [(30.0, "there is no checkpoint yet", [1, 2, 3]), (0.0, "the last good checkpoint is after epoch 1", [2, 3])],
)
def test_a_failed_run_says_why_and_is_resumed_from_its_last_good_checkpoint(
    tiny: MakeConfig, tmp_path: Path, seconds: float, saved: str, rest: list[int]
) -> None:
    config = tiny(checkpoint_seconds=seconds)
    experiment = Experiment(config, tmp_path)
    with pytest.raises(TrainingError) as caught:
        for _ in experiment:
            fill(experiment, float("nan"))
    record = read_record(tmp_path)
    assert (record.status, record.epochs_done) == ("failed", 1)
    assert record.reason == f"{caught.value}; {saved}"
    assert "epoch 2, batch 1 of 3" in str(record.reason)
    assert [stats.epoch for stats in Experiment(config, tmp_path)] == rest


def test_a_collapsed_generator_stops_the_run(tiny: MakeConfig, tmp_path: Path) -> None:
    experiment = Experiment(tiny(), tmp_path)
    fill(experiment, 0.0)
    with pytest.raises(TrainingError, match=r"the generator has collapsed: all its images are equal: epoch 1, batch 1 of 3"):
        list(experiment)


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
    train(tiny(epochs=1), tmp_path)
    with pytest.raises(RecordError, match="seed = 0 there, 1 here"):
        Experiment(tiny(epochs=1, seed=1), tmp_path)
    assert read_record(tmp_path).status == "ok"
    train(tiny(epochs=1, seed=1), tmp_path, fresh=True)
    assert (read_record(tmp_path).config.seed, read_record(tmp_path).epochs_done) == (1, 1)


def same_results(one: Path, other: Path) -> None:
    """Histories, but for their seconds, weights and pictures of two runs are the same to the last bit."""
    first, second = read_record(one), read_record(other)
    assert (first.status, second.status) == ("ok", "ok")
    for column in LOSSES:
        assert first.history[column] == second.history[column], column
    for name in ("generator.safetensors", "discriminator.safetensors", "samples.png", "progress.gif"):
        assert (one / name).read_bytes() == (other / name).read_bytes(), name


@pytest.mark.parametrize(
    ("changes", "checkpoints"),
    [
        ({"model": "gan", "checkpoint_seconds": 0.0}, 11),  # one after each of nine batches, and one at each stop
        ({"model": "cgan", "precision": "fp32"}, 2),  # at the stops alone
        ({"model": "cgan", "precision": "auto", "checkpoint_seconds": 0.0}, 11),
    ],
)
def test_a_run_that_was_stopped_is_resumed_to_the_same_last_bit(
    tiny: MakeConfig, tmp_path: Path, changes: dict[str, Any], checkpoints: int
) -> None:
    config = tiny(**changes)
    train(config.model_copy(update={"checkpoint_seconds": 30.0}), tmp_path / "undisturbed")
    for epoch in (1, 2):
        train(config, tmp_path / "stopped", stop_after=epoch)
        assert read_record(tmp_path / "stopped").status == "interrupted"
    assert [stats.epoch for stats in Experiment(config, tmp_path / "stopped")] == [3]
    same_results(tmp_path / "undisturbed", tmp_path / "stopped")
    record = read_record(tmp_path / "stopped")
    assert [note.split(",")[0] for note in record.notes] == ["resumed after epoch 1", "resumed after epoch 2"]
    assert record.summary["checkpoints"] == checkpoints
    write_seconds = record.summary["checkpoint_write_seconds"]  # but for the two resumed from: none can hold its own
    assert (write_seconds > 0) == (checkpoints > 2)
    assert write_seconds < record.summary["total_seconds"]
    assert not list((tmp_path / "stopped").glob("*checkpoint*"))


@pytest.mark.parametrize(("cores", "given", "resumed_with"), [(2, "", 2), (1, "", 1), (2, "1", 1)])
def test_a_run_resumes_with_the_threads_that_it_had(
    tiny: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cores: int, given: str, resumed_with: int
) -> None:
    threads = torch.get_num_threads()
    monkeypatch.delenv("GAN_LIB_THREADS")
    monkeypatch.setattr(experiment_module, "fastest_threads", lambda others: 2)
    train(tiny(threads=0), tmp_path, stop_after=1)
    monkeypatch.setattr(experiment_module, "fastest_threads", lambda others: 1)  # busy by now
    monkeypatch.setattr(experiment_module, "physical_cores", lambda: cores)
    if given:
        monkeypatch.setenv("GAN_LIB_THREADS", given)
    try:
        again = Experiment(tiny(threads=0), tmp_path)
        assert torch.get_num_threads() == resumed_with
        assert [stretch["threads"] for stretch in again.machine["stretches"]] == [2, resumed_with]
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_in_the_middle_of_an_epoch_loses_nothing(
    tmp_path: Path, finished_runs: dict[str, Experiment], number: int
) -> None:
    config = finished_runs["gan"].config
    experiment = Experiment(config, tmp_path)
    run, batches = experiment.trainer._run, 0

    def signal_at_the_fifth_batch(batch: Tensor, place: int) -> Tensor:
        nonlocal batches
        batches += 1
        if batches == 5:
            signal.raise_signal(number)
        return run(batch, place)

    experiment.trainer._run = signal_at_the_fifth_batch
    with pytest.raises(KeyboardInterrupt if number == signal.SIGINT else SystemExit):
        list(experiment)
    assert batches == 5, "it stops at the end of the batch that it is in"
    assert (read_record(tmp_path).status, read_record(tmp_path).epochs_done) == ("interrupted", 1)
    again = Experiment(config, tmp_path)
    assert "resumed after epoch 1 and 2 batches, " in again.notes[0]
    assert [stats.epoch for stats in again] == [2, 3]
    same_results(finished_runs["gan"].record.path, tmp_path)


def test_a_finished_run_is_shown_and_not_trained_again(finished: Experiment) -> None:
    before = {path.name: path.read_bytes() for path in finished.record.path.iterdir()}
    again = Experiment(finished.config, finished.record.path)
    assert list(again) == []
    assert again.summary == read_record(finished.record.path).summary
    assert again.history == finished.history
    assert torch.equal(again.samples(), finished.samples())
    assert {path.name: path.read_bytes() for path in finished.record.path.iterdir()} == before


@pytest.fixture(scope="module")
def stopped_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with two whole checkpoints, stopped at the end of its second epoch. Only copy it."""
    return train(tiny_config(checkpoint_seconds=0.0), tmp_path_factory.mktemp("stopped"), stop_after=2).record.path


@pytest.fixture
def stopped(stopped_run: Path, tmp_path: Path) -> Path:
    """A copy of that run."""
    return Path(shutil.copytree(stopped_run, tmp_path / "stopped"))


@pytest.mark.parametrize("torn", [checkpoint.NAMES[:1], checkpoint.NAMES])
def test_a_torn_checkpoint_falls_back_to_the_one_before_and_two_to_the_beginning(
    stopped: Path, finished_runs: dict[str, Experiment], torn: tuple[str, ...]
) -> None:
    for name in torn:
        (stopped / name).write_bytes((stopped / name).read_bytes()[:-1000])
    experiment = train(tiny_config(), stopped)
    *left_out, restart = experiment.notes
    assert [note.split(" ")[0] for note in left_out] == [str(stopped / name) for name in torn]
    assert restart.startswith("resumed after epoch 2" if len(torn) == 1 else "no checkpoint was whole")
    same_results(finished_runs["gan"].record.path, stopped)
    assert read_record(stopped).notes == experiment.notes


@pytest.mark.parametrize("field", ["precision", "data_sha256"])
def test_a_checkpoint_of_another_machine_or_other_images_is_refused_and_kept(stopped: Path, field: str) -> None:
    path = stopped / checkpoint.NEWEST
    tensors, facts = unpack(path)
    path.write_bytes(pack(tensors, {**facts, "machine": {**facts["machine"], field: "another"}}))
    with pytest.raises(RecordError, match=f"cannot be resumed here: {field} was another, here it is"):
        Experiment(tiny_config(), stopped)
    assert (read_record(stopped).status, read_record(stopped).epochs_done) == ("failed", 2)
    assert path.exists()


def test_a_run_of_two_machines_names_both_and_from_which_epoch_on(stopped: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = read_record(stopped).machine
    assert [stretch["first_epoch"] for stretch in first["stretches"]] == [1]
    here = experiment_module.fingerprint
    monkeypatch.setattr(experiment_module, "fingerprint", lambda device: {**here(device), "label": "Another CPU", "threads": 7})
    train(tiny_config(), stopped)
    machine = read_record(stopped).machine
    assert [(each["first_epoch"], each["label"]) for each in machine["stretches"]] == [(1, first["label"]), (3, "Another CPU")]
    assert machine["label"] == f"{first['label']} then Another CPU"
    assert (machine["started"], machine["threads"]) == (first["started"], first["threads"]), "the first one's facts on top"


def test_an_animation_has_a_bounded_number_of_frames_however_long_the_run(
    tiny: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint, "MAX_FRAMES", 7)
    train(tiny(epochs=20, training_images=24), tmp_path)
    with Image.open(tmp_path / "progress.gif") as animation:
        assert animation.n_frames == 6  # type: ignore[attr-defined]  # epochs 1, 4, 8, 12, 16 and 20


def test_losses_that_left_all_bounds_and_a_single_class_are_noted() -> None:
    calm = {"discriminator_loss": 0.6, "generator_loss": -999.0}
    assert experiment_module.warnings(calm, None) == experiment_module.warnings(calm, 0.3) == []
    (diverged,) = experiment_module.warnings({**calm, "generator_loss": -2e5}, 0.3)
    assert "generator_loss was -2e+05" in diverged
    (collapsed,) = experiment_module.warnings(calm, 0.75)
    assert experiment_module.warnings(calm, None, 0.11) == []
    assert "7.7% as much" in experiment_module.warnings(calm, None, 0.077)[0]
    assert "75%" in collapsed


@pytest.mark.parametrize(
    ("others", "end"), [(None, " left"), (0.19, " left"), (0.35, " left · other programs take 35% of the CPU")]
)
def test_progress_is_one_line_with_the_losses_the_speed_and_the_time_left(
    tiny: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, others: float | None, end: str
) -> None:
    monkeypatch.setattr(experiment_module.Neighbours, "share", lambda self: others)
    experiment = Experiment(tiny(), tmp_path)
    stats = next(iter(experiment))
    line = experiment.progress(stats)
    assert line.startswith("epoch 1/3 · ")
    assert f"D {stats.discriminator_loss:.3f} · G {stats.generator_loss:.3f}" in line
    assert line.endswith(end)
    assert "\n" not in line


def test_a_finished_run_stays_when_this_machine_could_not_make_it_again(write_run: WriteRun) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    folder = write_run("gan-gpu", label="Somebody's GPU")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(MachineUnavailable):
        Experiment(configure("gan-gpu"), folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_record_names_some_of_many_broken_images_and_stays_small(tmp_path: Path) -> None:
    for number in range(72):
        Image.new("L", (8, 8), number).save(tmp_path / f"{number}.png")
    for number in range(600):
        (tmp_path / f"broken-{number}.png").touch()
    config = tiny_config(data=f"folder:{tmp_path}", training_images=64, skip_broken=600)
    named = Experiment(config, tmp_path / "run").machine["images"]["skipped"]
    assert (len(named), named[-1]) == (501, "and 100 more")
