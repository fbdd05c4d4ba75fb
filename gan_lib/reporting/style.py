"""What all figures share: a matplotlib figure that carries its alternative text, a few colours, and how a loss is drawn."""

import io
import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from gan_lib import paper
from gan_lib.registry import MODELS, find_family
from gan_lib.reporting.convergence import WINDOW, trailing_mean


# One colour for each network, one line style for each machine. Those of Okabe and Ito are told apart by everybody.
class _Colours(dict[str, str]):
    def __missing__(self, name: str) -> str:
        family = find_family(name)
        return family.colour if family else MODELS[name].colour if name in MODELS else INK


COLOURS = _Colours()  # by the name of a family or a model; the registry says which
STYLES = {"cpu": "-", "gpu": "--"}
INK, FAINT, BAND = "#222222", "#8a8a8a", "#e9e4d4"
LABEL: dict[str, Any] = {"fontsize": 9, "color": INK}


class Chart(Figure):
    """A matplotlib figure that carries its alternative text along, into Jupyter and into HTML."""

    alt: str = ""

    def png(self) -> bytes:
        """The figure as a PNG file, drawn finer than a screen shows it, for good ones and for paper."""
        buffer = io.BytesIO()
        self.savefig(buffer, format="png", dpi=160, facecolor="white")
        return buffer.getvalue()

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> tuple[dict[str, Any], dict[str, Any]]:
        # An inch is 96 pixels on a page, so that 9 points look like 9 points.
        width, height = (round(inches * 96) for inches in self.get_size_inches())
        about = {"alt": self.alt, "width": width, "height": height}
        return {"image/png": self.png(), "text/plain": self.alt}, {"image/png": about}


def draw_loss(panel: Axes, values: Sequence[float], name: str, colour: str, style: str = "-", faint: bool = False) -> None:
    """A loss by epoch: every epoch thin, the trailing mean bold, its name at its end."""
    alpha = 0.55 if faint else 1.0
    panel.plot(epoch_numbers(values), values, color=colour, linewidth=0.5, alpha=alpha * 0.5)
    smooth = trailing_mean(values, WINDOW) if len(values) >= 2 * WINDOW else np.asarray(values)
    panel.plot(epoch_numbers(values)[len(values) - len(smooth) :], smooth, style, color=colour, linewidth=1.6, alpha=alpha)
    panel.annotate(
        f"{name} {smooth[-1]:.2f}", (len(values), smooth[-1]), (4, 0), textcoords="offset points",
        va="center", color=colour, fontsize=9, alpha=max(alpha, 0.8), annotation_clip=False,
    )  # fmt: skip


def balance_bands(panel: Axes, named: bool = True) -> None:
    """Shade the paper's balance for both losses."""
    for band, name in ((paper.DISCRIMINATOR_BAND, "D"), (paper.GENERATOR_BAND, "G")):
        panel.axhspan(band.low, band.high, color=BAND, linewidth=0, zorder=0)
        if not named:
            continue
        panel.annotate(
            f"the paper's balance, {name}", (0.01, (band.low + band.high) / 2), xycoords=("axes fraction", "data"),
            va="center", fontsize=7, color="#6b6245",
        )  # fmt: skip


def tidy(panel: Axes) -> None:
    """Take away the frame that says nothing."""
    panel.spines[["top", "right"]].set_visible(False)
    panel.tick_params(labelsize=8, colors=INK)
    panel.margins(x=0.01)


def log_numbers(panel: Axes, upright: bool = False) -> None:
    """A logarithmic axis of seconds, prices or, upright, losses, with numbers that people read: 0.2, 0.5, 1."""
    if upright:
        panel.set_yscale("log")
    else:
        panel.set_xscale("log")
    axis = panel.yaxis if upright else panel.xaxis
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter(FuncFormatter(lambda number, _: f"{number:,g}"))
    axis.set_minor_formatter(NullFormatter())


def set_title(panel: Axes, text: str) -> None:
    """A panel's title, flush left. The text may come from a file: it is no formula."""
    panel.set_title(text, fontsize=9, color=INK, loc="left", parse_math=False)


def say_missing(panel: Axes, reason: str) -> None:
    """An empty panel that says why it is empty."""
    panel.tick_params(
        which="both", bottom=False, labelbottom=False, left=False, labelleft=False
    )  # not of panels that share its axes
    panel.spines[:].set_color("#cccccc")
    panel.text(
        0.5,
        0.5,
        _wrapped(reason),
        transform=panel.transAxes,
        ha="center",
        va="center",
        fontsize=8,
        color=FAINT,
        parse_math=False,
    )


def _wrapped(text: str, width: int = 34) -> str:
    return "\n".join(textwrap.wrap(text, width)[:6])


def epoch_numbers(values: Sequence[float]) -> np.ndarray:
    """The epochs of a series: 1, 2, …"""
    return np.arange(1, len(values) + 1)


def robust_top(values: Sequence[float]) -> float:
    """Where to end the loss axis: at the highest value, or well above the bulk of them when a few would flatten the rest."""
    return max(1.3, min(float(np.max(values)), 1.6 * float(np.quantile(values, 0.9))))
