"""The command line: what is typed, what comes back, with which exit code."""

import io
import json
import signal
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from unittest.mock import patch

import pytest
from conftest import TINY, WriteRun

from gan_lib import cli
from gan_lib.config import RunConfig
from gan_lib.presets import run_name
from gan_lib.runs.experiment import Experiment
from gan_lib.runs.storage import read_json, write_json


def gan_lib(*arguments: object) -> subprocess.CompletedProcess[str]:
    """What the command line answers; in this process, which has everything imported."""
    output, errors = io.StringIO(), io.StringIO()
    handler = signal.getsignal(signal.SIGTERM)
    try:
        with redirect_stdout(output), redirect_stderr(errors), patch.object(sys, "argv", ["gan-lib", *map(str, arguments)]):
            cli.main()
    except SystemExit as end:
        code = int(end.code or 0)
    finally:
        signal.signal(signal.SIGTERM, handler)
    return subprocess.CompletedProcess(arguments, code, output.getvalue(), errors.getvalue())


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
        (["run", "--timeout=0"], ["--timeout"]),
        (["run", "--timeout=x"], ["--timeout"]),
        (["run", "--retries=-1"], ["--retries"]),
        (["run", "--retries=101"], ["--retries"]),
        (["run", "--epochs", "5"], ["--set epochs=5"]),
        (["run", "gan-cpu", "lr=0.1"], ["--set learning_rate=0.1"]),
        (["run", "gan"], ["gan-cpu"]),
        (["run", "gan-cpu", "--name", "A b"], ["name must be at most 40 lower-case letters", "'A b'"]),
        (["run", "--set", "data=/tmp"], ["data=folder:/tmp"]),
        (["run", "gan-cpu", "--set", "data=folder:~nosuchuser"], ["nosuchuser"]),
        *(
            (["run", "gan-cpu", "--set", f"epochs={value}"], ["epochs must be a whole number"])
            for value in ("[" * 100_000, "[" * 900 + "]" * 900, "9" * 5000)
        ),
        (["run", "--results-dir="], ["--results-dir must be a folder"]),
        (["run", "--results-dir=\udcff"], ["--results-dir must be a folder with a name in UTF-8"]),
        (["run", "gan-cpu", "--set", "width=8,16"], ["width must stay 24 for model gan", "got 8"]),
        (["run", "gan-cpu", "--set", "epochs=5,"], ["epochs must be a whole number"]),
        (["run", "--set", "epochs=" + ",".join(map(str, range(1, 1002)))], ["at most 1,000 combinations, got 1,001"]),
        (["search", "../x"], ["name must be", "got '../x'"]),
        (["search", "--sampler", "cma"], ["unknown sampler 'cma'", "choose from nsga2, random, tpe"]),
        (["search", "--cost", "second"], ["did you mean 'seconds'"]),
        (["search", "--trials", "0"], ["--trials"]),
        (["search", "--space", "/nowhere.toml"], ["/nowhere.toml does not exist"]),
        (["search", "--set", "learning_rate=3"], ["learning_rate must be at most 1"]),
        (["search", "--set", "data=folder:/nowhere"], ["/nowhere"]),
        (["search", "--workers", "1000"], ["workers must be at most", "got 1000"]),
        (["search", "--max-second", "3"], ["--max-second"]),
        (["export"], ["no runs in", "gan-lib run makes some"]),
        (["export", "nobody"], ["run 'nobody' does not exist"]),
        (["list", "--sort", "colour"], ["unknown order 'colour'"]),
        (["sample", "x", "--output", "x.foo"], ["'x.foo'"]),
        (["walk"], ["walk"]),
        (["sample", "nobody"], ["run 'nobody' does not exist"]),
        (["sample", "x", "--count", "0"], ["--count"]),
        (["compare", "--results-dir", "/nowhere/at/all"], ["/nowhere/at/all does not exist"]),
    ],
)
def test_a_mistake_gets_one_line_and_exit_code_2(arguments: list[str], parts: list[str], tmp_path: Path) -> None:
    whole = any(part.startswith(("--results-dir", "--bogus", "walk")) for part in arguments)
    result = gan_lib(*arguments, *([] if whole else ["--results-dir", tmp_path]))
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


def test_sample_draws_one_digit_of_a_run_with_classes(finished_run: Path, tmp_path: Path) -> None:
    config = RunConfig(
        **{**TINY, "model": "small", "loss": "rpgan", "image_size": 16, "training_images": 128, "classes": 10, "epochs": 1}
    )
    folder = tmp_path / "runs" / run_name(config)
    for _ in Experiment(config, folder):
        pass
    pictures = [tmp_path / name for name in ("7.png", "3.png", "all.png")]
    for picture, digit in zip(pictures, (["--class", 7], ["--digit", 3], []), strict=True):
        assert gan_lib("sample", folder, "--count", 4, *digit, "--output", picture).returncode == 0
    assert len({picture.read_bytes() for picture in pictures}) == 3
    assert_refused(gan_lib("sample", folder, "--class", 10), "--class must be from 0 to 9", "got 10")
    assert_refused(gan_lib("sample", finished_run, "--class", 1), "--class needs a run with classes")
    assert_refused(gan_lib("score", folder, folder / "samples.png"), "a run with classes")
    assert gan_lib("score", folder, folder / "samples.png", "--class", 7).returncode == 0
    facts = read_json(folder / "machine.json")
    write_json(folder / "machine.json", {**facts, "images": {**facts["images"], "classes": ["cats", *map(str, range(9))]}})
    assert gan_lib("sample", folder, "--count", 4, "--class", "cats", "--output", tmp_path / "cats.png").returncode == 0


def test_sample_refuses_weights_that_do_not_fit(finished_run: Path, tmp_path: Path) -> None:
    copy = copied(finished_run, tmp_path)
    (copy / "generator.safetensors").write_bytes((copy / "discriminator.safetensors").read_bytes())
    assert_refused(gan_lib("sample", copy, "--output", tmp_path / "x.png"), "does not fit the model")
    assert not (tmp_path / "x.png").exists()


def test_score_judges_images_and_names_a_corrupt_one(finished_run: Path, tmp_path: Path) -> None:
    result = gan_lib("score", finished_run, finished_run / "samples.png")
    assert result.returncode == 0, result.stderr
    belief = float(result.stdout.splitlines()[1].split()[1])
    assert 0 <= belief <= 1
    (tmp_path / "broken.png").write_bytes((finished_run / "samples.png").read_bytes()[:60])
    assert_refused(gan_lib("score", finished_run, tmp_path / "broken.png"), "broken.png is corrupt")


def test_list_as_json_and_in_order_of_quality(write_run: WriteRun, tmp_path: Path) -> None:
    for seed, distance in ((0, 30.0), (1, 10.0), (10, 20.0), (2, 40.0)):
        write_run("gan-cpu", seed=seed, quality={12: distance})
    rows = json.loads(gan_lib("list", "--json", "--sort", "quality", "--results-dir", tmp_path).stdout)
    assert [row["frechet_distance"] for row in rows] == [10, 20, 30, 40]
    assert rows[0]["generator_loss"] == 1.05 and rows[0]["status"] == "ok"
    rows = json.loads(gan_lib("list", "--json", "--results-dir", tmp_path).stdout)
    assert [row["name"].split("-")[-1] for row in rows] == ["0", "1", "2", "10"]


def test_a_dry_run_says_how_long_and_runs_nothing(write_run: WriteRun, tmp_path: Path) -> None:
    write_run("gan-cpu", seconds=0.5, label="a laptop")
    arguments = ("run", "gan-cpu", "--preset", "paper", "--seeds", "0-1", "--dry-run", "--results-dir", tmp_path)
    before = sorted(tmp_path.rglob("*"))
    lines = gan_lib(*arguments).stdout.splitlines()
    assert ["finished" in lines[0], "1,200 epochs, about 10 min 0 s as measured on a laptop" in lines[1]] == [True, True]
    assert sorted(tmp_path.rglob("*")) == before


def test_several_values_make_every_combination(tmp_path: Path) -> None:
    sweep = ("--set", "learning_rate=1e-4,2e-4,5e-4", "--set", "batch_size=64,100", "--set", "epochs=3")
    lines = gan_lib("run", "gan-cpu", *sweep, "--dry-run", "--results-dir", tmp_path).stdout.splitlines()
    names = {line.split()[0] for line in lines if line.startswith("gan-cpu--")}
    assert len(names) == 6 and all("epochs-3" in name for name in names)


def test_a_run_of_one_seed_is_sampled_by_its_name_into_the_format_of_the_file(finished_run: Path, tmp_path: Path) -> None:
    from PIL import Image

    copy = copied(finished_run, tmp_path)
    result = gan_lib("sample", copy.parent.name, "--results-dir", tmp_path, "--output", tmp_path / "x.webp")
    assert result.returncode == 0, result.stderr
    with Image.open(tmp_path / "x.webp") as picture:
        assert picture.format == "WEBP"


def test_a_missing_package_is_one_line_that_names_its_extra() -> None:
    code = "import sys; sys.modules['typer'] = None; from gan_lib.__main__ import main; main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines() == ["gan-lib: typer is not installed: pip install -e '.[notebooks]'"]


CTRL_C = """
import os, signal, sys, weakref
module, in_a_callback = sys.argv.pop(1), sys.argv.pop(1) == "True"
class Finder:
    def find_spec(self, name, *rest):
        if name == module and in_a_callback:
            weakref.finalize(Finder(), os.kill, os.getpid(), signal.SIGINT)  # called at once
        elif name == module:
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Finder())
from gan_lib.__main__ import main
main()
"""


@pytest.mark.parametrize("in_a_callback", [False, True])
@pytest.mark.parametrize("module", ["gan_lib.cli", "typer", "gan_lib.data"])
def test_ctrl_c_while_the_modules_load_is_no_traceback(module: str, in_a_callback: bool, tmp_path: Path) -> None:
    command = [sys.executable, "-c", CTRL_C, module, str(in_a_callback), "run", "gan-cpu", "--results-dir", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 130
    assert len(done.stderr.splitlines()) <= 1, done.stderr


def test_modules_in_the_working_folder_are_left_alone(tmp_path: Path) -> None:
    for name in ("random", "torch", "json", "typer", "calendar"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('the wrong module')")
    command = [sys.executable, "-m", "gan_lib", "list", "--results-dir", str(tmp_path)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_results_folders_that_go_round_in_a_circle_are_refused(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "runs").symlink_to(tmp_path / "results" / "runs")
    for command in (["run", "gan-cpu"], ["compare", "nothing"]):
        for results in ("loop", "results"):
            assert_refused(gan_lib(*command, "--results-dir", tmp_path / results), results)


def test_help_of_every_command_works() -> None:
    for command in ([], ["run"], ["list"], ["compare"], ["sample"], ["score"], ["bench"], ["search"], ["export"]):
        result = gan_lib(*command, "--help")
        assert result.returncode == 0
        assert "Usage" in result.stdout
    assert "learning_rate (from 0 to 1)" in gan_lib("run", "--help").stdout


def copied(run: Path, results: Path) -> Path:
    """A copy of a finished run, in a results folder of its own."""
    import shutil

    target = results / "runs" / run.parent.name / run.name
    shutil.copytree(run, target)
    return target
