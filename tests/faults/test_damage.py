"""Files torn and bits flipped at random: refused or recovered with one line, never a wrong result."""

import random
import shutil
from pathlib import Path

import pytest
from conftest import train

from faults.conftest import Count
from faults.training import results, short_run
from gan_lib.errors import RecordError
from gan_lib.runs.record import load_weights, read_record
from gan_lib.training.models import build_pair

CONFIG = short_run(epochs=6, sample_every=2, checkpoint_seconds=0.0)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A finished run, and one that was stopped half-way."""
    root = tmp_path_factory.mktemp("runs")
    train(CONFIG, root / "finished")
    train(CONFIG, root / "stopped", stop_after=3)
    return {"finished": root / "finished", "stopped": root / "stopped"}


def damage(path: Path, chance: random.Random) -> str:
    """Cut a file off, flip a bit, or swap two bytes."""
    content = bytearray(path.read_bytes())
    kind = chance.choice(["cut", "flip", "swap"])
    at, other = chance.randrange(len(content)), chance.randrange(len(content))
    if kind == "cut":
        content = content[:at]
    elif kind == "flip":
        content[at] ^= 1 << chance.randrange(8)
    else:
        content[at], content[other] = content[other], content[at]
    path.write_bytes(content)
    return f"{path.name}: {kind} at {at}"


def one_line(error: RecordError) -> bool:
    return bool(str(error)) and "\n" not in str(error)


@pytest.mark.usefixtures("no_hanging")
def test_a_damaged_checkpoint_config_or_history_of_a_stopped_run(
    tmp_path: Path, runs: dict[str, Path], chance: random.Random, count: Count
) -> None:
    expected = results(runs["finished"])
    names = ["checkpoint.safetensors", "checkpoint.previous.safetensors", "config.json", "history.csv", "summary.json"]
    refused = recovered = 0
    for number in range(count(10, 100)):
        folder = tmp_path / str(number)
        shutil.copytree(runs["stopped"], folder)
        done = [damage(folder / name, chance) for name in chance.sample(names, chance.choice([1, 1, 2]))]
        try:
            experiment = train(CONFIG, folder)
        except RecordError as error:
            assert one_line(error), (done, str(error))
            assert "config.json" in " ".join(done), "only a damaged config is beyond recovery"
            refused += 1
            continue
        assert results(folder) == expected, done
        assert all("\n" not in note for note in experiment.notes)
        recovered += 1
        shutil.rmtree(folder)
    print(f"stopped runs: {refused} refused, {recovered} recovered")
    assert recovered


def test_a_damaged_record_or_weights_file_of_a_finished_run(
    tmp_path: Path, runs: dict[str, Path], chance: random.Random, count: Count
) -> None:
    whole = read_record(runs["finished"])
    networks = build_pair(CONFIG)._asdict()
    names = ["config.json", "history.csv", "summary.json", "machine.json", "generator.safetensors", "discriminator.safetensors"]
    refused = harmless = 0
    for number in range(count(40, 100)):
        folder = tmp_path / str(number)
        shutil.copytree(runs["finished"], folder)
        name = chance.choice(names)
        done = damage(folder / name, chance)
        try:
            if name.endswith(".safetensors"):
                load_weights(networks[name.split(".")[0]], folder / name)
                assert (folder / name).read_bytes() == (runs["finished"] / name).read_bytes(), done
            else:
                record = read_record(folder)
                assert (record.config, record.history) == (whole.config, whole.history), done
                assert (record.summary, record.machine) == (whole.summary, whole.machine), done
            harmless += 1
        except RecordError as error:
            assert one_line(error), (done, str(error))
            refused += 1
        shutil.rmtree(folder)
    print(f"finished runs: {refused} refused, {harmless} unchanged in meaning")
    assert refused > harmless
