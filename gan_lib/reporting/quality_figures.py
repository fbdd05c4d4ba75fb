"""Records and rows -> figures of image quality: through training, and against what it cost."""

from collections.abc import Iterable, Sequence
from statistics import mean
from typing import Any

import torch
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke
from torch import Tensor

from gan_lib.quality.measures import FRECHET, MEASURES
from gan_lib.quality.pixels import nearest_images
from gan_lib.reporting import quality
from gan_lib.reporting.comparison import Comparison, Row, cost_usd
from gan_lib.reporting.style import COLOURS, FAINT, INK, LABEL, STYLES, Chart, log_numbers, say_missing, set_title, tidy
from gan_lib.reporting.tables import TITLES
from gan_lib.runs.record import Record
from gan_lib.text import show

_PANELS = (
    ("Fréchet distance", (FRECHET,)),
    ("precision and recall, %", ("precision", "recall")),
    ("noise level, % of black to white", ("noise_level",)),
)
_MARK: dict[str, Any] = {"markersize": 4, "linewidth": 1.5}
# A name is read above any line.
_HALO: dict[str, Any] = {"path_effects": [withStroke(linewidth=2.5, foreground="white")], "zorder": 5}


def run_curve(record: Record) -> Chart:
    """One run's quality by epoch, each measure with its floor dotted."""
    chart = Chart(figsize=(9.6, 2.9), layout="constrained")
    panels = chart.subplots(1, len(_PANELS))
    said = []
    for panel, (title, names) in zip(panels, _PANELS, strict=True):
        set_title(panel, title)
        said += [words for name in names if (words := _draw_measure(panel, record, name, named=len(names) > 1))]
        if not panel.lines:
            say_missing(panel, str(record.summary.get("quality_about") or quality.NOT_MEASURED))
            continue
        panel.set_xlabel("epoch", **LABEL)
        tidy(panel)
        panel.margins(x=0.04)
        top = 1.05 * max(float(max(line.get_ydata())) for line in panel.lines) or 1.0  # 1 where all of them are 0
        panel.set_ylim(-0.04 * top, top)  # so that a floor of 0 is seen
    chart.alt = "Image quality by epoch. " + ("; ".join(said) or "Not measured") + "."
    return chart


def frechet_curves(rows: Comparison) -> Chart:
    """Fréchet distance by epoch and by second of training: every seed thin, their mean bold, the floor dotted."""
    chart = Chart(figsize=(9.6, 3.6), layout="constrained")
    by_epoch, by_second = chart.subplots(1, 2, sharey=True)
    said = [words for row in rows.values() if (words := _draw_row(by_epoch, by_second, row))]
    floors = [value for row in rows.values() if (value := quality.row_floor(row, FRECHET)) is not None]
    for panel, title in ((by_epoch, "epochs"), (by_second, "seconds of training (logarithmic)" + _machines(rows))):
        if not said:
            say_missing(panel, "Fréchet distance: " + quality.NOT_MEASURED)
            continue
        for value in sorted(set(floors)):
            panel.axhline(value, color=FAINT, linewidth=0.9, linestyle=":")
        panel.set_ylim(bottom=-0.04 * panel.get_ylim()[1])  # so that the floor is seen
        panel.set_xlabel(title, **LABEL)
        tidy(panel)
    if said:
        log_numbers(by_second)
        by_epoch.set_ylabel("Fréchet distance", **LABEL)
        if floors:
            by_epoch.annotate("the floor", (0.02, min(floors)), (0, 3), xycoords=("axes fraction", "data"),
                              textcoords="offset points", fontsize=8, color=FAINT)  # fmt: skip
    absent = [row for row in rows.values() if not any(quality.curve(record).values for record in row.records)]
    said += [f"{TITLES[row.configuration]}: {row.missing or quality.NOT_MEASURED}." for row in absent]
    chart.alt = "Fréchet distance through training. " + " ".join(said)
    return chart


def cost_against_quality(rows: Comparison) -> Chart:
    """What each configuration cost and how good its images are: every run a dot, their mean named, the frontier drawn."""
    chart = Chart(figsize=(9.6, 3.6), layout="constrained")
    panel = chart.subplots()
    points = {row.configuration: point for row in rows.values() if (point := _cost_and_distance(row))}
    if not points:
        say_missing(panel, "Fréchet distance: " + quality.NOT_MEASURED)
        chart.alt = "Cost against quality: not measured."
        return chart
    best = frontier(points)
    highest = 0.0
    for name, (usd, distance) in points.items():
        row = rows[name]
        for record in row.records:
            if (point := _point(record)) is not None:
                highest = max(highest, point[1])
                panel.plot(*point, ".", color=COLOURS[row.network], alpha=0.5, markersize=5)
        face = COLOURS[row.network] if row.named_machine == "cpu" else "white"
        panel.plot(usd, distance, "o", color=COLOURS[row.network], markerfacecolor=face, markersize=9, zorder=3)
        words = f"{TITLES[name]}: {show(usd)} USD, {show(distance)}"
        panel.annotate(words, (usd, distance), (9, 4), textcoords="offset points", fontsize=8, annotation_clip=False, **_HALO)
    log_numbers(panel)
    costs = [usd for usd, _ in points.values()]
    panel.set_xlim(min(costs) / 2.5, max(costs) * 4)  # room for the names, and numbers on the axis
    panel.set_ylim(0, 1.25 * highest)
    steps = [(points[best[0]][0], panel.get_ylim()[1]), *(points[name] for name in best), (max(costs) * 4, points[best[-1]][1])]
    panel.step(*zip(*steps, strict=True), where="post", color=INK, linewidth=0.9, linestyle=":", zorder=1)
    panel.set_xlabel("USD of a whole run, at the price of the named instance (logarithmic)" + _machines(rows), **LABEL)
    panel.set_ylabel("Fréchet distance at the end", **LABEL)
    panel.spines[["top", "right"]].set_visible(False)
    panel.tick_params(labelsize=8, colors=INK)
    said = "; ".join(f"{TITLES[name]} {show(usd)} USD, distance {show(distance)}" for name, (usd, distance) in points.items())
    chart.alt = (
        f"Cost against Fréchet distance: {said}. On the frontier, where nothing is both cheaper and better: "
        f"{', '.join(TITLES[name] for name in best)}. Not shown, for want of a measurement: "
        f"{', '.join(TITLES[name] for name in rows if name not in points) or 'none'}."
    )
    return chart


def frontier(points: dict[str, tuple[float, float]]) -> list[str]:
    """Those of the named (cost, distance) that no other one beats in both, the cheapest first."""
    best: list[str] = []
    for name in sorted(points, key=lambda name: points[name]):
        if not best or points[name][1] < points[best[-1]][1]:
            best.append(name)
    return best


def _draw_measure(panel: Axes, record: Record, name: str, named: bool) -> str | None:
    """One measure by epoch with its floor; returns it in words, None where there is nothing to draw."""
    found, scale = quality.curve(record, name), MEASURES[name].scale
    if not found.values:
        return None
    heights = [scale * value for value in found.values]
    colour, style = COLOURS[record.config.model], "--" if name == "recall" else "-"
    panel.plot(found.epochs, heights, f"o{style}", color=colour, **_MARK)
    perfect = quality.floor(record).get(name)
    if perfect is not None:
        panel.axhline(scale * perfect, color=FAINT, linewidth=0.9, linestyle=":")
        if name != "recall":  # its floor is that of precision, but for chance
            panel.annotate("floor", (0.98, scale * perfect), (0, 2), xycoords=("axes fraction", "data"),
                           textcoords="offset points", ha="right", fontsize=8, color=FAINT)  # fmt: skip
    if named:
        panel.annotate(name, (found.epochs[-1], heights[-1]), (6, 0), textcoords="offset points", va="center", fontsize=8,
                       color=colour, annotation_clip=False)  # fmt: skip
    ground = "" if perfect is None else f" (floor {show(scale * perfect)})"
    return f"{MEASURES[name].name}: from {show(heights[0])} to {show(heights[-1])}{ground}"


def _draw_row(by_epoch: Axes, by_second: Axes, row: Row) -> str | None:
    """One configuration in both panels; returns what they show, in words, None where nothing was measured."""
    curves = [found for record in row.records if (found := quality.curve(record)).values]
    if not curves:
        return None
    colour, style = COLOURS[row.network], STYLES[row.named_machine]
    if len(curves) > 1:
        for found in curves:
            by_epoch.plot(found.epochs, found.values, style, color=colour, linewidth=0.6, alpha=0.4)
            by_second.plot(found.seconds, found.values, style, color=colour, linewidth=0.6, alpha=0.4)
    epochs, seconds, values = (
        curves[0].epochs,
        _means(found.seconds for found in curves),
        _means(found.values for found in curves),
    )
    for panel, places in ((by_epoch, epochs[: len(values)]), (by_second, seconds)):
        panel.plot(places, values, f"o{style}", color=colour, **_MARK)
        panel.annotate(TITLES[row.configuration], (places[-1], values[-1]), (6, 0), textcoords="offset points", va="center",
                       fontsize=8, color=colour, annotation_clip=False, **_HALO)  # fmt: skip
    return (
        f"{TITLES[row.configuration]}: from {show(values[0])} at epoch {epochs[0]:,} to {show(values[-1])} at epoch "
        f"{epochs[len(values) - 1]:,}, {show(seconds[-1])} s (n = {len(curves)})."
    )


def _machines(rows: Comparison) -> str:
    """What an axis of seconds or of what they cost must say besides, where rows that are named after one machine were measured
    on several."""
    used = {(row.named_machine, row.machine) for row in rows.values() if row.records}
    return "; not all on one machine" if len(used) > len({named for named, _ in used}) else ""


def _means(series: Iterable[Sequence[float]]) -> list[float]:
    """Means over runs, as far as the shortest goes."""
    return [mean(values) for values in zip(*series, strict=False)]


def _cost_and_distance(row: Row) -> tuple[float, float] | None:
    found = [point for record in row.records if (point := _point(record))]
    if not found:
        return None
    usd, distance = zip(*found, strict=True)
    return mean(usd), mean(distance)


def _point(record: Record) -> tuple[float, float] | None:
    usd, distance = cost_usd(record), quality.last(record).get(FRECHET)
    return None if usd is None or distance is None else (usd, distance)


def nearest_pairs(generated: Tensor, train: Tensor, labels: Tensor | None = None, count: int = 10) -> Chart:
    """The generated images that come nearest to a training image, each above that training image, with their distance.

    generated (N, C, S, S) and train (M, C, S, S) in [-1, 1]; the count nearest pairs, the nearest first. With labels (M,) of
    the training images, the nearest pair of each class instead, in the order of the classes: else all of them would be ones.
    """
    found = nearest_images(generated, train)
    order = found.distance.argsort(stable=True)
    if labels is None:
        chosen = order[:count]
    else:
        classes = labels[found.which[order]]
        chosen = torch.stack([order[classes == each][0] for each in classes.unique()])[:count]
    chart = Chart(figsize=(9.6, 2.4), layout="constrained")
    panels = chart.subplots(2, len(chosen), squeeze=False)
    for (above, below), index in zip(panels.T, chosen.tolist(), strict=True):
        _show(above, generated[index])
        _show(below, train[int(found.which[index])])
        below.set_xlabel(show(float(found.distance[index])), **LABEL)
    for panel, name in zip(panels[:, 0], ("generated", "nearest\ntraining"), strict=True):
        panel.set_ylabel(name, **LABEL)
    kind = "" if labels is None else " of each class"
    distances = found.distance[chosen]
    chart.alt = (
        f"Of {len(generated):,} generated images the {len(chosen)} that are nearest to a training image{kind}, and those "
        f"training images; root mean square difference of their pixels, black to white = 1: "
        f"{show(float(distances.min()))} to {show(float(distances.max()))}."
    )
    return chart


def _show(panel: Axes, image: Tensor) -> None:
    pixels = ((image + 1) / 2).clamp(0, 1).permute(1, 2, 0)  # (S, S, C)
    panel.imshow(pixels.squeeze(-1).numpy(), cmap="gray", interpolation="nearest", vmin=0, vmax=1)
    panel.set_xticks([])
    panel.set_yticks([])
    panel.spines[:].set_color(INK)
