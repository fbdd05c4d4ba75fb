"""The paper's two pairs of networks, layer by layer."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gan_lib.config import RunConfig
from gan_lib.presets import configure
from gan_lib.reporting import paper
from gan_lib.training.models import Pair, build_pair, megabytes, parameter_count

from .helpers import MODELS

KINDS = (nn.Linear, nn.ConvTranspose2d, nn.Conv2d, nn.BatchNorm1d, nn.BatchNorm2d, nn.LeakyReLU, nn.ReLU, nn.Tanh)


def kinds(network: nn.Module) -> list[str]:
    """What each layer is, in order; a class of our own counts as the PyTorch one that it derives from."""
    found = []
    for layer in (module for module in network.modules() if not list(module.children())):
        name = next((kind.__name__ for kind in KINDS if isinstance(layer, kind)), type(layer).__name__)
        found.append("reshape" if "latten" in name else name)
    return found


def weights(pair: Pair) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for network in pair for parameter in network.parameters()])


def weight_layers(network: nn.Module) -> list[Any]:
    return [module for module in network.modules() if isinstance(module, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d))]


# The normalised features, each with two running statistics: 256 + 512 + 1024 and 12544 + 128 + 64.
@pytest.mark.parametrize(("model", "count", "normed"), [("gan", 2_950_161, 1792), ("cgan", 2_382_466, 12_736)])
def test_the_parameters_are_exactly_as_many_as_the_papers(model: str, count: int, normed: int) -> None:
    pair = build_pair(configure(f"{model}-cpu"))
    assert parameter_count(*pair) == count == paper.MODELS[model].parameters
    assert megabytes(*pair) == pytest.approx((count + 2 * normed) * 4 / 2**20, rel=1e-12)
    assert megabytes(*pair) == pytest.approx(paper.MODELS[model].megabytes, rel=2e-3)  # the paper's files have headers
    assert all(network.training for network in pair)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [8, 28, 32, 64])
def test_images_have_the_configs_shape_and_lie_in_minus_1_to_1(model: str, channels: int, size: int) -> None:
    config = RunConfig(model=model, image_size=size, channels=channels, latent_size=7)  # type: ignore[arg-type]
    pair = build_pair(config)
    images = pair.generator(torch.full((2, 7), 1.0).mul_(torch.tensor([[1.0], [-1.0]])))
    assert images.shape == (2, channels, size, size)
    assert -1 <= images.min().item() < images.max().item() <= 1
    assert pair.discriminator(images).shape == (2, 1)


def test_the_gans_layers_are_the_papers_in_order() -> None:
    pair = build_pair(RunConfig(model="gan"))
    assert kinds(pair.generator) == ["Linear", "BatchNorm1d", "LeakyReLU"] * 3 + ["Linear", "Tanh", "reshape"]
    assert kinds(pair.discriminator) == ["reshape", *["Linear", "LeakyReLU", "Dropout"] * 3, "Linear"]
    assert [(layer.in_features, layer.out_features) for layer in weight_layers(pair.generator)] == [
        (100, 256), (256, 512), (512, 1024), (1024, 784),
    ]  # fmt: skip
    assert [(layer.in_features, layer.out_features) for layer in weight_layers(pair.discriminator)] == [
        (784, 1024), (1024, 512), (512, 256), (256, 1),
    ]  # fmt: skip


def test_the_cgans_layers_are_the_papers_in_order() -> None:
    pair = build_pair(RunConfig(model="cgan"))
    up = ["ConvTranspose2d", "BatchNorm2d", "ReLU"]
    assert kinds(pair.generator) == [
        "Linear", "ReLU", "BatchNorm1d", "ReLU", "reshape", *up, *up, "ConvTranspose2d", "Tanh",
    ]  # fmt: skip
    assert kinds(pair.discriminator) == [*["Conv2d", "LeakyReLU", "Dropout"] * 2, "reshape", "Linear"]

    def shapes(network: nn.Module) -> list[tuple[int, int, int, int, int]]:
        found = [layer for layer in weight_layers(network) if not isinstance(layer, nn.Linear)]
        return [(c.in_channels, c.out_channels, c.kernel_size[0], c.stride[0], c.padding[0]) for c in found]

    assert shapes(pair.generator) == [(256, 128, 5, 1, 2), (128, 64, 4, 2, 1), (64, 1, 4, 2, 1)]
    assert shapes(pair.discriminator) == [(1, 64, 4, 2, 1), (64, 128, 4, 2, 1)]


@pytest.mark.parametrize("model", MODELS)
def test_slope_and_dropout_are_the_configs(model: str) -> None:
    pair = build_pair(RunConfig(model=model, image_size=8, leaky_slope=0.1, dropout=0.4))  # type: ignore[arg-type]
    modules = [module for network in pair for module in network.modules()]
    assert {module.negative_slope for module in modules if isinstance(module, nn.LeakyReLU)} == {0.1}
    for layer in (module for module in pair.discriminator.modules() if type(module).__name__ == "Dropout"):
        dropped = layer(torch.ones(10_000))
        assert (dropped == 0).float().mean().item() == pytest.approx(0.4, abs=0.03)
        assert dropped.unique().tolist() == pytest.approx([0, 1 / 0.6], rel=0.005)  # scaled, so that the mean stays
        assert torch.equal(layer.eval()(torch.ones(10)), torch.ones(10))
    assert not any("Dropout" in kind for kind in kinds(pair.generator))
    assert not any("BatchNorm" in kind for kind in kinds(pair.discriminator))


def uniform(bound: float) -> tuple[float, float]:
    """The largest value and the standard deviation."""
    return bound, bound / math.sqrt(3)


# By a layer's weights (outputs, inputs, …): their largest value, their standard deviation.
SPREADS: dict[str, Callable[[Tensor], tuple[float, float]]] = {
    "pytorch": lambda weight: uniform(1 / math.sqrt(weight[0].numel())),  # transposed layers count their outputs: PyTorch's way
    "glorot": lambda weight: uniform(math.sqrt(6 / (sum(weight.shape[:2]) * weight[0, 0].numel()))),
    "dcgan": lambda weight: (0.2, 0.02),
    "kaiming": lambda weight: (math.inf, math.sqrt(2 / 1.04 / weight[0].numel())),
}


@pytest.mark.parametrize("scheme", SPREADS)
@pytest.mark.parametrize("model", MODELS)
def test_weights_have_the_spread_of_their_initialisation(model: str, scheme: str) -> None:
    pair = build_pair(RunConfig(model=model, initialisation=scheme))  # type: ignore[arg-type]
    for layer in [layer for network in pair for layer in weight_layers(network)]:
        largest, spread = SPREADS[scheme](layer.weight)
        assert layer.weight.abs().max().item() <= largest * (1 + 1e-6)
        assert layer.weight.mean().item() == pytest.approx(0, abs=0.25 * spread)
        assert layer.weight.std().item() == pytest.approx(spread, rel=0.15)
        assert layer.bias.abs().max().item() <= (largest * (1 + 1e-6) if scheme == "pytorch" else 0)
    for norm in (layer for layer in pair.generator.modules() if isinstance(layer, (nn.BatchNorm1d, nn.BatchNorm2d))):
        assert norm.weight.mean().item() == pytest.approx(1, abs=0.01)
        assert norm.weight.std().item() == pytest.approx(0.02 if scheme == "dcgan" else 0, rel=0.35)
        assert norm.bias.abs().max().item() == 0


@pytest.mark.parametrize("scheme", SPREADS)
@pytest.mark.parametrize("model", MODELS)
def test_the_seed_alone_decides_the_weights(model: str, scheme: str) -> None:
    one, same, other = (
        weights(build_pair(RunConfig(model=model, image_size=8, initialisation=scheme, seed=seed)))  # type: ignore[arg-type]
        for seed in (1, 1, 2)
    )
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_building_leaves_the_global_random_state_alone() -> None:
    torch.manual_seed(123)
    expected = torch.rand(3)
    torch.manual_seed(123)
    build_pair(RunConfig(image_size=8, seed=5))
    assert torch.equal(torch.rand(3), expected)
