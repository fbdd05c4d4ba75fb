"""Training: one update of the discriminator, one update of the generator, and the epoch that alternates them."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from gan_lib.config import RunConfig
from gan_lib.errors import TrainingError
from gan_lib.text import first_line
from gan_lib.training.cuda_graphs import Iteration, capture
from gan_lib.training.layers import Dropout, DropoutMasks
from gan_lib.training.losses import critic_generator_loss, critic_loss, discriminator_loss, generator_loss, slope_penalty
from gan_lib.training.mixed_precision import Learner
from gan_lib.training.models import Pair, build_pair
from gan_lib.training.sampling import stream, uniform_latents

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class EpochStats(NamedTuple):
    """One epoch. Losses and probabilities are means over its images; seconds are those of training alone.

    With a Wasserstein loss the discriminator is a critic, and what is said to be a probability is its mean score, without
    bound: real_probability - generated_probability is its estimate of the Wasserstein distance.
    """

    epoch: int  # counted from 1
    discriminator_loss: float  # mean of its real and generated halves: ln 2 when undecided; a critic's, penalty included
    generator_loss: float  # over the batches after which the generator was corrected
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


def generator_step(
    generator: Learner,
    discriminator: Learner,
    generated: Tensor,
    of: Callable[[Tensor], Tensor] = generator_loss,
    dropout: bool = True,
) -> Tensor:
    """Correct the generator once.

    generated: (N, C, S, S), with its history. of: the loss of the discriminator's outputs (N, 1). dropout: whether that of the
    discriminator is active. Returns the loss, (1,), still on the device.
    """
    with discriminator.frozen(dropout) as judge_only:
        loss = of(judge_only(generated).float())
    generator.update(loss)
    return loss.detach().view(1)


@dataclass
class _UnfinishedEpoch:
    order: Tensor  # (images,): their indices in this epoch's random order
    numbers: Tensor  # (batches, 5): what the iteration returned for each, 0 for those to come
    batches_done: int = 0
    seconds: float = 0.0  # of training, so far


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
        self._turns = Turns(config.critic_steps, len(batches))
        self._make_generators()
        self.epochs_done = 0
        self._epoch: _UnfinishedEpoch | None = None
        self.notice: str | None = None  # why a GPU does not use CUDA graphs, where it does not
        on_gpu = self.device.type == "cuda"
        self._run = self._capture() if graphs and on_gpu else self._in_turn(self._iteration, self._critic_iteration)

    def train(self) -> Iterator[EpochStats]:
        """Train up to config.epochs, yielding after each epoch. Raises TrainingError as `advance` does."""
        while self.epochs_done < self.config.epochs:
            yield self.train_epoch()

    def train_epoch(self) -> EpochStats:
        """One pass over all images, or what is left of it. Raises TrainingError as `advance` does."""
        while not (stats := self.advance(pause=lambda: False)):
            pass
        return stats

    def advance(self, pause: Callable[[], bool]) -> EpochStats | None:
        """Train to the end of an epoch: all images once in a new random order; the last batch may be smaller.

        pause: asked after every batch but the last. Where it says True, None is returned with the epoch unfinished; the
        next call goes on with the batch that follows, and a checkpoint in between loses nothing.

        Raises TrainingError on a loss that is not finite, and when all images that the generator made for a batch are equal.
        """
        self._wait_for_device()
        start = time.perf_counter()
        if self._epoch is None:
            order = torch.randperm(len(self.images), generator=self.order_generator, device=self.device)
            self._epoch = _UnfinishedEpoch(order, torch.zeros(len(self._weights), 5, device=self.device))
        epoch = self._epoch
        batches = epoch.order.split(self.config.batch_size)
        while epoch.batches_done < len(batches):
            epoch.numbers[epoch.batches_done].copy_(self._run(batches[epoch.batches_done]))
            epoch.batches_done += 1
            if epoch.batches_done < len(batches) and pause():
                self._wait_for_device()
                epoch.seconds += time.perf_counter() - start
                return None
        means = (self._weights @ epoch.numbers).tolist()  # the first time in an epoch that anything waits for the device
        seconds = epoch.seconds + time.perf_counter() - start
        self._check(epoch.numbers, self.epochs_done + 1)
        corrected = self._turns.generator_share(self.epochs_done, self._weights.tolist())
        self._epoch = None
        self.epochs_done += 1
        d_loss, p_real, p_generated, g_loss, _ = means
        return EpochStats(self.epochs_done, d_loss, g_loss / corrected, p_real, p_generated, seconds)

    def _check(self, numbers: Tensor, epoch: int) -> None:
        """Raise TrainingError where an epoch's numbers, (batches, 5), make going on pointless."""
        not_finite = ~numbers.isfinite().all(dim=1)
        collapsed = numbers[:, 4] == 0
        if not bool((not_finite | collapsed).any()):
            return
        bad = int((not_finite | collapsed).nonzero()[0])
        what = "the loss is not finite any more" if not_finite[bad] else "the generator has collapsed: all its images are equal"
        raise TrainingError(f"{what}: epoch {epoch}, batch {bad + 1} of {len(numbers)}")

    def _iteration(self, batch: Tensor) -> Tensor:
        """Both updates on one batch, indices (N,). Returns (D's loss, P(real), P(generated), G's loss, images' spread)."""
        real = self.images[batch]  # (N, C, S, S)
        reuse = self.config.generator_noise == "reused"
        with torch.set_grad_enabled(reuse):
            generated = self._generate(len(real))
        judged = self._correct_discriminator(real, generated.detach())
        if not reuse:
            generated = self._generate(len(real))
        of = critic_generator_loss if self.config.wasserstein else generator_loss
        dropout = self.config.generator_dropout == "active"
        judged_again = generator_step(self.generator, self.discriminator, generated, of, dropout)
        return torch.cat([judged, judged_again, spread(generated.detach())])

    def _critic_iteration(self, batch: Tensor) -> Tensor:
        """The discriminator's update alone, and numbers as `_iteration` returns them, with 0 for G's loss."""
        real = self.images[batch]  # (N, C, S, S)
        with torch.no_grad():
            generated = self._generate(len(real))
        judged = self._correct_discriminator(real, generated)
        return torch.cat([judged, torch.zeros(1, device=self.device), spread(generated)])

    def _correct_discriminator(self, real: Tensor, generated: Tensor) -> Tensor:
        if self.config.wasserstein:
            return critic_step(self.discriminator, real, generated, self.config, self.share_generator)
        return discriminator_step(self.discriminator, real, generated)

    def _in_turn(self, both: Iteration, critic_alone: Iteration) -> Iteration:
        """Both networks' iteration where the generator has its turn, and the critic's alone elsewhere."""
        if self._turns.steps == 1:
            return both

        def run(batch: Tensor) -> Tensor:
            number = self._epoch.batches_done if self._epoch else 0
            return (both if self._turns.corrects_generator(self.epochs_done, number) else critic_alone)(batch)

        return run

    def _generate(self, count: int) -> Tensor:
        """Images (N, C, S, S) from fresh latents, as training sees them: with the statistics of their batch."""
        latents = uniform_latents(count, self.config.latent_size, self.latent_generator)
        return self.generator.working(latents.to(self.dtype))

    def tensors(self) -> dict[str, Tensor]:
        """Everything that the rest of training depends on, by name, as it is between two batches; see also `facts`."""
        players = {"generator": self.generator, "discriminator": self.discriminator}
        tensors = {f"{player}.{name}": value for player, them in players.items() for name, value in them.tensors().items()}
        tensors |= {f"random.{name}": generator.get_state() for name, generator in self._generators().items()}
        if self._epoch:
            tensors |= {"epoch.order": self._epoch.order, "epoch.numbers": self._epoch.numbers}
        return tensors

    def facts(self) -> dict[str, Any]:
        """What goes with `tensors`: plain JSON values."""
        return {
            "epochs_done": self.epochs_done,
            "batches_done": self._epoch.batches_done if self._epoch else 0,
            "epoch_seconds": self._epoch.seconds if self._epoch else 0.0,
            "loss_scales": [self.generator.loss_scale(), self.discriminator.loss_scale()],
        }

    def load(self, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        """Go on from what `tensors` and `facts` gave, to the last bit on the same machine.

        Raises ValueError or KeyError where they are not of a trainer like this one; it must not be used any more then.
        """
        for player, name, scale in zip(
            (self.generator, self.discriminator), ("generator.", "discriminator."), facts["loss_scales"], strict=True
        ):
            player.load({key.removeprefix(name): value for key, value in tensors.items() if key.startswith(name)}, scale)
        for name, generator in self._generators().items():
            generator.set_state(tensors[f"random.{name}"])
        self.epochs_done = int(facts["epochs_done"])
        self._epoch = None
        if batches_done := int(facts["batches_done"]):
            order, numbers = (tensors[f"epoch.{name}"].to(self.device) for name in ("order", "numbers"))
            self._epoch = _UnfinishedEpoch(order, numbers, batches_done, float(facts["epoch_seconds"]))

    def healthy(self) -> bool:
        """Whether every weight and every number of the epoch so far is finite: what is not is no place to go on from."""
        numbers = [self._epoch.numbers] if self._epoch else []
        states = [tensor for learner in (self.generator, self.discriminator) for tensor in learner.state()]
        return all(bool(tensor.isfinite().all()) for tensor in (*numbers, *states))

    def _generators(self) -> dict[str, torch.Generator]:
        generators = {"order": self.order_generator, "latents": self.latent_generator, "dropout": self.masks.generator}
        return {**generators, "shares": self.share_generator} if self.config.loss == "wgan-gp" else generators

    def _make_generators(self) -> None:
        """The random generators of training, for the order, the latents, dropout and a critic's penalty, at their beginning."""
        self.order_generator = torch.Generator(self.device)
        self.latent_generator = torch.Generator(self.device)
        self.share_generator = torch.Generator(self.device)
        self.masks = DropoutMasks(self.device)
        for layer in (*self.discriminator.working.modules(), *self.discriminator.network.modules()):
            if isinstance(layer, Dropout):
                layer.masks = self.masks
        self._seed()

    def _seed(self) -> None:
        """Set the random generators to their beginning, in place: graphs hold on to them."""
        for number, generator in enumerate(self._generators().values(), start=1):
            generator.manual_seed(stream(self.config.seed, number))

    def _capture(self) -> Iteration:
        """The iteration as CUDA graphs, with nothing learnt on the way; the plain iteration where that fails, and why."""
        learners = (self.generator, self.discriminator)
        kept = [[tensor.clone() for tensor in learner.state()] for learner in learners]
        whole, rest = divmod(len(self.images), self.config.batch_size)
        sizes = [self.config.batch_size] * bool(whole) + [rest] * bool(rest)
        iterations: list[Iteration] = [self._iteration]
        if self._turns.steps > 1:
            iterations.append(self._critic_iteration)
        drawn_from = [generator for name, generator in self._generators().items() if name != "order"]
        try:
            runs = [capture(iteration, sizes, drawn_from, self.device) for iteration in iterations]
        except RuntimeError as error:
            self.notice = f"without CUDA graphs: {first_line(error)}"
            runs = iterations
            self._make_generators()  # the old ones still take themselves for captured
        for learner, tensors in zip(learners, kept, strict=True):
            learner.restart(tensors)
        self._seed()
        return self._in_turn(runs[0], runs[-1])

    def _wait_for_device(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def spread(images: Tensor) -> Tensor:
    """How far images (N, C, S, S) differ at most in any one pixel: (1,) float32, 0 only when all are equal."""
    return (images.amax(dim=0) - images.amin(dim=0)).amax().float().view(1)


class Turns(NamedTuple):
    """Whose turn it is: the critic's on every batch, the generator's on every `steps`-th one, counted on through the epochs."""

    steps: int
    batches: int  # of an epoch

    def corrects_generator(self, epochs_done: int, number: int) -> bool:
        """Whether the generator has its turn too on a batch of the epoch after epochs_done, counted from 0."""
        return (epochs_done * self.batches + number + 1) % self.steps == 0

    def generator_share(self, epochs_done: int, weights: Sequence[float]) -> float:
        """The share of an epoch's images that is in such batches, from the share that is in each batch."""
        if self.steps == 1:
            return 1.0
        return sum(weight for number, weight in enumerate(weights) if self.corrects_generator(epochs_done, number))


def critic_step(critic: Learner, real: Tensor, generated: Tensor, config: RunConfig, shares: torch.Generator) -> Tensor:
    """Correct the critic once.

    real, generated: (N, C, S, S) each, generated without history. shares: draws where, between a real and a generated image,
    the slope is penalised. Returns (loss, mean score of real, mean score of generated) as one (3,) tensor, still on the device;
    the loss is what the critic descends on, its penalty included, so the estimate of the Wasserstein distance is the
    difference of the two scores and not minus the loss.
    """
    scores = critic.working(torch.cat([real, generated.to(real.dtype)])).float()  # (2N, C, S, S) -> (2N, 1)
    loss = critic_loss(*scores.chunk(2))
    penalty = slope_penalty(critic, real, generated, config, shares) if config.loss == "wgan-gp" else None
    critic.update(loss, penalty)
    if config.loss == "wgan":
        critic.clip(config.clip)  # all parameters, biases too, after the update: the article's algorithm 1, line 7
    whole = loss if penalty is None else loss + penalty
    return torch.cat([whole.detach().view(1), scores.detach().view(2, -1).mean(dim=1)])
