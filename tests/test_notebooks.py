"""The notebooks: their parameters are RunConfig's, they carry no outputs, and they run from top to bottom."""

import re
from pathlib import Path

import nbformat
import papermill
import pytest

from gan_lib import RunConfig
from gan_lib.batch.notebooks import NOTEBOOKS, ROOT, start_notebook
from gan_lib.runs.experiment import Experiment
from gan_lib.runs.record import read_record

ALL = sorted(NOTEBOOKS.glob("*.ipynb"))


def parameters_cell(notebook: Path) -> str:
    cells = [cell for cell in nbformat.read(notebook, 4).cells if "parameters" in cell.metadata.get("tags", [])]
    assert len(cells) == 1
    return str(cells[0].source)


def text_outputs(notebook: nbformat.NotebookNode) -> str:
    return "\n".join(str(output) for cell in notebook.cells for output in cell.get("outputs", []))


def test_readme_names_each_of_them() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert {path.stem for path in ALL if f"(notebooks/{path.name})" in readme} == {path.stem for path in ALL} != set()


@pytest.mark.parametrize("notebook", ALL, ids=lambda path: path.stem)
def test_a_notebook_in_git_is_stripped_and_names_the_usual_kernel(notebook: Path) -> None:
    content = nbformat.read(notebook, 4)
    nbformat.validate(content)
    assert content.metadata.kernelspec.name == "python3"
    for cell in content.cells:
        assert cell.get("outputs", []) == []
        assert cell.get("execution_count") is None


@pytest.mark.parametrize("notebook", ALL, ids=lambda path: path.stem)
def test_every_parameter_is_typed_commented_and_fits_a_small_window(notebook: Path) -> None:
    for line in parameters_cell(notebook).splitlines():
        assert not line or line.startswith("# ") or re.fullmatch(r"\w+: (str|int|float|bool|list) = .+  # .+", line), line
        assert len(line) <= 120, line


def test_the_training_notebook_leaves_every_parameter_to_the_preset() -> None:
    namespace: dict[str, object] = {}
    source = parameters_cell(NOTEBOOKS / "01_train.ipynb")
    exec(source, namespace)  # noqa: S102 - our own cell
    comments = dict(re.findall(r"^(\w+): .+?  # (.+)$", source, re.MULTILINE))
    assert list(comments)[:2] == ["configuration", "preset"]
    fields = {name: field for name, field in RunConfig.model_fields.items() if name not in ("model", "machine")}
    assert {name: comments[name] for name in fields} == {name: field.description for name, field in fields.items()}
    assert all(namespace[name] is None for name in fields)
    assert comments.keys() - fields.keys() == {"configuration", "preset", "results_dir", "fresh", "live"}


def execute(name: str, folder: Path, **parameters: object) -> nbformat.NotebookNode:
    """A notebook, executed as papermill does it for anybody."""
    notebook, output = str(NOTEBOOKS / name), str(folder / "out.ipynb")
    return papermill.execute_notebook(notebook, output, parameters, cwd=str(NOTEBOOKS), progress_bar=False)


@pytest.mark.parametrize("live", [False, True], ids=["plain", "live"])
def test_training_makes_a_run_folder(live: bool, tmp_path: Path) -> None:
    parameters = {
        **{"configuration": "cgan-cpu", "epochs": 43, "training_images": 64, "batch_size": 32, "image_size": 8, "threads": 1},
        **{"results_dir": str(tmp_path / "runs"), "live": live, "evaluate_every": 0 if live else 50},
    }
    shown = text_outputs(execute("01_train.ipynb", tmp_path, **parameters))
    (folder,) = (tmp_path / "runs").glob("*/seed-0")
    record = read_record(folder)
    assert record.status == "ok"
    assert record.epochs_done == 43
    for expected in ("CGAN, CPU: 43 epochs, seed 0", "Training images, as they were read", "Generated images, after 43 epochs"):
        assert expected in shown, expected
    lines = [] if live else [*range(3, 43, 3), 43]  # every third epoch, so that there are at most twenty, and the last
    assert [int(epoch) for epoch in re.findall(r"epoch +(\d+)/43 ", shown)] == lines
    assert ("floor: real images" in shown) is not live
    assert ("evaluate_every is 0" in shown) is live
    assert "that are nearest to a training image of each class" in shown


def test_comparing_shows_runs_and_nothing_of_the_paper_where_it_is_not_its_work(
    finished_runs: dict[str, Experiment], tmp_path: Path
) -> None:
    runs = finished_runs["gan"].record.path.parent.parent  # on digits of 8 x 8
    shown = text_outputs(
        execute("02_compare.ipynb", tmp_path, results_dir=str(runs), reference_dir=str(tmp_path / "none"), experiments=[])
    )
    for expected in ("The machines: named, and really used", "GAN compared on digits", "seconds_per_epoch"):
        assert expected in shown, expected
    for unexpected in ("Table 1.", "Table 2.", "Table 3.", "the paper's balance", "cannot be judged here"):
        assert unexpected not in shown, unexpected


def test_exploring_draws_and_judges(finished_runs: dict[str, Experiment], tmp_path: Path) -> None:
    runs = finished_runs["cgan"].record.path.parent.parent
    # Not by a kernel: nbclient sometimes waits for ever for a cell with widgets (jupyter/nbclient, number 312).
    process = start_notebook(
        NOTEBOOKS / "03_explore.ipynb", tmp_path / "out.ipynb", {"results_dir": str(runs)}, tmp_path / "log"
    )
    process.join(120)
    assert process.exitcode == 0, (tmp_path / "log").read_text()
    shown = str(nbformat.read(tmp_path / "out.ipynb", 4))
    for expected in ("ROC AUC", "64 images from the latents of seed 0", "latent value 0 going from -1 to 1"):
        assert expected in shown, expected
