"""Training: one update of the discriminator, one update of the generator, and the epoch that alternates them."""

import math
import time
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn

from gan_lib.config import RunConfig
from gan_lib.errors import TrainingError
from gan_lib.losses import discriminator_loss, generator_loss
from gan_lib.models import Pair, build_pair


class EpochStats(NamedTuple):
    """One epoch. Losses and probabilities are means over its images; seconds are those of training alone."""

    epoch: int  # counted from 1
    discriminator_loss: float  # mean of its real and generated halves: ln 2 when undecided
    generator_loss: float
    real_probability: float  # the discriminator's mean belief that a training image is real
    generated_probability: float  # … and that a generated one is
    training_seconds: float


def discriminator_step(pair: Pair, optimiser: torch.optim.Optimizer, real: Tensor, generated: Tensor) -> Tensor:
    """Correct the discriminator once. The generator is not touched.

    real, generated: (N, C, S, S) each, generated without history. Returns (loss, P(real), P(generated)) as one (3,) tensor,
    still on the device: nothing here waits for it.
    """
    # One pass over both halves: the discriminator has no batch norm, so they do not see each other.
    logits = pair.discriminator(torch.cat([real, generated]))  # (2N, C, S, S) -> (2N, 1)
    real_logits, generated_logits = logits.float().chunk(2)
    loss = discriminator_loss(real_logits, generated_logits)
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    return torch.stack([loss.detach(), real_logits.detach().sigmoid().mean(), generated_logits.detach().sigmoid().mean()])


def generator_step(pair: Pair, optimiser: torch.optim.Optimizer, generated: Tensor) -> Tensor:
    """Correct the generator once. The discriminator is not touched.

    generated: (N, C, S, S), with its history. Returns the loss, a scalar on the device.
    """
    loss = generator_loss(pair.discriminator(generated).float())
    optimiser.zero_grad()
    # Only the generator's gradients: through the discriminator the pass just carries the signal back.
    loss.backward(inputs=list(pair.generator.parameters()))
    optimiser.step()
    return loss.detach()


class Trainer:
    """Everything that changes while one configuration trains: networks, optimisers, random generators, the epoch."""

    def __init__(self, config: RunConfig, images: Tensor) -> None:
        """images: (N, C, S, S) float32 in [-1, 1], on the device to train on."""
        self.config = config
        self.images = images
        self.device = images.device
        self.pair = Pair(*(network.to(self.device) for network in build_pair(config)))
        self.generator_optimiser = _adam(self.pair.generator, config)
        self.discriminator_optimiser = _adam(self.pair.discriminator, config)
        self.order_generator = torch.Generator(self.device).manual_seed(_stream(config.seed, 1))
        self.latent_generator = torch.Generator(self.device).manual_seed(_stream(config.seed, 2))
        torch.manual_seed(_stream(config.seed, 3))  # dropout
        self.epochs_done = 0

    def train(self) -> Iterator[EpochStats]:
        """Train up to config.epochs, yielding after each epoch. Raises TrainingError on a loss that is not finite."""
        while self.epochs_done < self.config.epochs:
            yield self.train_epoch()

    def train_epoch(self) -> EpochStats:
        """One pass over all images in a new random order; the last batch may be smaller."""
        self._wait_for_device()
        start = time.perf_counter()
        for network in self.pair:
            network.train()
        order = torch.randperm(len(self.images), generator=self.order_generator, device=self.device)
        batches = order.split(self.config.batch_size)
        numbers = torch.stack([self._iteration(self.images[batch]) for batch in batches])  # (batches, 4)
        weights = torch.tensor([len(batch) / len(order) for batch in batches], device=self.device)
        d_loss, p_real, p_generated, g_loss = (weights @ numbers).tolist()  # the first time anything waits for the device
        seconds = time.perf_counter() - start
        self.epochs_done += 1
        if not (math.isfinite(d_loss) and math.isfinite(g_loss)):
            bad = int((~numbers.isfinite().all(dim=1)).nonzero()[0]) + 1
            raise TrainingError(f"the loss is not finite any more: epoch {self.epochs_done}, batch {bad} of {len(batches)}")
        return EpochStats(self.epochs_done, d_loss, g_loss, p_real, p_generated, seconds)

    def _iteration(self, real: Tensor) -> Tensor:
        """Both updates on one batch. real: (N, C, S, S). Returns (D's loss, P(real), P(generated), G's loss)."""
        reuse = self.config.generator_noise == "reused"
        with torch.set_grad_enabled(reuse):
            generated = self.pair.generator(self._latents(len(real)))
        judged = discriminator_step(self.pair, self.discriminator_optimiser, real, generated.detach())
        if not reuse:
            generated = self.pair.generator(self._latents(len(real)))
        loss = generator_step(self.pair, self.generator_optimiser, generated)
        return torch.cat([judged, loss.view(1)])

    def _latents(self, count: int) -> Tensor:
        return uniform_latents(count, self.config.latent_size, self.latent_generator)

    def _wait_for_device(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def uniform_latents(count: int, latent_size: int, generator: torch.Generator) -> Tensor:
    """(count, latent_size) values, uniform in [-1, 1], on the generator's device."""
    return torch.rand(count, latent_size, generator=generator, device=generator.device).mul_(2).sub_(1)


def fixed_latents(config: RunConfig, count: int, seed: int | None = None) -> Tensor:
    """Latents to look at a network with: the same on every machine, and independent of training's random numbers."""
    return uniform_latents(
        count, config.latent_size, torch.Generator().manual_seed(_stream(config.seed if seed is None else seed, 9))
    )


@torch.no_grad()
def sample(generator: nn.Module, latents: Tensor, batch_size: int = 500) -> Tensor:
    """Images (N, C, S, S) in [-1, 1], float32 on the CPU, from latents (N, Z).

    In eval mode: batch norm uses its running statistics, so an image does not depend on the others drawn with it. The
    network's mode is put back afterwards.
    """
    return _in_eval_mode(generator, latents, batch_size)


@torch.no_grad()
def judge(discriminator: nn.Module, images: Tensor, batch_size: int = 500) -> Tensor:
    """The discriminator's belief that each image is real: (N,) in [0, 1], from images (N, C, S, S). Dropout is off."""
    return _in_eval_mode(discriminator, images, batch_size).sigmoid().flatten()


def _in_eval_mode(network: nn.Module, inputs: Tensor, batch_size: int) -> Tensor:
    was_training = network.training
    device = next(network.parameters()).device
    network.eval()
    try:
        return torch.cat([network(part.to(device)).float().cpu() for part in inputs.split(batch_size)])
    finally:
        network.train(was_training)


def _adam(network: nn.Module, config: RunConfig) -> torch.optim.Adam:
    # fused: one pass over the weights an update, instead of a handful.
    return torch.optim.Adam(
        network.parameters(), lr=config.learning_rate, betas=(config.adam_beta1, config.adam_beta2), fused=True
    )


def _stream(seed: int, number: int) -> int:
    """A seed for one of a run's independent random generators."""
    return seed * 16 + number
