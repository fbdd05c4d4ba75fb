"""The batch: real papermill processes on tiny runs, and what is left when one of them goes wrong."""

import os
import re
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from conftest import WriteRun, settings
from PIL import Image

from gan_lib.batch import notebooks, pages, progress, runner
from gan_lib.batch.job import is_done
from gan_lib.config import RunConfig
from gan_lib.errors import ConfigurationError, RecordError
from gan_lib.presets import run_name
from gan_lib.runs.experiment import Experiment
from gan_lib.runs.record import RunFolder, is_finished, read_record

TINY = {"training_images": 64, "batch_size": 32, "image_size": 8, "latent_size": 10, "threads": 1, "sample_every": 1}


def tiny(**changes: object) -> RunConfig:
    return RunConfig(**{**TINY, "epochs": 2, **changes})


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder after `gan-lib run` of three configurations, as a user would type it."""
    results = tmp_path_factory.mktemp("results")
    options = [*settings({**TINY, "epochs": 2}), f"--results-dir={results}"]
    command = [sys.executable, "-m", "gan_lib", "run", "gan-cpu", "cgan-cpu", "cgan-gpu", *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr + done.stdout
    (results / "printed").write_text(done.stdout)
    return results


def test_every_run_has_its_folder_and_its_report(results: Path) -> None:
    for folder in (results / "runs").glob("*-cpu--*/seed-0"):
        written = {path.name for path in folder.iterdir()}
        assert written == {
            *("config.json", "machine.json", "history.csv", "metrics.csv", "summary.json", "samples.png", "progress.gif"),
            *("generator.safetensors", "discriminator.safetensors", "notebook.ipynb", "report.html"),
        }
        assert read_record(folder).status == "ok"


def test_a_gpu_configuration_is_unavailable_and_not_trained(results: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    (folder,) = (results / "runs").glob("cgan-gpu--*/seed-0")
    record = read_record(folder)
    assert record.status == "unavailable"
    assert "CUDA GPU" in str(record.reason)
    assert record.epochs_done == 0
    assert "unavailable" in (results / "printed").read_text()


def test_the_pages_need_nothing_but_themselves(results: Path) -> None:
    pages = [results / "index.html", results / "comparison.html", *(results / "runs").glob("*/*/report.html")]
    assert len(pages) == 4
    for page in pages:
        html = page.read_text()
        assert "<script" not in html, page
        assert not re.search(r"""(src|href)=["']?(https?:)?//""", html), page
        assert not re.search(r"@import|url\((?!data:)", html), page
        assert '<html lang="en">' in html, page
        for image in re.findall(r"<img[^>]*>", html):
            assert re.search(r'alt="[^"]{10,}', image), image[:200]
        headers = re.findall(r"<th\b[^>]*>", html)
        assert all(re.search(r'scope="(col|row)"', header) for header in headers), page


def test_a_report_says_what_ran_where_and_when(results: Path) -> None:
    (page,) = (results / "runs").glob("gan-cpu--*/seed-0/report.html")
    html = page.read_text()
    assert "GAN, CPU: 2 epochs, seed 0</h1>" in html
    assert "Named after ml.c5.2xlarge" in html
    assert "notebook-only" not in html
    assert "Change what you like in the next cell" not in html
    links = re.findall(r'href="([^"]+\.html)"', (results / "index.html").read_text())
    assert len(links) == 3 and "comparison.html" in links
    assert all((results / link).exists() for link in links)


def test_no_executed_notebook_carries_a_folder_of_this_machine(results: Path) -> None:
    for notebook in (results / "runs").glob("*/*/notebook.ipynb"):
        assert str(notebooks.ROOT) not in notebook.read_text()


@pytest.mark.slow
def test_finished_runs_are_kept_unless_fresh(results: Path) -> None:
    (folder,) = (results / "runs").glob("gan-cpu--*/seed-0")
    config = read_record(folder).config
    before = (folder / "history.csv").stat().st_mtime_ns
    jobs = runner.plan([config], results)
    assert is_finished(jobs[0].folder)
    assert [record.status for record in runner.run_batch(jobs)] == ["ok"]
    assert (folder / "history.csv").stat().st_mtime_ns == before
    first = read_record(folder).history
    assert [record.status for record in runner.run_batch(jobs, fresh=True)] == ["ok"]
    assert (folder / "history.csv").stat().st_mtime_ns > before
    again = read_record(folder).history
    for name in ("discriminator_loss", "generator_loss", "real_probability", "generated_probability"):
        assert again[name] == first[name], "the same seed on the same machine gives the same numbers"


@pytest.mark.slow
def test_progress_moves_and_ends_at_the_last_epoch(tmp_path: Path) -> None:
    seen: list[progress.Progress] = []
    runner.run_batch(runner.plan([tiny(epochs=400)], tmp_path), show=seen.append)
    epochs = [step.runs[0][1] for step in seen]
    assert epochs == sorted(epochs)
    assert max(epochs) > 0
    assert [step.work / step.total for step in seen] == pytest.approx([epoch / 400 for epoch in epochs])


def test_runs_side_by_side_share_the_cores_and_have_the_same_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gan_lib.runs.machine.physical_cores", lambda: 3)
    configs = [tiny(seed=seed, threads=0) for seed in range(4)]
    seen: list[progress.Progress] = []
    records = runner.run_batch(runner.plan(configs, tmp_path / "two"), workers=2, show=seen.append)
    assert [(record.status, record.machine["threads"]) for record in records] == [("ok", 1)] * 4
    assert max(len(step.runs) for step in seen) == 2
    assert {len(step.runs) + step.waiting + step.done + step.failed for step in seen} == {4}
    alone = runner.run_batch(runner.plan([tiny(seed=3)], tmp_path / "one"))[0]  # with one thread
    weights = [(record.path / "generator.safetensors").read_bytes() for record in (records[3], alone)]
    assert weights[0] == weights[1]
    for workers, threads in ((4, 0), (2, 2)):
        with pytest.raises(ConfigurationError, match=r"(workers must be at most 3|threads must be at most 1) .* got"):
            runner.run_batch(runner.plan([tiny(threads=threads)], tmp_path / "none"), workers=workers)
    assert not (tmp_path / "none").exists() or not list((tmp_path / "none").rglob("*.json"))


@pytest.mark.slow
def test_ctrl_c_stops_all_runs_with_a_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gan_lib.runs.machine.physical_cores", lambda: 2)
    jobs = runner.plan([tiny(epochs=100_000, seed=seed) for seed in range(3)], tmp_path)

    def show(progress: progress.Progress) -> None:
        if len(progress.runs) == 2 and all(epoch > 2 for _, epoch, _ in progress.runs):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        runner.run_batch(jobs, workers=2, show=show)
    assert [read_record(job.folder).status for job in jobs[:2]] == ["interrupted"] * 2
    assert all((job.folder / "checkpoint.safetensors").exists() for job in jobs[:2])
    assert not jobs[2].folder.exists()


@pytest.mark.slow
def test_one_run_that_fails_stops_no_other(tmp_path: Path) -> None:
    bad = tmp_path / "images"
    bad.mkdir()
    (bad / "x.png").write_bytes(b"not a picture")
    fails, works = tiny(data=f"folder:{bad}", training_images=2, batch_size=2), tiny()
    records = runner.run_batch(runner.plan([fails, works], tmp_path / "results"))
    assert [record.status for record in records] == ["failed", "ok"]
    assert "training_images" in str(records[0].reason) or "x.png" in str(records[0].reason)


def test_a_batch_may_have_more_runs_than_a_process_has_files(tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limits[1] != resource.RLIM_INFINITY and limits[1] < 4000:
        pytest.skip("the hard limit of open files is too low here")
    jobs = runner.plan([tiny(machine="gpu", seed=seed) for seed in range(1100)], tmp_path)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1024, limits[1]))
    try:
        with pytest.raises(RuntimeError, match="all are held"):
            runner.run_batch(jobs, check=raises("all are held"))
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] >= 2100
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def raises(text: str) -> Callable[[], None]:
    def check() -> None:
        raise RuntimeError(text)

    return check


def test_a_folder_of_other_parameters_is_not_touched(tmp_path: Path) -> None:
    config = tiny()
    RunFolder(tmp_path / "runs" / run_name(config)).create(tiny(epochs=3))
    (tmp_path / "runs" / run_name(config) / "run.lock").unlink()
    with pytest.raises(RecordError, match="epochs = 3 there, 2 here"):
        runner.plan([config], tmp_path)


def test_a_run_that_another_process_writes_is_refused(tmp_path: Path) -> None:
    config = tiny()
    RunFolder(tmp_path / "runs" / run_name(config)).create(config)  # this process holds it now
    with pytest.raises(RecordError, match=f"being written by process {os.getpid()}"):
        runner.plan([config], tmp_path)


def test_a_report_takes_in_runs_of_the_same_variant_that_are_there_already(tmp_path: Path) -> None:
    for name in ("gan-cpu--quick", "gan-cpu", "cgan-gpu--quick", "cgan-cpu--quick-epochs-5"):
        (tmp_path / "runs" / name).mkdir(parents=True)
    assert pages.with_siblings(["cgan-cpu--quick"], tmp_path) == ["cgan-cpu--quick", "cgan-gpu--quick", "gan-cpu--quick"]
    assert pages.with_siblings(["cgan-cpu"], tmp_path) == ["cgan-cpu", "gan-cpu"]


def test_a_report_on_own_images_takes_in_the_newest_run_on_them_of_every_other_configuration(
    write_run: WriteRun, tmp_path: Path
) -> None:
    photos = {"data": "folder:/photos", "training_images": "all"}
    for name, finished in {"cgan-cpu--old": "2026-01-01", "cgan-cpu--new": "2026-01-02", "gan-cpu--long": "2026-01-01"}.items():
        write_run(name.partition("--")[0], name=name.partition("--")[2], facts={"finished": finished}, **photos)
    write_run("wgan-cpu", data="folder:/other", training_images="all")
    assert pages.with_siblings(["gan-cpu--long"], tmp_path) == ["cgan-cpu--new", "gan-cpu--long"]


def test_what_a_run_would_refuse_or_leave_out_is_said_before_it_trains(tmp_path: Path) -> None:
    for number in range(24):
        folder = tmp_path / "photos" / "ab"[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8), 10 * number).save(folder / f"{number:02}.png")
    config = tiny(data=f"folder:{tmp_path / 'photos'}", training_images=None, batch_size=4, evaluate_every=1)
    found, quality = runner.check_inputs(runner.plan([config], tmp_path))
    assert "24 images found" in found and "100" in quality and "got 4" in quality
    wrong = tiny(model="cgan", data=config.data, training_images=None, batch_size=4, classes=3)
    with pytest.raises(ConfigurationError, match="classes must be 2"):
        runner.check_inputs(runner.plan([wrong], tmp_path))


@pytest.mark.parametrize("fresh", [False, True])
def test_a_run_that_another_machine_finished_is_kept(fresh: bool, tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    config = tiny(machine="gpu")
    folder = RunFolder(tmp_path / "runs" / run_name(config))
    folder.create(config)
    folder.finish("ok", epochs=2)
    (record,) = runner.run_batch(runner.plan([config], tmp_path, fresh), fresh=fresh)
    assert is_done(record)


def test_images_that_were_replaced_under_a_finished_run_are_noticed(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in range(12):
        Image.new("L", (8, 8), 10 * number).save(photos / f"{number:02}.png")
    config = tiny(data=f"folder:{photos}", training_images=None, batch_size=5)
    (job,) = runner.plan([config], tmp_path / "results")
    for _ in Experiment(config, job.folder):
        pass
    images = read_record(job.folder).machine["images"]
    assert (images["found"], images["used"], images["held_out"], images["skipped"]) == (12, 10, 2, [])
    (line,) = runner.check_inputs(runner.plan([config], tmp_path / "results"))
    assert "12 images found: 10 to train on, 2 held out, 0 skipped" in line
    assert Experiment(config, job.folder).summary["epochs"] == 2
    Image.new("L", (8, 8), 255).save(photos / "05.png")
    for look in (
        lambda: runner.check_inputs(runner.plan([config], tmp_path / "results")),
        lambda: Experiment(config, job.folder),
    ):
        with pytest.raises(RecordError, match=r"other images .* use --fresh"):
            look()
    assert is_finished(job.folder)


@pytest.mark.slow
def test_two_batches_at_once_in_one_results_folder(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "gan_lib", "run", *settings({**TINY, "epochs": 2}), f"--results-dir={tmp_path}"]
    both = [
        subprocess.Popen([*command, name], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for name in ("gan-cpu", "cgan-cpu")
    ]
    printed = [process.communicate()[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], printed
    assert {path.name for path in tmp_path.iterdir()} == {"comparison.html", "comparison.ipynb", "index.html", "runs"}
    assert [is_finished(path) for path in (tmp_path / "runs").glob("*/*")] == [True, True]


def test_a_measured_time_is_scaled_by_arithmetic(write_run: WriteRun, tmp_path: Path) -> None:
    record = read_record(write_run("gan-cpu", seconds=0.5, label="a laptop"))
    config = record.config.model_copy(update={"epochs": 10, "training_images": 4000})
    assert runner.measured_seconds(config, [record]) == (pytest.approx(10 * 0.5 * 2), "a laptop")
    assert runner.measured_seconds(tiny(model="cgan"), [record]) is None
