"""How long a batch will still take."""

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from gan_lib.config import RunConfig
from gan_lib.configurations import ALL_CONFIGURATIONS
from gan_lib.flops import flops_per_epoch

_OUTSIDE_SECONDS = 10.0  # a run's time outside training, until one has been seen
_FIRST_GUESS = 100e9  # FLOP/s: a laptop's order of magnitude, until the first epochs are in
# How near each came to the machine's matrix rate in results/bench: convolutions keep it busier.
_BUSY = {"gan": 0.45, "cgan": 0.84}


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
        busier = _BUSY[config.model] / _BUSY[ALL_CONFIGURATIONS[name]["model"]]
        return flops_per_epoch(config) / (self._rates[name] * busier)
