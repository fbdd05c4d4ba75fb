"""Records and rows -> figures of image quality: through training, and against what it cost."""

from collections.abc import Iterable, Sequence
from statistics import mean
from typing import Any

import torch
from matplotlib.axes import Axes
from torch import Tensor

from gan_lib.presets import title
from gan_lib.quality.measures import FRECHET, MEASURES
from gan_lib.quality.pixels import nearest_images
from gan_lib.reporting import quality
from gan_lib.reporting.comparison import Comparison, Row, with_runs
from gan_lib.reporting.convergence import cost_usd
from gan_lib.reporting.style import (
    FAINT,
    HALO,
    INK,
    LABEL,
    STYLES,
    Chart,
    colour_of,
    epoch_axis,
    log_numbers,
    name_ends,
    one_panel,
    say_missing,
    set_title,
    tidy,
)
from gan_lib.runs.record import Record
from gan_lib.text import show

_PANELS = (
    ("Fréchet distance", (FRECHET,)),
    ("precision and recall, %", ("precision", "recall")),
    ("noise level, % of black to white", ("noise_level",)),
)
_MARK: dict[str, Any] = {"markersize": 4, "linewidth": 1.5}


def run_curve(record: Record) -> Chart:
    """One run's quality by epoch, each measure with its floor dotted; one sentence where nothing was measured."""
    reason = str(record.summary.get("quality_about") or quality.NOT_MEASURED)
    panels_shown = [panel for panel in _PANELS if any(quality.curve(record, name).values for name in panel[1])]
    if not panels_shown:
        chart, panel = one_panel(0.8)
        say_missing(panel, reason)
        chart.alt = "Image quality by epoch. Not measured."
        return chart
    chart = Chart(figsize=(9.6, 2.9), layout="constrained")
    parts = []
    for panel, (heading, names) in zip(chart.subplots(1, len(_PANELS))[: len(panels_shown)], panels_shown, strict=True):
        set_title(panel, f"{title(record.config.configuration)}: {heading}")
        ends: list[tuple[float, str, str]] = []
        for name in names:
            parts.append(_draw_measure(panel, record, name, ends))
        epoch_axis(panel)
        tidy(panel)
        panel.margins(x=0.04)
        top = 1.05 * max(float(max(line.get_ydata())) for line in panel.lines) or 1.0  # 1 where all of them are 0
        panel.set_ylim(-0.04 * top, top)  # so that a floor of 0 is seen
        name_ends(panel, ends)
    for panel in chart.axes[len(panels_shown) :]:
        panel.set_axis_off()
    chart.alt = "Image quality by epoch. " + "; ".join(filter(None, parts)) + "."
    return chart


def frechet_curves(rows: Comparison) -> Chart | None:
    """Fréchet distance by epoch and by second of training: every seed thin, their mean bold, the floor dotted.

    None where it was not measured.
    """
    chart = Chart(figsize=(9.6, 3.6), layout="constrained")
    by_epoch, by_second = chart.subplots(1, 2, sharey=True)
    ends: list[tuple[float, str, str]] = []
    parts = [words for row in with_runs(rows) if (words := _draw_row(by_epoch, by_second, row, ends))]
    if not parts:
        return None
    floors = {value for row in rows.values() if (value := quality.row_floor(row, FRECHET)) is not None}
    for panel in (by_epoch, by_second):
        for value in floors:
            panel.axhline(value, color=FAINT, linewidth=0.9, linestyle=":")
        panel.set_ylim(bottom=-0.04 * panel.get_ylim()[1])  # so that the floor is seen
        tidy(panel)
    epoch_axis(by_epoch)
    log_numbers(by_second)
    by_second.set_xlabel("seconds of training (logarithmic)" + _machines(rows), **LABEL)
    by_epoch.set_ylabel("Fréchet distance", **LABEL)
    name_ends(by_second, [*ends, *((value, "real images", FAINT) for value in sorted(floors)[:1])])
    absent = [row.title for row in with_runs(rows) if not any(quality.curve(record).values for record in row.records)]
    parts += [f"{name}: {quality.NOT_MEASURED}." for name in absent]
    chart.alt = "Fréchet distance through training. " + " ".join(parts)
    return chart


def cost_against_quality(rows: Comparison) -> Chart | None:
    """What each configuration cost and how good its images are: every run a dot, their middle named, the frontier drawn.

    The middle is the median of the costs and the mean of the distances, as in the tables. None where quality was not measured.
    """
    points = {row.configuration: point for row in with_runs(rows) if (point := _cost_and_distance(row))}
    if not points:
        return None
    chart, panel = one_panel(3.6)
    best = frontier(points)
    dots = {name: [point for record in rows[name].records if (point := _point(record))] for name in points}
    for name, (usd, distance) in points.items():
        row = rows[name]
        colour = colour_of(row.family)
        for dot in dots[name]:
            panel.plot(*dot, ".", color=colour, alpha=0.5, markersize=5)
        face = colour if row.named_machine == "cpu" else "white"
        panel.plot(usd, distance, "o", color=colour, markerfacecolor=face, markersize=9, zorder=3)
    log_numbers(panel)
    costs = [usd for usd, _ in points.values()]
    panel.set_xlim(min(costs) / 2.5, max(costs) * 6)  # room for the names, and numbers on the axis
    panel.set_ylim(0, 1.25 * max(distance for each in dots.values() for _, distance in each))
    steps = [(points[best[0]][0], panel.get_ylim()[1]), *(points[name] for name in best), (max(costs) * 6, points[best[-1]][1])]
    panel.step(*zip(*steps, strict=True), where="post", color=INK, linewidth=0.9, linestyle=":", zorder=1)
    _name_points(panel, {f"{rows[name].title}: {show(usd)} USD, {show(distance)}": (usd, distance)
                         for name, (usd, distance) in points.items()})  # fmt: skip
    panel.set_xlabel("USD of a whole run, at the price of the named instance (logarithmic)" + _machines(rows), **LABEL)
    panel.set_ylabel("Fréchet distance at the end", **LABEL)
    tidy(panel)
    words = "; ".join(f"{title(name)} {show(usd)} USD, distance {show(distance)}" for name, (usd, distance) in points.items())
    chart.alt = (
        f"Cost against Fréchet distance: {words}. On the frontier, where nothing is both cheaper and better: "
        f"{', '.join(map(title, best))}."
    )
    return chart


def frontier(points: dict[str, tuple[float, float]]) -> list[str]:
    """Those of the named (cost, distance) that no other one beats in both, the cheapest first."""
    best: list[str] = []
    for name in sorted(points, key=lambda name: points[name]):
        if not best or points[name][1] < points[best[-1]][1]:
            best.append(name)
    return best


def _name_points(panel: Axes, points: dict[str, tuple[float, float]]) -> None:
    """Names right of some points, from below, each moved up until it is over none of those before."""
    width, height = (72 * 0.85 * inches for inches in panel.get_figure().get_size_inches())  # type: ignore[union-attr]
    to_axes = panel.transData + panel.transAxes.inverted()
    placed: list[tuple[float, float, float]] = []  # left, right and middle, in points
    for name, point in sorted(points.items(), key=lambda item: item[1][1]):
        left, middle = (float(share) * size for share, size in zip(to_axes.transform(point), (width, height), strict=True))
        right, up = left + 4.6 * len(name), 7.0
        for other_left, other_right, other in sorted(placed, key=lambda each: each[2]):
            if left < other_right and other_left < right and abs(middle + up - other) < 11:
                up = other + 11 - middle
        placed.append((left, right, middle + up))
        panel.annotate(name, point, (9, up), textcoords="offset points", va="center", fontsize=8, annotation_clip=False, **HALO)


def _draw_measure(panel: Axes, record: Record, name: str, ends: list[tuple[float, str, str]]) -> str | None:
    """One measure by epoch with its floor; returns it in words, None where there is nothing to draw."""
    curve, scale = quality.curve(record, name), MEASURES[name].scale
    if not curve.values:
        return None
    heights = [scale * value for value in curve.values]
    colour, style = colour_of(record.config.model), "--" if name == "recall" else "-"
    panel.plot(curve.epochs, heights, f"o{style}", color=colour, **_MARK)
    if name in ("precision", "recall"):
        ends.append((heights[-1], name, colour))
    floor = quality.floor(record).get(name)
    if floor is not None:
        panel.axhline(scale * floor, color=FAINT, linewidth=0.9, linestyle=":")
        if name != "recall":  # its floor is that of precision, but for chance
            ends.append((scale * floor, "floor", FAINT))
    ground = "" if floor is None else f" (floor {show(scale * floor)})"
    return f"{MEASURES[name].name}: from {show(heights[0])} to {show(heights[-1])}{ground}"


def _draw_row(by_epoch: Axes, by_second: Axes, row: Row, ends: list[tuple[float, str, str]]) -> str | None:
    """One configuration in both panels; returns what they show, in words, None where nothing was measured."""
    curves = [curve for record in row.records if (curve := quality.curve(record)).values]
    if not curves:
        return None
    colour, style = colour_of(row.family), STYLES.get(row.named_machine, "-")
    for curve in curves if len(curves) > 1 else ():
        by_epoch.plot(curve.epochs, curve.values, style, color=colour, linewidth=0.6, alpha=0.4)
        by_second.plot(curve.seconds, curve.values, style, color=colour, linewidth=0.6, alpha=0.4)
    seconds, values = _means(curve.seconds for curve in curves), _means(curve.values for curve in curves)
    epochs = curves[0].epochs[: len(values)]
    by_epoch.plot(epochs, values, f"o{style}", color=colour, **_MARK)
    by_second.plot(seconds, values, f"o{style}", color=colour, **_MARK)
    ends.append((values[-1], row.title, colour))
    return (
        f"{row.title}: from {show(values[0])} at epoch {epochs[0]:,} to {show(values[-1])} at epoch {epochs[-1]:,}, "
        f"{show(seconds[-1])} s (n = {len(curves)})."
    )


def _machines(rows: Comparison) -> str:
    """What an axis of seconds or of what they cost must say besides, where rows that are named after one machine were measured
    on several."""
    used = {(row.named_machine, row.machine) for row in with_runs(rows)}
    return "; not all on one machine" if len(used) > len({named for named, _ in used}) else ""


def _means(series: Iterable[Sequence[float]]) -> list[float]:
    """Means over runs, as far as the shortest goes."""
    return [mean(values) for values in zip(*series, strict=False)]


def _cost_and_distance(row: Row) -> tuple[float, float] | None:
    usd, distances = row.cost_usd(), quality.values(row, FRECHET)
    return (usd, mean(distances)) if usd and distances else None


def _point(record: Record) -> tuple[float, float] | None:
    usd, distance = cost_usd(record), quality.last(record).get(FRECHET)
    return None if usd is None or distance is None else (usd, distance)


def distance_by_seconds(rows: Comparison) -> Chart | None:
    """Fréchet distance by training seconds, both logarithmic: how soon each configuration's images are how good. One line a
    run, the floor dotted. None where it was not measured."""
    curves = [(row, quality.curve(record)) for row in with_runs(rows) for record in row.records]
    curves = [(row, curve) for row, curve in curves if curve.values]
    if not curves:
        return None
    chart, panel = one_panel(4.4)
    words: dict[str, Any] = {"textcoords": "offset points", "fontsize": 8}
    for row, curve in curves:
        look: dict[str, Any] = {"color": colour_of(row.family), "markersize": 3, "linewidth": 1.2, "alpha": 0.8}
        panel.plot(curve.seconds, curve.values, f"o{STYLES.get(row.named_machine, '-')}", **look)
    ends = {row.title: (curve.seconds[-1], curve.values[-1], colour_of(row.family)) for row, curve in curves}
    for name, (seconds, distance, colour) in ends.items():
        panel.annotate(name, (seconds, distance), (5, 0), va="center", color=colour, **words, **HALO)
    floor = next((value for row, _ in curves if (value := quality.row_floor(row, FRECHET)) is not None), None)
    if floor is not None:
        panel.axhline(floor, color=FAINT, linewidth=0.9, linestyle=":")
        panel.annotate("floor: real images", (1, floor), (-4, 4), ("axes fraction", "data"), ha="right", **words)
    panel.set_xlabel(f"training seconds (logarithmic){_machines(rows)}", **LABEL)
    panel.set_ylabel("Fréchet distance (logarithmic)", **LABEL)
    log_numbers(panel)
    log_numbers(panel, upright=True)
    tidy(panel)
    panel.margins(x=0.12)
    chart.alt = "Fréchet distance by training seconds. " + " ".join(
        f"{name}: {show(distance)} after {show(seconds)} s." for name, (seconds, distance, _) in ends.items()
    )
    return chart


def nearest_pairs(generated: Tensor, train: Tensor, labels: Tensor | None = None, count: int = 10) -> Chart:
    """The generated images that come nearest to a training image, each above that training image, with their distance.

    generated (N, C, S, S) and train (M, C, S, S) in [-1, 1]; the count nearest pairs, the nearest first. With labels (M,) of
    the training images, the nearest pair of each class instead, in the order of the classes: else all of them would be ones.
    """
    pairs = nearest_images(generated, train)
    order = pairs.distance.argsort(stable=True)
    if labels is None:
        chosen = order[:count]
    else:
        classes = labels[pairs.which[order]]
        chosen = torch.stack([order[classes == each][0] for each in classes.unique()])[:count]
    chart = Chart(figsize=(9.6, 2.4), layout="constrained")
    panels = chart.subplots(2, len(chosen), squeeze=False)
    for (above, below), index in zip(panels.T, chosen.tolist(), strict=True):
        _show(above, generated[index])
        _show(below, train[int(pairs.which[index])])
        below.set_xlabel(show(float(pairs.distance[index])), **LABEL)
    for panel, name in zip(panels[:, 0], ("generated", "nearest\ntraining"), strict=True):
        panel.set_ylabel(name, **LABEL)
    kind = "" if labels is None else " of each class"
    distances = pairs.distance[chosen]
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
