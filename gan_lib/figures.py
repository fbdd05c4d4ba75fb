"""Records and images -> matplotlib figures, each with a text that says in words what it shows."""

import io
import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from gan_lib import paper
from gan_lib.balance import WINDOW, find_balance, trailing_mean
from gan_lib.errors import RecordError
from gan_lib.record import Record
from gan_lib.selection import Comparison, Row
from gan_lib.tables import TITLES
from gan_lib.words import show

# One colour for each model, one line style for each machine. Blue and orange of Okabe and Ito are told apart by everybody.
COLOURS = {"gan": "#0072B2", "cgan": "#D55E00"}
STYLES = {"cpu": "-", "gpu": "--"}
INK, FAINT, BAND = "#222222", "#8a8a8a", "#e9e4d4"
_STYLE: dict[str, Any] = {"fontsize": 9, "color": INK}


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


def loss_curves(rows: Comparison) -> Chart:
    """Table 5: mean loss of D and G by epoch, one panel a configuration, on common axes, the balance band shaded."""
    chart = Chart(figsize=(9.6, 6.4), layout="constrained")
    axes = chart.subplots(2, 2, sharey=True)
    said = []
    top = max([_top(row) for row in rows.values() if row.records], default=3.0)
    for panel, row in zip(axes.flat, rows.values(), strict=True):
        _title(panel, TITLES[row.configuration] + (f" · {row.origin} on {row.machine}" if row.records else ""))
        if not row.records:
            _nothing(panel, row.missing)
            said.append(f"{TITLES[row.configuration]}: {row.missing}.")
            continue
        said.append(_draw_losses(panel, row, top))
    for panel in axes[:, 0]:
        panel.set_ylabel("mean loss over an epoch", **_STYLE)
    for panel in axes[-1, :]:
        panel.set_xlabel("epoch", **_STYLE)
    chart.alt = "Loss curves. " + " ".join(said)
    return chart


def run_losses(history: dict[str, list[float]], model: str) -> Chart:
    """One run's losses by epoch, so far; history as in a Record, or of a run that is still going on."""
    chart = Chart(figsize=(9.6, 3.6), layout="constrained")
    panel = chart.subplots()
    d_loss, g_loss = history["discriminator_loss"], history["generator_loss"]
    _band(panel)
    _line(panel, d_loss, "D", COLOURS[model], faint=True)
    _line(panel, g_loss, "G", COLOURS[model])
    panel.set_ylim(0, 1.05 * _robust_top([*d_loss, *g_loss]))
    panel.set_xlabel("epoch", **_STYLE)
    panel.set_ylabel("mean loss over an epoch", **_STYLE)
    _clean(panel)
    chart.alt = f"Loss by epoch: {_in_words(d_loss, g_loss)}"
    return chart


def sample_sheet(rows: Comparison) -> Chart:
    """Table 6: nine images of each configuration side by side, from the same latents for both runs of a model."""
    chart = Chart(figsize=(9.6, 2.9), layout="constrained")
    said = []
    for panel, row in zip(chart.subplots(1, 4), rows.values(), strict=True):
        _title(panel, TITLES[row.configuration])
        panel.set_box_aspect(1)
        picture = _open(row.records[0]) if row.records else None
        if picture is None:
            _nothing(panel, row.missing if not row.records else "no samples.png")
            said.append(f"{TITLES[row.configuration]}: {row.missing or 'no picture'}.")
            continue
        panel.imshow(picture, cmap="gray", interpolation="nearest")
        panel.set_xlabel(f"{row.origin}, {row.epochs:,} epochs", **_STYLE)
        panel.set_xticks([])
        panel.set_yticks([])
        said.append(f"{TITLES[row.configuration]}: nine images after {row.epochs} epochs ({row.origin}).")
    chart.alt = "Generated images. " + " ".join(said)
    return chart


def epoch_seconds(rows: Comparison) -> Chart:
    """Table 2 as a picture: seconds per epoch on a logarithmic axis, the paper's and ours."""
    chart = Chart(figsize=(9.6, 2.9), layout="constrained")
    panel = chart.subplots()
    said = []
    for height, row in enumerate(reversed(list(rows.values()))):
        published, here = paper.RESULTS[row.configuration].seconds_per_epoch, row.middle("seconds_per_epoch")
        panel.plot(published, height, "o", color="white", markeredgecolor=INK, markersize=8, zorder=3)
        panel.annotate(
            f"paper {published:g} s", (published, height), (0, 8), textcoords="offset points", ha="center", fontsize=8
        )
        words = f"{TITLES[row.configuration]}: paper {published:g} s, "
        if here is None:
            said.append(words + row.missing)
            continue
        panel.plot([published, here], [height, height], STYLES[row.named_machine], color=COLOURS[row.model], linewidth=1.5)
        panel.plot(here, height, "o", color=COLOURS[row.model], markersize=8, zorder=4)
        panel.annotate(
            f"{show(here)} s, {row.machine}",
            (here, height),
            (0, -16),
            textcoords="offset points",
            ha="center",
            fontsize=8,
        )
        said.append(words + f"{show(here)} s on {row.machine}")
    panel.set_yticks(range(len(rows)), [TITLES[name] for name in reversed(list(rows))])
    panel.set_xscale("log")
    panel.set_xlim(0.004, 2500)
    panel.set_ylim(-0.7, len(rows) - 0.4)
    panel.set_xlabel("seconds per epoch of 2,000 images (logarithmic)", **_STYLE)
    _clean(panel)
    panel.grid(axis="x", color="#eeeeee")
    panel.set_axisbelow(True)
    chart.alt = "Seconds per epoch. " + "; ".join(said) + "."
    return chart


def speed(reports: Sequence[dict[str, Any]]) -> Chart:
    """What `gan-lib bench` measured: every round's seconds per epoch, a plain loop's and ours, and the arithmetic's limit."""
    lines = [(report, model, facts) for report in reports for model, facts in report["models"].items()]
    chart = Chart(figsize=(9.6, 0.9 + 0.85 * len(lines)), layout="constrained")
    panel = chart.subplots()
    said = []
    for height, (report, model, facts) in enumerate(reversed(lines)):
        machine, limit = report["machine"], facts["gflop_per_epoch"] / report["matrix_gflops"][report["machine"]["precision"]]
        for name, colour in (("baseline", FAINT), ("ours", COLOURS[model])):
            middle = facts["median_seconds"][name]
            panel.plot(facts["seconds"][name], [height] * len(facts["seconds"][name]), "|", color=colour, markersize=14)
            label = "plain loop" if name == "baseline" else "gan-lib"
            panel.annotate(
                f"{label} {show(middle)} s", (middle, height), (0, 12), textcoords="offset points", ha="center", fontsize=8
            )
        panel.plot(limit, height, ">", color=INK, markersize=5)
        panel.annotate("arithmetic alone", (limit, height), (0, -16), textcoords="offset points", ha="center", fontsize=8)
        said.append(
            f"{model.upper()} on {machine['label']}: {show(facts['median_seconds']['baseline'])} s plain, "
            f"{show(facts['median_seconds']['ours'])} s here, {show(facts['times_faster'])} times faster, "
            f"{facts['share_of_matrix_rate']:.0%} of the matrix rate"
        )
    panel.set_yticks(
        range(len(lines)), [f"{model.upper()}\n{report['machine']['label']}" for report, model, _ in reversed(lines)]
    )
    panel.set_ylim(-0.7, len(lines) - 0.3)
    panel.set_xscale("log")
    panel.set_xlabel("seconds per epoch of 2,000 images (logarithmic); one mark a round", **_STYLE)
    _clean(panel)
    panel.margins(x=0.08)
    chart.alt = "Training speed. " + "; ".join(said) + "."
    return chart


def judgement(real: Sequence[float], generated: Sequence[float], auc: float | None = None) -> Chart:
    """How the discriminator judges real and generated images: two histograms of its belief that an image is real."""
    chart = Chart(figsize=(9.6, 3.2), layout="constrained")
    panel = chart.subplots()
    bins = np.linspace(0, 1, 41)
    for values, colour, name in ((real, "#009E73", "real, held out"), (generated, "#CC79A7", "generated")):
        panel.hist(values, bins=list(bins), color=colour, alpha=0.65, label=f"{name} (n = {len(values):,})")
    panel.set_xlabel("the discriminator's belief that an image is real", **_STYLE)
    panel.set_ylabel("images", **_STYLE)
    panel.legend(frameon=False, fontsize=9)
    _clean(panel)
    chart.alt = (
        f"Histogram of the discriminator's belief that an image is real: mean {np.mean(real):.2f} for {len(real)} real images, "
        f"{np.mean(generated):.2f} for {len(generated)} generated ones" + (f"; ROC AUC {auc:.2f}." if auc is not None else ".")
    )
    return chart


def picture(image: Image.Image, alt: str, inches: float = 3.0) -> Chart:
    """Any picture as a chart with an alternative text."""
    chart = Chart(figsize=(inches, inches * image.height / image.width))
    panel = chart.add_axes((0, 0, 1, 1))
    panel.imshow(image, cmap="gray", interpolation="nearest", vmin=0, vmax=255)
    panel.set_axis_off()
    chart.alt = alt
    return chart


def _draw_losses(panel: Axes, row: Row, top: float) -> str:
    """One configuration's panel; every seed thin, their mean bold. Returns what it shows, in words."""
    colour, style = COLOURS[row.model], STYLES[row.named_machine]
    _band(panel)
    if len(row.records) > 1:
        for record in row.records:
            for name in ("discriminator_loss", "generator_loss"):
                panel.plot(_epochs(record.history[name]), record.history[name], color=colour, linewidth=0.4, alpha=0.35)
    d_loss, g_loss = row.losses("discriminator_loss"), row.losses("generator_loss")
    _line(panel, d_loss, "D", colour, style, faint=True)
    _line(panel, g_loss, "G", colour, style)
    balance = find_balance(d_loss, g_loss)
    words = f"{TITLES[row.configuration]}: {_in_words(d_loss, g_loss)} "
    if balance.epoch is not None:
        panel.axvline(balance.epoch, color=INK, linewidth=0.8, linestyle=":")
        panel.annotate(
            f"balance, epoch {balance.epoch}", (balance.epoch, top), (4, -10), textcoords="offset points", fontsize=8
        )
        words += f"Balance at epoch {balance.epoch}."
    else:
        words += "Balance is never reached."
    panel.set_ylim(0, top)
    _clean(panel)
    return words


def _line(panel: Axes, values: Sequence[float], name: str, colour: str, style: str = "-", faint: bool = False) -> None:
    """A loss by epoch: every epoch thin, the trailing mean bold, its name at its end."""
    alpha = 0.55 if faint else 1.0
    panel.plot(_epochs(values), values, color=colour, linewidth=0.5, alpha=alpha * 0.5)
    smooth = trailing_mean(values, WINDOW) if len(values) >= 2 * WINDOW else np.asarray(values)
    panel.plot(_epochs(values)[len(values) - len(smooth) :], smooth, style, color=colour, linewidth=1.6, alpha=alpha)
    panel.annotate(
        f"{name} {smooth[-1]:.2f}", (len(values), smooth[-1]), (4, 0), textcoords="offset points",
        va="center", color=colour, fontsize=9, alpha=max(alpha, 0.8), annotation_clip=False,
    )  # fmt: skip


def _band(panel: Axes) -> None:
    for band, name in ((paper.DISCRIMINATOR_BAND, "D"), (paper.GENERATOR_BAND, "G")):
        panel.axhspan(band.low, band.high, color=BAND, linewidth=0, zorder=0)
        panel.annotate(
            f"the paper's balance, {name}", (0.01, (band.low + band.high) / 2), xycoords=("axes fraction", "data"),
            va="center", fontsize=7, color="#6b6245",
        )  # fmt: skip


def _clean(panel: Axes) -> None:
    panel.spines[["top", "right"]].set_visible(False)
    panel.tick_params(labelsize=8, colors=INK)
    panel.margins(x=0.01)


def _title(panel: Axes, text: str) -> None:
    panel.set_title(text, fontsize=9, color=INK, loc="left", parse_math=False)


def _nothing(panel: Axes, reason: str) -> None:
    """An empty panel that says why it is empty."""
    panel.set_xticks([])
    panel.tick_params(left=False, labelleft=False)
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


def _open(record: Record) -> Image.Image | None:
    path = record.path / "samples.png"
    if not path.exists():
        return None
    try:
        with Image.open(path) as opened:
            return opened.convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise RecordError(f"{path} is corrupt or not a picture ({str(error).splitlines()[0]})") from error


def _epochs(values: Sequence[float]) -> np.ndarray:
    return np.arange(1, len(values) + 1)


def _top(row: Row) -> float:
    return 1.05 * _robust_top([*row.losses("discriminator_loss"), *row.losses("generator_loss")])


def _robust_top(values: Sequence[float]) -> float:
    """Where to end the loss axis: at the highest value, or well above the bulk of them when a few would flatten the rest."""
    return max(1.3, min(float(np.max(values)), 1.6 * float(np.quantile(values, 0.9))))


def _in_words(d_loss: Sequence[float], g_loss: Sequence[float]) -> str:
    return (
        f"over {len(d_loss)} epochs D's loss goes from {d_loss[0]:.2f} to {d_loss[-1]:.2f} and G's from {g_loss[0]:.2f} "
        f"to {g_loss[-1]:.2f}, at most {max(g_loss):.2f}."
    )
