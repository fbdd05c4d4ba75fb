"""Records and images -> matplotlib figures, each with a text that says in words what it shows."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from PIL import Image

from gan_lib.reporting.comparison import Comparison, Row, all_records, with_runs
from gan_lib.reporting.style import (
    INK,
    LABEL,
    STYLES,
    Chart,
    balance_bands,
    colour_of,
    draw_loss,
    epoch_axis,
    epoch_numbers,
    log_numbers,
    name_ends,
    one_panel,
    robust_top,
    say_missing,
    set_title,
    tidy,
)
from gan_lib.runs.record import Record
from gan_lib.text import show

_LARGEST_PICTURE = 4096  # pixels a side: a run's own samples.png has some 2,300 at most
_BANDS = "; shaded: the paper's balance, D below, G above"
SCORES = "mean score of real images minus that of generated ones"


def loss_curves(rows: Comparison) -> Chart | None:
    """Table 5: mean loss of D and G by epoch, one panel a configuration, on common axes, the balance band shaded.

    Of configurations whose outputs are no scores: those are in critic_curves. None without any.
    """
    shown = [row for row in with_runs(rows) if not _has_scores(row)]
    if not shown:
        return None
    chart, panels = _panels(len(shown), 3.2, sharey=True)
    losses = [row.losses(name) for row in shown for name in ("discriminator_loss", "generator_loss")]
    top = max(1.05 * robust_top([*d_loss, *g_loss]) for d_loss, g_loss in zip(losses[::2], losses[1::2], strict=True))
    words = [_draw_losses(panel, row, top) for panel, row in zip(panels, shown, strict=True)]
    for panel in panels[::2]:
        panel.set_ylabel("mean loss over an epoch", **LABEL)
    chart.alt = "Loss curves. " + " ".join(words)
    return chart


def critic_curves(rows: Comparison) -> Chart | None:
    """By how much real images score above generated ones, of every configuration whose outputs are scores without bound.

    With a Wasserstein loss that estimates the Wasserstein distance. One panel each, and the axes are not common ones: each
    network measures with a scale of its own. None without any.
    """
    shown = [row for row in with_runs(rows) if _has_scores(row)]
    if not shown:
        return None
    chart, panels = _panels(len(shown), 2.8)
    parts = []
    for panel, row in zip(panels, shown, strict=True):
        colour = colour_of(row.family)
        for record in row.records if len(row.records) > 1 else ():
            values = score_gaps(record.history)
            panel.plot(epoch_numbers(values), values, color=colour, linewidth=0.4, alpha=0.35)
        means = score_gaps({name: row.losses(name) for name in ("real_probability", "generated_probability")})
        draw_loss(panel, means, colour, STYLES.get(row.named_machine, "-"))
        set_title(panel, row.title)
        panel.axhline(0, color=INK, linewidth=0.6)
        panel.set_ylabel("real minus generated", **LABEL)
        epoch_axis(panel)
        tidy(panel)
        parts.append(f"{row.title}: {_course(means)}.")
    chart.alt = f"The {SCORES}. " + " ".join(parts)
    return chart


def run_losses(history: Mapping[str, Sequence[float]], model: str) -> Chart:
    """One run's losses by epoch, so far; history as in a Record, or of a run that is still training."""
    chart, panel = one_panel(3.6)
    d_loss, g_loss = history["discriminator_loss"], history["generator_loss"]
    balance_bands(panel)
    ends = [draw_loss(panel, d_loss, colour_of(model), faint=True), draw_loss(panel, g_loss, colour_of(model))]
    panel.set_ylim(0, 1.05 * robust_top([*d_loss, *g_loss]))
    set_title(panel, model.upper())
    panel.set_ylabel("mean loss over an epoch", **LABEL)
    epoch_axis(panel, f"epoch{_BANDS}")
    tidy(panel)
    name_ends(panel, zip(ends, "DG", [colour_of(model)] * 2, strict=True))
    chart.alt = f"Loss by epoch: {_in_words(d_loss, g_loss)}"
    return chart


def run_scores(history: Mapping[str, Sequence[float]], model: str) -> Chart:
    """One run's scores and its generator's loss by epoch, so far; neither has a value at which the two are in balance."""
    chart = Chart(figsize=(9.6, 3.6), layout="constrained")
    upper, lower = chart.subplots(2, 1, sharex=True)
    gaps, losses = score_gaps(history), history["generator_loss"]
    draw_loss(upper, gaps, colour_of(model))
    draw_loss(lower, losses, colour_of(model), faint=True)
    set_title(upper, f"{model.upper()}: {SCORES}")
    set_title(lower, "G's loss")
    epoch_axis(lower)
    for panel in (upper, lower):
        tidy(panel)
    upper.set_ylim(bottom=min(0.0, *gaps))
    chart.alt = f"The {SCORES}, by epoch: {_course(gaps)}; G's loss: {_course(losses)}."
    return chart


def score_gaps(history: Mapping[str, Sequence[float]]) -> list[float]:
    """By how much real images score above generated ones in the mean, one value an epoch.

    history: as in a Record, where the columns named after probabilities hold mean scores.
    """
    pairs = zip(history["real_probability"], history["generated_probability"], strict=True)
    return [real - generated for real, generated in pairs]


def sample_sheet(rows: Comparison) -> Chart:
    """Table 6: nine images of each configuration side by side, from the same latents for all runs of a model."""
    shown = with_runs(rows)
    lines = -(-len(shown) // 4) or 1
    chart = Chart(figsize=(9.6, 2.8 * lines), layout="constrained")
    panels = chart.subplots(lines, 4, squeeze=False).ravel()
    parts = []
    for panel in panels[len(shown) :]:
        panel.set_axis_off()
    for panel, row in zip(panels, shown, strict=False):
        set_title(panel, row.title)
        panel.set_box_aspect(1)
        picture = _open(row.records[0])
        if picture is None:
            say_missing(panel, "no samples.png that can be read")
            parts.append(f"{row.title}: no picture.")
            continue
        panel.imshow(picture, cmap="gray", interpolation="nearest")
        panel.set_xlabel(f"{row.epochs:,} epochs", **LABEL)
        panel.set_xticks([])
        panel.set_yticks([])
        parts.append(f"{row.title}: nine images after {row.epochs} epochs.")
    chart.alt = "Generated images. " + (" ".join(parts) or "No run is finished.")
    return chart


def epoch_seconds(rows: Comparison) -> Chart:
    """Table 2 as a picture: seconds per epoch on a logarithmic axis, the paper's and ours."""
    shown = [row for row in reversed(rows.values()) if row.records or row.published]
    chart, panel = one_panel(1.0 + 0.5 * len(shown))
    parts, seconds = [], []
    for height, row in enumerate(shown):
        published, here = row.published and row.published.seconds_per_epoch, row.middle("seconds_per_epoch")
        colour = colour_of(row.family)
        words = []
        if published:
            panel.plot(published, height, "o", color="white", markeredgecolor=INK, markersize=8, zorder=3)
            _write(panel, f"paper {published:g} s", published, height, 9)
            words.append(f"paper {published:g} s")
        if here:
            if published:
                style = STYLES.get(row.named_machine, "-")
                panel.plot([published, here], [height] * 2, style, color=colour, linewidth=1.5)
            panel.plot(here, height, "o", color=colour, markersize=8, zorder=4)
            _write(panel, f"{show(here)} s", here, height, -15)
            words.append(f"{show(here)} s on {row.machine}")
        seconds += [value for value in (published, here) if value]
        parts.append(f"{row.title}: {', '.join(words)}")
    panel.set_yticks(range(len(shown)), [row.title for row in shown])
    log_numbers(panel)
    if seconds:
        panel.set_xlim(min(seconds) / 2, max(seconds) * 2)
    panel.set_ylim(-0.7, max(len(shown), 1) - 0.4)
    panel.set_xlabel(f"seconds per epoch{_of_images(rows)} (logarithmic)", **LABEL)
    tidy(panel)
    panel.grid(axis="x", color="#eeeeee")
    panel.set_axisbelow(True)
    chart.alt = "Seconds per epoch. " + "; ".join(parts) + "."
    return chart


def judgement(real: Sequence[float], generated: Sequence[float], auc: float | None = None, critic: bool = False) -> Chart:
    """How the discriminator judges real and generated images: two histograms of its belief that an image is real.

    critic: what is given are a critic's scores, which have no bound.
    """
    chart, panel = one_panel(3.2)
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


def _panels(count: int, height: float, sharey: bool = False) -> tuple[Chart, list[Axes]]:
    """A chart of so many panels, two in a row, each so many inches high."""
    lines = -(-count // 2)
    chart = Chart(figsize=(9.6, height * lines), layout="constrained")
    panels = list(chart.subplots(lines, 2, squeeze=False, sharey=sharey).ravel())
    for panel in panels[count:]:
        panel.set_axis_off()
    return chart, panels[:count]


def _has_scores(row: Row) -> bool:
    return row.records[0].config.scores


def _of_images(rows: Comparison) -> str:
    """ " of 2,000 images": how many an epoch passes over, where that is one number."""
    counts = set()
    for record in all_records(rows):
        reading = record.machine.get("images")  # which older records do not have
        counts.add(reading.get("used") if isinstance(reading, dict) else record.config.training_images)
    count = counts.pop() if len(counts) == 1 else None
    return f" of {count:,} images" if isinstance(count, int) else ""


def _write(panel: Axes, text: str, x: float, y: float, above: int) -> None:
    panel.annotate(text, (x, y), (0, above), textcoords="offset points", ha="center", fontsize=8)


def _draw_losses(panel: Axes, row: Row, top: float) -> str:
    """One configuration's panel; every seed thin, their mean bold. Returns what it shows, in words."""
    colour, style = colour_of(row.family), STYLES.get(row.named_machine, "-")
    balances, epoch = row.balances(), row.balance_epoch()
    if balances:
        balance_bands(panel)
    for record in row.records if len(row.records) > 1 else ():
        for name in ("discriminator_loss", "generator_loss"):
            panel.plot(epoch_numbers(record.history[name]), record.history[name], color=colour, linewidth=0.4, alpha=0.35)
    d_loss, g_loss = row.losses("discriminator_loss"), row.losses("generator_loss")
    ends = [draw_loss(panel, d_loss, colour, style, faint=True), draw_loss(panel, g_loss, colour, style)]
    balance = f"balance at epoch {epoch:,}" if epoch is not None else "never in balance"
    if epoch is not None:
        panel.axvline(epoch, color=INK, linewidth=0.8, linestyle=":")
    set_title(panel, f"{row.title} · {balance}" if balances else row.title)
    panel.set_ylim(0, top)
    epoch_axis(panel, "epoch" + (_BANDS if balances else ""))
    tidy(panel)
    name_ends(panel, zip(ends, "DG", [colour] * 2, strict=True))
    return f"{row.title}: {_in_words(d_loss, g_loss)}" + (f" {balance.capitalize()}." if balances else "")


def _open(record: Record) -> Image.Image | None:
    """A run's samples.png; None where there is none, or a pipe, a bomb, another format: one bad run hides no other."""
    path = record.path / "samples.png"
    if not path.is_file():
        return None
    try:
        with Image.open(path, formats=["PNG"]) as opened:
            return opened.convert("RGB") if max(opened.size) <= _LARGEST_PICTURE else None
    except Exception:  # whatever Pillow's reader stumbles over
        return None


def _in_words(d_loss: Sequence[float], g_loss: Sequence[float]) -> str:
    return (
        f"over {len(d_loss)} epochs D's loss goes from {d_loss[0]:.2f} to {d_loss[-1]:.2f} and G's from {g_loss[0]:.2f} "
        f"to {g_loss[-1]:.2f}, at most {max(g_loss):.2f}."
    )


def _course(values: Sequence[float]) -> str:
    return f"over {len(values)} epochs from {values[0]:.2f} to {values[-1]:.2f}, at most {max(values):.2f}"
