"""PyTorch's own layers by other ways. What they compute, and how random the dropout masks are."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gan_lib.training.layers import (
    Dropout,
    DropoutMasks,
    FlattenChannelsLast,
    FromImage,
    FullTanh,
    ToImage,
    UnflattenChannelsLast,
    byte_threshold,
    fold_product,
)

MANY = 2**22  # draws; a share of them is off by 0.0002 (one standard deviation) at most


def masks(seed: int = 1) -> DropoutMasks:
    source = DropoutMasks()
    source.generator.manual_seed(seed)
    return source


def test_the_papers_dropout_keeps_179_of_256_bytes() -> None:
    assert byte_threshold(0.3) == (torch.int8, 179 - 128, 179 / 256)


@pytest.mark.parametrize("dropout", [1e-6, 0.0001, 0.001, 0.0019, *(number / 100 for number in range(1, 100)), 0.9999])
def test_the_keep_probability_is_right_and_so_is_its_threshold(dropout: float) -> None:
    dtype, threshold, keep = byte_threshold(dropout)
    assert keep == pytest.approx(1 - dropout, rel=0.002, abs=2**-17)
    assert 0 < keep < 1
    info = torch.iinfo(dtype)
    assert (threshold - info.min) / (info.max - info.min + 1) == keep
    # What the mask is made with: in the dtype itself, all values below the threshold are kept, and no others.
    every = torch.arange(info.min, info.max + 1, dtype=torch.int64)
    assert torch.lt(every.to(dtype), threshold).double().mean().item() == keep


@pytest.mark.parametrize("dropout", [0.001, 0.01, 0.3, 0.5, 0.99])
def test_a_mask_keeps_its_share_and_leaves_the_mean_as_it_was(dropout: float) -> None:
    mask = masks().draw(torch.empty(MANY), dropout)
    keep = byte_threshold(dropout)[2]
    assert mask.unique().tolist() == pytest.approx([0, 1 / keep], rel=1e-6)
    assert (mask != 0).double().mean().item() == pytest.approx(keep, abs=0.001)
    assert mask.double().mean().item() == pytest.approx(1, abs=0.001 / keep)


@pytest.mark.parametrize("dropout", [0.3, 0.01])  # 8 bits an element, and 16
@pytest.mark.parametrize("lag", [1, 2, 4, 8])  # 4 or 8 elements come from one 64-bit draw
def test_the_elements_of_a_mask_do_not_depend_on_their_neighbours(dropout: float, lag: int) -> None:
    kept = (masks().draw(torch.empty(MANY), dropout) != 0).double()
    correlation = torch.corrcoef(torch.stack([kept[:-lag], kept[lag:]]))[0, 1].item()
    assert correlation == pytest.approx(0, abs=0.003)


def test_masks_follow_the_state_of_their_generator_and_of_no_other() -> None:
    source = masks()
    like = torch.empty(5, 7)
    source.draw(like, 0.3)
    state = source.generator.get_state()
    first, second = source.draw(like, 0.3), source.draw(like, 0.3)
    source.generator.set_state(state)
    torch.manual_seed(5)
    before = torch.get_rng_state()
    assert torch.equal(source.draw(like, 0.3), first)
    assert torch.equal(torch.get_rng_state(), before)
    assert not torch.equal(first, second)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_a_mask_takes_the_shape_dtype_and_layout_of_its_tensor(dtype: torch.dtype) -> None:
    like = torch.ones(3, 5, 4, 4, dtype=dtype).to(memory_format=torch.channels_last)
    mask = masks().draw(like, 0.3)
    assert (mask.shape, mask.dtype, mask.stride()) == (like.shape, dtype, like.stride())
    assert set(mask.float().unique().tolist()) == {0.0, torch.tensor(256 / 179).to(dtype).item()}


@pytest.mark.parametrize("odd", ["sliced", "transposed", "channels last", "one element"])
def test_dropout_works_on_any_layout(odd: str) -> None:
    x = {
        "sliced": torch.ones(64, 66)[:, ::2],
        "transposed": torch.ones(33, 64).t(),
        "channels last": torch.ones(8, 8, 33, 1).permute(0, 2, 1, 3),
        "one element": torch.ones(1),
    }[odd]
    layer = Dropout(0.5)
    layer.masks = masks()
    found = layer(x.clone(memory_format=torch.preserve_format) if odd != "sliced" else x)
    assert found.shape == x.shape
    assert set(found.unique().tolist()) <= {0.0, 2.0}
    if found.numel() > 1:
        assert found.mean().item() == pytest.approx(1, abs=0.15)


@pytest.mark.parametrize("with_masks", [True, False])
def test_dropout_is_off_in_eval_mode_and_its_gradient_is_its_mask(with_masks: bool) -> None:
    layer = Dropout(0.3)
    layer.masks = masks() if with_masks else None
    x = torch.full((200, 50), 3.0)
    assert torch.equal(layer.eval()(x.clone()), x)
    assert Dropout(0).train()(x) is x
    start = x.clone().requires_grad_()
    found = layer.train()(start * 1.0)
    found.sum().backward()
    assert start.grad is not None
    assert torch.allclose(found.detach(), 3 * start.grad)
    assert (found != 0).float().mean().item() == pytest.approx(0.7, abs=0.03)
    assert found.mean().item() == pytest.approx(3, abs=0.12)


def test_unflatten_and_flatten_are_views_and_each_others_inverse() -> None:
    flat = torch.arange(2 * 3 * 3 * 4.0).view(2, 36)
    maps = UnflattenChannelsLast(4, 3)(flat)
    assert maps.shape == (2, 4, 3, 3)
    assert maps.is_contiguous(memory_format=torch.channels_last)
    assert maps[0, :, 0, 1].tolist() == [4, 5, 6, 7]  # the second pixel's channels, side by side in memory
    back = FlattenChannelsLast()(maps)
    assert torch.equal(back, flat)
    assert maps.data_ptr() == back.data_ptr() == flat.data_ptr()


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("shape", [(1, 2, 2, 2), (2, 64, 14, 14), (3, 5, 4, 7)])
def test_fold_product_is_the_transposed_convolution(shape: tuple[int, ...], channels: int) -> None:
    x, weight = torch.randn(shape), torch.randn(shape[1], channels, 4, 4) / shape[1] ** 0.5
    expected = F.conv_transpose2d(x, weight, stride=2, padding=1)
    assert torch.allclose(fold_product(x, weight), expected, rtol=1e-5, atol=1e-5)
    layout = x.to(memory_format=torch.channels_last)
    assert torch.allclose(fold_product(layout, weight), expected, rtol=1e-5, atol=1e-5)


def both(kind: str, channels: int) -> tuple[nn.Module, nn.Module, Tensor]:
    """Ours, PyTorch's with the same weights, and an input."""
    ours: nn.Module
    plain: nn.Module
    if kind == "to":
        ours, plain = ToImage(6, channels), nn.ConvTranspose2d(6, channels, 4, 2, 1)
        x = torch.randn(3, 6, 4, 4)
    else:
        ours, plain = FromImage(channels, 6), nn.Conv2d(channels, 6, 4, 2, 1)
        x = torch.randn(3, channels, 8, 8)
    plain.load_state_dict(ours.state_dict())
    return ours, plain, x


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kind", ["to", "from"])
def test_image_layers_and_all_their_gradients_equal_pytorchs(kind: str, channels: int) -> None:
    ours, plain, x = both(kind, channels)
    results = []
    for layer in (ours, plain):
        start = x.clone().requires_grad_()
        out = layer(start)
        weight = torch.linspace(0.5, 1, out.numel()).view(out.shape)
        results.append([out, *torch.autograd.grad((out * weight).sum(), [start, *layer.parameters()])])
    for found, expected in zip(*results, strict=True):
        assert torch.allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_a_frozen_first_layer_takes_no_weight_gradient_and_still_carries_the_signal() -> None:
    ours, plain, x = both("from", 1)
    ours.requires_grad_(False)
    start, same = x.clone().requires_grad_(), x.clone().requires_grad_()
    ours(start).square().sum().backward()
    plain(same).square().sum().backward()
    assert all(parameter.grad is None for parameter in ours.parameters())
    assert start.grad is not None and same.grad is not None
    assert torch.allclose(start.grad, same.grad, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", ["to", "from"])
def test_image_layers_work_in_bf16(kind: str) -> None:
    ours, plain, x = both(kind, 1)
    ours = ours.to(torch.bfloat16)
    start, exact = x.bfloat16().requires_grad_(), x.clone().requires_grad_()
    out, expected = ours(start), plain(exact)
    assert out.dtype == torch.bfloat16
    assert torch.allclose(out.float(), expected, atol=0.05)
    out.float().sum().backward()
    expected.sum().backward()
    assert start.grad is not None and exact.grad is not None
    assert start.grad.dtype == torch.bfloat16
    assert torch.allclose(start.grad.float(), exact.grad, atol=0.05)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_full_tanh_keeps_a_slope_where_bf16_has_none(dtype: torch.dtype) -> None:
    x = torch.tensor([0.0, 4.5, -4.5], dtype=dtype, requires_grad=True)
    y = FullTanh()(x)
    assert y.dtype == dtype
    assert y.tolist() == pytest.approx([0.0, 0.99975, -0.99975], abs=4e-3)
    y.sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == pytest.approx([1.0, 4.934e-4, 4.934e-4], rel=0.01)
    if dtype == torch.bfloat16:
        (lost,) = torch.autograd.grad(torch.tanh(x).sum(), x)
        assert lost.tolist() == [1.0, 0.0, 0.0]
