"""Iterations as CUDA graphs. Without a GPU: what a graph cannot hold is not in an iteration, and a capture leaves no trace."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from gan_lib.training import trainer

from .helpers import EVERYTHING, MODELS, PRECISIONS, everything, make_trainer, noise, numbers, same

Iteration = Callable[[Tensor], Tensor]

# 120 images in batches of 48, 48 and 24. A critic's generator is updated on every second batch: two iterations, two graphs.
PAPERS: dict[str, Any] = {"batch_size": 48, "epochs": 2}
CRITIC: dict[str, Any] = {"batch_size": 48, "epochs": 4, "loss": "wgan-gp", "critic_steps": 2}
RUNS: list[dict[str, Any]] = [
    *({**changes, "model": model} for changes in (PAPERS, CRITIC) for model in MODELS),
    *({**EVERYTHING, **PAPERS, "augmentation": kind} for kind in ("shift", "affine", "cutout")),
]
# Operations that wait for the device or copy from the host: an iteration with one of them cannot be captured.
WAITS = {"_local_scalar_dense", "nonzero", "masked_select", "equal", "is_nonzero", "lift_fresh", "unique_dim", "_unique2"}


class Operations(TorchDispatchMode):
    """The names of all operations inside."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.add(func._schema.name.removeprefix("aten::"))
        return func(*args, **(kwargs or {}))


def warm_up(iteration: Iteration, sizes: list[int], generators: list[torch.Generator], device: torch.device) -> Iteration:
    """What capturing does to the state: three iterations to warm up and one to capture, all on image 0."""
    for size in sizes:
        for _ in range(4):
            iteration(torch.zeros(size, dtype=torch.int64))
    return iteration


@pytest.mark.parametrize("precision", [*PRECISIONS, "fp16"])
@pytest.mark.parametrize("changes", RUNS, ids=lambda run: "-".join(map(str, run.values())))
def test_an_iteration_holds_only_what_a_graph_can_hold_and_a_capture_leaves_no_trace(
    changes: dict[str, Any], precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer, "capture", warm_up)
    plain, captured, traced = (make_trainer(120, precision, **changes) for _ in range(3))
    captured._runs = captured._capture()
    places = {name: tensor.data_ptr() for name, tensor in captured.tensors().items() if not name.startswith("random")}
    global_random = torch.get_rng_state()
    with Operations() as operations:
        for iteration in traced._runs.values():
            iteration(torch.arange(48))
    assert not operations.names & WAITS
    assert "convolution" in operations.names or "addmm" in operations.names
    assert torch.equal(torch.get_rng_state(), global_random)  # only registered generators are drawn from
    assert [numbers(stats) for stats in captured.train()] == [numbers(stats) for stats in plain.train()]
    assert same(everything(plain), everything(captured))
    assert places == {name: tensor.data_ptr() for name, tensor in captured.tensors().items() if name in places}


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
    assert not {*fallen_back.random.values(), fallen_back.masks.generator} & {*calls[0][1]}
    assert [numbers(stats) for stats in fallen_back.train()] == [numbers(stats) for stats in plain.train()]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
@pytest.mark.parametrize("changes", [{**PAPERS, "image_size": 28}, CRITIC, {**EVERYTHING, **PAPERS}])
@pytest.mark.parametrize("precision", [*PRECISIONS, "fp16"])
@pytest.mark.parametrize("model", MODELS)
def test_graphs_and_plain_iterations_agree_on_a_gpu(model: str, precision: str, changes: dict[str, Any]) -> None:
    images, tolerance = noise(120, changes.get("image_size", 8)).cuda(), 1e-2 if "loss" in changes else 1e-3
    changes = {"model": model, **changes}
    with_graphs, eager = (make_trainer(images, precision, graphs, **changes) for graphs in (True, False))
    assert with_graphs.notice is None
    before = everything(with_graphs)
    for one, other in zip(with_graphs.train(), eager.train(), strict=True):
        assert numbers(one) == pytest.approx(numbers(other), rel=tolerance, abs=tolerance)
    assert not same(before, everything(with_graphs))
