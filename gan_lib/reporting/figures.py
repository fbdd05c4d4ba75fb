"""Draw figures of records and images, each with an alternative text."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from PIL import Image

from gan_lib.config import RunConfig
from gan_lib.pictures import open_png
from gan_lib.presets import title
from gan_lib.reporting.comparison import Comparison, all_records, papers_work, with_runs
from gan_lib.reporting.style import (
    INK,
    LABEL,
    STYLES,
    Chart,
    balance_bands,
    colour_of,
    draw_loss,
    epoch_axis,
    log_numbers,
    name_ends,
    robust_top,
    say_missing,
    set_title,
)
from gan_lib.text import counted, exact, show

_D_LOSS, _G_LOSS = "D's loss", "G's loss"
_SCORES = "D's mean score, real minus generated"
_History = Mapping[str, Sequence[float]]  # columns as in a Record


def loss_curves(rows: Comparison, scores: bool = False) -> Chart | None:
    """Draw Table 5: mean loss of D and G by epoch, one panel per configuration, shared axes; seeds thin, their mean bold.

    scores: for configurations where D gives unbounded scores, draw the mean score of real minus generated images instead. With
    a Wasserstein loss it estimates the Wasserstein distance. Each network has its own scale, so axes are not shared. Returns
    None without such configurations.
    """
    shown = [row for row in with_runs(rows) if row.config.scores is scores]
    if not shown:
        return None
    series = [_series([record.history for record in row.records], scores) for row in shown]
    top = max(map(_top, series))
    lines = -(-len(shown) // 2)
    chart = Chart(3.2 * lines)
    panels = chart.subplots(lines, 2, squeeze=False, sharey=not scores).ravel()
    words = []
    for panel, row, each in zip(panels, shown, series, strict=False):
        heading, config = row.title, row.config
        if papers_work(config):
            epoch = row.balance_epoch()
            heading += f" · {'never in balance' if epoch is None else f'balance at epoch {epoch:,}'}"
            if epoch is not None:
                panel.axvline(epoch, color=INK, linewidth=0.8, linestyle=":")
        words.append(_draw_series(panel, heading, each, config, top))
    for panel in panels[len(shown) :]:
        panel.set_axis_off()
    chart.alt = f"{'Scores' if scores else 'Losses'} by epoch. {' '.join(words)}"
    return chart


def run_history(history: _History, config: RunConfig) -> Chart:
    """Draw one run's losses by epoch so far. If D gives scores, draw the gap between scores, and G's loss below it."""
    heading, series = title(config.configuration), _series([history], config.scores)
    chart = Chart(3.6)
    if not config.scores:
        chart.alt = _draw_series(chart.subplots(), heading, series, config, _top(series))
        return chart
    upper, lower = chart.subplots(2, 1, sharex=True)
    losses = [pd.DataFrame({_G_LOSS: history["generator_loss"]})]
    chart.alt = f"{_draw_series(upper, heading, series, config)} {_draw_series(lower, heading, losses, config)}"
    upper.set_xlabel("")  # the lower panel has the label
    return chart


def _series(histories: Sequence[_History], scores: bool) -> list[pd.DataFrame]:
    """Return the series to draw: both losses, or the gap between scores. With several runs, their mean is the last."""
    frames = [pd.DataFrame(history) for history in histories]
    if scores:
        frames = [pd.DataFrame({_SCORES: frame.real_probability - frame.generated_probability}) for frame in frames]
    else:
        frames = [pd.DataFrame({_D_LOSS: frame.discriminator_loss, _G_LOSS: frame.generator_loss}) for frame in frames]
    means = (sum(frames[1:], frames[0]) / len(frames)).dropna()  # up to the end of the shortest run
    return [*(frames if len(frames) > 1 else []), means]


def _top(series: list[pd.DataFrame]) -> float:
    return 1.05 * robust_top(series[-1].to_numpy())


def _draw_series(panel: Axes, heading: str, series: list[pd.DataFrame], config: RunConfig, top: float | None = None) -> str:
    """Draw one panel: each run thin, their mean bold. Returns a description in words."""
    *runs, means = series
    family, _, machine = config.configuration.rpartition("-")
    colour, losses, label = colour_of(family), _D_LOSS in means, "epoch"
    if papers_work(config):
        balance_bands(panel)
        label += "; shaded: the paper's balance, D below, G above"
    for run in runs:
        panel.plot(run.index + 1, run.to_numpy(), color=colour, linewidth=0.4, alpha=0.35)
    ends = [draw_loss(panel, list(means[name]), colour, STYLES.get(machine, "-"), name == _D_LOSS) for name in means]
    name = means.columns[-1]
    set_title(panel, heading if losses else f"{heading}: {name}")
    epoch_axis(panel, label)
    if losses:
        panel.set_ylabel("mean loss over an epoch", **LABEL)
        panel.set_ylim(0, top)
        name_ends(panel, zip(ends, "DG", [colour] * 2, strict=True))
    else:
        panel.axhline(0, color=INK, linewidth=0.6)
        low, high = panel.get_ylim()
        edge = 1.6 * float(np.quantile(np.abs(means.to_numpy()), 0.9))  # a few early peaks would flatten the rest
        panel.set_ylim(max(low, -edge), min(high, edge))
    courses = [
        f"{name} {values.iloc[0]:.2f} to {values.iloc[-1]:.2f}, at most {values.max():.2f}" for name, values in means.items()
    ]
    return f"{heading}, {counted(len(means), 'epoch')}: {'; '.join(courses)}."


def sample_sheet(rows: Comparison) -> Chart | None:
    """Draw Table 6: nine images of each configuration, from the same latents for all runs of a model. None without runs."""
    shown = with_runs(rows)
    if not shown:
        return None
    lines = -(-len(shown) // 5)
    columns = max(4, -(-len(shown) // lines))
    chart = Chart((9.6 / columns + 0.4) * lines)
    panels = chart.subplots(lines, columns, squeeze=False).ravel()
    words = []
    for panel in panels[len(shown) :]:
        panel.set_axis_off()
    for panel, row in zip(panels, shown, strict=False):
        set_title(panel, row.title)
        panel.set_box_aspect(1)
        if (picture := open_png(row.records[0].path / "samples.png")) is None:
            say_missing(panel, "no samples.png that can be read")
            words.append(f"{row.title}: no picture.")
            continue
        panel.imshow(picture, cmap="gray", interpolation="nearest")
        panel.set(xticks=[], yticks=[])
        panel.spines[:].set_visible(False)
        panel.set_xlabel(counted(row.epochs or 0, "epoch"), **LABEL)
        words.append(f"{row.title}: nine images after {counted(row.epochs or 0, 'epoch')}.")
    chart.alt = "Generated images. " + " ".join(words)
    return chart


def epoch_seconds(rows: Comparison) -> Chart | None:
    """Draw Table 2: seconds per epoch on a logarithmic axis, measured ones filled, the paper's hollow. None of one alone."""
    shown = [row for row in reversed(rows.values()) if row.records or row.published]
    if len(shown) < 2:
        return None
    chart = Chart(1.0 + 0.5 * len(shown))
    panel = chart.subplots()
    parts, seconds = [], []
    for height, row in enumerate(shown):
        colour, points = colour_of(row.family), []
        if row.published:
            published = row.published.seconds_per_epoch
            points.append((published, f"paper {exact(published)} s", "white", INK, 9))
        if here := row.middle("seconds_per_epoch"):
            points.append((here, f"{show(here)} s", colour, colour, -15))
        xs = [x for x, *_ in points]
        panel.plot(xs, [height] * len(xs), STYLES.get(row.named_machine, "-"), color=colour, linewidth=1.5)
        for x, words, face, edge, above in points:
            panel.plot(x, height, "o", color=face, markeredgecolor=edge, markersize=8, zorder=3)
            panel.annotate(words, (x, height), (0, above), textcoords="offset points", ha="center", fontsize=8)
        seconds += xs
        parts.append(f"{row.title}: {', '.join(words for _, words, *_ in points)}" + (f" on {row.machine}" if here else ""))
    panel.set_yticks(range(len(shown)), [row.title for row in shown])
    panel.set_ylim(-0.7, len(shown) - 0.4)
    log_numbers(panel)
    if seconds:
        panel.set_xlim(min(seconds) / 4, max(seconds) * 4)  # room for the words of the outermost
    panel.set_xlabel(f"seconds per epoch{_of_images(rows)} (logarithmic)", **LABEL)
    panel.grid(axis="x", color="#eeeeee")
    panel.set_axisbelow(True)
    chart.alt = "Seconds per epoch. " + "; ".join(parts) + "."
    return chart


def judgement(real: Sequence[float], generated: Sequence[float], auc: float | None = None, critic: bool = False) -> Chart:
    """Draw two histograms of the discriminator's belief that an image is real: of real and of generated images.

    critic: the values are a critic's scores, without bound.
    """
    chart = Chart(3.2)
    panel = chart.subplots()
    what = "the critic's score of an image" if critic else "the discriminator's belief that an image is real"
    bins = np.linspace(min(*real, *generated), max(*real, *generated), 41) if critic else np.linspace(0, 1, 41)
    for values, colour, name in ((real, "#009E73", "real, held out"), (generated, "#CC79A7", "generated")):
        panel.hist(values, bins=bins, color=colour, alpha=0.65, label=f"{name} (n = {len(values):,})")
    panel.set_xlabel(what, **LABEL)
    panel.set_ylabel("images", **LABEL)
    panel.legend(frameon=False, fontsize=9)
    chart.alt = (
        f"Histogram of {what}: mean {np.mean(real):.2f} for {len(real)} real images, "
        f"{np.mean(generated):.2f} for {len(generated)} generated ones" + (f"; ROC AUC {auc:.2f}." if auc is not None else ".")
    )
    return chart


def picture(image: Image.Image, alt: str, inches: float = 3.0) -> Chart:
    """Return a picture as a chart with an alternative text."""
    chart = Chart(alt=alt, figsize=(inches, inches * image.height / image.width), layout=None)
    panel = chart.add_axes((0, 0, 1, 1))
    panel.imshow(image, cmap="gray", interpolation="nearest", vmin=0, vmax=255)
    panel.set_axis_off()
    return chart


def _of_images(rows: Comparison) -> str:
    """Return " of 2,000 images" if all runs have the same number of images per epoch, else ""."""
    counts = set()
    for record in all_records(rows):
        reading = record.machine.get("images")  # missing in older records
        counts.add(reading.get("used") if isinstance(reading, dict) else record.config.training_images)
    count = counts.pop() if len(counts) == 1 else None
    return f" of {count:,} images" if isinstance(count, int) else ""
