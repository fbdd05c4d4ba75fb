"""A new loss and a new model, by one entry each: trained, listed, compared, benched, and fetched from the cloud."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from conftest import TINY
from torch import Tensor, nn
from typer.testing import CliRunner

from gan_lib import cli
from gan_lib.cloud.bucket import _RUN_KEY
from gan_lib.config import RunConfig
from gan_lib.errors import ConfigurationError
from gan_lib.presets import ALL_CONFIGURATIONS, configure, run_name, title
from gan_lib.registry import FAMILIES, LOSSES, MODELS, Architecture, Loss, find_family, resolve
from gan_lib.reporting import figures, tables
from gan_lib.reporting.comparison import compare
from gan_lib.runs.experiment import Experiment
from gan_lib.runs.record import read_record
from gan_lib.studies import bench
from gan_lib.training.models import Pair


def least_squares(real: Tensor, generated: Tensor) -> Tensor:
    return (real - 1).square().mean() + generated.square().mean()


def least_squares_generator(generated: Tensor) -> Tensor:
    return (generated - 1).square().mean()


def build_linear(config: RunConfig) -> Pair:
    values = config.channels * config.image_size**2
    generator = nn.Sequential(nn.Linear(config.latent_size, values), nn.Tanh(), nn.Unflatten(1, config.image_shape))
    return Pair(generator, nn.Sequential(nn.Flatten(), nn.Linear(values, 1)))


def plain_linear(config: RunConfig) -> tuple[nn.Module, nn.Module]:
    pair = build_linear(config)
    return pair.generator, pair.discriminator


@pytest.fixture
def new_entries() -> Iterator[None]:
    LOSSES["least-squares"] = Loss("least squares", least_squares, least_squares_generator, scores=True)
    MODELS["linear"] = Architecture("linear", build_linear, plain=plain_linear)
    yield
    del LOSSES["least-squares"], MODELS["linear"]


@pytest.mark.usefixtures("new_entries")
@pytest.mark.parametrize("name", ["gan-least-squares-cpu", "linear-bce-cpu", "linear-least-squares-cpu"])
def test_an_entry_is_all_that_a_new_loss_or_model_needs(name: str, tmp_path: Path) -> None:
    config = configure(name, **{**TINY, "epochs": 2})
    assert config.configuration == name
    experiment = Experiment(config, tmp_path / "runs" / run_name(config))
    assert [stats.epoch for stats in experiment] == [1, 2]
    record = read_record(experiment.record.path)
    assert (record.status, record.epochs_done) == ("ok", 2)
    assert _RUN_KEY.fullmatch(f"{record.name}/summary.json")

    rows = compare(tmp_path / "runs", tmp_path / "none")
    assert rows[name].records and rows[name].epochs == 2
    assert title(name) in tables.overview(rows).frame.to_string()
    chart = figures.loss_curves(rows, scores=config.scores)
    assert chart is not None and chart.png().startswith(b"\x89PNG")

    listed = CliRunner().invoke(cli.app, ["list", "--results-dir", str(tmp_path)])
    assert listed.exit_code == 0 and name in listed.output

    measured = bench._compare(config, torch.device("cpu"), "fp32", 1, 1.0, lambda line: None)
    assert measured["gflop_per_epoch"] > 0 and set(measured["seconds"]) == {"baseline", "ours"}


def test_every_entry_names_functions_that_are_there_and_fields_of_a_config() -> None:
    for loss in LOSSES.values():
        assert all(callable(resolve(function)) for function in (loss.discriminator, loss.generator, loss.penalty) if function)
        assert {*loss.implies, *loss.uses} <= RunConfig.model_fields.keys()
    for model in MODELS.values():
        assert all(callable(resolve(function)) for function in (model.build, model.plain) if function)
        assert {*model.implies, *model.uses} <= RunConfig.model_fields.keys()


def test_every_pair_of_a_model_and_a_loss_has_a_name_that_leads_back_to_it() -> None:
    for model in MODELS:
        for loss in LOSSES:
            config = RunConfig(model=model, loss=loss)
            family = find_family(config.family)
            assert family is not None and family.model == model and loss in family.losses
            assert configure(config.configuration, loss=loss).model_dump().keys() == config.model_dump().keys()
    assert len({title(name) for name in ALL_CONFIGURATIONS}) == len(ALL_CONFIGURATIONS) == 2 * len(FAMILIES)


def test_an_unknown_choice_is_refused_with_those_there_are() -> None:
    with pytest.raises(ConfigurationError, match=r"^loss must be 'bce' or .*, got 'bse'"):
        RunConfig(loss="bse")
