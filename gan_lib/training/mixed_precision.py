"""Train a network in mixed precision: float32 master weights, Adam, and a working copy in a lower precision."""

import contextlib
import copy
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.adam import adam

from gan_lib.config import RunConfig
from gan_lib.training.layers import Dropout


class _Adam:
    """Adam, fused: one pass over the weights an update, instead of a handful.

    PyTorch's function, because its class imports the thousand modules of torch.compile: two seconds of every run.
    """

    _step_supports_amp_scaling = True  # GradScaler sets grad_scale and found_inf for a step

    def __init__(
        self, parameters: list[Tensor], gradients: list[Tensor], rate: float | Tensor, betas: tuple[float, float]
    ) -> None:
        """gradients: the tensors of the parameters' grad, which stay the same."""
        self.param_groups: list[dict[str, Any]] = [{"params": parameters, "lr": rate}]
        self.state = {
            parameter: {
                "step": torch.zeros((), device=parameter.device),
                "exp_avg": torch.zeros_like(parameter),
                "exp_avg_sq": torch.zeros_like(parameter),
            }
            for parameter in parameters
        }
        self._gradients, self._betas = gradients, betas

    @torch.no_grad()
    def step(self) -> None:
        """Update the weights from their gradients."""
        (group,), states = self.param_groups, self.state.values()
        means, squares, steps = ([state[name] for state in states] for name in ("exp_avg", "exp_avg_sq", "step"))
        adam(
            group["params"],
            self._gradients,
            means,
            squares,
            [],
            steps,
            fused=True,
            grad_scale=getattr(self, "grad_scale", None),
            found_inf=getattr(self, "found_inf", None),
            amsgrad=False,
            beta1=self._betas[0],
            beta2=self._betas[1],
            lr=group["lr"],
            weight_decay=0.0,
            eps=1e-8,
            maximize=False,
        )


class Learner:
    """One of the two networks, with the state that its updates need.

    The working copy is rounded once an update, not once a pass as autocast does, and gradients are converted into float32
    buffers that stay where they are (10 % of an epoch for GAN). In float32 the working copy is the network itself.
    """

    def __init__(self, network: nn.Module, config: RunConfig, dtype: torch.dtype, learning_rate: float | None = None) -> None:
        """learning_rate: the network's own; None: the config's."""
        self.network = network  # float32: what is saved, sampled from and judged with
        self.working = network if dtype == torch.float32 else _working_copy(network, dtype)
        self._parameters: list[Tensor] = list(network.parameters())
        self._working_parameters: list[Tensor] = list(self.working.parameters())
        self._gradients = [torch.zeros_like(parameter) for parameter in self._parameters]
        for parameter, gradient in zip(self._parameters, self._gradients, strict=True):
            parameter.grad = gradient
        device = self._parameters[0].device
        self._rate = learning_rate or config.learning_rate
        # A CUDA graph reads a rate that changes from the device.
        scheduled = device.type == "cuda" and config.schedule != "constant"
        rate = torch.tensor(self._rate, device=device) if scheduled else self._rate
        self.optimiser = _Adam(self._parameters, self._gradients, rate, (config.adam_beta1, config.adam_beta2))
        # fp16 rounds the smallest gradients to 0 unless the loss is scaled up first; a no-op in other precisions.
        self.scaler = torch.amp.GradScaler(device.type, enabled=dtype == torch.float16)
        self._first_scale = self.scaler.state_dict()

    def update(self, loss: Tensor, penalty: Tensor | None = None) -> None:
        """Update this network once. The other network's weights get no gradients. Does not wait for the device.

        loss: computed with the working copy. penalty: added to it, computed with the float32 network.
        """
        gradients = torch.autograd.grad(self.scaler.scale(loss), self._working_parameters)
        torch._foreach_copy_(self._gradients, list(gradients))
        if penalty is not None:
            # A slope does not depend on the last layer's bias: its gradient is 0.
            more = torch.autograd.grad(self.scaler.scale(penalty), self._parameters, materialize_grads=True)
            torch._foreach_add_(self._gradients, list(more))
        self.scaler.step(self.optimiser)  # type: ignore[arg-type]  # has all that it uses of an optimiser
        self.scaler.update()
        self.refresh()

    def scale_rate(self, share: float) -> None:
        """Set the learning rate to a share of its first value."""
        for group in self.optimiser.param_groups:
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(self._rate * share)
            else:
                group["lr"] = self._rate * share

    @torch.no_grad()
    def clip(self, bound: float) -> None:
        """Clip every weight and bias to plus and minus a bound."""
        torch._foreach_clamp_min_(self._parameters, -bound)
        torch._foreach_clamp_max_(self._parameters, bound)
        self.refresh()

    @contextlib.contextmanager
    def frozen(self, dropout: bool = True) -> Iterator[nn.Module]:
        """Yield the working network without gradients for its weights, which saves 7 % of an epoch.

        dropout: whether it stays active inside.
        """
        self.working.requires_grad_(False)
        self._set_dropout(dropout)
        try:
            yield self.working
        finally:
            self.working.requires_grad_(True)
            self._set_dropout(True)

    def _set_dropout(self, active: bool) -> None:
        for layer in self.working.modules():
            if isinstance(layer, Dropout):
                layer.train(active)

    def weights(self) -> list[Tensor]:
        """Weights and running statistics."""
        return list(self.network.state_dict().values())

    def state_dict(self) -> dict[str, Tensor]:
        """Return all tensors that the next update depends on, by name: weights, running statistics, Adam's step and moments."""
        moments = {
            f"adam.{number}.{name}": tensor
            for number, parameter in enumerate(self._parameters)
            for name, tensor in self.optimiser.state[parameter].items()
        }
        return {**self.network.state_dict(), **moments}

    @torch.no_grad()
    def load_state_dict(self, state: Mapping[str, Tensor], loss_scale: Mapping[str, float]) -> None:
        """Restore a state_dict and the scaler's, in place: CUDA graphs keep the addresses.

        Raises ValueError for a name that is unknown or missing, or a shape that is not this network's.
        """
        current = self.state_dict()
        shapes = [{name: tensor.shape for name, tensor in tensors.items()} for tensors in (current, state)]
        if wrong := {name for name, _ in shapes[0].items() ^ shapes[1].items()}:
            raise ValueError(f"{min(wrong)} does not fit this network ({len(wrong)} differ)")
        for name, tensor in current.items():
            tensor.copy_(state[name])
        self.scaler.load_state_dict(dict(loss_scale) or self._first_scale)
        self.refresh()

    @torch.no_grad()
    def restart(self, weights: list[Tensor]) -> None:
        """Restore earlier weights and statistics, and reset the optimiser; all in place."""
        for tensor, earlier in zip(self.weights(), weights, strict=True):
            tensor.copy_(earlier)
        for moments in self.optimiser.state.values():
            for tensor in moments.values():
                tensor.zero_()
        self.scaler.load_state_dict(self._first_scale)
        self.refresh()

    @torch.no_grad()
    def refresh(self) -> None:
        """Round the master weights to the working copy's."""
        if self.working is not self.network:
            torch._foreach_copy_(self._working_parameters, self._parameters)


def _working_copy(network: nn.Module, dtype: torch.dtype) -> nn.Module:
    """Copy the network in another precision. Batch norms are shared: they have running statistics and compute in float32."""
    working = copy.deepcopy(network).to(dtype)
    for name, layer in network.named_modules():
        if isinstance(layer, (nn.BatchNorm1d, nn.BatchNorm2d)):
            working.set_submodule(name, layer)
    return working
