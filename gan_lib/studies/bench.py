"""How fast training is: our step against a plain one, in alternating rounds, beside what the machine could do at best."""

import multiprocessing
import re
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import BaseModel, Field, ValidationError, model_validator

from gan_lib.config import RunConfig
from gan_lib.data import load_images
from gan_lib.errors import RecordError
from gan_lib.presets import configure
from gan_lib.registry import FAMILIES, MODELS, family_name
from gan_lib.reporting import paper
from gan_lib.reporting.style import FAINT, INK, LABEL, Chart, colour_of, log_numbers, tidy
from gan_lib.reporting.tables import Table, table
from gan_lib.runs.machine import fingerprint, pick_device, pick_precision, set_threads
from gan_lib.runs.record import RunFolder
from gan_lib.runs.storage import read_json
from gan_lib.studies.baseline import Baseline
from gan_lib.text import exact, first_line, shorten, show
from gan_lib.training.flops import flops_per_epoch
from gan_lib.training.trainer import DTYPES, Trainer

_MATRIX = 2048  # rows and columns of the products that the machine's rate is measured with
_NOTHING: list[dict[str, Any]] = [{"model": "none measured yet: gan-lib bench"}]


def bench(
    machine: str, rounds: int, sizes: Sequence[int], say: Callable[[str], None], compiled: bool = False
) -> dict[str, Any]:
    """Measure every model on this machine; returns what `gan-lib bench` writes. say gets a line of progress now and then.

    Seconds are those of one epoch; each round is one epoch of the baseline and one of ours, after one of each to warm up.
    sizes: numbers of training images to see the cost grow with; the digits are repeated as often as it takes. compiled: measure
    the baseline with torch.compile too.
    """
    device = pick_device(machine)
    set_threads(0)
    precision = pick_precision("auto", device)
    rates = {name: matrix_rate(DTYPES[name], device) for name in ("fp32", precision)}
    report: dict[str, Any] = {
        "machine": {**fingerprint(device), "precision": precision},
        "matrix_gflops": rates,
        "rounds": rounds,
        "models": {},
    }
    for model in MODELS:
        family = next((name for name, entry in FAMILIES.items() if entry.model == model), family_name(model, "bce"))
        config = configure(f"{family}-{machine}")
        report["models"][model] = _compare(config, device, precision, rounds, rates[precision], say, compiled)
        report["models"][model]["growth"] = grown = []
        for size in sorted({int(config.training_images), *sizes}):
            # A process of its own: the most memory that one ever held is all that the system tells.
            with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as alone:
                grown.append(alone.submit(grow, config, precision, size).result())
            say(f"{model}: {size:,} images, {grown[-1]['seconds']:.3g} s, {grown[-1]['peak_memory_mb']:,.0f} MB at most")
    return report


def matrix_rate(dtype: torch.dtype, device: torch.device, repeats: int = 7) -> float:
    """The machine's rate in GFLOP/s for square matrix products of a type: the best of some, which is what it can do."""
    left, right = (torch.randn(_MATRIX, _MATRIX, device=device).to(dtype) for _ in range(2))
    left @ right
    seconds = min(_timed(lambda: left @ right, device) for _ in range(repeats))
    return 2 * _MATRIX**3 / seconds / 1e9


def _compare(
    config: RunConfig,
    device: torch.device,
    precision: str,
    rounds: int,
    rate: float,
    say: Callable[[str], None],
    compiled: bool = False,
) -> dict[str, Any]:
    """Alternating rounds of the baseline and of ours (on a GPU also of ours without graphs)."""
    images = load_images(config).train.to(device)
    torch.manual_seed(config.seed)
    plain = {"baseline": Baseline(config, images)} if MODELS[config.model].plain else {}
    contestants: dict[str, Any] = {**plain, "ours": Trainer(config, images, precision)}
    if device.type == "cuda":
        contestants["eager"] = Trainer(config, images, precision, graphs=False)
    if compiled and plain:
        contestants["compiled"] = Baseline(config, images, compiled=True)
    for name, contestant in list(contestants.items()):
        try:
            contestant.train_epoch()
        except RuntimeError as error:  # of torch.compile: no compiler, or one that it cannot use
            if name != "compiled":
                raise
            say(f"{config.model}: torch.compile fails here: {first_line(error)}")
            del contestants[name]
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for number in range(1, rounds + 1):
        for name, contestant in contestants.items():
            seconds[name].append(_timed(contestant.train_epoch, device))
        say(
            f"{config.model}: round {number} of {rounds}, "
            + ", ".join(f"{name} {each[-1]:.3g} s" for name, each in seconds.items())
        )
    medians = {name: statistics.median(each) for name, each in seconds.items()}
    flops = flops_per_epoch(config)
    return {
        "seconds": seconds,
        "median_seconds": medians,
        "times_faster": medians["baseline"] / medians["ours"] if plain else None,
        "images_per_second": len(images) / medians["ours"],
        "gflop_per_epoch": flops / 1e9,
        "share_of_matrix_rate": flops / medians["ours"] / 1e9 / rate,
    }


def grow(config: RunConfig, precision: str, size: int) -> dict[str, Any]:
    """Seconds for an epoch over `size` images, each of them, and the most memory that this process ever held, in MB (2**20)."""
    device = pick_device(config.machine)
    set_threads(0)
    digits = load_images(config).train.to(device)
    Trainer(config, digits, precision).train_epoch()  # warm up
    images = digits.repeat(-(-size // len(digits)), 1, 1, 1)[:size]
    seconds = Trainer(config, images, precision).train_epoch().training_seconds
    return {
        "images": size,
        "seconds": seconds,
        "microseconds_per_image": seconds / size * 1e6,
        "peak_memory_mb": _peak_memory(device),
    }


def _timed(work: Callable[[], Any], device: torch.device) -> float:
    wait = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    wait()
    start = time.perf_counter()
    work()
    wait()
    return time.perf_counter() - start


def _peak_memory(device: torch.device) -> float:
    """MB (2**20 bytes): of the GPU where there is one, else of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    import resource  # not on Windows

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


_Amount = Annotated[float, Field(gt=0, le=1e15)]  # of what is drawn on a logarithmic axis


class Growth(BaseModel):
    """One epoch over more images."""

    images: Annotated[int, Field(gt=0, le=10**15)]
    seconds: _Amount
    microseconds_per_image: _Amount
    peak_memory_mb: _Amount


class ModelSpeed(BaseModel):
    """One model on one machine. Seconds are those of one epoch, one value a round for each contestant."""

    seconds: dict[str, list[_Amount]]
    median_seconds: dict[str, _Amount]
    times_faster: _Amount | None = None  # None: there is no plain loop of this model to compare with
    images_per_second: _Amount
    gflop_per_epoch: _Amount
    share_of_matrix_rate: _Amount
    growth: list[Growth]

    @model_validator(mode="after")
    def _has_its_contestants(self) -> "ModelSpeed":
        needed = {"ours"} if self.times_faster is None else {"ours", "baseline"}
        if not needed <= self.seconds.keys() == self.median_seconds.keys():
            raise ValueError(f"there must be seconds and their medians of {' and '.join(sorted(needed))}")
        return self


class Bench(BaseModel):
    """One bench report."""

    machine: dict[str, Any]
    matrix_gflops: dict[str, _Amount]
    rounds: int
    models: dict[str, ModelSpeed]

    @property
    def label(self) -> str:
        """The machine in a few words."""
        return str(self.machine.get("label", "unknown"))

    @property
    def precision(self) -> str:
        """What our step computed in."""
        return str(self.machine.get("precision", "fp32"))

    @model_validator(mode="after")
    def _has_its_rate(self) -> "Bench":
        if self.precision not in self.matrix_gflops:
            raise ValueError(f"matrix_gflops must have a rate for {self.precision:.80}")
        return self


def save_bench(report: dict[str, Any], folder: Path) -> Path:
    """Write a bench report as FOLDER/MACHINE.json; returns the file. Raises RecordError where it cannot be written."""
    name = re.sub(r"[^a-z0-9]+", "-", report["machine"]["label"].lower()).strip("-")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        RunFolder(folder).write_json(f"{name}.json", report)
    except OSError as error:
        raise RecordError(f"bench folder {folder} cannot be written: {error.strerror}") from error
    return folder / f"{name}.json"


def read_benches(folder: Path) -> tuple[list[Bench], list[str]]:
    """Every whole bench report in a folder; and one line for each file that is none."""
    benches, problems = [], []
    for path in sorted(folder.glob("*.json")):
        try:
            benches.append(Bench.model_validate(read_json(path)))
        except RecordError as error:
            problems.append(str(error))
        except ValidationError as error:
            first = error.errors(include_url=False, include_context=False, include_input=False)[0]
            problems.append(f"{path}: {shorten('.'.join(map(str, first['loc'])))[1:-1]}: {first['msg']}")
    return benches, problems


def speed_table(benches: Sequence[Bench]) -> Table:
    """Seconds per epoch of a plain PyTorch loop and of ours, measured in turns in one process, the paper's beside them."""
    lines: list[dict[str, Any]] = []
    for bench, model, facts in _measured(benches):
        named = "gpu" if bench.machine.get("device") == "cuda" else "cpu"
        published = paper.RESULTS.get(f"{model}-{named}")
        lines.append(
            {
                "model": model.upper(),
                "machine": bench.label,
                "plain loop, s": facts.median_seconds.get("baseline", "no plain loop"),
                "with torch.compile, s": facts.median_seconds.get("compiled", "not measured"),
                "gan-lib, s": facts.median_seconds["ours"],
                "times faster": facts.times_faster,
                "precision": bench.precision,
                "images per second": round(facts.images_per_second),
                "share of the matrix rate": f"{facts.share_of_matrix_rate:.0%}",
                f"the paper, s ({paper.INSTANCES[named].name})": (
                    exact(published.seconds_per_epoch) if published else "not in the paper"
                ),
            }
        )
    rounds = " and ".join(sorted({str(bench.rounds) for bench in benches}))
    return table(lines or _NOTHING, f"Seconds per epoch, medians of {rounds or 'no'} rounds")


def growth_table(benches: Sequence[Bench]) -> Table:
    """How time and memory grow with the number of training images."""
    lines: list[dict[str, Any]] = [
        {
            "model": model.upper(),
            "machine": bench.label,
            "images": point.images,
            "epoch, s": point.seconds,
            "microseconds an image": point.microseconds_per_image,
            "peak memory, MB": round(point.peak_memory_mb),
        }
        for bench, model, facts in _measured(benches)
        for point in facts.growth
    ]
    return table(lines or _NOTHING, "One epoch over more images, each in a fresh process")


def _measured(benches: Sequence[Bench]) -> list[tuple[Bench, str, ModelSpeed]]:
    return [(bench, model, facts) for bench in benches for model, facts in bench.models.items()]


def chart(benches: Sequence[Bench]) -> Chart:
    """Every round's seconds per epoch, the plain loop's and ours, and what the arithmetic alone would take."""
    lines = _measured(benches)
    figure = Chart(figsize=(9.6, 1.1 + 0.85 * len(lines)), layout="constrained")
    panel = figure.subplots()
    words = []
    for height, (bench, model, facts) in enumerate(reversed(lines)):
        contestants = (
            ("baseline", "plain loop", FAINT),
            ("compiled", "compiled", FAINT),
            ("ours", "gan-lib", colour_of(model)),
        )
        for name, label, colour in contestants:
            if name not in facts.seconds:
                continue
            rounds, middle = facts.seconds[name], facts.median_seconds[name]
            panel.plot(rounds, [height] * len(rounds), "|", color=colour, markersize=14)
            panel.annotate(
                f"{label} {show(middle)} s", (middle, height), (0, 12), textcoords="offset points", ha="center", fontsize=8
            )
        limit = facts.gflop_per_epoch / bench.matrix_gflops[bench.precision]
        panel.plot(limit, height, ">", color=INK, markersize=5)
        panel.annotate("arithmetic alone", (limit, height), (0, -16), textcoords="offset points", ha="center", fontsize=8)
        seconds = f"{show(facts.median_seconds['ours'])} s here"
        if facts.times_faster is not None:
            plain = show(facts.median_seconds["baseline"])
            seconds = f"{plain} s plain, {seconds}, {show(facts.times_faster)} times faster"
        words.append(f"{model.upper()} on {bench.label}: {seconds}, {facts.share_of_matrix_rate:.0%} of the matrix rate")
    names = [f"{model.upper()}, {bench.label}" for bench, model, _ in reversed(lines)]
    panel.set_yticks(range(len(lines)), names, parse_math=False)
    panel.set_ylim(-0.7, len(lines) - 0.3)
    log_numbers(panel)
    panel.set_xlabel("seconds per epoch of 2,000 images (logarithmic); one mark a round", **LABEL)
    tidy(panel)
    panel.margins(x=0.08)
    figure.alt = "Training speed. " + "; ".join(words) + "."
    return figure
