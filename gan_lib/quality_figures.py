"""Measures of quality -> figures: each measure under known damage; generated images and the training images nearest to them."""

from collections.abc import Mapping
from typing import Any

import torch
from matplotlib.axes import Axes
from torch import Tensor

from gan_lib.charts import FAINT, INK, LABEL, Chart, set_title, tidy
from gan_lib.memorisation import nearest_images
from gan_lib.words import show

# One row of panels each: a heading, the measures drawn in it, the top of its axis (None: as high as they go).
_ROWS: tuple[tuple[str, tuple[str, ...], float | None], ...] = (
    ("Fréchet distance", ("frechet_distance",), None),
    ("kernel distance", ("kernel_distance",), None),
    ("precision,\nrecall", ("precision", "recall"), 1.05),
    ("density,\ncoverage", ("density", "coverage"), 1.3),
    ("classifier\nscore", ("classifier_score",), 10.5),
    ("recognisable,\ndivergence", ("recognisable", "digit_divergence"), 1.05),
    ("noise level", ("noise_level",), None),
    ("stray pixels\nan image", ("stray_pixels",), None),
    ("copies,\nnearest distance", ("copies", "nearest_distance_ratio"), None),
)
_AXES = {
    "noise": "noise, standard deviation",
    "blur": "blur, pixels",
    "digits removed": "digits removed, of ten",
    "copies": "training images among them",
}
_COLOURS = ("#009E73", "#CC79A7")  # neither of the two that stand for the models


def sanity_chart(record: Mapping[str, Any]) -> Chart:
    """Each measure (rows) under each kind of damage (columns), with its floor; record as quality_study.study() makes it."""
    chart = Chart(figsize=(9.6, 11.4), layout="constrained")
    kinds = list(record["damage"])
    panels = chart.subplots(len(_ROWS), len(kinds), sharex="col", sharey="row", squeeze=False)
    for line, (heading, names, top) in zip(panels, _ROWS, strict=True):
        for panel, kind in zip(line, kinds, strict=True):
            _draw_measures(panel, record["damage"][kind], names, record["floor"])
        if len(names) > 1:
            _name_lines(line[0] if "copies" in names else line[-1], names)  # where there is room
        if top is not None:
            line[0].set_ylim(-0.03 * top, top)
        line[0].set_ylabel(heading, **LABEL)
    for panel, kind in zip(panels[-1], kinds, strict=True):
        panel.set_xlabel(_AXES.get(kind, kind), **LABEL)
    for panel, kind in zip(panels[0], kinds, strict=True):
        set_title(panel, kind)
    panels[0, 0].text(0.04, 0.85, "dotted: the floor", color=FAINT, transform=panels[0, 0].transAxes, fontsize=8)
    chart.alt = f"Measures of quality under known damage, {record['images']:,} digits each. " + _in_words(record)
    return chart


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


def _draw_measures(panel: Axes, curve: Mapping[str, list[float]], names: tuple[str, ...], floor: Mapping[str, float]) -> None:
    """One panel: each measure by the level of damage, its floor dotted."""
    for name, colour in zip(names, _COLOURS, strict=False):
        panel.axhline(floor[name], color=colour if len(names) > 1 else FAINT, linewidth=0.9, linestyle=":")
        panel.plot(curve["level"], curve[name], "o-", color=colour, markersize=3, linewidth=1.4)
    tidy(panel)
    panel.margins(x=0.04)
    panel.tick_params(labelsize=7.5)


def _name_lines(panel: Axes, names: tuple[str, ...]) -> None:
    for at, (name, colour) in enumerate(zip(names, _COLOURS, strict=False)):
        text = name.replace("_", " ")
        panel.text(0.04, 0.45 - 0.18 * at, text, color=colour, transform=panel.transAxes, fontsize=8)


def _show(panel: Axes, image: Tensor) -> None:
    pixels = ((image + 1) / 2).clamp(0, 1).permute(1, 2, 0)  # (S, S, C)
    panel.imshow(pixels.squeeze(-1).numpy(), cmap="gray", interpolation="nearest", vmin=0, vmax=1)
    panel.set_xticks([])
    panel.set_yticks([])
    panel.spines[:].set_color(INK)


def _in_words(record: Mapping[str, Any]) -> str:
    said = []
    for kind, curve in record["damage"].items():
        first, last = curve["level"][0], curve["level"][-1]
        distances = curve["frechet_distance"]
        said.append(
            f"{kind}: from {first:g} to {last:g} the Fréchet distance goes from {show(distances[0])} to {show(distances[-1])}"
        )
    return "; ".join(said) + "."
