"""Capture a whole training iteration as a CUDA graph and replay it with one launch instead of one per operation."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

Iteration = Callable[[Tensor], Tensor]  # indices of a batch (N,) -> its numbers


def capture(
    iteration: Iteration, sizes: Iterable[int], generators: Iterable[torch.Generator], device: torch.device
) -> Iteration:
    """Return an iteration that replays graphs, one for each batch size (the last batch of an epoch may be smaller).

    Capturing runs the iteration a few times on image 0: the caller restores its state afterwards, in place, since graphs keep
    the addresses of what they read and write. Raises RuntimeError if an operation cannot be captured.
    """
    replays = {size: _capture_one(iteration, size, list(generators), device) for size in sizes}

    def replay(batch: Tensor) -> Tensor:
        graph, indices, numbers = replays[len(batch)]
        indices.copy_(batch)
        graph.replay()
        return numbers

    return replay


def _capture_one(
    iteration: Iteration, size: int, generators: list[torch.Generator], device: torch.device
) -> tuple[torch.cuda.CUDAGraph, Tensor, Tensor]:
    indices = torch.zeros(size, dtype=torch.int64, device=device)
    current, side = torch.cuda.current_stream(device), torch.cuda.Stream(device)
    side.wait_stream(current)
    with torch.cuda.stream(side):
        for _ in range(3):  # warm-up: allocates Adam's moments and the libraries' handles outside the graph
            iteration(indices)
    current.wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    for generator in generators:
        graph.register_generator_state(generator)  # each replay draws the random numbers after those of the last one
    try:
        with torch.cuda.graph(graph):
            numbers = iteration(indices)
    finally:
        torch.cuda.set_stream(current)  # a failed capture leaves its own stream current
    return graph, indices, numbers
