"""The common style of figures: a matplotlib figure with an alternative text, colours, lines and labels."""

import base64
import io
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from gan_lib.registry import FAMILIES, MODELS
from gan_lib.reporting import paper
from gan_lib.reporting.convergence import WINDOW, trailing_mean

_OTHERS = ("#CC79A7", "#8C6D31", "#5254A3", "#7A7A7A")  # for pairs of model and loss without their own name
STYLES = {"cpu": "-", "gpu": "--"}
INK, FAINT, BAND = "#222222", "#8a8a8a", "#e9e4d4"
LABEL: dict[str, Any] = {"fontsize": 9, "color": INK}
_MOST_PANELS = 8  # at most so many panels are stacked for a phone; in a larger grid, rows and columns have a meaning


def colour_of(family: str) -> str:
    """Return the colour of a model with its loss, from Okabe and Ito's palette for colour-blind readers."""
    entry = FAMILIES.get(family) or MODELS.get(family)
    return entry.colour if entry else _OTHERS[sum(family.encode()) % len(_OTHERS)]


class Chart(Figure):
    """A matplotlib figure with an alternative text, in Jupyter and in HTML."""

    def __init__(self, height: float = 3.6, alt: str = "", **options: Any) -> None:
        """Create a figure as wide as a page. height: in inches; options: of Figure."""
        super().__init__(**{"figsize": (9.6, height), "layout": "constrained", **options})
        self.alt = alt

    def subplots(self, *args: Any, **options: Any) -> Any:
        """Add one panel or an array of panels, as Figure.subplots does."""
        panels = super().subplots(*args, **options)
        for panel in np.ravel(panels):
            tidy(panel)
        return panels

    def png(self) -> bytes:
        """Return the figure as a PNG file, at a high resolution for sharp screens and paper."""
        buffer = io.BytesIO()
        self.savefig(buffer, format="png", dpi=160, facecolor="white")
        return buffer.getvalue()

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> tuple[dict[str, Any], dict[str, Any]]:
        # An inch is 96 pixels on a page, so that 9 points look like 9 points.
        width, height = (round(inches * 96) for inches in self.get_size_inches())
        about: dict[str, Any] = {"alt": self.alt, "width": width, "height": height}
        wide = self.png()  # first: narrow_png changes the figure
        if (narrow := self.narrow_png()) is not None:
            about["narrow"] = base64.b64encode(narrow).decode()
        return {"image/png": wide, "text/plain": self.alt}, {"image/png": about}

    def narrow_png(self) -> bytes | None:
        """Return the figure for a phone: panels in one column, pictures in two. None of one picture or of too many panels."""
        panels = [panel for panel in self.axes if panel.axison]
        pictures = any(panel.images for panel in panels)
        if not (2 if pictures else 1) <= len(panels) <= (100 if pictures else _MOST_PANELS):
            return None
        labels = [panel.get_xlabel() for panel in panels]
        for panel, label in zip(panels, labels, strict=True):
            panel.xaxis.label.set_text(textwrap.fill(label, 36))
        (width, height), places = self.get_size_inches(), [panel.get_subplotspec() for panel in panels]
        columns = 2 if pictures else 1
        lines = -(-len(panels) // columns)
        grid = self.add_gridspec(lines, columns)
        for at, panel in enumerate(panels):
            panel.set_subplotspec(grid[at])
            panel.tick_params(labelleft=not pictures)  # shared axes show the numbers only once
        # One panel keeps its height: it has a line of text for each row.
        self.set_size_inches(4.2, lines * 2.5 if pictures else max(lines * 2.8, height if lines == 1 else 0))
        narrow = self.png()
        for panel, place, label in zip(panels, places, labels, strict=True):
            panel.set_subplotspec(place)  # type: ignore[arg-type]
            panel.xaxis.label.set_text(label)
        self.set_size_inches(float(width), float(height))
        return narrow


def draw_loss(panel: Axes, values: Sequence[float], colour: str, style: str = "-", faint: bool = False) -> float:
    """Draw a loss by epoch: every epoch thin, the trailing mean bold. Returns the last value of the bold line."""
    alpha = 0.55 if faint else 1.0
    panel.plot(epoch_numbers(values), values, color=colour, linewidth=0.5, alpha=alpha * 0.5)
    smooth = trailing_mean(values, WINDOW) if len(values) >= 2 * WINDOW else np.asarray(values)
    panel.plot(epoch_numbers(values)[len(values) - len(smooth) :], smooth, style, color=colour, linewidth=1.6, alpha=alpha)
    return float(smooth[-1])


def balance_bands(panel: Axes) -> None:
    """Shade the paper's balance for both losses."""
    for band in (paper.DISCRIMINATOR_BAND, paper.GENERATOR_BAND):
        panel.axhspan(band.low, band.high, color=BAND, linewidth=0, zorder=0)


def name_ends(panel: Axes, ends: Iterable[tuple[float, str, str]]) -> None:
    """Write names to the right of a panel at the ends of their lines, without overlap. Call after drawing all lines.

    ends: the height in data, the name, its colour.
    """
    panel.get_ylim()  # computes limits that are still automatic
    lines = panel.get_gridspec().nrows  # type: ignore[union-attr]
    gap = 11 / (panel.get_figure().get_figheight() * 72 * 0.75 / lines)  # type: ignore[union-attr]  # of a line of 8 points
    to_axes = panel.transData + panel.transAxes.inverted()
    places = sorted((float(to_axes.transform((1, height))[1]), name, colour) for height, name, colour in ends)
    steps = gap * np.arange(len(places))
    heights = np.clip([height for height, _, _ in places], 0, 1)
    heights = np.maximum.accumulate(heights - steps) + steps  # move up until none overlap
    heights = np.minimum(heights, 1 - steps[::-1])  # move back down from above the top
    for height, (_, name, colour) in zip(heights, places, strict=True):
        panel.annotate(name, (1.0, height), (5, 0), xycoords="axes fraction", textcoords="offset points", va="center",
                       fontsize=8, color=colour, annotation_clip=False)  # fmt: skip


def epoch_axis(panel: Axes, label: str = "epoch") -> None:
    """Label the axis with whole epochs."""
    panel.xaxis.set_major_locator(MaxNLocator("auto", integer=True, min_n_ticks=1))
    panel.xaxis.set_major_formatter("{x:,.0f}")
    panel.set_xlabel(label, **LABEL)


def tidy(panel: Axes) -> None:
    """Remove the frame."""
    panel.spines[["top", "right"]].set_visible(False)
    panel.tick_params(labelsize=8, colors=INK)
    panel.margins(x=0.01)


class _PlainNumbers(LogLocator):
    """Places of 1, 2 and 5, or of powers of ten alone where the axis is too short for those, as on a phone."""

    def tick_values(self, vmin: float, vmax: float) -> Any:
        wanted = 3.5 * np.log10(vmax / vmin)  # three a decade, and room between them
        self.set_params(subs=(1.0,) if wanted > self.axis.get_tick_space() else (1.0, 2.0, 5.0))  # type: ignore[union-attr]
        return super().tick_values(vmin, vmax)


def log_numbers(panel: Axes, upright: bool = False) -> None:
    """Set a logarithmic axis with plain numbers: 0.2, 0.5, 1. upright: the y axis."""
    (panel.set_yscale if upright else panel.set_xscale)("log")
    axis = panel.yaxis if upright else panel.xaxis
    axis.set_major_locator(_PlainNumbers())
    axis.set_major_formatter(FuncFormatter(lambda number, _: f"{number:,g}"))
    axis.set_minor_formatter(NullFormatter())


def set_title(panel: Axes, text: str) -> None:
    """Set a panel's title, flush left. The text may come from a file, so it is not read as a formula."""
    panel.set_title(text, fontsize=9, color=INK, loc="left", parse_math=False)


def say_missing(panel: Axes, reason: str) -> None:
    """Show in an empty panel why it is empty."""
    # Only in this panel, not in those that share its axes.
    panel.tick_params(which="both", bottom=False, labelbottom=False, left=False, labelleft=False)
    panel.spines[:].set_color("#cccccc")
    words = "\n".join(textwrap.wrap(reason, 34)[:6])
    panel.text(0.5, 0.5, words, transform=panel.transAxes, ha="center", va="center", fontsize=8, color=FAINT, parse_math=False)


def epoch_numbers(values: Sequence[float]) -> np.ndarray:
    """Return the epochs of a series: 1, 2, …"""
    return np.arange(1, len(values) + 1)


def robust_top(values: Sequence[float] | np.ndarray) -> float:
    """Return the upper limit of the loss axis: the maximum, or less if a few high values would flatten the rest."""
    return max(1.3, min(float(np.max(values)), 1.6 * float(np.quantile(values, 0.9))))
