"""Training: one update of the discriminator, one update of the generator, and the epoch that alternates them."""

import math
import time
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn

from gan_lib.config import RunConfig
from gan_lib.errors import TrainingError
from gan_lib.graphs import Iteration, capture
from gan_lib.layers import Dropout, DropoutMasks
from gan_lib.learner import Learner, network_device
from gan_lib.losses import discriminator_loss, generator_loss
from gan_lib.models import Pair, build_pair
from gan_lib.words import first_line

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class EpochStats(NamedTuple):
    """One epoch. Losses and probabilities are means over its images; seconds are those of training alone."""

    epoch: int  # counted from 1
    discriminator_loss: float  # mean of its real and generated halves: ln 2 when undecided
    generator_loss: float
    real_probability: float  # the discriminator's mean belief that a training image is real
    generated_probability: float  # … and that a generated one is
    training_seconds: float


def discriminator_step(discriminator: Learner, real: Tensor, generated: Tensor) -> Tensor:
    """Correct the discriminator once.

    real, generated: (N, C, S, S) each, generated without history. Returns (loss, P(real), P(generated)) as one (3,) tensor,
    still on the device: nothing here waits for it.
    """
    # One pass over both halves: the discriminator has no batch norm, so they do not see each other.
    logits = discriminator.working(torch.cat([real, generated.to(real.dtype)])).float()  # (2N, C, S, S) -> (2N, 1)
    real_logits, generated_logits = logits.chunk(2)
    loss = discriminator_loss(real_logits, generated_logits)
    discriminator.update(loss)
    beliefs = logits.detach().sigmoid().view(2, -1).mean(dim=1)
    return torch.cat([loss.detach().view(1), beliefs])


def generator_step(generator: Learner, discriminator: Learner, generated: Tensor) -> Tensor:
    """Correct the generator once.

    generated: (N, C, S, S), with its history. Returns the loss, (1,), still on the device.
    """
    with discriminator.frozen() as judge_only:
        loss = generator_loss(judge_only(generated).float())
    generator.update(loss)
    return loss.detach().view(1)


class Trainer:
    """Everything that changes while one configuration trains: networks, optimisers, random generators, the epoch."""

    def __init__(self, config: RunConfig, images: Tensor, precision: str = "fp32", graphs: bool = True) -> None:
        """images: (N, C, S, S) float32 in [-1, 1], on the device to train on. precision: one of DTYPES. graphs: use CUDA graphs
        where the device is a GPU."""
        self.config = config
        self.device = images.device
        self.dtype = DTYPES[precision]
        self.images = images.to(self.dtype)  # once, and not at each step
        self.pair = Pair(*(network.to(self.device) for network in build_pair(config)))
        self.generator, self.discriminator = (Learner(network, config, self.dtype) for network in self.pair)
        batches = torch.arange(len(images)).split(config.batch_size)
        self._weights = torch.tensor([len(batch) / len(images) for batch in batches], device=self.device)
        self._make_generators()
        self.epochs_done = 0
        self.notice: str | None = None  # why a GPU does not use CUDA graphs, where it does not
        self._run = self._capture() if graphs and self.device.type == "cuda" else self._iteration

    def train(self) -> Iterator[EpochStats]:
        """Train up to config.epochs, yielding after each epoch. Raises TrainingError on a loss that is not finite."""
        while self.epochs_done < self.config.epochs:
            yield self.train_epoch()

    def train_epoch(self) -> EpochStats:
        """One pass over all images in a new random order; the last batch may be smaller."""
        self._wait_for_device()
        start = time.perf_counter()
        order = torch.randperm(len(self.images), generator=self.order_generator, device=self.device)
        batches = order.split(self.config.batch_size)
        numbers = torch.empty(len(batches), 4, device=self.device)
        for line, batch in zip(numbers, batches, strict=True):
            line.copy_(self._run(batch))
        means = (self._weights @ numbers).tolist()  # the first time in an epoch that anything waits for the device
        seconds = time.perf_counter() - start
        self.epochs_done += 1
        if not all(map(math.isfinite, means)):
            bad = int((~numbers.isfinite().all(dim=1)).nonzero()[0]) + 1
            raise TrainingError(f"the loss is not finite any more: epoch {self.epochs_done}, batch {bad} of {len(batches)}")
        d_loss, p_real, p_generated, g_loss = means
        return EpochStats(self.epochs_done, d_loss, g_loss, p_real, p_generated, seconds)

    def _iteration(self, batch: Tensor) -> Tensor:
        """Both updates on one batch, indices (N,). Returns (D's loss, P(real), P(generated), G's loss)."""
        real = self.images[batch]  # (N, C, S, S)
        reuse = self.config.generator_noise == "reused"
        with torch.set_grad_enabled(reuse):
            generated = self._generate(len(real))
        judged = discriminator_step(self.discriminator, real, generated.detach())
        if not reuse:
            generated = self._generate(len(real))
        return torch.cat([judged, generator_step(self.generator, self.discriminator, generated)])

    def _generate(self, count: int) -> Tensor:
        """Images (N, C, S, S) from fresh latents, as training sees them: with the statistics of their batch."""
        latents = uniform_latents(count, self.config.latent_size, self.latent_generator)
        return self.generator.working(latents.to(self.dtype))

    def _make_generators(self) -> None:
        """The random generators of training, for the order, the latents and dropout, each at its beginning."""
        self.order_generator = torch.Generator(self.device)
        self.latent_generator = torch.Generator(self.device)
        self.masks = DropoutMasks(self.device)
        for layer in self.discriminator.working.modules():
            if isinstance(layer, Dropout):
                layer.masks = self.masks
        self._seed()

    def _seed(self) -> None:
        """Set the random generators to their beginning, in place: graphs hold on to them."""
        for number, generator in enumerate((self.order_generator, self.latent_generator, self.masks.generator), start=1):
            generator.manual_seed(_stream(self.config.seed, number))

    def _capture(self) -> Iteration:
        """The iteration as CUDA graphs, with nothing learnt on the way; the plain iteration where that fails, and why."""
        learners = (self.generator, self.discriminator)
        kept = [[tensor.clone() for tensor in learner.state()] for learner in learners]
        whole, rest = divmod(len(self.images), self.config.batch_size)
        sizes = [self.config.batch_size] * bool(whole) + [rest] * bool(rest)
        try:
            run = capture(self._iteration, sizes, [self.latent_generator, self.masks.generator], self.device)
        except RuntimeError as error:
            self.notice = f"without CUDA graphs: {first_line(error)}"
            run = self._iteration
            self._make_generators()  # the old ones still take themselves for captured
        for learner, tensors in zip(learners, kept, strict=True):
            learner.restart(tensors)
        self._seed()
        return run

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
    device = network_device(network)
    network.eval()
    try:
        return torch.cat([network(part.to(device)).float().cpu() for part in inputs.split(batch_size)])
    finally:
        network.train(was_training)


def _stream(seed: int, number: int) -> int:
    """A seed for one of a run's independent random generators."""
    return seed * 16 + number
