"""How long a batch will still take."""

import shutil
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from gan_lib.config import RunConfig
from gan_lib.text import duration
from gan_lib.training.flops import flops_per_epoch


@dataclass(frozen=True)
class Progress:
    """Where a batch is: one line's worth."""

    run: str
    number: int  # of this run, counted from 1
    runs: int
    epoch: int
    epochs: int
    seconds_left: float  # for everything that is still to do
    measured: bool  # False as long as seconds_left rests on a guess


_OUTSIDE_SECONDS = 10.0  # a run's time outside training, until one has been seen
_FIRST_GUESS = 100e9  # FLOP/s: a laptop's order of magnitude, until the first epochs are in


class Estimate:
    """Time left: from a run's own pace where one like it was seen, else from counted arithmetic at the rate of another."""

    def __init__(self, configs: Iterable[RunConfig], clock: Callable[[], float] = time.monotonic) -> None:
        """configs: the runs to make, none twice. clock: seconds that only go forward."""
        self._clock = clock
        self._to_do = set(configs)
        # FLOP/s by configuration: a penalty's float32 keeps a machine less busy than bf16
        self._rates: dict[str, float] = {}
        self._outside = _OUTSIDE_SECONDS
        self._begun: tuple[RunConfig | None, float, int] = (None, 0.0, 0)  # run, time and epoch that its pace counts from

    @property
    def measured(self) -> bool:
        """Whether it rests on epochs that were seen of everything that is still to do, and on no guess."""
        return bool(self._rates) and all(config.configuration in self._rates for config in self._to_do)

    def see(self, config: RunConfig, epoch: int) -> None:
        """Learn the pace of the run that is going on; its first epoch warms up and does not count."""
        begun, since, first = self._begun
        if begun != config:
            self._begun = (config, self._clock(), epoch) if epoch else self._begun
        elif epoch > first:
            pace = (self._clock() - since) / (epoch - first)
            self._rates[config.configuration] = flops_per_epoch(config) / pace

    def done(self, config: RunConfig, summary: Mapping[str, Any]) -> None:
        """Strike a run off, and take its time outside training as the next one's."""
        self._to_do.discard(config)
        total, training = summary.get("total_seconds"), summary.get("training_seconds")
        if isinstance(total, float) and isinstance(training, float):
            self._outside = _OUTSIDE_SECONDS + total - training

    def left(self, config: RunConfig, epoch: int) -> float:
        """Seconds until this run, which has done so many epochs, and all the others are done."""
        rest = (config.epochs - epoch) * self._seconds_per_epoch(config)
        others = self._to_do - {config}
        return rest + sum(other.epochs * self._seconds_per_epoch(other) + self._outside for other in others)

    def _seconds_per_epoch(self, config: RunConfig) -> float:
        alike = (config.configuration, config.model_copy(update={"loss": "bce"}).configuration)  # else the network's own
        name = next((name for name in (*alike, *self._rates) if name in self._rates), None)
        if name is None:
            return flops_per_epoch(config) / _FIRST_GUESS
        return flops_per_epoch(config) / self._rates[name]


class ProgressLine:
    """The moving progress line: redrawn in place on a terminal, a line every half minute elsewhere."""

    def __init__(self) -> None:
        self._terminal = sys.stdout.isatty()
        self._last = float("-inf")
        self._width = 0

    def show(self, progress: Progress) -> None:
        """Draw the line, or not yet."""
        done = progress.epoch / progress.epochs
        about = "about " if progress.measured else "roughly "
        text = (
            f"[{progress.number}/{progress.runs}] {progress.run}  {'█' * int(20 * done):░<20}  "
            f"epoch {progress.epoch}/{progress.epochs}  {about}{duration(progress.seconds_left)} left in all"
        )
        if self._terminal:
            text = text[: shutil.get_terminal_size().columns - 1]  # a line that wraps cannot be drawn over
            print(f"\r{text:<{self._width}}", end="", flush=True)
            self._width = len(text)
        elif time.monotonic() - self._last >= 30:
            self._last = time.monotonic()
            print(text, flush=True)

    def end(self) -> None:
        """Leave the line as it is and go on below it."""
        if self._terminal and self._width:
            print()
