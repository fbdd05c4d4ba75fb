"""One RunConfig -> one run folder: set up, trained epoch by epoch, each on disk at once, finished with samples and weights."""

import contextlib
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL.Image import Image
from torch import Tensor

from gan_lib import paper
from gan_lib.balance import find_balance
from gan_lib.config import RunConfig
from gan_lib.data import load_images
from gan_lib.errors import GanLibError, MachineUnavailable
from gan_lib.images import gif, grid, png
from gan_lib.machine import Neighbours, fingerprint, pick_device, pick_precision, set_threads
from gan_lib.models import megabytes, parameter_count
from gan_lib.record import RunFolder, is_finished, now
from gan_lib.training import EpochStats, Trainer, fixed_latents, sample
from gan_lib.words import duration

SAMPLES = 9  # as in the paper's Table 6
_MAX_FRAMES = 120  # in progress.gif


class Experiment:
    """One run on its way into its folder.

        experiment = Experiment(config, folder)
        for epoch in experiment:        # trains; each epoch is on disk before you see it
            print(experiment.progress(epoch))
        experiment.summary              # what summary.json says

    However it ends, the folder says so: ok, failed, interrupted (Ctrl-C), or unavailable where this machine lacks the GPU
    that the configuration needs (raised as MachineUnavailable, nothing trained).
    """

    def __init__(self, config: RunConfig, folder: Path) -> None:
        """Check the machine, load the images, build the networks, and write config.json and machine.json.

        Raises MachineUnavailable, DataError, ConfigurationError or RecordError, each with one line.
        """
        self._clock = _Clocks()
        self.config = config
        self.started = now()
        self.summary: dict[str, Any] = {}
        self._frames: list[Image] = []
        self._history: list[EpochStats] = []
        self.record = RunFolder(folder)
        try:
            self.device = pick_device(config.machine)
            set_threads(config.threads)
            self.precision = pick_precision(config.precision, self.device)
            images = load_images(config)
            self.trainer = Trainer(config, images.train.to(self.device), self.precision)
        except BaseException as error:
            if not is_finished(folder):  # what cannot be made again here is not thrown away either
                self.record.create(config)
                self._give_up(error)
            raise
        self.record.create(config)
        self.machine = {**fingerprint(self.device), "precision": self.precision, "notice": self.trainer.notice}
        self.record.write_json("machine.json", {"started": self.started, **self.machine, "data_sha256": images.checksum})
        self._latents = fixed_latents(config, SAMPLES, seed=0)  # the same for every seed: runs can be told apart by eye
        self.startup_seconds = self._clock.other()

    def __iter__(self) -> Iterator[EpochStats]:
        self._neighbours = Neighbours()
        try:
            for stats in self.trainer.train():
                self._history.append(stats)
                self._clock.trained(stats.training_seconds)
                if stats.epoch % self.config.sample_every == 0 or stats.epoch in (1, self.config.epochs):
                    self._frames.append(grid(self.samples()))
                self.record.append({**stats._asdict(), "other_seconds": round(self._clock.other(), 6)})
                yield stats
            self._finish()
        except BaseException as error:  # a stop in the cell that shows the progress counts too
            self._give_up(error)
            raise

    def samples(self) -> Tensor:
        """Nine images from this run's fixed latents, as the generator draws them now: (9, C, S, S) in [-1, 1]."""
        return sample(self.trainer.pair.generator, self._latents)

    @property
    def history(self) -> dict[str, list[float]]:
        """The losses so far, one value an epoch, as in history.csv."""
        return {
            "discriminator_loss": [stats.discriminator_loss for stats in self._history],
            "generator_loss": [stats.generator_loss for stats in self._history],
        }

    @property
    def seconds_per_epoch(self) -> float | None:
        """Median training seconds of the epochs after the first, which also pays for warming up; None before any."""
        seconds = [stats.training_seconds for stats in self._history]
        return statistics.median(seconds[1:] or seconds) if seconds else None

    def progress(self, stats: EpochStats) -> str:
        """One line: where the run is, both losses, the speed and the time left."""
        each = self.seconds_per_epoch or 0.0
        left = (self.config.epochs - stats.epoch) * each
        return (
            f"epoch {stats.epoch:>{len(str(self.config.epochs))}}/{self.config.epochs} · "
            f"D {stats.discriminator_loss:.3f} · G {stats.generator_loss:.3f} · "
            f"{each:.3g} s/epoch · {duration(left)} left"
        )

    def _finish(self) -> None:
        pair = self.trainer.pair
        self.record.write_bytes("samples.png", png(self._frames[-1]))
        stride = -(-len(self._frames) // _MAX_FRAMES)  # thin out from the end, so that the last frame stays
        self.record.write_bytes("progress.gif", gif(self._frames[::-1][::stride][::-1]))
        sizes = [self.record.save_weights(name, network) for name, network in pair._asdict().items()]
        training_seconds = sum(stats.training_seconds for stats in self._history)
        last = self._history[-1]
        balance = find_balance(self.history["discriminator_loss"], self.history["generator_loss"])
        price = paper.INSTANCES[self.config.machine].usd_per_hour
        self.summary = {
            "epochs": len(self._history),
            "seconds_per_epoch": self.seconds_per_epoch,
            "training_seconds": training_seconds,
            "startup_seconds": self.startup_seconds,
            "total_seconds": self._clock.total(),
            "others_cpu_share": self._neighbours.share(),
            "cost_usd_on_named_instance": training_seconds / 3600 * price,
            "discriminator_loss": last.discriminator_loss,
            "generator_loss": last.generator_loss,
            "balance": balance._asdict(),
            "parameters": parameter_count(*pair),
            "model_megabytes": megabytes(*pair),
            "weights_bytes": sum(sizes),
        }
        self.record.finish("ok", started=self.started, **self.summary)

    def _give_up(self, error: BaseException) -> None:
        """Say in the record how the run ended. A disk that is full or gone must not hide the error itself."""
        if isinstance(error, MachineUnavailable):
            status = "unavailable"
        elif isinstance(error, (KeyboardInterrupt, GeneratorExit)):
            status = "interrupted"
        else:
            status = "failed"
        if status == "interrupted":
            reason = "stopped while it was training"
        else:
            reason = str(error) if isinstance(error, GanLibError) else f"{type(error).__name__}: {error}".removesuffix(": ")
        with contextlib.suppress(OSError):
            self.record.finish(status, reason, started=self.started, epochs=len(self._history))


class _Clocks:
    """Two clocks: training, and everything else."""

    def __init__(self) -> None:
        self._start = self._last = time.perf_counter()
        self._training = 0.0

    def trained(self, seconds: float) -> None:
        """Take this much of the time since the last reading as training."""
        self._training += seconds

    def other(self) -> float:
        """Seconds since the last reading that were not training."""
        now = time.perf_counter()
        seconds, self._last, self._training = now - self._last - self._training, now, 0.0
        return max(0.0, seconds)

    def total(self) -> float:
        """Seconds since the beginning."""
        return time.perf_counter() - self._start
