"""The paper's two pairs of networks, layer by layer."""

import math
from typing import Any

import pytest
import torch
from torch import nn

from gan_lib import paper
from gan_lib.config import RunConfig
from gan_lib.presets import configure
from gan_lib.training.models import Pair, build_pair, megabytes, parameter_count

MODELS = ["gan", "cgan"]


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


def test_the_gans_parameters_can_be_counted_by_hand() -> None:
    pair = build_pair(RunConfig(model="gan", image_size=8, latent_size=10))
    # G: 10-256-512-1024-64 with biases, and two parameters for each of the 256 + 512 + 1024 normalised features.
    generator = 11 * 256 + 257 * 512 + 513 * 1024 + 1025 * 64 + 2 * (256 + 512 + 1024)
    discriminator = 65 * 1024 + 1025 * 512 + 513 * 256 + 257
    assert parameter_count(pair.generator) == generator
    assert parameter_count(pair.discriminator) == discriminator
    assert parameter_count(*pair) == generator + discriminator
    # On disk the two running statistics of each feature come on top; batch counters are not floats.
    assert megabytes(pair.generator) == pytest.approx((generator + 2 * (256 + 512 + 1024)) * 4 / 2**20, rel=1e-12)


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


@pytest.mark.parametrize("model", MODELS)
def test_even_extreme_weights_keep_images_in_minus_1_to_1(model: str) -> None:
    generator = build_pair(RunConfig(model=model, image_size=8)).generator  # type: ignore[arg-type]
    with torch.no_grad():
        for parameter in generator.parameters():
            parameter.mul_(1000)
        images = generator(torch.ones(2, 100).mul_(torch.tensor([[1.0], [-1.0]])))
    assert images.abs().max().item() == 1.0  # reached, never passed


def test_a_logit_is_not_squeezed_into_a_probability() -> None:
    for model in MODELS:
        discriminator = build_pair(RunConfig(model=model, image_size=8)).discriminator  # type: ignore[arg-type]
        with torch.no_grad():
            weight_layers(discriminator)[-1].bias.fill_(-50.0)
            assert discriminator(torch.zeros(2, 1, 8, 8)).max().item() < -40


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


@pytest.mark.parametrize("model", MODELS)
def test_pytorchs_initialisation_is_uniform_within_one_over_the_root_of_the_fan_in(model: str) -> None:
    pair = build_pair(RunConfig(model=model, initialisation="pytorch"))  # type: ignore[arg-type]
    for network in pair:
        for layer in weight_layers(network):
            bound = 1 / math.sqrt(layer.weight[0].numel())  # transposed layers count their outputs: PyTorch's way
            assert layer.weight.abs().max().item() <= bound * (1 + 1e-6)
            assert layer.weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.15)
            assert layer.bias.abs().max().item() <= bound * (1 + 1e-6)


@pytest.mark.parametrize("model", MODELS)
def test_glorots_initialisation_spreads_by_both_fans_and_has_no_biases(model: str) -> None:
    pair = build_pair(RunConfig(model=model, initialisation="glorot"))  # type: ignore[arg-type]
    for network in pair:
        for layer in weight_layers(network):
            window = layer.weight[0, 0].numel()
            bound = math.sqrt(6 / ((layer.weight.shape[0] + layer.weight.shape[1]) * window))
            assert layer.weight.abs().max().item() <= bound * (1 + 1e-6)
            assert layer.weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.15)
            assert layer.bias.abs().max().item() == 0


@pytest.mark.parametrize("model", MODELS)
def test_the_dcgan_articles_initialisation_is_normal_with_0_02(model: str) -> None:
    pair = build_pair(RunConfig(model=model, initialisation="dcgan"))  # type: ignore[arg-type]
    for network in pair:
        for layer in weight_layers(network):
            assert layer.weight.mean().item() == pytest.approx(0.0, abs=0.005)
            assert layer.weight.std().item() == pytest.approx(0.02, rel=0.15)
            assert layer.bias.abs().max().item() == 0
    norms = [module for module in pair.generator.modules() if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d))]
    for norm in norms:
        assert norm.weight.mean().item() == pytest.approx(1.0, abs=0.01)
        assert norm.weight.std().item() == pytest.approx(0.02, rel=0.35)
        assert norm.bias.abs().max().item() == 0


@pytest.mark.parametrize("scheme", ["pytorch", "glorot", "dcgan"])
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


@pytest.mark.parametrize("model", MODELS)
def test_a_new_pair_is_ready_to_train(model: str) -> None:
    pair = build_pair(RunConfig(model=model, image_size=8))  # type: ignore[arg-type]
    assert all(network.training for network in pair)
    assert all(parameter.requires_grad for network in pair for parameter in network.parameters())
