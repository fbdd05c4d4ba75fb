"""The way from the paper's networks to the optimal configuration: its runs, and what the notebook makes of them."""

from html import unescape
from pathlib import Path

import pytest
from conftest import WriteRun

from gan_lib.batch import runner
from gan_lib.batch.job import Job
from gan_lib.config import differences
from gan_lib.presets import configure, run_name
from gan_lib.runs.record import Record, read_record
from gan_lib.studies.ablation import STEPS, configs, configs_by_images, make_ablation, step_of

_LENGTHS = ("epochs", "evaluate_every", "sample_every")


def test_the_way_begins_with_the_papers_networks_and_ends_with_the_optimal_configuration() -> None:
    runs = configs([0])
    assert len({run_name(run) for run in runs}) == len({step.title for step in STEPS}) == len(STEPS)
    assert [run.configuration for run in runs[:2]] == ["gan-cpu", "cgan-cpu"]
    assert differences(runs[-1], configure("optimal-cpu")).keys() == {"epochs"}


@pytest.mark.parametrize("at", range(4, len(STEPS)))
def test_from_the_loss_on_each_step_changes_one_field(at: int) -> None:
    before, after = configs([0])[at - 1 : at + 1]
    assert len(differences(before, after, ignore=_LENGTHS)) == 1


def test_the_page_shows_each_step_that_was_run_and_says_where_chance_is_not_ruled_out(
    write_run: WriteRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    distances = {"gan-cpu": (60, 61, 62), "cgan-cpu": (130, 131, 132), "small-bce-cpu": (70, 125, 180)}
    records = []
    for seed in (0, 1, 2):
        for step in STEPS[:3]:
            end = {step.epochs: float(distances[step.configuration][seed])}
            changes = {**step.changes, "epochs": step.epochs, "seed": seed}
            records.append(read_record(write_run(step.configuration, quality=end, **changes)))
    assert [step_of(record) for record in records] == [step.title for step in STEPS[:3]] * 3
    assert step_of(read_record(write_run("gan-cpu"))) is None
    for config in configs_by_images():
        fields = config.model_dump(include={"training_images", "augmentation", "threads", "seed", *_LENGTHS})
        end = 9.0 + 0.1 * config.seed - 5 * (config.augmentation == "shift") * (config.training_images == 200)
        read_record(write_run("optimal-cpu", quality={config.epochs: end}, **fields))

    def run_batch(jobs: list[Job], **_: object) -> list[Record]:
        assert [job.config for job in jobs] in (configs(), configs_by_images())
        return records

    monkeypatch.setattr(runner, "run_batch", run_batch)
    assert make_ablation(tmp_path).startswith("18 of 18 runs are ok")
    answer = (tmp_path / "answer.md").read_text()
    assert "- Small networks: 131 to 125, which cannot be told with 3 runs" in answer
    assert "| the paper's CGAN | 131 (130 to 132) |" in answer
    assert "200 to train on: 9.10 without, 4.10 with." in answer
    assert "2,000 to train on: 9.10 without, 9.10 with, which cannot be told" in answer
    assert "| 200 | shift | 4.10 (4.00 to 4.20) |" in answer
    assert (tmp_path / "ablation.png").stat().st_size > 5000
    assert "Small networks: 131 to 125" in unescape((tmp_path / "ablation.html").read_text())
