"""The command line: what is typed, what comes back, with which exit code."""

import subprocess
import sys
from pathlib import Path

import pytest

from gan_lib.runs.experiment import Experiment


def gan_lib(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command line as a user would, in a process of its own."""
    command = [sys.executable, "-W", "error", "-m", "gan_lib", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=cwd)


def assert_refused(result: subprocess.CompletedProcess[str], *parts: str) -> None:
    """A user's mistake: exit code 2, one line on stderr that says what is wrong, nothing on stdout."""
    assert result.returncode == 2, result.stderr
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("gan-lib: ")
    for part in parts:
        assert part in lines[0]


@pytest.fixture
def finished_run(finished_runs: dict[str, Experiment]) -> Path:
    """The folder of a finished run, only to be read."""
    return finished_runs["gan"].record.path


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["run", "gan-cpux"], ["unknown configuration 'gan-cpux'", "did you mean 'gan-cpu'?"]),
        (["run", "--preset", "quik"], ["unknown preset 'quik'", "did you mean 'quick'?"]),
        (["run", "--set", "epoch=3"], ["unknown parameter 'epoch'", "did you mean 'epochs'?"]),
        (["run", "--set", "epochs"], ["--set must be NAME=VALUE, got 'epochs'"]),
        (["run", "--set", "seed=3"], ["use --seeds"]),
        (["run", "gan-cpu", "--set", "machine=gpu"], ["machine is part of the configuration's name"]),
        (["run", "--set", "epochs=0"], ["epochs must be at least 1", "got 0"]),
        (["run", "--set", "batch_size=1"], ["batch_size must be at least 2 (batch norm needs a spread), got 1"]),
        (["run", "--set", "image_size=30"], ["image_size must be a multiple of 4", "got 30: 28 and 32 would do"]),
        (["run", "--seeds", "x"], ["seeds must be", "'x'"]),
        (["run", "--bogus"], ["--bogus"]),
        (["walk"], ["walk"]),
        (["sample", "nobody"], ["run 'nobody' does not exist"]),
        (["sample", "x", "--count", "0"], ["--count"]),
        (["compare", "--results-dir", "/nowhere/at/all"], ["/nowhere/at/all does not exist"]),
    ],
)
def test_a_mistake_gets_one_line_and_exit_code_2(arguments: list[str], parts: list[str], tmp_path: Path) -> None:
    result = gan_lib(*arguments, *([] if "--results-dir" in arguments or "--bogus" in arguments or "walk" in arguments
                                   else ["--results-dir", tmp_path]))  # fmt: skip
    assert_refused(result, *parts)
    assert not list(tmp_path.iterdir()), "a refused command must leave nothing behind"


def test_a_results_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    assert_refused(gan_lib("run", "gan-cpu", "--results-dir", tmp_path / "file" / "below"), "cannot be written")


def test_list_of_nothing_says_what_to_do(tmp_path: Path) -> None:
    result = gan_lib("list", "--results-dir", tmp_path)
    assert result.returncode == 0
    assert "gan-lib run makes some" in result.stdout


def test_list_shows_status_and_names_a_damaged_run(finished_run: Path, tmp_path: Path) -> None:
    copy = copied(finished_run, tmp_path)
    result = gan_lib("list", "--results-dir", tmp_path)
    assert result.returncode == 0
    assert "  ok  " in result.stdout
    with (copy / "history.csv").open("a") as history:
        history.write("4,0.5,")
    result = gan_lib("list", "--results-dir", tmp_path)
    assert f"gan-lib: {copy / 'history.csv'} does not match its checksum" in result.stderr


def test_list_shows_the_broken_line_of_a_run_that_was_cut_off(finished_run: Path, tmp_path: Path) -> None:
    copy = copied(finished_run, tmp_path)
    (copy / "summary.json").unlink()
    with (copy / "history.csv").open("a") as history:
        history.write("4,0.5,")
    result = gan_lib("list", "--results-dir", tmp_path)
    assert result.returncode == 0
    assert "  lost  " in result.stdout
    assert "the last line was broken and is left out" in result.stdout


def test_sample_draws_the_same_grid_again(finished_run: Path, tmp_path: Path) -> None:
    from PIL import Image

    pictures = []
    for name in ("a.png", "b.png"):
        result = gan_lib("sample", finished_run, "--count", 4, "--seed", 7, "--output", tmp_path / name)
        assert result.returncode == 0, result.stderr
        pictures.append((tmp_path / name).read_bytes())
    assert pictures[0] == pictures[1]
    with Image.open(tmp_path / "a.png") as grid:
        assert grid.size == (3 * (2 * 8 + 2), 3 * (2 * 8 + 2))  # 2 x 2 images, a gap of 2, each pixel three wide


def test_sample_refuses_weights_that_do_not_fit(finished_run: Path, tmp_path: Path) -> None:
    copy = copied(finished_run, tmp_path)
    (copy / "generator.safetensors").write_bytes((copy / "discriminator.safetensors").read_bytes())
    assert_refused(gan_lib("sample", copy, "--output", tmp_path / "x.png"), "cannot be read as weights: the model needs")
    assert not (tmp_path / "x.png").exists()


def test_score_judges_images_and_names_a_corrupt_one(finished_run: Path, tmp_path: Path) -> None:
    result = gan_lib("score", finished_run, finished_run / "samples.png")
    assert result.returncode == 0, result.stderr
    belief = float(result.stdout.splitlines()[1].split()[1])
    assert 0 <= belief <= 1
    (tmp_path / "broken.png").write_bytes((finished_run / "samples.png").read_bytes()[:60])
    assert_refused(gan_lib("score", finished_run, tmp_path / "broken.png"), "broken.png is corrupt")


def test_help_of_every_command_works() -> None:
    for command in ([], ["run"], ["list"], ["compare"], ["sample"], ["score"], ["bench"]):
        result = gan_lib(*command, "--help")
        assert result.returncode == 0
        assert "Usage" in result.stdout


def copied(run: Path, results: Path) -> Path:
    """A copy of a finished run, in a results folder of its own."""
    import shutil

    target = results / "runs" / run.parent.name / run.name
    shutil.copytree(run, target)
    return target
