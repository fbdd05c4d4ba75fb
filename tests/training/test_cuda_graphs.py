"""Iterations as CUDA graphs. Without a GPU, the bookkeeping around a capture is tested alone."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from gan_lib.training import trainer

from .helpers import MODELS, PRECISIONS, everything, make_trainer, noise, numbers, same

Iteration = Callable[[Tensor], Tensor]

# 120 images in batches of 48, 48 and 24. A critic's generator has its turn on every second batch: two iterations, two graphs.
PAPERS: dict[str, Any] = {"batch_size": 48, "epochs": 2}
CRITIC: dict[str, Any] = {"batch_size": 48, "epochs": 4, "loss": "wgan-gp", "critic_steps": 2}


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("model", MODELS)
def test_after_warming_up_training_starts_as_if_nothing_had_happened(model: str, precision: str) -> None:
    plain, tried = (make_trainer(120, precision, model=model, **PAPERS) for _ in range(2))
    kept = [[tensor.clone() for tensor in learner.state()] for learner in (tried.generator, tried.discriminator)]
    for size in (48, 24):
        for _ in range(4):  # three to warm up and one to capture, all on image 0
            tried._iterate(True, True, torch.zeros(size, dtype=torch.int64))
    for learner, tensors in zip((tried.generator, tried.discriminator), kept, strict=True):
        learner.restart(tensors)
    tried._seed()
    assert [numbers(stats) for stats in tried.train()] == [numbers(stats) for stats in plain.train()]
    assert same(everything(plain), everything(tried))


# Besides latents and dropout, a critic draws the penalty's shares.
@pytest.mark.parametrize(("changes", "fails_at", "draws"), [(PAPERS, 1, 2), (CRITIC, 2, 3)])
@pytest.mark.parametrize("model", MODELS)
def test_where_a_capture_fails_no_graph_is_used_and_the_reason_is_kept(
    model: str, changes: dict[str, Any], fails_at: int, draws: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[list[int], list[torch.Generator]]] = []

    def failing(iteration: Iteration, sizes: list[int], generators: list[torch.Generator], device: torch.device) -> Iteration:
        calls.append((sizes, generators))
        iteration(torch.zeros(sizes[0], dtype=torch.int64))
        if len(calls) == fails_at:
            raise RuntimeError("operation not permitted when stream is capturing\nsecond line")
        return lambda batch: torch.zeros(5)

    monkeypatch.setattr(trainer, "capture", failing)
    plain, fallen_back = (make_trainer(120, model=model, **changes) for _ in range(2))
    assert plain.notice is None
    fallen_back._runs = fallen_back._capture()
    assert fallen_back.notice == "without CUDA graphs: operation not permitted when stream is capturing"
    assert [(sizes, len(generators)) for sizes, generators in calls] == [([48, 24], draws)] * fails_at
    # Whatever a failed capture did to the generators, they are used no more.
    assert not {fallen_back.latent_generator, fallen_back.masks.generator} & {*calls[0][1]}
    assert [numbers(stats) for stats in fallen_back.train()] == [numbers(stats) for stats in plain.train()]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
@pytest.mark.parametrize(("changes", "tolerance"), [({**PAPERS, "image_size": 28}, 1e-3), (CRITIC, 1e-2)])
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("model", MODELS)
def test_graphs_and_plain_iterations_agree_on_a_gpu(
    model: str, precision: str, changes: dict[str, Any], tolerance: float
) -> None:
    images = noise(120, changes.get("image_size", 8)).cuda()
    with_graphs, eager = (make_trainer(images, precision, graphs, model=model, **changes) for graphs in (True, False))
    assert with_graphs.notice is None
    before = everything(with_graphs)
    for one, other in zip(with_graphs.train(), eager.train(), strict=True):
        assert numbers(one) == pytest.approx(numbers(other), rel=tolerance, abs=tolerance)
    assert not same(before, everything(with_graphs))
