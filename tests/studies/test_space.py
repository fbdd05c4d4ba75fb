"""The space of a search: what may be in the file, and which run a trial stands for."""

import os
import shlex
from pathlib import Path
from typing import Any

import optuna
import pytest

from gan_lib.errors import ConfigurationError, RecordError
from gan_lib.presets import configure, parse_changes
from gan_lib.studies.space import command, example, lengthen, make_config, read_space, suggest


def a_trial(space: dict[str, Any], seed: int) -> dict[str, Any]:
    trial = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed)).ask()
    suggest(trial, space)
    return trial.params


def test_the_projects_own_space_makes_runs_of_every_model_and_loss() -> None:
    space = read_space()
    configs = [make_config(space, a_trial(space, seed)) for seed in range(60)]
    assert {config.model for config in configs} == {"gan", "cgan", "small"}
    assert {config.loss for config in configs} == set(space["loss"])
    for config in configs:
        assert (config.epochs, config.evaluate_every, config.keep, config.threads) == (10, 10, "best", 1)
        assert float(f"{config.learning_rate:.3g}") == config.learning_rate
        assert config.width == 24 or config.model == "small"  # where it has no use it keeps its default, and names no run


def test_a_command_makes_the_same_run_again() -> None:
    space = read_space()
    for seed in range(20):
        config = lengthen(make_config(space, a_trial(space, seed), seed=seed), 3)
        assert config.epochs == config.evaluate_every == 30
        program, run, name, preset, paper, seeds, number, *settings = shlex.split(command(config))
        assert (program, run, preset, paper, seeds) == ("gan-lib", "run", "--preset", "paper", "--seeds")
        changes = parse_changes([setting for setting in settings if setting != "--set"])
        again = configure(name, "paper", **changes, seed=int(number))
        assert again.model_copy(update={"sample_every": 30}) == config


def test_changes_fix_a_parameter_or_name_its_choices() -> None:
    space = read_space(changes=["epochs=3", "width=16,24", "model=small"])
    assert (space["epochs"], space["width"], space["model"]) == (3, [16, 24], "small")
    assert example(space).model == "small"


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("width = 8", ["leave something to choose"]),
        ("widht = [8, 16]", ["unknown parameter 'widht' in the space", "did you mean 'width'?"]),
        ("width = []", ["width in the space must have at least one value"]),
        ('model = ["gan", "small"]\nwidth = [8, 9999]', ["width must be at most 512", "got 9999"]),
        ("learning_rate = {low = 1e-4}", ["learning_rate in the space must be a range of low and high"]),
        ("learning_rate = {low = 1, high = 0.1}", ["learning_rate in the space must be a range"]),
        ("learning_rate = {low = 0.0, high = 0.1, log = true}", ["learning_rate in the space must be a range"]),
        ('learning_rate = {low = 1e-4, high = 0.1, log = "yes"}', ["learning_rate in the space must be a range", "'yes'"]),
        ('learning_rate = {low = "a", high = 0.1}', ["learning_rate in the space must be a range"]),
        ("learning_rate = {low = 0.1, high = 3.0}", ["learning_rate must be at most 1", "got 3.0"]),
        ('loss = ["bce", "lsgan"]', ["loss must be", "got 'lsgan'"]),
        ("data = 5\nwidth = [8, 9]", ["data must be", "got 5"]),
        ("seed = [0, 1]", ["seed is set by the search"]),
        ("width = [8", ["is no TOML file"]),
        ("\0", ["is no TOML file"]),
        ("width = " + "[" * 100_000, ["is no TOML file"]),
    ],
)
def test_a_mistake_in_the_file_is_named(text: str, parts: list[str], tmp_path: Path) -> None:
    (tmp_path / "space.toml").write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        read_space(tmp_path / "space.toml")
    assert "\n" not in str(caught.value)
    for part in parts:
        assert part in str(caught.value)


def test_a_file_that_is_not_there_or_a_pipe_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=r"/none\.toml does not exist"):
        read_space(tmp_path / "none.toml")
    os.mkfifo(tmp_path / "pipe.toml")  # which would never end
    with pytest.raises(RecordError, match="must be a regular file"):
        read_space(tmp_path / "pipe.toml")


def test_a_value_is_fine_where_some_run_of_the_space_takes_it(tmp_path: Path) -> None:
    (tmp_path / "space.toml").write_text('model = ["gan", "small"]\nwidth = [8, 16]\nclip = [0.01, 0.1]')  # no run uses clip
    space = read_space(tmp_path / "space.toml")
    assert make_config(space, {"model": "gan", "width": 16, "clip": 0.1}) == make_config(space, {"model": "gan"} | {"width": 8})
