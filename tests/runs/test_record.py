"""What is written comes back, and what is broken is named."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import MakeConfig, WriteRun

from gan_lib.config import RunConfig
from gan_lib.errors import RecordError
from gan_lib.presets import configure
from gan_lib.runs import record
from gan_lib.runs.listing import find_run
from gan_lib.runs.record import (
    HISTORY_COLUMNS,
    STATUSES,
    RunFolder,
    check_same,
    copy_records,
    find_records,
    load_weights,
    lock_holder,
    read_config,
    read_record,
)
from gan_lib.runs.storage import read_json, write_json
from gan_lib.runs.trained import load_network, runs_with_weights
from gan_lib.training.models import build_pair
from gan_lib.training.sampling import fixed_latents, sample
from runs.test_locks import another_process


def change(path: Path, **values: object) -> None:
    """Write a file anew with other values, and the checksum that belongs to them."""
    write_json(path, {**read_json(path), **values})


def test_a_run_folder_comes_back_as_it_was_written(write_run: WriteRun) -> None:
    d, g = [0.1, 1 / 3, 0.7], [3.0, 2.0, 1e-7]
    record = read_record(write_run("cgan-gpu", d=d, g=g, seconds=0.25, seed=4, preset="quick", label="NVIDIA T4"))
    assert record.config == configure("cgan-gpu", "quick", seed=4)
    assert (record.name, record.variant) == ("cgan-gpu--quick/seed-4", "quick")
    assert (record.status, record.reason) == ("ok", None)
    assert record.machine["label"] == "NVIDIA T4"
    assert record.summary["training_seconds"] == 0.75
    assert list(record.history) == list(HISTORY_COLUMNS)
    assert list(record.history["discriminator_loss"]) == d  # to the last bit
    assert list(record.history["generator_loss"]) == g
    assert list(record.history["epoch"]) == [1, 2, 3]
    assert record.epochs_done == 3
    assert record.notes == []
    assert lock_holder(record.path) is None


def test_config_json_names_the_configuration_and_its_schema(write_run: WriteRun) -> None:
    stored = json.loads((write_run("gan-cpu", preset="quick") / "config.json").read_text())
    assert (stored["schema_version"], stored["configuration"], stored["variant"]) == (2, "gan-cpu", "quick")
    assert RunConfig.model_fields.keys() <= stored.keys()


def test_an_epoch_is_on_disk_as_soon_as_it_is_appended(write_run: WriteRun) -> None:
    path = write_run("gan-cpu", d=[0.5], status=None)
    RunFolder(path).append(dict.fromkeys(HISTORY_COLUMNS, 0.5) | {"epoch": 2})
    assert (path / "history.csv").read_text().count("\n") == 3  # header and two epochs, before anything is closed


def test_starting_anew_removes_what_a_run_wrote_and_nothing_else(write_run: WriteRun) -> None:
    path = write_run("gan-cpu")
    (path / "my-notes.txt").write_text("mine")
    RunFolder(path).create(configure("gan-cpu"))
    assert {file.name for file in path.iterdir()} == {"config.json", "run.lock", "my-notes.txt"}


def test_a_results_folder_that_cannot_be_written_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(RecordError) as caught:
        RunFolder(tmp_path / "file" / "seed-0").create(RunConfig())
    assert str(caught.value) == f"results folder {tmp_path / 'file' / 'seed-0'} cannot be written: Not a directory"


@pytest.mark.parametrize("rest", ["4,1,1,1,1,1,0.1", "9,1,1,1,1,1,1\n"])
def test_a_broken_last_line_of_an_unfinished_run_is_left_out_and_said(write_run: WriteRun, rest: str) -> None:
    path = write_run("gan-cpu", d=[0.1, 0.2, 0.3], status=None)
    with (path / "history.csv").open("a") as file:
        file.write(rest)
    record = read_record(path)
    assert list(record.history["discriminator_loss"]) == [0.1, 0.2, 0.3]
    assert record.notes == [f"{path / 'history.csv'}: the last line was broken and is left out"]


@pytest.mark.parametrize(("old", "new"), [("0.2", "0.3"), ("2,0.2,", "2,"), ("epoch,", "epoch,loss,")])
@pytest.mark.parametrize("series", [True, False])
def test_a_changed_history_is_refused(write_run: WriteRun, old: str, new: str, series: bool) -> None:
    path = write_run("gan-cpu", d=[0.1, 0.2, 0.3]) / "history.csv"
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(RecordError, match=r"does not match its checksum in summary\.json") as caught:
        read_record(path.parent, series)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("status", STATUSES)
def test_every_status_is_read_back_with_its_reason(write_run: WriteRun, status: str) -> None:
    record = read_record(write_run("gan-cpu", status=status, reason="because"))
    assert (record.status, record.reason) == (status, "because")


def test_an_unknown_status_is_refused(write_run: WriteRun) -> None:
    with pytest.raises(RecordError, match=r"summary\.json: status must be 'ok', 'failed'.* got 'splendid'"):
        read_record(write_run("gan-cpu", status="splendid"))


def test_an_unfinished_run_is_running_while_its_process_lives_and_lost_afterwards(write_run: WriteRun) -> None:
    path = write_run("gan-cpu", status=None)
    assert lock_holder(path) == os.getpid()
    assert (read_record(path).status, read_record(path).reason) == ("running", None)
    RunFolder(path).create(configure("gan-cpu"))  # this process takes it over from its other object, and ...
    (path / "run.lock").unlink()  # ... a lock whose process is gone holds nothing; neither does none
    assert lock_holder(path) is None
    assert read_record(path).status == "lost"
    assert read_record(path).reason


def test_a_run_that_ends_while_it_is_read_is_never_lost(write_run: WriteRun, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_run("gan-cpu", status=None)
    read = record.read_json

    def read_late(name: Path, **options: Any) -> dict[str, Any]:
        content = read(name, **options)
        if name.name == "summary.json":
            RunFolder(path).create(configure("gan-cpu"))  # takes the lock over, to give it up
            (path / "run.lock").unlink()
        return content

    monkeypatch.setattr(record, "read_json", read_late)
    assert read_record(path).status == "running"


def test_a_run_that_another_process_is_about_to_resume_is_not_lost(write_run: WriteRun) -> None:
    path = write_run("gan-cpu", status="interrupted")
    batch = another_process(path / "batch.lock")
    (path / "summary.json").unlink()
    assert read_record(path).status == "running"
    batch.kill()
    batch.communicate()
    assert read_record(path).status == "lost"
    assert read_record(path).reason


@pytest.mark.usefixtures("no_hanging")
def test_a_pipe_in_the_place_of_a_history_does_not_keep_a_run_from_its_last_word(write_run: WriteRun) -> None:
    path = write_run("gan-cpu", status=None)
    (path / "history.csv").unlink()
    os.mkfifo(path / "history.csv")
    RunFolder(path).finish("failed", "no images")
    assert read_json(path / "summary.json")["reason"] == "no images"


@pytest.mark.parametrize("level", ["seed-0", "gan-cpu"])
def test_a_run_folder_that_leads_out_is_refused_and_left_alone(write_run: WriteRun, tmp_path: Path, level: str) -> None:
    victim, place = write_run("gan-cpu", below="elsewhere"), tmp_path / "runs" / "gan-cpu" / "seed-0"
    before = {path.name: path.read_bytes() for path in victim.iterdir()}
    if level == "gan-cpu":
        place.parent.parent.mkdir()
        place.parent.symlink_to(victim.parent)
    else:
        place.parent.mkdir(parents=True)
        place.symlink_to(victim)
    with pytest.raises(RecordError, match="a link leads out of it"):
        RunFolder(place).create(configure("gan-cpu"))
    assert {path.name: path.read_bytes() for path in victim.iterdir()} == before
    assert read_record(place).status == "ok", "and it is still read"


def test_links_that_go_round_in_a_circle_are_no_run(tmp_path: Path) -> None:
    (tmp_path / "seed-0").symlink_to(tmp_path / "seed-1")
    (tmp_path / "seed-1").symlink_to(tmp_path / "seed-0")
    with pytest.raises(RecordError):
        read_record(tmp_path / "seed-0")
    with pytest.raises(RecordError):
        RunFolder(tmp_path / "seed-0").create(RunConfig())


def test_reopening_keeps_what_a_run_left_but_its_last_word(write_run: WriteRun) -> None:
    path = write_run("gan-cpu", status="interrupted")
    (path / ".checkpoint.safetensors.tmp").write_bytes(b"half a checkpoint")
    folder = RunFolder(path)
    folder.reopen(configure("gan-cpu"))
    assert {file.name for file in path.iterdir()} == {"config.json", "machine.json", "history.csv", "run.lock"}
    with pytest.raises(RecordError, match="epochs = 1200 there, 5 here"):
        RunFolder(path).reopen(configure("gan-cpu", epochs=5))
    folder.release()


@pytest.mark.parametrize("name", ["config.json", "machine.json", "summary.json"])
@pytest.mark.parametrize(
    "content", ["", "{", "[]", "null", '{"schema_version": 1}', '{"schema_version": 2}', "{}", "[" * 100_000]
)
def test_a_json_file_that_is_broken_or_of_another_schema_is_named(write_run: WriteRun, name: str, content: str) -> None:
    path = write_run("gan-cpu")
    (path / name).write_text(content)
    with pytest.raises(RecordError) as caught:
        read_record(path)
    assert str(path / name) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_config_with_unknown_or_bad_fields_is_refused_with_the_files_name(write_run: WriteRun) -> None:
    path = write_run("gan-cpu")
    change(path / "config.json", epochz=5)
    with pytest.raises(RecordError) as caught:
        read_config(path)
    assert str(caught.value) == f"{path / 'config.json'}: unknown parameter 'epochz': did you mean 'epochs'?"


def test_a_folder_that_does_not_exist_or_holds_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="does not exist"):
        read_record(tmp_path / "nowhere")
    with pytest.raises(RecordError, match=r"config\.json does not exist"):
        read_record(tmp_path)


def test_all_runs_are_found_and_unreadable_ones_are_listed(write_run: WriteRun, tmp_path: Path) -> None:
    broken = write_run("gan-cpu", seed=1)
    for arguments in ({"seed": 0}, {"seed": 0, "preset": "quick"}):
        write_run("gan-cpu", **arguments)
    (broken / "config.json").write_text("{")
    records, problems = find_records(tmp_path / "runs")
    assert [record.name for record in records] == ["gan-cpu/seed-0", "gan-cpu--quick/seed-0"]
    assert len(problems) == 1
    assert str(broken / "config.json") in problems[0]
    assert find_records(tmp_path / "nowhere") == ([], [])


def test_a_run_of_other_parameters_is_not_taken_for_this_one(write_run: WriteRun) -> None:
    path = write_run("gan-cpu")
    check_same(path, configure("gan-cpu"))
    with pytest.raises(RecordError) as caught:
        check_same(path, configure("gan-cpu", epochs=5, seed=1))
    assert "epochs = 1200 there, 5 here" in str(caught.value)
    assert "seed = 0 there, 1 here" in str(caught.value)
    assert "--fresh" in str(caught.value)


def test_weights_that_do_not_fit_are_refused_and_the_network_is_left_alone(tiny: MakeConfig, tmp_path: Path) -> None:
    RunFolder(tmp_path).save_weights("generator", build_pair(tiny(image_size=12)).generator)
    network = build_pair(tiny()).generator
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with pytest.raises(RecordError, match=r"does not fit the model: \S+ must be \(64,\), got \(144,\)"):
        load_weights(network, tmp_path / "generator.safetensors")
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())


@pytest.mark.parametrize("content", [b"", b"x" * 100, None])
def test_weights_that_are_broken_or_missing_are_named(tiny: MakeConfig, tmp_path: Path, content: bytes | None) -> None:
    network, path = build_pair(tiny()).generator, tmp_path / "generator.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(RecordError) as caught:
        load_weights(network, path)
    problem = "does not exist" if content is None else "cannot be read as weights"
    assert str(caught.value).startswith(f"{path} {problem}")
    assert "\n" not in str(caught.value)


def test_finished_paper_length_runs_are_copied_with_a_small_generator_in_half_precision(
    write_run: WriteRun, tmp_path: Path
) -> None:
    runs, kept = tmp_path / "runs", tmp_path / "reference"
    for name in ("gan-cpu", "optimal-cpu"):
        folder = write_run(name)
        RunFolder(folder).save_weights("generator", build_pair(read_config(folder)).generator)
        for other in ("discriminator.safetensors", "report.html", "samples.png", "run.log"):
            (folder / other).write_bytes(b"content")
        (folder / "report.html").write_text('<a href="../../../index.html">All results</a> <a href="../../../comparison.html">')
    (kept / "gan-cpu" / "seed-0").mkdir(parents=True)
    (kept / "gan-cpu" / "seed-0" / "generator.safetensors").write_bytes(b"of an earlier run")
    write_run("gan-cpu", preset="quick")
    write_run("cgan-cpu", status="failed", reason="no")
    (tmp_path / "secret").write_text("hunter2")
    (runs / "gan-cpu" / "seed-0" / "progress.gif").symlink_to(tmp_path / "secret")
    assert copy_records(runs, kept) == ["gan-cpu/seed-0", "optimal-cpu/seed-0"]
    records = {"config.json", "machine.json", "history.csv", "summary.json", "report.html", "samples.png"}
    assert {path.name for path in (kept / "gan-cpu" / "seed-0").iterdir()} == records  # its generator takes 3 MB
    assert {path.name for path in (kept / "optimal-cpu" / "seed-0").iterdir()} == records | {"generator.safetensors"}
    assert (kept / "gan-cpu" / "seed-0" / "report.html").read_text() == '<a href="../../comparison.html">'
    assert read_record(kept / "gan-cpu" / "seed-0").history == read_record(runs / "gan-cpu" / "seed-0").history
    assert runs_with_weights(tmp_path / "none", kept) == {"reference: optimal-cpu/seed-0": kept / "optimal-cpu" / "seed-0"}
    whole, half = (folder / "optimal-cpu" / "seed-0" for folder in (runs, kept))
    assert (half / "generator.safetensors").stat().st_size < 0.51 * (whole / "generator.safetensors").stat().st_size
    config = read_config(whole)
    images = [sample(load_network(config, folder, "generator"), fixed_latents(config, 8)) for folder in (whole, half)]
    assert torch.allclose(*images, atol=0.02)  # of 2 from black to white


def test_measurements_come_back_and_a_run_without_any_has_none(write_run: WriteRun) -> None:
    path = write_run("gan-cpu", status=None)
    assert read_record(path).metrics == {"epoch": [], "training_seconds": [], "evaluation_seconds": []}
    folder = RunFolder(path)
    lines = [{"epoch": epoch, "training_seconds": 0.5, "evaluation_seconds": 3.0, "noise_level": 1 / 3} for epoch in (2, 4)]
    for line in lines:
        folder.append_metrics(line)
    before = (path / "metrics.csv").read_bytes()
    folder.write_metrics(lines)
    assert (path / "metrics.csv").read_bytes() == before
    assert list(read_record(path).metrics["noise_level"]) == [1 / 3, 1 / 3]
    folder.finish("ok")
    (path / "metrics.csv").write_text((path / "metrics.csv").read_text().replace("4,0.5", "4,0.6"))
    with pytest.raises(RecordError, match=r"metrics\.csv does not match its checksum in summary\.json"):
        read_record(path)
    folder.create(configure("gan-cpu"))
    assert not (path / "metrics.csv").exists()


def test_how_often_a_run_is_looked_at_makes_no_other_run_and_the_record_says_it_as_it_was_in_the_end(
    write_run: WriteRun,
) -> None:
    path, config = write_run("gan-cpu"), configure("gan-cpu", evaluate_every=7, checkpoint_seconds=1, sample_every=3)
    check_same(path, config)
    RunFolder(path).reopen(config)
    assert read_config(path) == config


def test_a_name_that_is_no_run_leads_to_a_reference_run_where_there_are_no_others(write_run: WriteRun, tmp_path: Path) -> None:
    write_run("optimal-cpu", below="reference")
    with pytest.raises(RecordError, match=r"'optimal-cpu--quick'.*optimal-cpu/seed-0"):
        find_run("optimal-cpu--quick", tmp_path)
