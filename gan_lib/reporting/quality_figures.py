"""Draw image quality: through training, and against cost."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from gan_lib.pictures import grid
from gan_lib.presets import title
from gan_lib.quality.measures import FRECHET, MEASURES
from gan_lib.quality.pixels import nearest_images
from gan_lib.reporting import quality
from gan_lib.reporting.comparison import Comparison, all_records, with_runs
from gan_lib.reporting.frames import metrics_frame, runs_frame
from gan_lib.reporting.style import (
    FAINT,
    INK,
    LABEL,
    STYLES,
    Chart,
    colour_of,
    epoch_axis,
    log_numbers,
    name_ends,
    say_missing,
    set_title,
)
from gan_lib.runs.record import Record
from gan_lib.text import show

_PANELS = {  # columns of metrics.csv by panel title
    "Fréchet distance": [FRECHET],
    "precision and recall, %": ["precision", "recall"],
    "noise level, % of black to white": ["noise_level"],
    "D's mean score, training minus held out": ["score_gap"],
}
_MARK: dict[str, Any] = {"markersize": 4, "linewidth": 1.5}
_FLOOR: dict[str, Any] = {"color": FAINT, "linewidth": 0.9, "linestyle": ":"}


def run_curve(record: Record) -> Chart:
    """Draw one run's quality by epoch, each measure with its floor dotted, and D's overfitting (0: none).

    A sentence if nothing was measured.
    """
    panels = {heading: frame for heading, names in _PANELS.items() if len(frame := _measured([record], names))}
    if not panels:
        chart = Chart(0.8, "Image quality by epoch. Not measured.")
        say_missing(chart.subplots(), str(record.summary.get("quality_about") or quality.NOT_MEASURED))
        return chart
    lines = -(-len(panels) // 2)
    chart = Chart(2.7 * lines)
    places = chart.subplots(lines, 2, squeeze=False).ravel()
    colour, floors, words = colour_of(record.config.configuration.rpartition("-")[0]), quality.floor(record), []
    for panel, (heading, frame) in zip(places, panels.items(), strict=False):
        set_title(panel, f"{title(record.config.configuration)}: {heading}")
        ends: list[tuple[float, str, str]] = []
        for name in _PANELS[heading]:
            measure = MEASURES.get(name)
            scale, floor = (measure.scale, floors.get(name)) if measure else (1, 0.0)
            floor = None if floor is None else round(floor, 12)  # a value very near 0 would stretch the axis
            values = scale * frame[name].round(12)
            panel.plot(frame.epoch, values, "o--" if name == "recall" else "o-", color=colour, **_MARK)
            ends += [(values.iloc[-1], name, colour)] if len(_PANELS[heading]) > 1 else []
            words.append(f"{measure.name if measure else heading}: from {show(values.iloc[0])} to {show(values.iloc[-1])}")
            if floor is not None:
                panel.axhline(scale * floor, **_FLOOR)
                words[-1] += f" (floor {show(scale * floor)})" if measure else ""
                ends += [(scale * floor, "floor", FAINT)] if measure and name != "recall" else []  # it shares precision's
        epoch_axis(panel)
        panel.margins(x=0.04, y=0.06)
        name_ends(panel, ends)
    for panel in places[len(panels) :]:
        panel.set_axis_off()
    chart.alt = f"Image quality by epoch. {'; '.join(words)}."
    return chart


def frechet_curves(rows: Comparison) -> Chart | None:
    """Draw the Fréchet distance of each configuration by epoch and by training second, on logarithmic axes.

    Seeds thin, their mean bold, the floor dotted. None if it was not measured.
    """
    chart = Chart(3.9)
    panels = chart.subplots(1, 2, sharey=True)
    ends: list[tuple[float, str, str]] = []
    words = []
    for row in with_runs(rows):
        frame = _measured(row.records, [FRECHET])
        if frame.empty:
            words.append(f"{row.title}: {quality.NOT_MEASURED}.")
            continue
        runs, epochs = frame.groupby("run"), frame.groupby("epoch")
        means = epochs[["training_seconds", FRECHET]].mean()[epochs.size() == runs.ngroups].reset_index()
        colour, style = colour_of(row.family), STYLES.get(row.named_machine, "-")
        for panel, column in zip(panels, ("epoch", "training_seconds"), strict=True):
            for _, run in runs if runs.ngroups > 1 else ():
                panel.plot(run[column], run[FRECHET], style, color=colour, linewidth=0.6, alpha=0.4)
            panel.plot(means[column], means[FRECHET], f"o{style}", color=colour, **_MARK)
        first, last = means.iloc[0], means.iloc[-1]
        ends.append((last[FRECHET], row.title, colour))
        words.append(
            f"{row.title}: from {show(first[FRECHET])} at epoch {first.epoch:,.0f} to {show(last[FRECHET])} at epoch "
            f"{last.epoch:,.0f}, {show(last.training_seconds)} s (n = {runs.ngroups})."
        )
    if not ends:
        return None
    floors = sorted({value for row in rows.values() if (value := row.floor(FRECHET)) is not None})
    for panel in panels:
        for value in floors:
            panel.axhline(value, **_FLOOR)
    ends += [(value, "floor: real images", FAINT) for value in floors[:1]]
    by_epoch, by_second = panels
    epoch_axis(by_epoch)
    by_epoch.set_ylabel("Fréchet distance (logarithmic)", **LABEL)
    log_numbers(by_epoch, upright=True)
    log_numbers(by_second)
    by_second.set_xlabel("seconds of training (logarithmic)" + _machines(rows), **LABEL)
    name_ends(by_second, ends)
    chart.alt = "Fréchet distance through training. " + " ".join(words)
    return chart


def cost_against_quality(rows: Comparison) -> Chart | None:
    """Draw cost against image quality: a small dot for each run, a large one for each configuration, and the Pareto frontier.

    The large dot is at the median cost and the mean distance, as in the tables. None if quality was not measured.
    """
    runs = runs_frame(all_records(rows)).pipe(lambda frame: frame[(frame.cost_usd > 0) & (frame[FRECHET] > 0)])
    if runs.empty:
        return None
    middles = runs.groupby("configuration", sort=False).agg({"cost_usd": "median", FRECHET: "mean"})
    chart = Chart(3.6)
    panel = chart.subplots()
    log_numbers(panel)
    log_numbers(panel, upright=True)
    ends, words = [], []
    for name, usd, distance in middles.itertuples():
        row, own = rows[str(name)], runs[runs.configuration == name]
        colour = colour_of(row.family)
        panel.plot(own.cost_usd, own[FRECHET], ".", color=colour, alpha=0.5, markersize=5)
        face = colour if row.named_machine == "cpu" else "white"
        panel.plot(usd, distance, "o", color=colour, markerfacecolor=face, markersize=9, zorder=3)
        ends.append((distance, row.title, colour))
        words.append(f"{title(row.configuration)} {show(usd)} USD, distance {show(distance)}")
    panel.set_xlim(runs.cost_usd.min() / 1.5, runs.cost_usd.max() * 1.5)
    panel.set_ylim(runs[FRECHET].min() / 1.5, runs[FRECHET].max() * 1.5)
    best = frontier(middles)
    right, top = panel.get_xlim()[1], panel.get_ylim()[1]
    panel.step([best.cost_usd.iloc[0], *best.cost_usd, right], [top, *best[FRECHET], best[FRECHET].iloc[-1]], where="post",
               color=INK, linewidth=0.9, linestyle=":", zorder=1)  # fmt: skip
    name_ends(panel, ends)
    panel.set_xlabel("USD of a whole run, at the price of the named instance (logarithmic)" + _machines(rows), **LABEL)
    panel.set_ylabel("Fréchet distance (logarithmic)", **LABEL)
    chart.alt = (
        f"Cost against Fréchet distance: {'; '.join(words)}. On the frontier, where nothing is both cheaper and better: "
        f"{', '.join(map(title, best.index))}."
    )
    return chart


def frontier(points: pd.DataFrame, cost: str = "cost_usd", distance: str = FRECHET) -> pd.DataFrame:
    """Return the Pareto frontier of points with a cost and a Fréchet distance, cheapest first."""
    ordered = points.sort_values([cost, distance], kind="stable")
    return ordered.assign(lowest=ordered[distance].cummin()).drop_duplicates("lowest")


def nearest_pairs(generated: Tensor, train: Tensor, labels: Tensor | None = None, count: int = 10) -> Chart:
    """Draw the generated images that are nearest to a training image, each above that training image, with their distance.

    generated (N, C, S, S) and train (M, C, S, S) in [-1, 1]; the count nearest pairs, the nearest first. With labels (M,) of
    the training images, the nearest pair of each class instead, in the order of the classes. Else most are ones.
    """
    pairs = nearest_images(generated, train)
    order = pairs.distance.argsort(stable=True)
    if labels is not None:
        classes = labels[pairs.which[order]]
        order = torch.stack([order[classes == each][0] for each in classes.unique()])
    chosen = order[:count]
    distances = pairs.distance[chosen]
    sheet = grid(torch.cat([generated[chosen], train[pairs.which[chosen]]]), columns=len(chosen))
    few = len(chosen) <= 5  # then no wider than they are, so that a phone shows them whole
    chart = Chart(figsize=(1.2 + 1.1 * len(chosen), 3.0)) if few else Chart(0.7 + 9 * sheet.height / sheet.width)
    panel = chart.subplots()
    panel.imshow(sheet, cmap="gray", interpolation="nearest", vmin=0, vmax=255)
    middles = (np.arange(len(chosen)) + 0.5) * (sheet.width / len(chosen))
    panel.set_xticks(middles, [show(distance) for distance in distances.tolist()])
    panel.set_yticks([sheet.height / 4, 3 * sheet.height / 4], ["generated", "nearest\ntraining"])
    panel.tick_params(length=0)
    panel.spines[:].set_visible(False)
    kind = "" if labels is None else " of each class"
    chart.alt = (
        f"Of {len(generated):,} generated images the {len(chosen)} that are nearest to a training image{kind}, and those "
        f"training images; root mean square difference of their pixels, black to white = 1: "
        f"{show(float(distances.min()))} to {show(float(distances.max()))}."
    )
    return chart


def _measured(records: Sequence[Record], names: list[str]) -> pd.DataFrame:
    """Return the rows of metrics_frame in which all given measures are numbers."""
    frame = metrics_frame(records)
    columns = ["training_seconds", *names]
    return frame[np.isfinite(frame[columns].to_numpy(dtype=float)).all(axis=1)] if {*columns} <= {*frame} else frame[:0]


def _machines(rows: Comparison) -> str:
    """Return a remark for an axis of seconds or costs if rows named after one machine were measured on several."""
    used = {(row.named_machine, row.machine) for row in with_runs(rows)}
    return "; not all on one machine" if len(used) > len({named for named, _ in used}) else ""
