"""Records and images -> matplotlib figures, each with a text that says in words what it shows."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from PIL import Image

from gan_lib.errors import RecordError
from gan_lib.reporting.comparison import Comparison, Row, papers_own
from gan_lib.reporting.style import (
    COLOURS,
    INK,
    LABEL,
    STYLES,
    Chart,
    balance_bands,
    draw_loss,
    epoch_numbers,
    log_numbers,
    robust_top,
    say_missing,
    set_title,
    tidy,
)
from gan_lib.reporting.tables import TITLES
from gan_lib.runs.record import Record
from gan_lib.text import first_line, show

_LARGEST_PICTURE = 4096  # pixels a side: a run's own samples.png has some 2,300 at most


def loss_curves(rows: Comparison) -> Chart:
    """Table 5: mean loss of D and G by epoch, one panel a configuration, on common axes, the balance band shaded.

    The paper's four configurations; those with a Wasserstein loss, which knows no such band, are in critic_figures.
    """
    rows = papers_own(rows)
    chart = Chart(figsize=(9.6, 6.4), layout="constrained")
    axes = chart.subplots(2, 2, sharey=True)
    said = []
    top = max([_top(row) for row in rows.values() if row.records], default=3.0)
    for panel, row in zip(axes.flat, rows.values(), strict=True):
        set_title(panel, TITLES[row.configuration] + (f" · {row.origin} on {row.machine}" if row.records else ""))
        if not row.records:
            say_missing(panel, row.missing)
            said.append(f"{TITLES[row.configuration]}: {row.missing}.")
            continue
        said.append(_draw_losses(panel, row, top))
    for panel in axes[:, 0]:
        panel.set_ylabel("mean loss over an epoch", **LABEL)
    for panel in axes[-1, :]:
        panel.set_xlabel("epoch", **LABEL)
    chart.alt = "Loss curves. " + " ".join(said)
    return chart


def run_losses(history: dict[str, list[float]], model: str) -> Chart:
    """One run's losses by epoch, so far; history as in a Record, or of a run that is still going on."""
    chart = Chart(figsize=(9.6, 3.6), layout="constrained")
    panel = chart.subplots()
    d_loss, g_loss = history["discriminator_loss"], history["generator_loss"]
    balance_bands(panel)
    draw_loss(panel, d_loss, "D", COLOURS[model], faint=True)
    draw_loss(panel, g_loss, "G", COLOURS[model])
    panel.set_ylim(0, 1.05 * robust_top([*d_loss, *g_loss]))
    panel.set_xlabel("epoch", **LABEL)
    panel.set_ylabel("mean loss over an epoch", **LABEL)
    tidy(panel)
    chart.alt = f"Loss by epoch: {_in_words(d_loss, g_loss)}"
    return chart


def sample_sheet(rows: Comparison) -> Chart:
    """Table 6: nine images of each configuration side by side, from the same latents for both runs of a model."""
    lines = -(-len(rows) // 4)
    chart = Chart(figsize=(9.6, 2.9 * lines), layout="constrained")
    said = []
    panels = chart.subplots(lines, 4, squeeze=False).ravel()
    for panel in panels[len(rows) :]:
        panel.set_axis_off()
    for panel, row in zip(panels, rows.values(), strict=False):
        set_title(panel, TITLES[row.configuration])
        panel.set_box_aspect(1)
        picture = _open(row.records[0]) if row.records else None
        if picture is None:
            say_missing(panel, row.missing if not row.records else "no samples.png")
            said.append(f"{TITLES[row.configuration]}: {row.missing or 'no picture'}.")
            continue
        panel.imshow(picture, cmap="gray", interpolation="nearest")
        panel.set_xlabel(f"{row.origin}, {row.epochs:,} epochs", **LABEL)
        panel.set_xticks([])
        panel.set_yticks([])
        said.append(f"{TITLES[row.configuration]}: nine images after {row.epochs} epochs ({row.origin}).")
    chart.alt = "Generated images. " + " ".join(said)
    return chart


def epoch_seconds(rows: Comparison) -> Chart:
    """Table 2 as a picture: seconds per epoch on a logarithmic axis, the paper's and ours."""
    chart = Chart(figsize=(9.6, 0.9 + 0.5 * len(rows)), layout="constrained")
    panel = chart.subplots()
    said = []
    for height, row in enumerate(reversed(list(rows.values()))):
        published, here = row.published.seconds_per_epoch if row.published else None, row.middle("seconds_per_epoch")
        words = f"{TITLES[row.configuration]}: "
        if published is not None:
            panel.plot(published, height, "o", color="white", markeredgecolor=INK, markersize=8, zorder=3)
            panel.annotate(
                f"paper {published:g} s", (published, height), (0, 8), textcoords="offset points", ha="center", fontsize=8
            )
            words += f"paper {published:g} s, "
        if here is None:
            said.append(words + row.missing)
            continue
        if published is not None:
            panel.plot([published, here], [height] * 2, STYLES[row.named_machine], color=COLOURS[row.network], linewidth=1.5)
        panel.plot(here, height, "o", color=COLOURS[row.network], markersize=8, zorder=4)
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
    log_numbers(panel)
    panel.set_xlim(0.002, 2500)
    panel.set_ylim(-0.7, len(rows) - 0.4)
    panel.set_xlabel("seconds per epoch of 2,000 images (logarithmic)", **LABEL)
    tidy(panel)
    panel.grid(axis="x", color="#eeeeee")
    panel.set_axisbelow(True)
    chart.alt = "Seconds per epoch. " + "; ".join(said) + "."
    return chart


def judgement(real: Sequence[float], generated: Sequence[float], auc: float | None = None, critic: bool = False) -> Chart:
    """How the discriminator judges real and generated images: two histograms of its belief that an image is real.

    critic: what is given are a critic's scores, which have no bound.
    """
    chart = Chart(figsize=(9.6, 3.2), layout="constrained")
    panel = chart.subplots()
    what = "the critic's score of an image" if critic else "the discriminator's belief that an image is real"
    bins = np.linspace(min(*real, *generated), max(*real, *generated), 41) if critic else np.linspace(0, 1, 41)
    for values, colour, name in ((real, "#009E73", "real, held out"), (generated, "#CC79A7", "generated")):
        panel.hist(values, bins=list(bins), color=colour, alpha=0.65, label=f"{name} (n = {len(values):,})")
    panel.set_xlabel(what, **LABEL)
    panel.set_ylabel("images", **LABEL)
    panel.legend(frameon=False, fontsize=9)
    tidy(panel)
    chart.alt = (
        f"Histogram of {what}: mean {np.mean(real):.2f} for {len(real)} real images, "
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
    colour, style = COLOURS[row.network], STYLES[row.named_machine]
    balance_bands(panel)
    if len(row.records) > 1:
        for record in row.records:
            for name in ("discriminator_loss", "generator_loss"):
                panel.plot(epoch_numbers(record.history[name]), record.history[name], color=colour, linewidth=0.4, alpha=0.35)
    d_loss, g_loss = row.losses("discriminator_loss"), row.losses("generator_loss")
    draw_loss(panel, d_loss, "D", colour, style, faint=True)
    draw_loss(panel, g_loss, "G", colour, style)
    epoch = row.balance_epoch()
    words = f"{TITLES[row.configuration]}: {_in_words(d_loss, g_loss)} "
    if epoch is not None:
        panel.axvline(epoch, color=INK, linewidth=0.8, linestyle=":")
        panel.annotate(f"balance, epoch {epoch}", (epoch, top), (4, -10), textcoords="offset points", fontsize=8)
        words += f"Balance at epoch {epoch}."
    else:
        words += "Balance is never reached."
    panel.set_ylim(0, top)
    tidy(panel)
    return words


def _open(record: Record) -> Image.Image | None:
    path = record.path / "samples.png"
    if not path.exists():
        return None
    try:
        with Image.open(path) as opened:
            if max(opened.size) > _LARGEST_PICTURE:  # before its pixels are unpacked
                raise ValueError(f"at most {_LARGEST_PICTURE} pixels a side, got {max(opened.size):,}")
            return opened.convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise RecordError(f"{path} is corrupt or not a picture ({first_line(error)})") from error


def _top(row: Row) -> float:
    return 1.05 * robust_top([*row.losses("discriminator_loss"), *row.losses("generator_loss")])


def _in_words(d_loss: Sequence[float], g_loss: Sequence[float]) -> str:
    return (
        f"over {len(d_loss)} epochs D's loss goes from {d_loss[0]:.2f} to {d_loss[-1]:.2f} and G's from {g_loss[0]:.2f} "
        f"to {g_loss[-1]:.2f}, at most {max(g_loss):.2f}."
    )


ESTIMATE = "estimate of the Wasserstein distance"


def estimates(history: Mapping[str, Sequence[float]]) -> list[float]:
    """The critic's estimate of the Wasserstein distance, one value an epoch: mean score of real minus that of generated images.

    history: as in a Record, where the columns named after probabilities hold a critic's mean scores.
    """
    return [
        real - generated for real, generated in zip(history["real_probability"], history["generated_probability"], strict=True)
    ]


def run_scores(history: Mapping[str, Sequence[float]], model: str) -> Chart:
    """One run's estimate and its generator's loss by epoch, so far; neither has a value at which the two are in balance."""
    chart = Chart(figsize=(9.6, 3.6), layout="constrained")
    upper, lower = chart.subplots(2, 1, sharex=True)
    found, losses = estimates(history), history["generator_loss"]
    draw_loss(upper, found, "estimate", COLOURS[model])
    draw_loss(lower, losses, "G", COLOURS[model], faint=True)
    upper.set_ylabel("estimated distance", **LABEL)
    lower.set_ylabel("G's loss", **LABEL)
    lower.set_xlabel("epoch", **LABEL)
    for panel in (upper, lower):
        tidy(panel)
    upper.set_ylim(bottom=min(0.0, *found))
    chart.alt = f"The critic's {ESTIMATE} by epoch: {_scores_in_words(found)}; G's loss: {_scores_in_words(losses)}."
    return chart


def critic_curves(rows: Comparison) -> Chart | None:
    """The estimates of every configuration with a Wasserstein loss, one panel each; None where none was run.

    The axes are not common ones: a critic measures with a scale of its own.
    """
    shown = [row for row in rows.values() if row.records and row.records[0].config.scores]
    if not shown:
        return None
    chart = Chart(figsize=(9.6, 3.0 * -(-len(shown) // 2)), layout="constrained")
    panels = chart.subplots(-(-len(shown) // 2), 2, squeeze=False).ravel()
    said = []
    for panel in panels[len(shown) :]:
        panel.set_axis_off()
    for panel, row in zip(panels, shown, strict=False):
        colour, style = COLOURS[row.network], STYLES[row.named_machine]
        for record in row.records if len(row.records) > 1 else ():
            values = estimates(record.history)
            panel.plot(range(1, len(values) + 1), values, color=colour, linewidth=0.4, alpha=0.35)
        means = {name: row.losses(name) for name in ("real_probability", "generated_probability")}
        said.append(
            _draw(panel, estimates(means), colour, style, f"{TITLES[row.configuration]} · {row.origin} on {row.machine}")
        )
    chart.alt = f"The critic's {ESTIMATE}. " + " ".join(said)
    return chart


def _draw(panel: Axes, values: Sequence[float], colour: str, style: str, title: str) -> str:
    draw_loss(panel, values, "estimate", colour, style)
    set_title(panel, title)
    panel.axhline(0, color=INK, linewidth=0.6)
    panel.set_xlabel("epoch", **LABEL)
    panel.set_ylabel("estimated distance", **LABEL)
    tidy(panel)
    return f"{title}: {_scores_in_words(values)}."


def _scores_in_words(values: Sequence[float]) -> str:
    return f"over {len(values)} epochs from {values[0]:.2f} to {values[-1]:.2f}, at most {max(values):.2f}"
