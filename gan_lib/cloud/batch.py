"""A batch for the cloud: which runs belong to which machine, and how each machine is asked for its own."""

from dataclasses import dataclass, field

from gan_lib.config import RunConfig
from gan_lib.errors import ConfigurationError
from gan_lib.presets import CONFIGURATIONS, configure, parts


@dataclass(frozen=True)
class Batch:
    """What `gan-lib run` would be asked for, split by machine."""

    configurations: tuple[str, ...]
    preset: str
    seeds: tuple[int, ...]
    changes: dict[str, object] = field(default_factory=dict)
    settings: tuple[str, ...] = ()  # the changes, as they were typed

    @property
    def configs(self) -> list[RunConfig]:
        """Every run, validated. Raises ConfigurationError."""
        return [configure(name, self.preset, **self.changes, seed=seed) for seed in self.seeds for name in self.configurations]

    @property
    def machines(self) -> list[str]:
        """cpu, gpu or both, in this order."""
        return sorted({parts(name)["machine"] for name in self.configurations})

    def arguments(self, machine: str) -> list[str]:
        """What `gan-lib run` is given on one machine."""
        own = [name for name in self.configurations if parts(name)["machine"] == machine]
        seeds = ["--seeds", ",".join(map(str, self.seeds))]
        return [*own, "--preset", self.preset, *seeds, *(part for setting in self.settings for part in ("--set", setting))]


def make_batch(
    configurations: list[str] | None, preset: str, seeds: list[int], changes: dict[str, object], settings: list[str]
) -> Batch:
    """A batch, checked before anything is asked of AWS. Raises ConfigurationError."""
    names = tuple(dict.fromkeys(configurations or CONFIGURATIONS))
    batch = Batch(names, preset, tuple(seeds), changes, tuple(settings))
    for config in batch.configs:
        if config.data.startswith("folder:"):
            raise ConfigurationError(
                f"data must be digits, mnist or fashion-mnist (a folder of yours is not in the cloud), got {config.data!r}"
            )
    return batch
