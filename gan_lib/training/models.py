"""The generator/discriminator pairs: the paper's "gan", fully connected, and "cgan", convolutional (a DCGAN); and "small".

Generators map latents (N, Z) to images (N, C, S, S) in [-1, 1]; discriminators map images to logits (N, 1). With K classes,
latents are (N, Z + K), the class one-hot at their end, and D sees (N, C + K, S, S), a map a class.
The paper's GAN ends in a sigmoid; here the sigmoid is part of the loss (losses.py), which computes the same more exactly.
"""

import copy
import itertools
from functools import partial
from typing import NamedTuple

import torch
from torch import nn

from gan_lib.config import RunConfig
from gan_lib.registry import LOSSES, MODELS, resolve
from gan_lib.training.layers import Dropout, FlattenChannelsLast, FromImage, FullTanh, ToImage, UnflattenChannelsLast

MEGABYTE = 2**20  # bytes, as the paper counts them


class Pair(NamedTuple):
    """A generator and its discriminator."""

    generator: nn.Module  # latents (N, Z) -> images (N, C, S, S)
    discriminator: nn.Module  # images (N, C, S, S) -> logits (N, 1)


def build_pair(config: RunConfig) -> Pair:
    """Build both networks of a config, initialised from config.seed, on the CPU, in training mode."""
    build = resolve(MODELS[config.model].build)
    with torch.random.fork_rng(devices=[]):  # leave the caller's random state alone
        torch.manual_seed(config.seed)
        pair: Pair = build(config)
        for network in pair:
            network.apply(partial(_initialise, config.initialisation))
    return pair


def parameter_count(*networks: nn.Module) -> int:
    """Count the trainable parameters of networks together (the paper: 2,950,161 for GAN and 2,382,466 for CGAN)."""
    return sum(parameter.numel() for network in networks for parameter in network.parameters())


def megabytes(*networks: nn.Module) -> float:
    """Size on disk in MB (2**20 bytes): parameters and batch norm's running statistics, as float32."""
    kept = (tensor for network in networks for tensor in network.state_dict().values() if tensor.is_floating_point())
    return sum(tensor.numel() * 4 for tensor in kept) / MEGABYTE


@torch.no_grad()
def layer_shapes(network: nn.Module, config: RunConfig) -> list[tuple[str, tuple[int, ...], int]]:
    """Each layer of one of the two networks: its name, the shape it returns (for two images), its trainable parameters."""
    layers = list(copy.deepcopy(network).cpu().eval().children())  # a copy, to keep running statistics unchanged
    channels, size, _ = config.image_shape
    generates = isinstance(layers[0], nn.Linear)
    shape = (config.latent_size + config.classes,) if generates else (channels + config.classes, size, size)
    values, listed = torch.zeros(2, *shape), []
    for layer in layers:
        values = layer(values)
        listed.append((type(layer).__name__, tuple(values.shape), parameter_count(layer)))
    return listed


def build_gan(config: RunConfig) -> Pair:
    """The paper's fully connected GAN: 784 values an image at the paper's size."""
    values = config.channels * config.image_size**2

    def dense(inputs: int, outputs: int) -> list[nn.Module]:
        return [nn.Linear(inputs, outputs), nn.LeakyReLU(config.leaky_slope), Dropout(config.dropout)]

    def normed(inputs: int, outputs: int) -> list[nn.Module]:
        return [nn.Linear(inputs, outputs), nn.BatchNorm1d(outputs), nn.LeakyReLU(config.leaky_slope)]

    generator = nn.Sequential(
        *normed(config.latent_size, 256),
        *normed(256, 512),
        *normed(512, 1024),
        nn.Linear(1024, values),
        _to_pixels(config),
        nn.Unflatten(1, config.image_shape),  # (N, 784) -> (N, 1, 28, 28)
    )
    discriminator = nn.Sequential(
        nn.Flatten(),  # (N, 1, 28, 28) -> (N, 784)
        *dense(values, 1024),
        *dense(1024, 512),
        *dense(512, 256),
        nn.Linear(256, 1),
    )
    return Pair(generator, discriminator)


def build_cgan(config: RunConfig) -> Pair:
    """The paper's convolutional GAN. Two layers of stride 2 halve the image twice, so its side is a multiple of 4."""
    quarter = config.image_size // 4  # 7 at the paper's size

    generator = nn.Sequential(
        nn.Linear(config.latent_size + config.classes, 256 * quarter**2),
        nn.ReLU(),  # the paper's listing has this one before the batch norm too
        nn.BatchNorm1d(256 * quarter**2),  # over all 12,544 features, before they become maps
        nn.ReLU(),
        UnflattenChannelsLast(256, quarter),  # (N, 12544) -> (N, 256, 7, 7)
        nn.ConvTranspose2d(256, 128, kernel_size=5, stride=1, padding=2),
        nn.BatchNorm2d(128),
        nn.ReLU(),
        nn.ConvTranspose2d(128, 64, kernel_size=4, stride=2, padding=1),  # (N, 64, 14, 14)
        nn.BatchNorm2d(64),
        nn.ReLU(),
        ToImage(64, config.channels),  # (N, 1, 28, 28)
        _to_pixels(config),
    )
    discriminator = nn.Sequential(
        FromImage(config.channels + config.classes, 64),  # (N, 64, 14, 14)
        nn.LeakyReLU(config.leaky_slope),
        Dropout(config.dropout),
        nn.Conv2d(64, 128, kernel_size=4, stride=2, padding=1),  # (N, 128, 7, 7)
        nn.LeakyReLU(config.leaky_slope),
        Dropout(config.dropout),
        FlattenChannelsLast(),  # (N, 6272)
        nn.Linear(128 * quarter**2, 1),
    )
    return _channels_last(generator, discriminator)


def build_small(config: RunConfig) -> Pair:
    """A small convolutional pair, nothing normalised in D: about 0.4 million parameters at width 24 and 28 pixels.

    Layers of stride 2 halve the image until a side has at most 8 pixels or an odd number: two layers for 28 pixels, three
    for 64. From the image inwards they have w, 2w, 4w, 4w, … maps.
    """
    side, maps = config.image_size, [config.width]
    while side % 2 == 0 and side > 8:
        side //= 2
        maps.append(min(2 * maps[-1], 4 * config.width))
    inner = 4 * config.width

    def grow(inputs: int, outputs: int) -> list[nn.Module]:
        # Without a bias, which the batch norm would take away again; its gradient took 8 % of an epoch.
        convolution = nn.ConvTranspose2d(inputs, outputs, kernel_size=4, stride=2, padding=1, bias=False)
        return [convolution, nn.BatchNorm2d(outputs), nn.ReLU()]

    def shrink(inputs: int, outputs: int) -> list[nn.Module]:
        convolution = nn.Conv2d(inputs, outputs, kernel_size=4, stride=2, padding=1)
        return [convolution, nn.LeakyReLU(config.leaky_slope), Dropout(config.dropout)]

    generator = nn.Sequential(
        nn.Linear(config.latent_size + config.classes, inner * side**2, bias=False),
        UnflattenChannelsLast(inner, side),  # (N, 4w, 7, 7) at the paper's size
        nn.BatchNorm2d(inner),
        nn.ReLU(),
        *(layer for inputs, outputs in itertools.pairwise([inner, *maps[-2::-1]]) for layer in grow(inputs, outputs)),
        nn.Conv2d(config.width, config.channels, kernel_size=3, padding=1),
        _to_pixels(config),
    )
    discriminator = nn.Sequential(
        *(layer for sizes in itertools.pairwise([config.channels + config.classes, *maps[:-1]]) for layer in shrink(*sizes)),
        nn.Conv2d(maps[-2], inner, kernel_size=3, padding=1),
        nn.LeakyReLU(config.leaky_slope),
        FlattenChannelsLast(),
        nn.Linear(inner * side**2, 1),
    )
    return _channels_last(generator, discriminator)


def _channels_last(generator: nn.Module, discriminator: nn.Module) -> Pair:
    """Store both networks with channels last in memory (not in shape), where convolutions are fastest."""
    return Pair(*(network.to(memory_format=torch.channels_last) for network in (generator, discriminator)))


def _to_pixels(config: RunConfig) -> nn.Module:
    """The generator's last activation, to [-1, 1]. With a critic it must not lose gradients."""
    return FullTanh() if LOSSES[config.loss].scores else nn.Tanh()


def _initialise(scheme: str, layer: nn.Module) -> None:
    """Initialise one layer. "pytorch" is PyTorch's own: uniform within 1/sqrt(fan in), biases too."""
    if isinstance(layer, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)) and scheme != "pytorch":
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
        if scheme == "glorot":  # Flux's defaults
            nn.init.xavier_uniform_(layer.weight)
        elif scheme == "dcgan":  # the DCGAN article's
            nn.init.normal_(layer.weight, 0.0, 0.02)
        else:  # kaiming: He et al. 2015, normal, for LeakyReLU(0.2)
            nn.init.kaiming_normal_(layer.weight, 0.2, nonlinearity="leaky_relu")
    elif isinstance(layer, (nn.BatchNorm1d, nn.BatchNorm2d)) and scheme == "dcgan":
        nn.init.normal_(layer.weight, 1.0, 0.02)
