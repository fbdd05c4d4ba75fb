"""Run folders as the files of other tools: the same numbers, and the folders untouched."""

import importlib.util
from pathlib import Path

import pytest
from conftest import WriteRun

from gan_lib.errors import ConfigurationError
from gan_lib.reporting.export import export
from gan_lib.runs.record import read_record


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.filterwarnings("ignore")  # of TensorBoard's own packages
def test_tensorboard_gets_every_number_of_a_run(write_run: WriteRun, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    path = write_run("gan-cpu", d=[0.5, 0.25, 0.75], g=[1.0, 2.0, 3.0], quality={2: 30.0, 3: 20.0})
    record, before = read_record(path), contents(tmp_path / "runs")
    for _ in range(2):  # the second takes the place of the first
        assert export([record], "tensorboard", tmp_path / "board").startswith("tensorboard --logdir")
    events = EventAccumulator(str(tmp_path / "board" / record.name)).Reload()
    scalars = {
        name: [(event.step, event.value) for event in events.Scalars(name)] for name in ("generator_loss", "frechet_distance")
    }
    assert scalars == {"generator_loss": [(1, 1.0), (2, 2.0), (3, 3.0)], "frechet_distance": [(2, 30.0), (3, 20.0), (0, 20.0)]}
    assert contents(tmp_path / "runs") == before


@pytest.mark.filterwarnings("ignore")  # of MLflow's own packages
def test_mlflow_gets_every_number_of_a_run(write_run: WriteRun, tmp_path: Path) -> None:
    mlflow = pytest.importorskip("mlflow")
    record = read_record(write_run("gan-cpu", d=[0.5, 0.25, 0.75], g=[1.0, 2.0, 3.0], quality={2: 30.0, 3: 20.0}))
    for _ in range(2):
        assert "mlflow ui" in export([record], "mlflow", tmp_path / "flow")
    (run,) = mlflow.search_runs(experiment_names=["gan-lib"], output_format="list")
    history = mlflow.MlflowClient().get_metric_history(run.info.run_id, "frechet_distance")
    assert [(point.step, point.value) for point in history] == [(2, 30.0), (3, 20.0)]
    assert (run.info.run_name, run.data.params["epochs"]) == (record.name, "1200")
    assert run.data.metrics["generator_loss"] == 3.0


@pytest.mark.filterwarnings("ignore")  # of Trackio's own packages
def test_trackio_gets_every_number_of_a_run(write_run: WriteRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "track"))
    trackio = pytest.importorskip("trackio")
    record = read_record(write_run("gan-cpu", d=[0.5, 0.25, 0.75], g=[1.0, 2.0, 3.0], quality={2: 30.0, 3: 20.0}))
    for _ in range(2):
        assert "trackio show" in export([record], "trackio", tmp_path / "track")
    (run,) = trackio.Api().runs("gan-lib")
    assert (run.name, run.config["epochs"]) == (record.name, 1200)
    rows = trackio.SQLiteStorage.get_logs("gan-lib", run.name)
    losses = {row["step"]: row["generator_loss"] for row in rows if "generator_loss" in row}
    distances = {row["step"]: row["frechet_distance"] for row in rows if "frechet_distance" in row}
    assert (losses, distances) == ({1: 1.0, 2: 2.0, 3: 3.0}, {2: 30.0, 3: 20.0})


@pytest.mark.parametrize(("tool", "message"), [("tensorbord", "did you mean 'tensorboard'"), ("x", "choose from tensorboard")])
def test_an_unknown_tool_is_answered_with_those_there_are(tool: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=message):
        export([], tool, tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_a_tool_that_is_not_installed_is_named_with_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match="mlflow is not installed: pip install mlflow"):
        export([], "mlflow", tmp_path / "x")
