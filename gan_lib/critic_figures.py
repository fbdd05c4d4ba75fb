"""Figures of training with a Wasserstein loss: the critic's estimate of the distance, which takes the place of a balance."""

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes

from gan_lib.charts import COLOURS, INK, LABEL, STYLES, Chart, draw_loss, set_title, tidy
from gan_lib.selection import Comparison
from gan_lib.tables import TITLES

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
    chart.alt = f"The critic's {ESTIMATE} by epoch: {_in_words(found)}; G's loss: {_in_words(losses)}."
    return chart


def critic_curves(rows: Comparison) -> Chart | None:
    """The estimates of every configuration with a Wasserstein loss, one panel each; None where none was run.

    The axes are not common ones: a critic measures with a scale of its own.
    """
    shown = [row for row in rows.values() if row.records and row.records[0].config.wasserstein]
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
    return f"{title}: {_in_words(values)}."


def _in_words(values: Sequence[float]) -> str:
    return f"over {len(values)} epochs from {values[0]:.2f} to {values[-1]:.2f}, at most {max(values):.2f}"
