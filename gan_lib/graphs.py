"""A whole training iteration as a CUDA graph: captured once, replayed by one launch instead of some two hundred."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

Iteration = Callable[[Tensor], Tensor]  # indices of a batch (N,) -> its numbers


def capture(
    iteration: Iteration, sizes: Iterable[int], generators: Iterable[torch.Generator], device: torch.device
) -> Iteration:
    """An iteration that replays graphs, one for each batch size (the last batch of an epoch may be smaller).

    Capturing runs the iteration a few times on image 0: the caller puts its state back afterwards, in place, since the
    graphs keep the addresses of what they read and write. Raises RuntimeError where something cannot be captured.
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
    side = torch.cuda.Stream(device)
    side.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(side):  # libraries choose their kernels and allocate their workspaces here, not in the graph
        for _ in range(3):
            iteration(indices)
    torch.cuda.current_stream(device).wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    for generator in generators:
        graph.register_generator_state(generator)  # each replay goes on with the random numbers where the last one ended
    with torch.cuda.graph(graph):
        numbers = iteration(indices)
    return graph, indices, numbers
