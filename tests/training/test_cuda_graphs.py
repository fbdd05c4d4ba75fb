"""graphs.py, and how training uses it.

What needs a CUDA GPU is skipped without one; the bookkeeping around a capture is tested on any machine.
"""

from collections.abc import Callable

import pytest
import torch
from conftest import tiny_config
from torch import Tensor

from gan_lib.training import trainer
from gan_lib.training.trainer import EpochStats, Trainer

MODELS = ["gan", "cgan"]
PRECISIONS = ["fp32", "bf16"]
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")


def make_trainer(model: str, precision: str, device: str = "cpu", graphs: bool = True, size: int = 8) -> Trainer:
    """On 120 images in batches of 48, 48 and 24."""
    images = torch.rand(120, 1, size, size, generator=torch.Generator().manual_seed(4)).mul_(2).sub_(1)
    config = tiny_config(model=model, training_images=120, batch_size=48, epochs=2, image_size=size)
    return Trainer(config, images.to(device), precision, graphs)


def numbers(stats: EpochStats) -> tuple[float, ...]:
    return tuple(stats)[:5]  # all but the seconds


def everything(run: Trainer) -> list[Tensor]:
    """The weights and statistics of both networks."""
    return [tensor.clone() for learner in (run.generator, run.discriminator) for tensor in learner.state()]


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("model", MODELS)
def test_the_same_seed_gives_the_same_history_and_weights_to_the_last_digit(model: str, precision: str) -> None:
    first, second = (make_trainer(model, precision, size=28) for _ in range(2))
    assert [numbers(stats) for stats in first.train()] == [numbers(stats) for stats in second.train()]
    assert all(map(torch.equal, everything(first), everything(second)))


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("model", MODELS)
def test_after_trying_iterations_out_training_starts_as_if_there_had_been_none(model: str, precision: str) -> None:
    plain, tried = (make_trainer(model, precision) for _ in range(2))
    kept = [[tensor.clone() for tensor in learner.state()] for learner in (tried.generator, tried.discriminator)]
    for size in (48, 24):
        for _ in range(4):  # three to warm up and one to capture, all on image 0
            tried._iterate(True, True, torch.zeros(size, dtype=torch.int64))
    assert not all(map(torch.equal, everything(plain), everything(tried)))
    for learner, tensors in zip((tried.generator, tried.discriminator), kept, strict=True):
        learner.restart(tensors)
    tried._seed()
    assert all(map(torch.equal, everything(plain), everything(tried)))
    assert [numbers(stats) for stats in tried.train()] == [numbers(stats) for stats in plain.train()]
    assert all(map(torch.equal, everything(plain), everything(tried)))


@pytest.mark.parametrize("model", MODELS)
def test_a_capture_that_fails_halfway_leaves_the_plain_iteration_and_says_why(
    model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[list[int], list[torch.Generator]]] = []

    def failing(
        iteration: Callable[[Tensor], Tensor], sizes: list[int], generators: list[torch.Generator], device: torch.device
    ) -> None:
        asked.append((sizes, generators))
        iteration(torch.zeros(sizes[0], dtype=torch.int64))
        raise RuntimeError("operation not permitted when stream is capturing\nsecond line")

    monkeypatch.setattr(trainer, "capture", failing)
    plain, fallen_back = (make_trainer(model, "fp32") for _ in range(2))
    assert plain.notice is None
    fallen_back._runs = fallen_back._capture()
    assert fallen_back.notice == "without CUDA graphs: operation not permitted when stream is capturing"
    ((sizes, generators),) = asked
    assert sizes == [48, 24]  # a graph for whole batches, and one for the ragged last one
    assert len(generators) == 2  # latents and dropout; whatever a failed capture did to them, they are used no more
    assert fallen_back.latent_generator not in generators and fallen_back.masks.generator not in generators
    assert [numbers(stats) for stats in fallen_back.train()] == [numbers(stats) for stats in plain.train()]


def critic_trainer(model: str, precision: str = "fp32", device: str = "cpu", graphs: bool = True) -> Trainer:
    """With a gradient penalty and the generator's turn on every second batch, of three an epoch."""
    images = torch.rand(120, 1, 8, 8, generator=torch.Generator().manual_seed(4)).mul_(2).sub_(1)
    config = tiny_config(model=model, training_images=120, batch_size=48, epochs=4, loss="wgan-gp", critic_steps=2)
    return Trainer(config, images.to(device), precision, graphs)


@pytest.mark.parametrize("model", MODELS)
def test_when_only_the_first_of_a_critics_two_captures_works_neither_is_used(
    model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def failing_later(
        iteration: Callable[[Tensor], Tensor], sizes: list[int], generators: list[torch.Generator], device: torch.device
    ) -> Callable[[Tensor], Tensor]:
        asked.append(len(generators))
        iteration(torch.zeros(sizes[0], dtype=torch.int64))
        if len(asked) == 2:
            raise RuntimeError("operation not permitted when stream is capturing")
        return lambda batch: torch.zeros(5)

    monkeypatch.setattr(trainer, "capture", failing_later)
    plain, fallen_back = (critic_trainer(model) for _ in range(2))
    fallen_back._runs = fallen_back._capture()
    assert asked == [3, 3]  # latents, dropout and the penalty's shares
    assert fallen_back.notice == "without CUDA graphs: operation not permitted when stream is capturing"
    assert [numbers(stats) for stats in fallen_back.train()] == [numbers(stats) for stats in plain.train()]


@needs_gpu
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("model", MODELS)
def test_a_critics_graphs_and_its_plain_iterations_agree_on_a_gpu(model: str, precision: str) -> None:
    with_graphs, eager = (critic_trainer(model, precision, "cuda", graphs) for graphs in (True, False))
    assert with_graphs.notice is None
    for one, other in zip(with_graphs.train(), eager.train(), strict=True):
        assert numbers(one) == pytest.approx(numbers(other), rel=1e-2, abs=1e-2)


@needs_gpu
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("model", MODELS)
def test_graphs_and_the_plain_iteration_agree_on_a_gpu(model: str, precision: str) -> None:
    with_graphs, eager = (make_trainer(model, precision, "cuda", graphs, size=28) for graphs in (True, False))
    assert with_graphs.notice is None
    assert with_graphs._runs.keys() == {(True, True)}
    for one, other in zip(with_graphs.train(), eager.train(), strict=True):
        assert numbers(one) == pytest.approx(numbers(other), abs=1e-3)


@needs_gpu
@pytest.mark.parametrize("model", MODELS)
def test_training_with_graphs_goes_on_to_change_the_weights_of_both_networks(model: str) -> None:
    run = make_trainer(model, "fp32", "cuda")
    before = everything(run)
    run.train_epoch()
    assert not any(torch.equal(old, new) for old, new in zip(before, everything(run), strict=True) if old.is_floating_point())
