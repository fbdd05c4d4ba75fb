"""A trained run read back, and ways through its latent space."""

import shutil
from pathlib import Path

import pytest
import torch
from conftest import WriteRun

from gan_lib.errors import RecordError
from gan_lib.runs.experiment import Experiment
from gan_lib.runs.trained import Trained, runs_with_weights
from gan_lib.training.sampling import fixed_latents, judge, sample


def test_a_run_read_back_draws_and_judges_as_it_did_when_it_ended(finished: Experiment) -> None:
    trained = Trained(finished.record.path)
    latents = trained.latents(5, seed=3)
    assert torch.equal(latents, fixed_latents(finished.config, 5, 3))
    images = trained.draw(latents)
    assert torch.equal(images, sample(finished.trainer.pair.generator, latents))
    assert images.shape == (5, 1, 8, 8)
    assert images.abs().max().item() <= 1
    beliefs = trained.judge(images)
    assert torch.equal(beliefs, judge(finished.trainer.pair.discriminator, images))
    assert 0 <= beliefs.min().item() <= beliefs.max().item() <= 1


def test_an_interpolation_begins_and_ends_at_its_latents_in_equal_steps(finished: Experiment) -> None:
    trained = Trained(finished.record.path)
    ways = trained.interpolate(rows=2, steps=5, seed=1)
    assert ways.shape == (10, 10)  # rows * steps, latent_size
    ends = trained.latents(4, seed=1)
    assert torch.equal(ways[[0, 4, 5, 9]], ends)  # first row: latents 0 to 1; second row: 2 to 3
    assert torch.allclose(ways[2], (ends[0] + ends[1]) / 2, atol=1e-6)
    assert torch.allclose(ways[6], ends[2] * 0.75 + ends[3] * 0.25, atol=1e-6)


def test_a_walk_changes_one_value_and_leaves_the_others(finished: Experiment) -> None:
    trained = Trained(finished.record.path)
    steps = trained.walk(value=3, steps=5, seed=1)
    assert steps[:, 3].tolist() == [-1, -0.5, 0, 0.5, 1]
    others = [column for column in range(10) if column != 3]
    assert torch.equal(steps[:, others], trained.latents(1, seed=1)[:, others].expand(5, -1))


def test_the_heading_says_what_was_loaded_and_escapes_a_hostile_folder(finished: Experiment, tmp_path: Path) -> None:
    hostile = tmp_path / "<b>x" / "seed-0"
    shutil.copytree(finished.record.path, hostile)
    assert Trained(hostile).heading() == "<p>&lt;b&gt;x, seed 0, 3 epochs</p>"


def test_runs_that_kept_their_weights_are_listed_the_newest_first(write_run: WriteRun, tmp_path: Path) -> None:
    for name, finished in (("gan-cpu", "2026-01-01"), ("cgan-cpu", "2026-01-03"), ("gan-gpu", "2026-01-02")):
        folder = write_run(name, facts={"finished": finished})
        if name != "gan-gpu":
            (folder / "generator.safetensors").write_bytes(b"")
    assert list(runs_with_weights(tmp_path / "runs")) == ["cgan-cpu/seed-0", "gan-cpu/seed-0"]


def test_without_a_trained_run_the_error_says_how_to_get_one(write_run: WriteRun, tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=r"no trained run in .*01_train\.ipynb or gan-lib run$"):
        runs_with_weights(tmp_path / "nowhere")
    write_run("gan-cpu")  # finished, but without weights
    with pytest.raises(RecordError, match="no trained run"):
        runs_with_weights(tmp_path / "runs")


def test_a_reference_run_says_that_it_kept_no_weights(write_run: WriteRun) -> None:
    with pytest.raises(RecordError, match="kept no weights"):
        Trained(write_run("gan-cpu"))
