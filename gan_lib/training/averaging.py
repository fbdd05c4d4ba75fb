"""Average a network's weights over the updates: smoother than the weights of one step, at almost no cost."""

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, nn


class WeightAverage:
    """An exponential moving average of a generator's weights; batch norm's running statistics are copied.

    At update t the decay is min(decay, (1 + t) / (10 + t)), so that early weights lose influence soon.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.network = copy.deepcopy(network).requires_grad_(False)  # float32: what is saved, sampled from and measured
        self.decay = decay
        self._weights: list[Tensor] = list(self.network.parameters())
        self._updates = torch.zeros((), device=self._weights[0].device)  # a tensor, so that a CUDA graph can count

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Move the average towards a network's weights, and copy its running statistics."""
        self._updates += 1
        share = 1 - ((1 + self._updates) / (10 + self._updates)).clamp(max=self.decay)
        steps = torch._foreach_sub(list(network.parameters()), self._weights)
        torch._foreach_mul_(steps, share)
        torch._foreach_add_(self._weights, steps)
        if buffers := list(self.network.buffers()):
            torch._foreach_copy_(buffers, list(network.buffers()))

    def state_dict(self) -> dict[str, Tensor]:
        """Return the state that the next update depends on, by name."""
        return {**self.network.state_dict(), "updates": self._updates}

    @torch.no_grad()
    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Restore a state_dict, in place. Raises KeyError or RuntimeError where it does not fit."""
        for name, tensor in self.state_dict().items():
            tensor.copy_(state[name])

    def restart(self, network: nn.Module) -> None:
        """Restart from a network's weights, in place."""
        self.load_state_dict({**network.state_dict(), "updates": torch.zeros(())})
