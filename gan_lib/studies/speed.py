"""What `gan-lib bench` measured: its record, its table, its figure."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from gan_lib import paper
from gan_lib.errors import RecordError
from gan_lib.reporting.style import FAINT, INK, LABEL, Chart, colour_of, log_numbers, tidy
from gan_lib.reporting.tables import Table, table
from gan_lib.runs.record import RunFolder
from gan_lib.runs.storage import read_json
from gan_lib.text import exact, show


class Growth(BaseModel):
    """One epoch over more images."""

    images: int
    seconds: float
    microseconds_per_image: float
    peak_memory_mb: float


class ModelSpeed(BaseModel):
    """One model on one machine. Seconds are those of one epoch, one value a round for each contestant."""

    seconds: dict[str, list[float]]
    median_seconds: dict[str, float]
    times_faster: float
    images_per_second: float
    gflop_per_epoch: float
    share_of_matrix_rate: float
    growth: list[Growth]


class Bench(BaseModel):
    """One bench report."""

    machine: dict[str, Any]
    matrix_gflops: dict[str, float]
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


def save(report: dict[str, Any], folder: Path) -> Path:
    """Write a bench report as FOLDER/MACHINE.json; returns the file. Raises RecordError where it cannot be written."""
    name = re.sub(r"[^a-z0-9]+", "-", report["machine"]["label"].lower()).strip("-")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        RunFolder(folder).write_json(f"{name}.json", report)
    except OSError as error:
        raise RecordError(f"bench folder {folder} cannot be written: {error.strerror}") from error
    return folder / f"{name}.json"


def read_benches(folder: Path) -> list[Bench]:
    """Every bench report in a folder. Raises RecordError, naming the file, for one that is not whole."""
    found = []
    for path in sorted(folder.glob("*.json")):
        try:
            found.append(Bench.model_validate(read_json(path)))
        except ValidationError as error:
            first = error.errors()[0]
            raise RecordError(f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    return found


def speed_table(benches: Sequence[Bench]) -> Table:
    """Seconds per epoch of a plain PyTorch loop and of ours, measured in turns in one process, the paper's beside them."""
    lines = []
    for bench in benches:
        for model, facts in bench.models.items():
            named = "gpu" if bench.machine.get("device") == "cuda" else "cpu"
            lines.append(
                {
                    "model": model.upper(),
                    "machine": bench.label,
                    "plain loop, s": facts.median_seconds["baseline"],
                    "gan-lib, s": facts.median_seconds["ours"],
                    "times faster": facts.times_faster,
                    "precision": bench.precision,
                    "images per second": round(facts.images_per_second),
                    "share of the matrix rate": f"{facts.share_of_matrix_rate:.0%}",
                    f"the paper, s ({paper.INSTANCES[named].name})": exact(paper.RESULTS[f"{model}-{named}"].seconds_per_epoch),
                }
            )
    rounds = " and ".join(sorted({str(bench.rounds) for bench in benches}))
    return table(
        lines or [{"model": "none measured yet: gan-lib bench"}], f"Seconds per epoch, medians of {rounds or 'no'} rounds"
    )


def growth_table(benches: Sequence[Bench]) -> Table:
    """How time and memory grow with the number of training images."""
    lines = [
        {
            "model": model.upper(),
            "machine": bench.label,
            "images": point.images,
            "epoch, s": point.seconds,
            "microseconds an image": point.microseconds_per_image,
            "peak memory, MB": round(point.peak_memory_mb),
        }
        for bench in benches
        for model, facts in bench.models.items()
        for point in facts.growth
    ]
    return table(
        lines or [{"model": "none measured yet: gan-lib bench"}], "One epoch over more images, each in a fresh process"
    )


def chart(benches: Sequence[Bench]) -> Chart:
    """Every round's seconds per epoch, the plain loop's and ours, and what the arithmetic alone would take."""
    lines = [(bench, model, facts) for bench in benches for model, facts in bench.models.items()]
    figure = Chart(figsize=(9.6, 1.1 + 0.85 * len(lines)), layout="constrained")
    panel = figure.subplots()
    said = []
    for height, (bench, model, facts) in enumerate(reversed(lines)):
        for name, label, colour in (("baseline", "plain loop", FAINT), ("ours", "gan-lib", colour_of(model))):
            rounds, middle = facts.seconds[name], facts.median_seconds[name]
            panel.plot(rounds, [height] * len(rounds), "|", color=colour, markersize=14)
            panel.annotate(
                f"{label} {show(middle)} s", (middle, height), (0, 12), textcoords="offset points", ha="center", fontsize=8
            )
        limit = facts.gflop_per_epoch / bench.matrix_gflops[bench.precision]
        panel.plot(limit, height, ">", color=INK, markersize=5)
        panel.annotate("arithmetic alone", (limit, height), (0, -16), textcoords="offset points", ha="center", fontsize=8)
        said.append(
            f"{model.upper()} on {bench.label}: {show(facts.median_seconds['baseline'])} s plain, "
            f"{show(facts.median_seconds['ours'])} s here, {show(facts.times_faster)} times faster, "
            f"{facts.share_of_matrix_rate:.0%} of the matrix rate"
        )
    names = [f"{model.upper()}, {bench.label}" for bench, model, _ in reversed(lines)]
    panel.set_yticks(range(len(lines)), names, parse_math=False)
    panel.set_ylim(-0.7, len(lines) - 0.3)
    log_numbers(panel)
    panel.set_xlabel("seconds per epoch of 2,000 images (logarithmic); one mark a round", **LABEL)
    tidy(panel)
    panel.margins(x=0.08)
    figure.alt = "Training speed. " + "; ".join(said) + "."
    return figure
