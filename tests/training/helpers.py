"""What these tests start from: images of noise, trainers on them, and a critic that can be worked out by hand."""

from typing import Any

import torch
from conftest import tiny_config
from torch import Tensor, nn

from gan_lib.config import RunConfig
from gan_lib.training.mixed_precision import Learner
from gan_lib.training.trainer import EpochStats, Trainer

MODELS = ["gan", "cgan"]
PRECISIONS = ["fp32", "bf16"]
STILL = 1e-12  # a learning rate at which nothing is learnt

# One run with everything that is not the paper's.
EVERYTHING: dict[str, Any] = {
    "model": "small",
    "loss": "rpgan",
    "image_size": 16,
    "width": 2,
    "average_decay": 0.9,
    "schedule": "linear",
    "schedule_start": 0.25,
    "augmentation": "shift",
    "penalty_every": 2,
    "classes": 3,
    "discriminator_learning_rate": 0.001,
}


def noise(count: int, size: int = 8, seed: int = 42) -> Tensor:
    return torch.rand(count, 1, size, size, generator=torch.Generator().manual_seed(seed)).mul(2).sub(1)


def make_trainer(images: Tensor | int = 10, precision: str = "fp32", graphs: bool = True, **changes: Any) -> Trainer:
    """On 10 images of noise in batches of 4, 4 and 2, unless something else is given."""
    images = noise(images, changes.get("image_size", 8)) if isinstance(images, int) else images
    config = tiny_config(**{"training_images": len(images), "batch_size": 4, **changes})
    return Trainer(config, images, precision, graphs, labels=torch.arange(len(images)) % max(1, config.classes))


def numbers(stats: EpochStats) -> tuple[float, ...]:
    return tuple(stats)[:5]  # all but the seconds


def everything(run: Trainer) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in run.tensors().items()}


def bits(network: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def linear_critic(config: RunConfig, weights: list[float]) -> Learner:
    """Images of two pixels, scores w·x + 1."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(len(weights), 1))
    with torch.no_grad():
        network[1].weight.copy_(torch.tensor([weights]))
        network[1].bias.fill_(1.0)
    return Learner(network, config, torch.float32)


def two_pixels(*pixels: tuple[float, float]) -> Tensor:
    return torch.tensor(pixels, dtype=torch.float32).view(-1, 1, 1, 2)
