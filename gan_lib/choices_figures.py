"""The course of the losses under combinations of what the paper leaves open, in small multiples."""

from collections.abc import Sequence

from matplotlib.axes import Axes

from gan_lib.balance import WINDOW, trailing_mean
from gan_lib.charts import COLOURS, INK, LABEL, Chart, balance_bands, epoch_numbers, robust_top, say_missing, set_title, tidy
from gan_lib.choices_study import Choice, by_choice, fit, why_missing
from gan_lib.record import Record
from gan_lib.words import show

_COLUMNS = [(0.9, "fresh"), (0.9, "reused"), (0.5, "fresh"), (0.5, "reused")]
_ROWS = [("pytorch", "active"), ("glorot", "active"), ("dcgan", "active"), ("pytorch", "off")]


def small_multiples(records: Sequence[Record], model: str) -> Chart:
    """Both losses of a model by epoch, a panel for each combination, on common axes with the paper's bands shaded.

    Of several seeds the first is drawn; the text gives the mean over all.
    """
    found = {choice: models.get(model, []) for choice, models in by_choice(records).items()}
    chart = Chart(figsize=(9.6, 8.4), layout="constrained")
    panels = chart.subplots(len(_ROWS), len(_COLUMNS), sharex=True, sharey=True)
    top = max((robust_top(_both(run)) for runs in found.values() for run in runs if run.status == "ok"), default=3.0)
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
    panels[0, 0].set_ylim(0, 1.05 * top)
    for panel in panels[-1]:
        panel.set_xlabel("epoch", **LABEL)
    chart.alt = f"{model.upper()}, losses by epoch; the last ten epochs' means. " + (" ".join(said) or "Not run.")
    return chart


def _draw(panel: Axes, record: Record) -> None:
    balance_bands(panel, named=False)
    for name, column, colour in (
        ("D", "discriminator_loss", INK),
        ("G", "generator_loss", COLOURS[record.config.model]),
    ):
        values = record.history[column]
        panel.plot(epoch_numbers(values), values, color=colour, linewidth=0.4, alpha=0.5)
        smooth = trailing_mean(values, min(WINDOW, len(values)))
        panel.plot(epoch_numbers(values)[len(values) - len(smooth) :], smooth, color=colour, linewidth=1.3)
        panel.annotate(
            f"{name} {smooth[-1]:.2f}", (0.97, smooth[-1]), (0, 3), xycoords=("axes fraction", "data"),
            textcoords="offset points", ha="right", fontsize=7, color=colour, annotation_clip=True,
        )  # fmt: skip
    tidy(panel)


def _both(record: Record) -> list[float]:
    return [*record.history["discriminator_loss"], *record.history["generator_loss"]]
