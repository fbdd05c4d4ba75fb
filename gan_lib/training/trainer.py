"""Train epochs that alternate the two steps (steps.py), with all state that training changes."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from gan_lib.config import RunConfig
from gan_lib.errors import TrainingError
from gan_lib.text import first_line
from gan_lib.training.augmentation import augment
from gan_lib.training.averaging import WeightAverage
from gan_lib.training.cuda_graphs import Iteration, capture
from gan_lib.training.layers import Dropout, DropoutMasks
from gan_lib.training.mixed_precision import Learner
from gan_lib.training.models import Pair, build_pair
from gan_lib.training.sampling import label_inputs, stream, uniform_latents
from gan_lib.training.steps import discriminator_step, generator_step, label_maps, rules_of

_STREAMS = ("order", "latents", "dropout", "shares", "augmentation")  # of random numbers; each has a seed of its own
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class EpochStats(NamedTuple):
    """One epoch. Losses and probabilities are means over its images; seconds are those of training alone.

    With a loss whose logits are scores, a probability is the mean score, without bound; of a Wasserstein critic
    real_probability - generated_probability estimates the Wasserstein distance.
    """

    epoch: int  # counted from 1
    discriminator_loss: float  # mean of its real and generated halves: ln 2 when undecided; a critic's, penalty included
    generator_loss: float  # over the batches after which the generator was updated
    real_probability: float  # the discriminator's mean belief that a training image is real
    generated_probability: float  # … and that a generated one is
    training_seconds: float


@dataclass
class _UnfinishedEpoch:
    order: Tensor  # (images,): their indices in this epoch's random order
    numbers: Tensor  # (batches, 5): what the iteration returned for each, 0 for those to come
    batches_done: int = 0
    seconds: float = 0.0  # of training, so far


class Trainer:
    """Everything that changes while one configuration trains: networks, optimisers, random generators, the epoch."""

    def __init__(
        self, config: RunConfig, images: Tensor, precision: str = "fp32", graphs: bool = True, labels: Tensor | None = None
    ) -> None:
        """images: (N, C, S, S) float32 in [-1, 1], on the device to train on. precision: one of DTYPES. graphs: use CUDA graphs
        where the device is a GPU. labels: (N,), where the config has classes."""
        self.config = config
        self.device = images.device
        self.dtype = DTYPES[precision]
        self.images = images.to(self.dtype)  # once, and not at each step
        self.labels = None if labels is None or not config.classes else labels.to(self.device)
        self.rules = rules_of(config)
        self.pair = Pair(*(network.to(self.device) for network in build_pair(config)))
        rates = (config.learning_rate, config.discriminator_learning_rate or config.learning_rate)
        self.generator, self.discriminator = (
            Learner(network, config, self.dtype, rate) for network, rate in zip(self.pair, rates, strict=True)
        )
        self.average = WeightAverage(self.pair.generator, config.average_decay) if config.average_decay else None
        batches = torch.arange(len(images)).split(config.batch_size)
        self._weights = torch.tensor([len(batch) / len(images) for batch in batches], device=self.device)
        self._turns = Turns(config.critic_steps, len(batches))
        self._make_random()
        self.epochs_done = 0
        self._epoch: _UnfinishedEpoch | None = None
        self.notice: str | None = None  # why a GPU does not use CUDA graphs, where it does not
        self._runs = self._capture() if graphs and self.device.type == "cuda" else self._iterations()

    @property
    def sampled(self) -> nn.Module:
        """The generator that is sampled, measured and kept: the running average of its weights, where there is one."""
        return self.average.network if self.average else self.pair.generator

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

        pause: called after every batch but the last. If it returns True, advance returns None with the epoch unfinished. The
        next call resumes with the next batch; a checkpoint in between is exact.

        Raises TrainingError on a loss that is not finite, and when all images that the generator made for a batch are equal.
        """
        self._wait_for_device()
        start = time.perf_counter()
        if self._epoch is None:
            order = torch.randperm(len(self.images), generator=self.random["order"], device=self.device)
            self._epoch = _UnfinishedEpoch(order, torch.zeros(len(self._weights), 5, device=self.device))
        epoch = self._epoch
        batches = epoch.order.split(self.config.batch_size)
        while epoch.batches_done < len(batches):
            epoch.numbers[epoch.batches_done].copy_(self._run(batches[epoch.batches_done], epoch.batches_done))
            epoch.batches_done += 1
            if epoch.batches_done < len(batches) and pause():
                self._wait_for_device()
                epoch.seconds += time.perf_counter() - start
                return None
        means = (self._weights @ epoch.numbers).tolist()  # the only wait for the device in an epoch
        seconds = epoch.seconds + time.perf_counter() - start
        self._check(epoch.numbers, self.epochs_done + 1)
        updated = self._turns.generator_share(self.epochs_done, self._weights.tolist())
        self._epoch = None
        self.epochs_done += 1
        d_loss, p_real, p_generated, g_loss, _ = means
        return EpochStats(self.epochs_done, d_loss, g_loss / updated, p_real, p_generated, seconds)

    def _check(self, numbers: Tensor, epoch: int) -> None:
        """Raise TrainingError where an epoch's numbers, (batches, 5), show that training has failed."""
        finite, collapsed = numbers.isfinite().all(dim=1), numbers[:, 4] == 0
        if failed := (~finite | collapsed).nonzero().flatten().tolist():
            first = failed[0]
            collapse = "the generator has collapsed: all its images are equal"
            why = collapse if finite[first] else "the loss is not finite any more"
            raise TrainingError(f"{why}: epoch {epoch}, batch {first + 1} of {len(numbers)}")

    def _run(self, batch: Tensor, number: int) -> Tensor:
        """One iteration on a batch, indices (N,), the number-th of this epoch; returns what `_iterate` does."""
        step = self.epochs_done * len(self._weights) + number
        if self.config.schedule == "linear":
            for learner in (self.generator, self.discriminator):
                learner.scale_rate(self._share_of_rate(step))
        kind = (self._turns.updates_generator(self.epochs_done, number), step % self.config.penalty_every == 0)
        return self._runs[kind](batch)

    def _share_of_rate(self, step: int) -> float:
        """The share of the learning rate at a step: 1 up to schedule_start, then a straight line to zero after the last one."""
        done = step / (self.config.epochs * len(self._weights))
        return min(1.0, (1 - done) / (1 - self.config.schedule_start))

    def _iterations(self) -> dict[tuple[bool, bool], Iteration]:
        """The iterations that this config alternates, by (whether G is updated, whether R1 and R2 are due)."""
        turns = (True,) if self.config.critic_steps == 1 else (True, False)
        slopes = (True,) if self.config.penalty_every == 1 else (True, False)
        return {kind: partial(self._iterate, *kind) for kind in product(turns, slopes)}

    def _iterate(self, generator_turn: bool, slopes: bool, batch: Tensor) -> Tensor:
        """The updates of one batch, indices (N,). Returns (D's loss, P(real), P(generated), G's loss, images' spread); G's loss
        is 0 where it is not updated."""
        real = self.images[batch]  # (N, C, S, S)
        labels = None if self.labels is None else self.labels[batch]
        maps = None if labels is None else label_maps(labels, self.config.classes, real.shape[-1])
        reuse = generator_turn and self.config.generator_noise == "reused"
        with torch.set_grad_enabled(reuse):
            generated = self._generate(len(real), labels)
        judged = discriminator_step(
            self.discriminator,
            self._augment(real),
            self._augment(generated.detach()),
            self.rules,
            labels=maps,
            random=self.random["shares"],
            slopes=slopes,
        )
        if not generator_turn:
            return torch.cat([judged, torch.zeros(1, device=self.device), spread(generated)])
        if not reuse:
            generated = self._generate(len(real), labels)
        against = self._augment(real) if self.rules.pairs else None
        seen = self._augment(generated)
        loss = generator_step(self.generator, self.discriminator, seen, self.rules, real=against, labels=maps)
        if self.average:
            self.average.update(self.pair.generator)
        return torch.cat([judged, loss, spread(generated.detach())])

    def _generate(self, count: int, labels: Tensor | None) -> Tensor:
        """Images (N, C, S, S) from fresh latents, as training sees them: with the statistics of their batch."""
        latents = uniform_latents(count, self.config.latent_size, self.random["latents"])
        return self.generator.working(label_inputs(latents, labels, self.config.classes).to(self.dtype))

    def _augment(self, images: Tensor) -> Tensor:
        return augment(images, self.config.augmentation, self.config.augmentation_pixels, self.random["augmentation"])

    def tensors(self) -> dict[str, Tensor]:
        """Everything that the rest of training depends on, by name, as it is between two batches; see also `facts`."""
        parts = {"generator": self.generator, "discriminator": self.discriminator, "average": self.average}
        tensors = {
            f"{part}.{name}": value for part, owner in parts.items() if owner for name, value in owner.state_dict().items()
        }
        tensors |= {f"random.{name}": self.random[name].get_state() for name in self._drawn_from}
        if self._epoch:
            tensors |= {"epoch.order": self._epoch.order, "epoch.numbers": self._epoch.numbers}
        return tensors

    def facts(self) -> dict[str, Any]:
        """What belongs to `tensors`: plain JSON values."""
        return {
            "epochs_done": self.epochs_done,
            "batches_done": self._epoch.batches_done if self._epoch else 0,
            "epoch_seconds": self._epoch.seconds if self._epoch else 0.0,
            "loss_scales": [self.generator.scaler.state_dict(), self.discriminator.scaler.state_dict()],
        }

    def load(self, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        """Restore `tensors` and `facts`, to the last bit on the same machine.

        Raises ValueError or KeyError if they do not fit this trainer. Do not use the trainer after that.
        """

        def of(owner: str) -> dict[str, Tensor]:
            return {name.removeprefix(owner): value for name, value in tensors.items() if name.startswith(owner)}

        g_scale, d_scale = facts["loss_scales"]
        self.generator.load_state_dict(of("generator."), g_scale)
        self.discriminator.load_state_dict(of("discriminator."), d_scale)
        if self.average:
            self.average.load_state_dict(of("average."))
        for name in self._drawn_from:
            self.random[name].set_state(tensors[f"random.{name}"])
        self.epochs_done = int(facts["epochs_done"])
        self._epoch = None
        if batches_done := int(facts["batches_done"]):
            order, numbers = (tensors[f"epoch.{name}"].to(self.device) for name in ("order", "numbers"))
            self._epoch = _UnfinishedEpoch(order, numbers, batches_done, float(facts["epoch_seconds"]))

    def healthy(self) -> bool:
        """Whether every weight and every number of the epoch so far is finite: only such a state is saved."""
        numbers = [self._epoch.numbers] if self._epoch else []
        tensors = (*numbers, *self.generator.weights(), *self.discriminator.weights())
        return all(bool(tensor.isfinite().all()) for tensor in tensors)

    @property
    def _drawn_from(self) -> list[str]:
        """The random generators that this config draws from."""
        unused = {"shares": not self.rules.penalty, "augmentation": self.config.augmentation == "none"}
        return [name for name in _STREAMS if not unused.get(name)]

    def _make_random(self) -> None:
        """The random generators of training, by name, each at its beginning."""
        self.masks = DropoutMasks(self.device)
        self.random = {name: torch.Generator(self.device) for name in _STREAMS} | {"dropout": self.masks.generator}
        for layer in (*self.discriminator.working.modules(), *self.discriminator.network.modules()):
            if isinstance(layer, Dropout):
                layer.masks = self.masks
        self._seed()

    def _seed(self) -> None:
        """Reset the random generators to their beginning, in place: graphs keep them."""
        for number, name in enumerate(_STREAMS, start=1):
            self.random[name].manual_seed(stream(self.config.seed, number))

    def _capture(self) -> dict[tuple[bool, bool], Iteration]:
        """The iterations as CUDA graphs, all state as it was before; plain iterations and a notice where that fails."""
        learners = (self.generator, self.discriminator)
        kept = [[tensor.clone() for tensor in learner.weights()] for learner in learners]
        whole, rest = divmod(len(self.images), self.config.batch_size)
        sizes = [self.config.batch_size] * bool(whole) + [rest] * bool(rest)
        generators = [self.random[name] for name in self._drawn_from if name != "order"]
        iterations = self._iterations()
        try:
            runs = {kind: capture(iteration, sizes, generators, self.device) for kind, iteration in iterations.items()}
        except RuntimeError as error:
            self.notice = f"without CUDA graphs: {first_line(error)}"
            runs = iterations
            self._make_random()  # the old generators still belong to the failed capture
        for learner, weights in zip(learners, kept, strict=True):
            learner.restart(weights)
        if self.average:
            self.average.restart(self.pair.generator)
        self._seed()
        return runs

    def _wait_for_device(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def spread(images: Tensor) -> Tensor:
    """Return the largest difference of images (N, C, S, S) in any pixel: (1,) float32, 0 only if all are equal."""
    return (images.amax(dim=0) - images.amin(dim=0)).amax().float().view(1)


class Turns(NamedTuple):
    """Whose turn it is: the critic's on every batch, the generator's on every `steps`-th one, counted on through the epochs."""

    steps: int
    batches: int  # of an epoch

    def updates_generator(self, epochs_done: int, number: int) -> bool:
        """Whether the generator has its turn too on a batch of the epoch after epochs_done, counted from 0."""
        return (epochs_done * self.batches + number + 1) % self.steps == 0

    def generator_share(self, epochs_done: int, weights: Sequence[float]) -> float:
        """The share of an epoch's images that is in such batches, from the share that is in each batch."""
        if self.steps == 1:
            return 1.0
        return sum(weight for number, weight in enumerate(weights) if self.updates_generator(epochs_done, number))
