"""Train one RunConfig into one run folder: each epoch is written at once, samples and weights at the end."""

import contextlib
import math
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL.Image import Image, fromarray
from torch import Tensor, nn

from gan_lib.config import RunConfig
from gan_lib.data import check_classes, load_images
from gan_lib.errors import MachineUnavailable, RecordError, TrainingError
from gan_lib.pictures import gif, grid, png
from gan_lib.runs import checkpoint
from gan_lib.runs.evaluation import Evaluation
from gan_lib.runs.machine import (
    BUSY,
    Clocks,
    Neighbours,
    fastest_threads,
    fingerprint,
    given_threads,
    physical_cores,
    pick_device,
    pick_precision,
    set_threads,
)
from gan_lib.runs.record import (
    HISTORY_COLUMNS,
    RunFolder,
    check_images,
    check_same,
    count_epochs,
    is_finished,
    load_weights,
    now,
    read_record,
)
from gan_lib.runs.signals import StopRequests
from gan_lib.text import duration, one_line
from gan_lib.training.models import megabytes, parameter_count
from gan_lib.training.sampling import fixed_latents, sample
from gan_lib.training.trainer import EpochStats, Trainer

SAMPLES = 9  # as in the paper's Table 6
_DIVERGED = 1e3  # an epoch's mean loss beyond this, of either sign
_COLLAPSED = 1 / 3  # of the generated images in one of ten classes, where a tenth is normal
_ALIKE = 0.1  # variance of the generated images as a share of the real ones'; blurred ones have half of it, good ones all
_MOST_NAMES = {"skipped": 500, "classes": 1000}  # names listed in machine.json, so that it stays readable
_STRETCH = ("label", "device", "threads", "load_average_before", "git_commit")  # recorded for each process


class Experiment:
    """One run that trains into its folder.

        experiment = Experiment(config, folder)
        for epoch in experiment:        # trains; each epoch is on disk before the loop gets it
            print(experiment.progress(epoch))
        experiment.summary              # the content of summary.json

    An unfinished run of the same parameters resumes from its checkpoint, bit for bit as if it had not stopped. A finished run
    has no epochs left to train. The folder records how the run ended: ok, failed, interrupted (Ctrl-C, SIGTERM), or
    unavailable: this machine lacks the GPU that the configuration needs (raises MachineUnavailable, nothing is trained).
    """

    def __init__(self, config: RunConfig, folder: Path, fresh: bool = False) -> None:
        """Check the machine, load the images, build the networks, and write config.json and machine.json.

        fresh: replace the run in the folder. Raises MachineUnavailable, DataError, ConfigurationError or RecordError.
        """
        self._clock, self._neighbours = Clocks(), Neighbours()
        self.config = config
        self.started = now()
        self.summary: dict[str, Any] = {}
        self.notes: list[str] = []  # where the run resumed, which files were repaired, warnings about its end
        self._frames: list[Image] = []
        self._history: list[tuple[float, ...]] = []  # HISTORY_COLUMNS
        self._checkpoints, self._checkpoint_write_seconds = 0, 0.0
        self.record = RunFolder(folder)
        self._finished = not fresh and is_finished(folder)
        if self._finished:
            check_same(folder, config)
        else:
            self.record.create(config) if fresh else self.record.reopen(config)
        try:
            self._set_up()
        except BaseException as error:
            self._record_end(error)
            raise
        self.startup_seconds = self._clock.other()

    def _set_up(self) -> None:
        self.device = pick_device(self.config.machine)
        self.precision = pick_precision(self.config.precision, self.device)
        self.images = load_images(self.config)
        set_threads(self._threads())
        check_classes(self.config, self.images.train_labels)
        self.trainer = Trainer(self.config, self.images.train.to(self.device), self.precision, labels=self.images.train_labels)
        self.evaluation = Evaluation(self.config, self.images)
        self._latents = fixed_latents(self.config, SAMPLES, seed=0)  # the same for every seed, to compare runs by eye
        reading = self.images.reading._asdict()
        names = {name: _first(reading[name], most) for name, most in _MOST_NAMES.items()}
        self.machine = {
            "started": self.started,
            **fingerprint(self.device),
            **{"precision": self.precision, "notice": self.trainer.notice},
            **{"data_sha256": self.images.checksum, "images": reading | names},
        }
        if self._finished:
            self._load_finished()
        else:
            self._resume()
            self.record.write_json("machine.json", self.machine)

    def _threads(self) -> int:
        """Return the number of CPU threads: as configured, or the fastest at the moment."""
        if self._finished or self.device.type != "cpu":
            return self.config.threads
        return self.config.threads or given_threads() or fastest_threads(self._neighbours.share() or 0.0)

    def _load_finished(self) -> None:
        """Load the results of a finished run instead of training it again."""
        if self.config.data.startswith("folder:"):
            check_images(self.record.path, self.images.checksum)
        record = read_record(self.record.path)
        for name, network in self._networks().items():
            load_weights(network, record.path / f"{name}.safetensors")
        self._history = list(zip(*record.history.values(), strict=True))
        self.summary, self.machine = record.summary, record.machine
        self.started, self.notes = str(record.machine.get("started", self.started)), record.notes

    def _resume(self) -> None:
        """Resume from the newest valid checkpoint, if any."""
        saved, self.notes = checkpoint.load(self.record.path, self.config)
        self._neighbours = Neighbours()
        if saved is None:
            self.notes += ["no checkpoint was whole: started again from the first epoch"] if self.notes else []
            self.machine["stretches"] = [self._stretch()]
        else:
            try:
                self._restore(*saved)
            except (LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
                raise RecordError(
                    f"{self.record.path} cannot be resumed: its checkpoint is damaged or of another version "
                    f"({one_line(error)}): use --fresh"
                ) from error
        self.record.write_history(self._history)
        self.record.write_metrics(self.evaluation.lines)

    def _restore(self, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
        """Restore the state in a checkpoint."""
        for name in ("precision", "data_sha256"):
            if (before := facts["machine"][name]) != self.machine[name]:
                changed = f"{name} was {before}, here it is {self.machine[name]}"
                raise RecordError(f"{self.record.path} cannot be resumed here: {changed}: use --fresh")
        before = facts["machine"]["stretches"][-1]["threads"]
        if not (self.config.threads or given_threads()) and before <= physical_cores():
            self.machine["threads"] = set_threads(before)  # another number of threads would change the last bits
        self.trainer.load(tensors, facts["trainer"])
        self.evaluation.load(tensors, facts)
        self._history = [tuple(line) for line in tensors["history"].tolist()]
        self._frames = [fromarray(frame) for frame in tensors["frames"].numpy()]
        self._clock.add(float(facts["total_seconds"]))
        self._checkpoints = int(facts["checkpoints"])
        self._checkpoint_write_seconds = float(facts["checkpoint_write_seconds"])
        self.notes = [*facts["notes"], *self.notes, self._resumed_note(int(facts["trainer"]["batches_done"]))]
        stretch, self.machine = self._stretch(), facts["machine"]
        self.machine["stretches"].append(stretch)
        self.machine["label"] = " then ".join(dict.fromkeys(each["label"] for each in self.machine["stretches"]))
        self.started = self.machine["started"]

    def _stretch(self) -> dict[str, Any]:
        """Return when and at which epoch this process began to train, and the machine."""
        first_epoch = self.trainer.epochs_done + 1
        return {"started": self.started, "first_epoch": first_epoch, **{name: self.machine[name] for name in _STRETCH}}

    def _resumed_note(self, batches: int) -> str:
        done = self.trainer.epochs_done
        again = count_epochs(self.record.path) - done  # history.csv still has the epochs after the checkpoint
        return (
            f"resumed after {f'epoch {done}' if done else 'the start'}"
            + (f" and {batches} batch{'' if batches == 1 else 'es'}" if batches else "")
            + f", {self.started}, on {self.machine['label']}"
            + (f"; {again} later epoch{'' if again == 1 else 's'} trained again" if again > 0 else "")
        )

    def __iter__(self) -> Iterator[EpochStats]:
        if self._finished:
            return
        stop = StopRequests()
        self._saved_at = time.monotonic()
        at_rest = True  # whether training is between two batches, where a checkpoint can be written
        try:
            while self.trainer.epochs_done < self.config.epochs:
                at_rest = False
                with stop:
                    stats = self._train(lambda: bool(stop.received) or self._checkpoint_is_due())
                    at_rest = True
                    if stop.received is None and self._checkpoint_is_due():
                        self._save_checkpoint()
                if stop.received is not None:
                    stop.obey()
                if stats:
                    yield stats
            at_rest = False
            with stop:
                self._finish()
            if stop.received is not None:
                stop.obey()
        except BaseException as error:  # includes a stop in the caller's loop body
            self._record_end(error, at_rest)
            raise

    def _train(self, pause: Callable[[], bool]) -> EpochStats | None:
        """Train to the end of an epoch and record it. Returns None if training paused before."""
        stats = self.trainer.advance(pause)
        if stats:
            self._clock.trained(stats.training_seconds)
            if stats.epoch % self._frame_every == 0 or stats.epoch in (1, self.config.epochs):
                self._frames.append(grid(self.samples()))
            line = {**stats._asdict(), "other_seconds": round(self._clock.other(), 6)}
            self._history.append(tuple(line.values()))
            self.record.append(line)
            if self.evaluation.is_due(stats.epoch):
                seconds = sum(self._column("training_seconds"))
                if metrics := self.evaluation.measure(self._networks(), stats.epoch, seconds):  # not counted as training time
                    self.record.append_metrics(metrics)
        return stats

    @property
    def _frame_every(self) -> int:
        """Return the epochs between two frames: sample_every or a multiple of it, for at most MAX_FRAMES."""
        frames = self.config.epochs // self.config.sample_every
        return self.config.sample_every * max(1, math.ceil(frames / (checkpoint.MAX_FRAMES - 2)))  # 2: first and last

    def _checkpoint_is_due(self) -> bool:
        return time.monotonic() - self._saved_at >= self.config.checkpoint_seconds

    def _save_checkpoint(self) -> None:
        """Write a checkpoint of the present state if all weights are finite. Raises OSError."""
        begun = time.perf_counter()
        if self.trainer.healthy():
            frames = [torch.from_numpy(np.array(frame)) for frame in self._frames]
            tensors = {
                **self.trainer.tensors(),
                **self.evaluation.tensors(),
                "history": torch.tensor(self._history, dtype=torch.float64).view(-1, len(HISTORY_COLUMNS)),
                "frames": torch.stack(frames) if frames else torch.zeros(0, dtype=torch.uint8),
            }
            facts = {
                "trainer": self.trainer.facts(),
                **self.evaluation.facts(),
                "machine": self.machine,
                "total_seconds": self._clock.total(),
                "checkpoints": self._checkpoints + 1,  # including this one
                "checkpoint_write_seconds": self._checkpoint_write_seconds,
                "notes": self.notes,
            }
            checkpoint.save(self.record.path, self.config, tensors, facts)
            self._checkpoints += 1
        self._checkpoint_write_seconds += time.perf_counter() - begun
        self._saved_at = time.monotonic()

    def _networks(self) -> dict[str, nn.Module]:
        """Return the networks to save, by file name. With a running average, the raw generator too."""
        pair = self.trainer.pair
        networks = {"generator": self.trainer.sampled, "discriminator": pair.discriminator}
        return {**networks, "generator.raw": pair.generator} if self.trainer.average else networks

    def samples(self) -> Tensor:
        """Return nine images of the present generator from fixed latents: (9, C, S, S) in [-1, 1]."""
        return sample(self.trainer.sampled, self._latents)

    @property
    def history(self) -> dict[str, list[float]]:
        """Return the losses and the mean beliefs or scores so far, one value per epoch, as in history.csv."""
        return {name: list(map(float, self._column(name))) for name in HISTORY_COLUMNS[1:5]}

    def _column(self, name: str) -> list[float]:
        return [line[HISTORY_COLUMNS.index(name)] for line in self._history]

    @property
    def seconds_per_epoch(self) -> float | None:
        """Return the median training seconds per epoch, without the first, which includes the warm-up; None before that."""
        seconds = self._column("training_seconds")
        return statistics.median(seconds[1:] or seconds) if seconds else None

    def progress(self, stats: EpochStats) -> str:
        """Return one line: the epoch, both losses, the speed and the time left."""
        each, others = self.seconds_per_epoch or 0.0, self._neighbours.share() or 0.0
        left = (self.config.epochs - stats.epoch) * each
        return (
            f"epoch {stats.epoch:>{len(str(self.config.epochs))}}/{self.config.epochs} · "
            f"D {stats.discriminator_loss:.3f} · G {stats.generator_loss:.3f} · "
            f"{each:.3g} s/epoch · {duration(left)} left"
            + (f" · other programs take {others:.0%} of the CPU" if others >= BUSY else "")
        )

    def _finish(self) -> None:
        pair = self.trainer.pair
        kept_epoch = self.evaluation.take_best(self._networks())
        self.record.write_bytes("samples.png", png(grid(self.samples()) if kept_epoch else self._frames[-1]))
        self.record.write_bytes("progress.gif", gif(self._frames))
        sizes = [self.record.save_weights(name, network) for name, network in self._networks().items()]
        training_seconds = sum(self._column("training_seconds"))
        losses = {name: self.history[name][-1] for name in ("discriminator_loss", "generator_loss")}
        quality = self.evaluation.summary(kept_epoch)
        variety = self.evaluation.variety(self.trainer.sampled)
        self.notes += warnings(losses, quality["largest_class_share"], variety)
        self.summary = {
            "epochs": len(self._history),
            "seconds_per_epoch": self.seconds_per_epoch,
            "training_seconds": training_seconds,
            "startup_seconds": self.startup_seconds,
            "total_seconds": self._clock.total(),
            "others_cpu_share": self._neighbours.share(),
            **losses,
            **quality,
            "variety": variety,
            "kept_epoch": kept_epoch or len(self._history),
            "parameters": parameter_count(*pair),
            "model_megabytes": megabytes(*pair),
            "weights_bytes": sum(sizes),
            "checkpoints": self._checkpoints,
            "checkpoint_write_seconds": self._checkpoint_write_seconds,
            "notes": self.notes,
        }
        self.record.finish("ok", started=self.started, **self.summary)
        self._finished = True
        checkpoint.remove(self.record.path)

    def _record_end(self, error: BaseException, at_rest: bool = False) -> None:
        """Record how the run ended, with a checkpoint if possible. A failure here must not hide the error."""
        if self._finished:
            return
        if at_rest:
            with contextlib.suppress(OSError):
                self._save_checkpoint()
        status, reason = "failed", one_line(error)
        if isinstance(error, MachineUnavailable):
            status = "unavailable"
        elif isinstance(error, (KeyboardInterrupt, GeneratorExit, SystemExit)):
            status, reason = "interrupted", "stopped while it was training"
        elif isinstance(error, TrainingError):
            reason += f"; {checkpoint.last(self.record.path, self.config)}"
        facts = {"started": self.started, "epochs": count_epochs(self.record.path), "notes": self.notes}
        try:
            self.record.finish(status, reason, **facts)
        except OSError:  # a full disk: delete the older checkpoint to make room for the summary
            with contextlib.suppress(OSError):
                (self.record.path / checkpoint.PREVIOUS).unlink(missing_ok=True)
                self.record.finish(status, reason, **facts)
        finally:
            self.record.release()


def _first(names: Sequence[str], most: int) -> list[str]:
    """Return the first names, then the number of the others."""
    return [*names[:most], *([f"and {len(names) - most:,} more"] if len(names) > most else [])]


def warnings(losses: dict[str, float], largest_class_share: float | None, variety: float | None = None) -> list[str]:
    """Return notes on a run with finite losses that diverged or collapsed."""
    diverged = [name for name, loss in losses.items() if abs(loss) > _DIVERGED]
    notes = [f"training has diverged: {name} was {losses[name]:.3g} in the last epoch" for name in diverged]
    if largest_class_share is not None and largest_class_share > _COLLAPSED:
        notes.append(f"mode collapse: {largest_class_share:.0%} of the generated images are of one class")
    if variety is not None and variety < _ALIKE:
        notes.append(f"mode collapse, or too few epochs: generated images vary {variety:.1%} as much as training images")
    return notes
