"""A comparison in words: its verdict, the paper's claims, each held against the number that decides it, and when to stop."""

import itertools
import math
from collections import Counter
from collections.abc import Callable, Sequence
from statistics import mean
from typing import Any, NamedTuple

from gan_lib.presets import title
from gan_lib.quality.measures import FRECHET
from gan_lib.reporting import paper, quality
from gan_lib.reporting.comparison import Comparison, Row, papers_own, with_runs
from gan_lib.reporting.convergence import NO_BAND, SETTLED, WINDOW, balance, roughness
from gan_lib.reporting.stats import FEWEST, Interval, cannot_be_told, difference, in_words, is_above, mean_interval
from gan_lib.reporting.tables import Table, table
from gan_lib.runs.record import Record
from gan_lib.text import show

HOLDS, FAILS, UNKNOWN = "holds", "does not hold", "cannot be judged here"


class Claim(NamedTuple):
    """One statement of the paper, and what these runs say of it."""

    claim: str
    answer: str  # HOLDS, FAILS or UNKNOWN
    because: str  # the number that decides, or why there is none


def answer(verdicts: Sequence[bool | None]) -> str:
    """HOLDS where all of several findings speak for a claim, FAILS where one speaks against it, else UNKNOWN."""
    if any(verdict is False for verdict in verdicts):
        return FAILS
    return HOLDS if all(verdicts) else UNKNOWN


def verdict(rows: Comparison) -> str:
    """One sentence: which configuration is the quickest, the cheapest, and has the best images, with the numbers."""
    shown = with_runs(rows)
    if not shown:
        return "Nothing can be said yet: no run is finished. Run `gan-lib run` first."
    quickest = min(shown, key=lambda row: row.middle("seconds_per_epoch") or math.inf)
    cheapest = min(shown, key=lambda row: row.cost_usd() or math.inf)
    seconds, usd = show(quickest.middle("seconds_per_epoch")), show(cheapest.cost_usd())
    cost = f"{usd} USD for {cheapest.epochs:,} epochs on {paper.INSTANCES[cheapest.named_machine].name}"
    if len(shown) == 1:
        words = f"{quickest.title} takes {seconds} s per epoch and would cost {cost}"
    elif quickest is cheapest:
        words = f"{quickest.title} is the fastest ({seconds} s per epoch) and the cheapest ({cost})"
    else:
        words = f"{quickest.title} is the fastest ({seconds} s per epoch), {cheapest.title} the cheapest ({cost})"
    measured = [row for row in shown if quality.values(row, FRECHET)]
    if not measured:
        return f"{words}; the images have no Fréchet distance ({quality.why_missing(quickest)})."
    best = min(measured, key=_mean_distance)
    floor = quality.row_floor(best, FRECHET)
    numbers = f"a Fréchet distance of {_distance(best)}" + (
        f" where real images have {show(floor)}" if floor is not None else ""
    )
    if len(shown) == 1:
        return f"{words}; its images have {numbers}."
    return f"{words}, and {best.title} has the best images: {numbers}."


def claims(rows: Comparison, at_paper_length: Comparison) -> list[Claim]:
    """The paper's claims. Those about balance, the course of the losses, images and the best configuration are judged on runs
    of the paper's schedule only; each needs three runs of every configuration that it speaks of."""
    rows, long = papers_own(rows), papers_own(at_paper_length)
    longest = [_most(long, model, lambda row: row.records) for model in ("gan", "cgan")]
    measured = [most_measured(long, model) for model in ("gan", "cgan")]
    faster = "{} trains {} times faster on the GPU machine"
    listed: list[tuple[str, Callable[..., _Finding], Sequence[Row]]] = [
        (faster.format("GAN", paper.GPU_SPEEDUP["gan"]), _gpu_speed, [rows["gan-cpu"], rows["gan-gpu"]]),
        (faster.format("CGAN", paper.GPU_SPEEDUP["cgan"]), _gpu_speed, [rows["cgan-cpu"], rows["cgan-gpu"]]),
        ("CGAN has fewer parameters than GAN and yet takes longer for an epoch", _slower, [rows["gan-cpu"], rows["cgan-cpu"]]),
        ("CGAN is balanced in a quarter of GAN's epochs (300 against 1,200)", _quarter_of_the_epochs, longest),
        ("GAN's losses run in a narrow band, CGAN's jump over a wide one", _scatter, longest),
        ("CGAN is inside the balance band by epoch 200", _in_band_by_200, longest[1:]),
        ("GAN's images carry more noise and stray pixels than CGAN's", _noise, measured),
        ("Most digits of both models can be recognised", _recognisable, measured),
        ("CGAN on the GPU machine is the best configuration", _best, list(long.values())),
    ]
    return [_judge(*each) for each in listed]


def claims_table(listed: list[Claim]) -> Table:
    """The claims as a table."""
    lines = [dict(zip(("the paper's claim", "answer", "because"), claim, strict=True)) for claim in listed]
    return table(lines, f"The paper's claims, each judged on {FEWEST} runs or more of every configuration that it speaks of")


_Finding = tuple[list[bool | None], str]  # what speaks for or against a claim, and the numbers


class _UnjudgedError(Exception):
    """Why runs say nothing of a claim."""


def _judge(claim: str, finding: Callable[..., _Finding], rows: Sequence[Row]) -> Claim:
    """A claim's answer by the one rule: fewer than three runs of a configuration decide nothing."""
    try:
        verdicts, because = finding(*rows)
    except _UnjudgedError as reason:
        return Claim(claim, UNKNOWN, str(reason))
    runs = [len(row.records) for row in rows]
    given = UNKNOWN if min(runs) < FEWEST else answer(verdicts)
    return Claim(claim, given, f"{because}; {cannot_be_told(*runs)}" if given == UNKNOWN else because)


def _gpu_speed(cpu: Row, gpu: Row) -> _Finding:
    _need(cpu, gpu)
    times, interval = _times(cpu, gpu)
    because = f"{show(times)} times faster on {gpu.machine} than on {cpu.machine}{_marked(cpu, gpu)}"
    return [is_above(interval, math.log(paper.GPU_SPEEDUP[cpu.model]))], because


def _slower(gan: Row, cgan: Row) -> _Finding:
    _need(gan, cgan)
    if gan.machine != cgan.machine:
        raise _UnjudgedError(f"GAN was measured on {gan.machine}, CGAN on {cgan.machine}")
    smaller, larger = (int(row.middle("parameters") or 0) for row in (cgan, gan))
    times, interval = _times(cgan, gan)
    published = paper.RESULTS["cgan-cpu"].seconds_per_epoch / paper.RESULTS["gan-cpu"].seconds_per_epoch
    because = (
        f"{smaller:,} against {larger:,} parameters, {show(times)} times the seconds (paper: {show(published)})"
        f"{_marked(gan, cgan)}"
    )
    return [smaller < larger, is_above(interval)], because


def _quarter_of_the_epochs(gan: Row, cgan: Row) -> _Finding:
    _need(gan, cgan, where=_LONG)
    gan_epoch, cgan_epoch = gan.balance_epoch(), cgan.balance_epoch()
    because = f"GAN {_when(gan, gan_epoch)}, CGAN {_when(cgan, cgan_epoch)}"
    if cgan_epoch is None:  # no quarter of nothing; GAN alone in the band speaks against the claim
        return [None if gan_epoch is None else False], because
    return [cgan_epoch <= (gan_epoch or gan.epochs or 0) / 4], because


def _scatter(gan: Row, cgan: Row) -> _Finding:
    _need(gan, cgan, where=_LONG)
    narrow, wide = ([roughness(record.history["generator_loss"]) for record in row.records] for row in (gan, cgan))
    interval = difference(wide, narrow)
    because = (
        f"G's loss strays {show(mean(wide))} from its mean over {WINDOW} epochs with CGAN, {show(mean(narrow))} with GAN "
        f"(median over the epochs)" + (f"; a difference of {in_words(interval)}" if interval else "")
    )
    return [is_above(interval)], because


def _in_band_by_200(cgan: Row) -> _Finding:
    _need(cgan, where=_LONG)
    epoch, balances = cgan.balance_epoch(), cgan.balances()
    nearest = min(balances, key=lambda balance: balance.nearest_distance or 0.0)
    missed = all(balance.epoch is None for balance in balances) and nearest.nearest_epoch is not None
    detail = f"; nearest at epoch {nearest.nearest_epoch}, {show(nearest.nearest_distance)} outside" if missed else ""
    return [epoch is not None and epoch <= 200], f"CGAN {_when(cgan, epoch)}{detail}"


def _noise(gan: Row, cgan: Row) -> _Finding:
    """Both the noise level and the stray pixels have to say so."""
    _need_measured(gan, cgan, name="noise_level")
    verdicts, parts = [], []
    for name, (words, scale) in _UNITS.items():
        of_gan, of_cgan = quality.values(gan, name), quality.values(cgan, name)
        interval = difference(of_gan, of_cgan)
        verdicts.append(is_above(interval))
        parts.append(f"{words}: {show(scale * mean(of_gan))} with GAN, {show(scale * mean(of_cgan))} with CGAN")
        if interval is not None:
            parts[-1] += f", a difference of {in_words(interval, scale)}"
    return verdicts, "; ".join(parts)


def _recognisable(*rows: Row) -> _Finding:
    """More than half of the images, by a classifier that is 90 % sure.

    A smaller share speaks against nothing: the classifier is as unsure of real digits that people still read, once they are
    blurred (results/quality/sanity.json).
    """
    _need_measured(*rows, name="recognisable")
    verdicts: list[bool | None] = []
    parts = []
    for row in rows:
        shares = quality.values(row, "recognisable")
        interval = mean_interval(shares)
        verdicts.append(is_above(interval, 0.5) or None)
        parts.append(f"{row.model.upper()}: {show(100 * mean(shares)) if interval is None else in_words(interval, 100)}")
    because = f"% of images that a classifier gives 90% or more for one digit: {', '.join(parts)}"
    if min(len(row.records) for row in rows) >= FEWEST and None in verdicts:
        doubt = "half or less is no proof that people cannot read them: it gives no more to real digits that are blurred"
        raise _UnjudgedError(f"{because}; {doubt}")
    return verdicts, because


def _best(*rows: Row) -> _Finding:
    _need(*rows)
    seconds = {row.configuration: row.middle("training_seconds") or 0.0 for row in rows}
    better, images = better_model({row.configuration: row for row in rows})
    because = f"{title(min(seconds, key=seconds.__getitem__))} is through first ({show(min(seconds.values()))} s); {images}"
    return [better, seconds["cgan-gpu"] < seconds["cgan-cpu"]], because  # the better images first, and of those the quicker


def _times(slow: Row, fast: Row) -> tuple[float | None, Interval | None]:
    """How many times longer an epoch takes, by the medians, and the interval of that factor's logarithm."""
    top, bottom = slow.middle("seconds_per_epoch"), fast.middle("seconds_per_epoch")
    logs = ([math.log(value) for value in row.numbers("seconds_per_epoch") if value > 0] for row in (slow, fast))
    return top / bottom if top and bottom else None, difference(*logs)


def _marked(*rows: Row) -> str:
    return " (with reference runs)" if any(row.stands_in for row in rows) else ""


_LONG = ", at the paper's length"


def _need(*rows: Row, where: str = "") -> None:
    if absent := [title(row.configuration) for row in rows if not row.records]:
        raise _UnjudgedError(f"no run of {' or '.join(absent)}{where}")


def _need_measured(*rows: Row, name: str) -> None:
    if absent := [row for row in rows if not quality.values(row, name)]:
        raise _UnjudgedError("; ".join(f"{title(row.configuration)}: {quality.why_missing(row)}" for row in absent))


def _most(rows: Comparison, model: str, values: Callable[[Row], Sequence[object]]) -> Row:
    """The row of a model with the most values: neither losses nor images depend on the machine, so any will do."""
    return max((row for row in rows.values() if row.model == model), key=lambda row: len(values(row)))


def most_measured(rows: Comparison, model: str) -> Row:
    """The row of a model with the most measured runs."""
    return _most(rows, model, lambda row: quality.values(row, "noise_level"))


def _when(row: Row, epoch: int | None) -> str:
    reached = sum(balance.epoch is not None for balance in row.balances())
    runs = "" if len(row.records) == 1 else f" ({f'{reached} of ' if reached else ''}{len(row.records)} runs)"
    if epoch is not None:
        return f"reached it at epoch {epoch:,}{runs}"
    return f"{'not' if reached else 'never'} in {row.epochs:,} epochs{runs}"


_UNITS = {"noise_level": ("noise level, % of black to white", 100), "stray_pixels": ("stray pixels an image", 1)}


def best_images(rows: Comparison) -> str | None:
    """Whether the best images are better than those of the next model; None where fewer than two models were measured.

    The machine does not change the images, so a model's two machines are no two contestants.
    """
    order = sorted((row for row in with_runs(rows) if quality.values(row, FRECHET)), key=_mean_distance)
    others = [row for row in order if row.family != order[0].family]
    if not others:
        return None
    best, following = order[0], others[0]
    interval = difference(quality.values(following, FRECHET), quality.values(best, FRECHET))
    numbers = f"{best.title} has the best images, at {_distance(best)}; {following.title} is next, at {_distance(following)}"
    if interval is not None and is_above(interval):
        return f"{numbers}, worse by {in_words(interval)}."
    runs = [len(quality.values(row, FRECHET)) for row in (best, following)]
    return f"{numbers}, and whether that is a difference {cannot_be_told(*runs)}."


def better_model(rows: Comparison) -> tuple[bool | None, str]:
    """Whether CGAN's images are better than GAN's, by Fréchet distance, and the numbers; None where it cannot be told."""
    both = [most_measured(rows, model) for model in ("gan", "cgan")]
    try:
        _need_measured(*both, name=FRECHET)
    except _UnjudgedError as reason:
        return None, f"which images are better cannot be told ({reason})"
    of_gan, of_cgan = (quality.values(row, FRECHET) for row in both)
    interval = difference(of_gan, of_cgan)
    if interval is None:
        return None, f"which images are better {cannot_be_told(len(of_gan), len(of_cgan))}"
    return is_above(interval), f"GAN's Fréchet distance minus CGAN's is {in_words(interval)}"


def _mean_distance(row: Row) -> float:
    return mean(quality.values(row, FRECHET))


def _distance(row: Row) -> str:
    """ "19.2 (1 run)": the mean, and over how many runs."""
    runs = len(quality.values(row, FRECHET))
    return f"{show(_mean_distance(row))} ({runs} run{'' if runs == 1 else 's'})"


RIGHT, EARLY, LATE, NEVER = "right", "early", "late", "never"


def when_to_stop(records: Sequence[Record]) -> Table:
    """For each run with quality: the epoch of the paper's balance beside the one after which quality no longer improved."""

    def line(record: Record) -> dict[str, Any]:
        plateau, reached = quality.plateau(record), balance(record)
        never = f"never in {record.epochs_done:,}"
        unsettled = f"not yet in {record.epochs_done:,}"
        return {
            "run": record.name,
            "balance at epoch": NO_BAND if reached is None else reached.epoch or never,
            "quality no longer improved after epoch": plateau.epoch or unsettled if plateau else quality.NOT_MEASURED,
            "best Fréchet distance": f"{show(plateau.best)} at epoch {plateau.best_epoch:,}" if plateau else None,
        }

    listed = [line(record) for record in records]
    return table(listed or [{"run": "none yet"}], "When to stop: the paper's balance, and quality")


def timing(record: Record) -> str | None:
    """How the run's balance lies to the epoch after which its Fréchet distance no longer improved (quality.plateau).

    RIGHT: within one evaluation of it. EARLY or LATE: farther from it. NEVER: no balance, though quality stopped improving.
    Where quality was still improving at the end, that epoch is known to be in the run's last fifth at the earliest, and a
    balance long before is EARLY. None: the run does not show it, or its quality was not measured.
    """
    plateau, reached = quality.plateau(record), balance(record)
    if plateau is None or reached is None:
        return None
    if reached.epoch is None:
        return NEVER if plateau.epoch else None
    epochs = quality.curve(record).epochs
    stop = plateau.epoch or next(epoch for epoch in epochs if epoch > epochs[-1] * (1 - SETTLED))
    apart = max(later - earlier for earlier, later in itertools.pairwise([0, *epochs]) if stop in (earlier, later))
    if reached.epoch < stop - apart:
        return EARLY
    if plateau.epoch is None:
        return None
    return LATE if reached.epoch > stop + apart else RIGHT


def balance_answer(records: Sequence[Record]) -> str:
    """Does the paper's balance rule find the moment to stop? One sentence, from the runs whose quality was measured.

    Runs with a loss that has no balance are left out.
    """
    question = "Whether the paper's balance rule finds the moment to stop"
    measured = [record for record in records if balance(record) is not None and quality.plateau(record)]
    if not measured:
        return f"{question} cannot be told: quality was not measured in any of these runs."
    timings = Counter(timing(record) for record in measured)
    silent = timings.pop(None, 0)
    telling = timings.total()
    runs = f"{len(measured)} run{'' if len(measured) == 1 else 's'}"
    if not telling:
        return f"{question} cannot be told: quality still improved at the end of {runs}, without a balance long before."
    numbers = (
        f"of {runs} with quality measured {telling} can tell, and their balance "
        f"came before quality stopped improving in {timings[EARLY]}, within one evaluation of that epoch in {timings[RIGHT]}, "
        f"later in {timings[LATE]} and never in {timings[NEVER]}"
    )
    if silent:
        numbers += f"; in the remaining {silent} quality was still improving at the end, without a balance long before"
    if telling < FEWEST:
        return f"{question} cannot be told, for that takes {FEWEST} runs: {numbers}."
    if timings[RIGHT] == telling:
        return f"The paper's balance rule finds the moment to stop: {numbers}."
    if not timings[RIGHT]:
        return f"The paper's balance rule does not find the moment to stop: {numbers}."
    return f"The paper's balance rule finds the moment to stop at times: {numbers}."
