"""What combinations of the paper's unsaid choices lead to: losses in small multiples, and losses against quality."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from gan_lib import paper, quality
from gan_lib.balance import WINDOW, find_balance, trailing_mean
from gan_lib.charts import (
    BAND,
    COLOURS,
    FAINT,
    INK,
    LABEL,
    Chart,
    balance_bands,
    epoch_numbers,
    log_numbers,
    say_missing,
    set_title,
    tidy,
)
from gan_lib.choices_study import EPOCHS, Choice, by_choice, fit, why_missing
from gan_lib.record import Record
from gan_lib.words import show

_BETAS = {0.9: "#009E73", 0.5: INK}  # Adam's first beta, and its colour where betas are compared
_LOWEST = 0.02  # where the losses' axis ends: D of 0.002 is as sure of itself as D of 0.02
_SHAPES = {"pytorch": "o", "glorot": "s", "dcgan": "^", "dropout off": "D"}
_GLYPHS = {"o": "●", "s": "■", "^": "▲", "D": "◆"}  # the same in a line of text
_COLUMNS = [(0.9, "fresh"), (0.9, "reused"), (0.5, "fresh"), (0.5, "reused")]
_ROWS = [("pytorch", "active"), ("glorot", "active"), ("dcgan", "active"), ("pytorch", "off")]


def small_multiples(records: Sequence[Record], model: str) -> Chart:
    """Both losses of a model by epoch, a panel for each combination, on common logarithmic axes with the paper's bands shaded.

    Of several seeds the first is drawn; the text gives the mean over all.
    """
    found = {choice: models.get(model, []) for choice, models in by_choice(records).items()}
    chart = Chart(figsize=(9.6, 8.4), layout="constrained")
    panels = chart.subplots(len(_ROWS), len(_COLUMNS), sharex=True, sharey=True)
    smooth = [value for runs in found.values() for run in runs if run.status == "ok" for value in _smooth(run)]
    said = []
    for line, (initialisation, dropout) in zip(panels, _ROWS, strict=True):
        for panel, (beta, noise) in zip(line, _COLUMNS, strict=True):
            choice = Choice(beta, initialisation, noise, dropout)
            runs = found.get(choice, [])
            set_title(panel, f"({beta:g}, 0.999), {noise}")
            numbers = fit(runs)
            if numbers is None:
                say_missing(panel, why_missing(runs))
                said += [f"{choice}: {why_missing(runs)}."] if runs else []
                continue
            _draw(panel, next(run for run in runs if run.status == "ok"))
            said.append(f"{choice}: D {show(numbers.discriminator_loss)}, G {show(numbers.generator_loss)}.")
        line[0].set_ylabel(initialisation if dropout == "active" else f"{initialisation}, dropout off", **LABEL)
    log_numbers(panels[0, 0], upright=True)
    panels[0, 0].set_ylim(max(_LOWEST, 0.7 * min(smooth, default=0.1)), 1.4 * max(smooth, default=2.0))
    for panel in panels[-1]:
        panel.set_xlabel("epoch", **LABEL)
    chart.alt = f"{model.upper()}, losses by epoch; the last ten epochs' means. " + (" ".join(said) or "Not run.")
    return chart


def loss_against_quality(records: Sequence[Record]) -> Chart:
    """G's loss at the end against the Fréchet distance, a mark for each combination, a panel for each model.

    Colour: Adam's betas. Shape: initialisation, or dropout off. Filled: fresh images in G's step; hollow: reused ones.
    """
    chart = Chart(figsize=(9.6, 3.7), layout="constrained")
    said = []
    for panel, model in zip(chart.subplots(1, len(EPOCHS)), EPOCHS, strict=True):
        fits = {choice: found for choice, models in by_choice(records).items() if (found := fit(models.get(model, [])))}
        points = {choice: (found.generator_loss, found.frechet) for choice, found in fits.items() if found.frechet is not None}
        epochs = next((record.config.epochs for record in records if record.config.model == model), 0)
        set_title(panel, f"{model.upper()}, {epochs:,} epochs" if points else model.upper())
        if not points:
            say_missing(panel, "not run")
            continue
        panel.axvspan(*paper.GENERATOR_BAND, color=BAND, linewidth=0, zorder=0)
        panel.annotate("the paper's balance", (paper.GENERATOR_BAND.high, 0.97), (2, 0), xycoords=("data", "axes fraction"),
                       textcoords="offset points", va="top", fontsize=7, color=FAINT)  # fmt: skip
        for choice, point in points.items():
            colour = _BETAS[choice.adam_beta1]
            face = colour if choice.generator_noise == "fresh" else "white"
            panel.plot(*point, _shape(choice), color=colour, markerfacecolor=face, markersize=6.5, markeredgewidth=1.2)
        panel.set_ylim(0, 1.15 * max(distance for _, distance in points.values()))
        panel.set_xlim(0, 1.12 * max(loss for loss, _ in points.values()))
        panel.set_xlabel("G's loss, mean of the last ten epochs", **LABEL)
        tidy(panel)
        for beta in _BETAS:
            mine = [point for choice, point in points.items() if choice.adam_beta1 == beta]
            ends = [f"{show(min(values))} to {show(max(values))}" for values in zip(*mine, strict=True)]
            said += [f"{model.upper()}, betas ({beta:g}, 0.999): G's loss {ends[0]}, distance {ends[1]}."] if mine else []
    panels = chart.axes
    panels[0].set_ylabel("Fréchet distance", **LABEL)
    _keys(panels[-1])
    chart.alt = "G's last loss against Fréchet distance, by combination. " + (" ".join(said) or "Not run.")
    return chart


def quality_and_balance(records: Sequence[Record]) -> Chart:
    """Fréchet distance by epoch, a line for each run that was measured, and where its losses first came into balance.

    Colour: Adam's betas. Shape: initialisation, or dropout off.
    """
    chart = Chart(figsize=(9.6, 3.7), layout="constrained")
    said = []
    for panel, model in zip(chart.subplots(1, len(EPOCHS)), EPOCHS, strict=True):
        set_title(panel, model.upper())
        ends: list[tuple[float, str, str]] = []
        for choice, models in by_choice(records).items():
            runs = [run for run in models.get(model, []) if run.status == "ok" and quality.curve(run).values]
            shape, colour = _shape(choice), _BETAS[choice.adam_beta1]
            for run in runs:
                found = quality.curve(run)
                panel.plot(found.epochs, found.values, color=colour, linewidth=1.1, marker=shape, markersize=2.5, alpha=0.7)
                balance = find_balance(run.history["discriminator_loss"], run.history["generator_loss"]).epoch
                if balance is not None:
                    panel.axvline(balance, color=colour, linewidth=0.9, linestyle=":")
                when = "never in balance" if balance is None else f"in balance at epoch {balance:,}"
                said.append(f"{run.name}: {when}, distance {show(found.values[-1])} at epoch {found.epochs[-1]:,}.")
            if runs:
                words = f"{_GLYPHS[shape]} ({choice.adam_beta1:g}, 0.999), {choice.initialisation}"
                ends.append((found.values[-1], words, colour))
        if not panel.lines:
            say_missing(panel, "Fréchet distance: " + quality.NOT_MEASURED)
            continue
        panel.set_xlim(left=0)
        panel.set_ylim(bottom=0)
        lowest = -1.0
        for value, words, colour in sorted(ends):  # from below, each where no other one is
            place = max(value, lowest)
            lowest = place + 0.05 * panel.get_ylim()[1]
            panel.annotate(words, (1.0, place), (5, 0), xycoords=("axes fraction", "data"), textcoords="offset points",
                           va="center", fontsize=7, color=colour, annotation_clip=False)  # fmt: skip
        panel.set_xlabel("epoch; dotted: first in balance", **LABEL)
        tidy(panel)
    chart.axes[0].set_ylabel("Fréchet distance", **LABEL)
    chart.alt = "Fréchet distance by epoch, and balance. " + (" ".join(said) or "Not measured.")
    return chart


def _shape(choice: Choice) -> str:
    return _SHAPES[choice.initialisation if choice.generator_dropout == "active" else "dropout off"]


def _keys(panel: Axes) -> None:
    """What colour, shape and filling stand for."""
    marks = [
        *(Line2D([], [], color=tint, marker="s", linestyle="", markersize=7, label=f"betas ({beta:g}, 0.999)")
          for beta, tint in _BETAS.items()),
        *(Line2D([], [], color=FAINT, marker=shape, linestyle="", label=name) for name, shape in _SHAPES.items()),
        Line2D([], [], color=FAINT, marker="o", markerfacecolor="white", linestyle="", label="hollow: reused images"),
    ]  # fmt: skip
    panel.legend(handles=marks, fontsize=7, frameon=False, loc="center left", bbox_to_anchor=(1.01, 0.5))


def _draw(panel: Axes, record: Record) -> None:
    balance_bands(panel, named=False)
    for name, column, colour, above in (
        ("D", "discriminator_loss", INK, -10),
        ("G", "generator_loss", COLOURS[record.config.model], 6),
    ):
        values = record.history[column]
        panel.plot(epoch_numbers(values), values, color=colour, linewidth=0.4, alpha=0.5)
        smooth = trailing_mean(values, min(WINDOW, len(values)))
        panel.plot(epoch_numbers(values)[len(values) - len(smooth) :], smooth, color=colour, linewidth=1.3)
        panel.annotate(
            f"{name} {smooth[-1]:.2f}", (0.97, max(smooth[-1], _LOWEST)), (0, above), xycoords=("axes fraction", "data"),
            textcoords="offset points", ha="right", fontsize=7, color=colour, annotation_clip=True,
        )  # fmt: skip
    tidy(panel)


def _smooth(record: Record) -> list[float]:
    """What the bold lines of a run go through."""
    losses = (record.history[name] for name in ("discriminator_loss", "generator_loss"))
    return [value for values in losses for value in trailing_mean(values, min(WINDOW, len(values)))]
