"""The search space, a TOML file: read and check it, and turn a trial into a run and a command."""

import contextlib
import itertools
import shlex
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from optuna.trial import BaseTrial, FixedTrial

from gan_lib.config import RunConfig, differences, unused
from gan_lib.errors import ConfigurationError
from gan_lib.presets import configure, parse_sweep
from gan_lib.registry import LOSSES, MODELS, implied
from gan_lib.runs.storage import read_bytes
from gan_lib.text import first_line, nearest, shorten

SPACE = Path(__file__).with_suffix(".toml")
_OWN = ("seed", "keep", "evaluate_every", "sample_every")  # what a search sets itself

Space = dict[str, Any]  # by parameter: a list of choices, a range (low, high, log, step), or the value of every trial


def read_space(path: Path = SPACE, changes: Sequence[str] = ()) -> Space:
    """Read the space in a file and change it by NAME=VALUE or NAME=A,B,C (choices). Raises ConfigurationError, or RecordError
    for a file that cannot be read."""
    try:
        space = tomllib.loads(read_bytes(path).decode())
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"space {path} is no TOML file: {first_line(error)}") from error
    for change in changes:
        several = parse_sweep([change])
        (name,) = several[0]
        space[name] = [values[name] for values in several] if len(several) > 1 else several[0][name]
    check_space(space)
    return space


def check_space(space: Space) -> None:
    """Raise ConfigurationError for the first parameter with values that no run accepts, and for a space without choices."""
    for name, entry in space.items():
        if name in _OWN:
            raise ConfigurationError(f"{name} is set by the search: leave it out of the space")
        if name not in RunConfig.model_fields:
            raise ConfigurationError(f"unknown parameter {shorten(name)} in the space{nearest(name, RunConfig.model_fields)}")
        if isinstance(entry, dict):
            _check_range(name, entry)
        if entry == []:
            raise ConfigurationError(f"{name} in the space must have at least one value, got []")
    if not any(isinstance(entry, (list, dict)) for entry in space.values()):
        raise ConfigurationError("a space must leave something to choose: a list of values, or a range with low and high")
    for name in space:
        for value in _ends(space[name]):
            _check_value(space, name, value)


def example(space: Space) -> RunConfig:
    """Return one valid run of the space. Raises ConfigurationError if the first 10,000 combinations have none."""
    problem: ConfigurationError | None = None
    for values in itertools.islice(itertools.product(*map(_ends, space.values())), 10_000):
        try:
            return make_config(space, dict(zip(space, values, strict=True)))
        except ConfigurationError as error:
            problem = problem or error
    raise ConfigurationError(f"no run of the space is possible: {problem}")


def suggest(trial: BaseTrial, space: Space) -> None:
    """Let a trial choose a value for each parameter with choices."""
    for name, entry in space.items():
        if isinstance(entry, list):
            trial.suggest_categorical(name, entry)
        elif isinstance(entry, dict):
            whole = isinstance(entry["low"], int) and isinstance(entry["high"], int)
            (trial.suggest_int if whole else trial.suggest_float)(name, **entry)


def make_config(space: Space, chosen: Mapping[str, Any], seed: int = 0) -> RunConfig:
    """Return the run of a trial: without unused parameters, and with three digits for numbers from a range.

    It is measured once, at its end, by both halves of the held-out images. Raises ConfigurationError.
    """
    rounded = {
        name: float(f"{value:.3g}") if isinstance(value, float) and isinstance(space[name], dict) else value
        for name, value in chosen.items()
    }
    return _at_length({**_used({**space, **rounded}), "keep": "best", "seed": seed})


def lengthen(config: RunConfig, times: int) -> RunConfig:
    """Return the same run with a multiple of the epochs."""
    return _at_length({**config.model_dump(), "epochs": config.epochs * times})


def command(config: RunConfig) -> str:
    """Return the command that repeats a run."""
    changed = differences(config, configure(config.configuration), ignore=("seed", "sample_every", "checkpoint_seconds"))
    settings = "".join(f" --set {shlex.quote(f'{name}={value}')}" for name, (value, _) in changed.items())
    return f"gan-lib run {config.configuration} --preset paper --seeds {config.seed}{settings}"


def _at_length(values: dict[str, Any]) -> RunConfig:
    epochs = values.get("epochs", RunConfig.model_fields["epochs"].default)
    return RunConfig(**{**values, "evaluate_every": epochs, "sample_every": epochs})


def _used(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values without those that such a run does not use."""
    idle: Mapping[str, str] = {}
    with contextlib.suppress(KeyError, TypeError, AttributeError):  # of values that no run takes, which RunConfig refuses
        idle = unused(RunConfig.model_construct(**{**implied(values.get("model", "gan"), values.get("loss", "bce")), **values}))
    return {name: value for name, value in values.items() if name not in idle}


def _ends(entry: Any) -> list[Any]:
    return entry if isinstance(entry, list) else [entry["low"], entry["high"]] if isinstance(entry, dict) else [entry]


def _check_range(name: str, entry: dict[str, Any]) -> None:
    whole = {"low", "high"} <= entry.keys() <= {"low", "high", "log", "step"}
    if not whole or not isinstance(entry.get("log", False), bool):
        raise ConfigurationError(f"{name} in the space must be a range of low and high, with log or step, got {shorten(entry)}")
    try:
        suggest(FixedTrial({name: entry["low"]}), {name: entry})
    except (ValueError, TypeError) as error:
        raise ConfigurationError(f"{name} in the space must be a range, got {shorten(entry)}: {first_line(error)}") from error


def _check_value(space: Space, name: str, value: Any) -> None:
    """Raise ConfigurationError unless some model and loss of the space accept a value, or none uses it."""
    problems: list[ConfigurationError] = []
    first = {other: _ends(entry)[0] for other, entry in space.items()}
    for model in _ends(space.get("model", next(iter(MODELS)))):
        for loss in _ends(space.get("loss", next(iter(LOSSES)))):
            values = _used({**first, "model": model, "loss": loss, name: value})
            if name in values:
                try:
                    RunConfig(**values)
                    return
                except ConfigurationError as error:
                    problems.append(error)
    if problems:
        raise ConfigurationError(f"{problems[0]} (in the space)")
