"""Layers with the results of PyTorch's own layers, faster on a CPU. On a GPU each uses PyTorch's own.

Shares of an epoch were measured on two cores of an AMD EPYC with bf16 matrix units.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class DropoutMasks:
    """Random masks of 0 and 1/keep. The state of `generator` is the whole state, so that a checkpoint can save it.

    Each element of a mask takes one random byte, eight bytes come from one 64-bit draw, and the comparison is vectorised;
    `bernoulli_` takes one draw of a serial generator an element, and took 10 % (GAN) and 16 % (CGAN) of a plain loop's time.
    """

    def __init__(self, device: torch.device | str = "cpu") -> None:
        self.generator = torch.Generator(device)

    def draw(self, like: Tensor, dropout: float) -> Tensor:
        """Draw a mask of a tensor's shape, dtype and memory layout: 0 with probability `dropout`, else 1/keep."""
        if like.is_cuda:
            return torch.empty_like(like).bernoulli_(1 - dropout, generator=self.generator).div_(1 - dropout)
        dtype, threshold, keep = byte_threshold(dropout)
        width = dtype.itemsize
        words = torch.empty((like.numel() * width + 7) // 8, dtype=torch.int64)
        words.random_(-(2**63), None, generator=self.generator)
        mask = torch.empty_like(like)
        in_memory_order = mask.as_strided((mask.numel(),), (1,))  # all elements are alike: any order will do
        torch.lt(words.view(dtype)[: like.numel()], threshold, out=in_memory_order)
        return mask.mul_(1 / keep)


def byte_threshold(dropout: float) -> tuple[torch.dtype, int, float]:
    """(dtype, threshold, keep): a random integer of that dtype is below the threshold with probability keep.

    keep is 1 - dropout to within 0.2 % of itself, or to within 2**-16 where 8 bits cannot give that: 179/256 for the
    paper's dropout of 0.3.
    """
    wanted = 1 - dropout
    eighth = round(256 * wanted)
    if 0 < eighth < 256 and abs(eighth / 256 / wanted - 1) <= 0.002:
        return torch.int8, eighth - 128, eighth / 256
    sixteenth = min(max(1, round(65536 * wanted)), 65535)
    return torch.int16, sixteenth - 32768, sixteenth / 65536


class Dropout(nn.Module):
    """Inverted dropout, in training only, in place: it must not follow a layer that keeps its output for the backward pass."""

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.dropout = dropout
        self.masks: DropoutMasks | None = None  # set by the trainer; without them PyTorch's own random numbers

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or not self.dropout:
            return x
        if self.masks is None:
            return F.dropout(x, self.dropout)
        return x.mul_(self.masks.draw(x, self.dropout))


class UnflattenChannelsLast(nn.Module):
    """(N, S*S*C) -> (N, C, S, S) with the channels last in memory, where convolutions are fastest: a view, no copy."""

    def __init__(self, channels: int, side: int) -> None:
        super().__init__()
        self.channels, self.side = channels, side

    def forward(self, x: Tensor) -> Tensor:
        return x.view(-1, self.side, self.side, self.channels).permute(0, 3, 1, 2)


class FlattenChannelsLast(nn.Module):
    """(N, C, S, S) -> (N, S*S*C): without a copy when the channels are last in memory."""

    def forward(self, x: Tensor) -> Tensor:
        return x.permute(0, 2, 3, 1).flatten(1)


class FullTanh(nn.Module):
    """tanh with its slope in float32, whatever the precision around it.

    In bf16 tanh(x) is exactly 1 from x = 3.2 on and its slope, 1 - tanh², exactly 0: such a pixel no longer gets a gradient
    from the critic.
    """

    def forward(self, x: Tensor) -> Tensor:
        return x.float().tanh().to(x.dtype)


class ToImage(nn.ConvTranspose2d):
    """The generator's last layer: kernel 4, stride 2, padding 1, to the image's one or three channels."""

    def __init__(self, inputs: int, channels: int) -> None:
        super().__init__(inputs, channels, kernel_size=4, stride=2, padding=1)

    def forward(self, x: Tensor, output_size: Any = None) -> Tensor:
        if x.is_cuda:
            return super().forward(x)
        return _ToImage.apply(x, self.weight) + self.bias.view(1, -1, 1, 1)  # type: ignore[union-attr]


class FromImage(nn.Conv2d):
    """The discriminator's first layer: kernel 4, stride 2, padding 1, from the image's one or three channels."""

    def __init__(self, channels: int, outputs: int) -> None:
        super().__init__(channels, outputs, kernel_size=4, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) if x.is_cuda else _FromImage.apply(x, self.weight, self.bias)


def fold_product(x: Tensor, weight: Tensor) -> Tensor:
    """Transposed convolution, kernel 4, stride 2, padding 1, by its definition: one matrix product, then a sum of patches.

    x: (N, C, H, W); weight: (C, c, 4, 4); returns (N, c, 2H, 2W). oneDNN's own kernel for one output channel is far from
    the matrix rate.
    """
    n, inputs, height, width = x.shape
    columns = x.permute(0, 2, 3, 1).reshape(-1, inputs) @ weight.reshape(inputs, -1)  # (N*H*W, c*16)
    patches = columns.float().view(n, height * width, -1).transpose(1, 2)  # (N, c*16, H*W); sums in full precision
    return F.fold(patches, (2 * height, 2 * width), 4, padding=1, stride=2).to(x.dtype)


class _ToImage(torch.autograd.Function):
    """fold_product forward; backward is oneDNN's, which is fast in this direction."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return fold_product(x, weight)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        needs = [*ctx.needs_input_grad, False]
        return _convolution_backward(grad, x, weight, None, needs, transposed=True)[:2]


class _FromImage(torch.autograd.Function):
    """oneDNN's convolution forward; the image's gradient, if required, is a fold_product."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return F.conv2d(x, weight, bias, stride=2, padding=1).contiguous(memory_format=torch.channels_last)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        wants_x, wants_weight, wants_bias = ctx.needs_input_grad
        grad_x = fold_product(grad, weight) if wants_x else None
        grad_weight = grad_bias = None
        if wants_weight or wants_bias:
            needs = [False, wants_weight, wants_bias]
            _, grad_weight, grad_bias = _convolution_backward(grad, x, weight, [len(weight)], needs, transposed=False)
        return grad_x, grad_weight, grad_bias


def _convolution_backward(
    grad: Tensor, x: Tensor, weight: Tensor, bias: list[int] | None, needs: list[bool], transposed: bool
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    return torch.ops.aten.convolution_backward(
        grad, x, weight, bias, [2, 2], [1, 1], [1, 1], transposed, [0, 0], 1, needs
    )  # fmt: skip
