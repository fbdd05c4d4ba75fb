"""Write a comparison's conclusions: its verdict, the paper's claims with the numbers that decide them, and when to stop."""

import itertools
import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from statistics import mean
from typing import NamedTuple

from gan_lib.presets import title
from gan_lib.quality.measures import FRECHET, MEASURES
from gan_lib.reporting import paper, quality
from gan_lib.reporting.comparison import Comparison, Row, papers_own, with_runs
from gan_lib.reporting.convergence import NO_BAND, SETTLED, WINDOW, balance, roughness
from gan_lib.reporting.stats import FEWEST, Interval, cannot_be_told, difference, in_words, is_above, mean_interval
from gan_lib.reporting.tables import Table, table
from gan_lib.runs.record import Record
from gan_lib.text import counted, show

HOLDS, FAILS, UNKNOWN = "holds", "does not hold", "cannot be judged here"
RIGHT, EARLY, LATE, NEVER = "right", "early", "late", "never"


def verdict(rows: Comparison) -> str:
    """Name the optimal configuration: the first at the lowest Fréchet distance that any reaches. Then list failures."""
    shown = with_runs(rows)
    if not shown:
        return "Nothing can be said yet: no run is finished. Run `gan-lib run` first."
    doubts = [
        f"{row.title}, seed {record.config.seed}: {doubt}."
        for row in shown
        for record in row.records
        for doubt in quality.doubts(record)
    ]
    return " ".join([_optimal(shown), *doubts])


def run_verdict(record: Record) -> str:
    """Describe one run: its image quality, the time and cost to reach it, and failures."""
    return verdict({record.config.configuration: Row(record.config.configuration, [record])})


def _optimal(shown: Sequence[Row]) -> str:
    target, order = _fastest(shown)
    if len(shown) == 1:
        return f"{_alone(shown[0])}."
    if not order:
        nearest = min(shown, key=lambda row: (row.mean(FRECHET) or math.inf, row.middle("seconds_per_epoch") or math.inf))
        none = f"none reaches a Fréchet distance of {target}. The nearest"
        why = none if nearest.numbers(FRECHET) else "no quality was measured. The fastest"
        return f"Which configuration is optimal cannot be told: {why} is {_alone(nearest)}."
    first, rivals = order[0], [row for row in shown if row is not order[0]]
    words = [
        f"The optimal configuration is “{first.title}”, measured on {first.machine}: it reaches a Fréchet distance of {target}"
        " in "
        + _spent(first, f"seconds_to_{target}", f"usd_to_{target}")
        + (", and no other configuration does" if len(order) == 1 else "")
    ]
    cheapest = min(order, key=lambda row: row.middle(f"usd_to_{target}") or math.inf)
    if cheapest is not first:
        words.append(f"at the lowest cost {cheapest.title} does, for {show(cheapest.middle(f'usd_to_{target}'))} USD")
    papers = [row for row in rivals if row.published and not first.published]
    for group, name in ((rivals, "the others"), (papers, "the paper's own")):
        near, order = _fastest(group)
        if order:
            words.append(_lead(first, order[0], near))
        elif group:
            words.append(f"{name} do not reach {near}")
            break
    if few := [row.title for row in shown if len(row.records) < FEWEST]:
        words.append(f"fewer than {FEWEST} runs, so no sure difference: {'; '.join(few)}")
    return " ".join(f"{part[0].upper()}{part[1:]}." for part in dict.fromkeys(words))  # no duplicates


def _alone(row: Row) -> str:
    """Describe the training time, cost and quality of one row."""
    words = f"{row.title}: {counted(row.epochs or 0, 'epoch')} in {_spent(row, 'training_seconds', 'cost_usd')}; its images"
    if not row.numbers(FRECHET):
        return f"{words} have no Fréchet distance: {row.why_unmeasured.removeprefix(f'{quality.NOT_MEASURED}: ')}"
    target, order = _fastest([row])
    reached = f" reach a Fréchet distance of {target} in {show(row.middle(f'seconds_to_{target}'))} s and" if order else ""
    floor, what = row.floor(FRECHET), "" if order else "a Fréchet distance of "
    real = f", where real images have {show(floor)}" if floor is not None else ""
    return f"{words}{reached} end at {what}{show(row.mean(FRECHET))} ({counted(len(row.numbers(FRECHET)), 'run')}){real}"


def _spent(row: Row, seconds: str, usd: str) -> str:
    """Return "173 s of training, for 0.0196 USD at the price of ml.c5.2xlarge", from two columns of its frame."""
    price = f"{show(row.middle(usd))} USD at the price of {paper.INSTANCES[row.named_machine].name}"
    return f"{show(row.middle(seconds))} s of training, for {price}"


def _lead(first: Row, second: Row, target: int) -> str:
    """Say how many times faster one row is than another, with an interval if there are enough runs."""
    times, interval = _times(second, first, f"seconds_to_{target}")
    factor = interval and Interval(times, math.exp(interval.low), math.exp(interval.high), interval.runs)
    whose = "the paper's " if second.published else ""
    where = " (on another machine)" if second.machine != first.machine else ""
    return f"to a distance of {target} it is {in_words(factor) or show(times)} times faster than {whose}{second.title}{where}"


def _fastest(rows: Sequence[Row]) -> tuple[int, list[Row]]:
    """Return the lowest target Fréchet distance that any row reaches (median over seeds), and those rows, fastest first."""
    for target in sorted(quality.TARGETS):
        seconds = {row.configuration: row.middle(f"seconds_to_{target}") or math.inf for row in rows}
        if reached := [row for row in rows if math.isfinite(seconds[row.configuration])]:
            return target, sorted(reached, key=lambda row: seconds[row.configuration])
    return max(quality.TARGETS), []


class Claim(NamedTuple):
    """One statement of the paper, and the answer of these runs."""

    claim: str
    answer: str  # HOLDS, FAILS or UNKNOWN
    because: str  # the number that decides, or why it is missing


_Finding = tuple[list[bool | None], str]  # evidence for (True) or against (False) a claim, empty without any; and the numbers


def claims(rows: Comparison, at_paper_length: Comparison) -> list[Claim]:
    """Judge the paper's claims.

    Claims about balance, losses, images and the best configuration use only runs of the paper's schedule. Each claim needs
    three runs of every configuration that it names.
    """
    rows, long = papers_own(rows), papers_own(at_paper_length)
    longest, measured, length = _most(long.values(), "seed"), _most(long.values(), "noise_level"), ", at the paper's length"
    gan, cgan = ([rows[f"{model}-cpu"], rows[f"{model}-gpu"]] for model in ("gan", "cgan"))
    listed: list[tuple[str, Callable[..., _Finding], Sequence[Row], str]] = [
        (f"GAN trains {paper.GPU_SPEEDUP['gan']} times faster on the GPU machine", _gpu_speed, gan, ""),
        (f"CGAN trains {paper.GPU_SPEEDUP['cgan']} times faster on the GPU machine", _gpu_speed, cgan, ""),
        ("CGAN has fewer parameters than GAN and yet takes longer for an epoch", _slower, [gan[0], cgan[0]], ""),
        ("CGAN is balanced in a quarter of GAN's epochs (300 against 1,200)", _quarter_of_the_epochs, longest, length),
        ("GAN's losses run in a narrow band, CGAN's jump over a wide one", _scatter, longest, length),
        ("CGAN is inside the balance band by epoch 200", _in_band_by_200, longest[1:], length),
        ("GAN's images carry more noise and stray pixels than CGAN's", _noise, measured, "noise_level"),
        ("Most digits of both models can be recognised", _recognisable, measured, "recognisable"),
        ("CGAN on the GPU machine is the best configuration", _best, list(long.values()), ""),
    ]
    return [_judge(*each) for each in listed]


def claims_table(listed: list[Claim]) -> Table:
    """Return the claims as a table."""
    lines = [dict(zip(("the paper's claim", "answer", "because"), claim, strict=True)) for claim in listed]
    return table(lines, f"The paper's claims, each judged on {FEWEST} runs or more of every configuration that it speaks of")


def answer(verdicts: Sequence[bool | None]) -> str:
    """Return HOLDS if all findings are for a claim, FAILS if one is against it, else UNKNOWN."""
    if False in verdicts:
        return FAILS
    return HOLDS if verdicts and all(verdicts) else UNKNOWN


def _judge(claim: str, finding: Callable[..., _Finding], rows: Sequence[Row], needs: str) -> Claim:
    """Judge one claim. Fewer than three runs of a configuration decide nothing.

    needs: a measure that the rows must have, or else, in words, the runs that they must have.
    """
    absent = [title(row.configuration) for row in rows if not row.records]
    if reason := _unmeasured(rows, needs) if needs in MEASURES else f"no run of {' or '.join(absent)}{needs}" if absent else "":
        return Claim(claim, UNKNOWN, reason)
    verdicts, because = finding(*rows)
    runs = [len(row.records) for row in rows]
    given = answer(verdicts) if min(runs) >= FEWEST else UNKNOWN
    return Claim(claim, given, f"{because}; {cannot_be_told(*runs)}" if given == UNKNOWN and verdicts else because)


def _most(rows: Iterable[Row], name: str) -> list[Row]:
    """Return GAN's and CGAN's row with the most values. Losses and images do not depend on the machine."""
    order = sorted(rows, key=lambda row: -len(row.numbers(name)))
    return [next(row for row in order if row.family == family) for family in ("gan", "cgan")]


def _unmeasured(rows: Iterable[Row], name: str) -> str:
    return "; ".join(f"{title(row.configuration)}: {row.why_unmeasured}" for row in rows if not row.numbers(name))


def _times(slow: Row, fast: Row, name: str = "seconds_per_epoch") -> tuple[float, Interval | None]:
    """Return how many times longer one row takes than another (by medians), and the interval of the factor's logarithm."""
    logs = ([math.log(value) for value in row.numbers(name) if value > 0] for row in (slow, fast))
    bottom = fast.middle(name)
    return (slow.middle(name) or math.nan) / bottom if bottom else math.nan, difference(*logs)


def _marked(*rows: Row) -> str:
    return " (with reference runs)" if any(row.stands_in for row in rows) else ""


def _gpu_speed(cpu: Row, gpu: Row) -> _Finding:
    times, interval = _times(cpu, gpu)
    because = f"{show(times)} times faster on {gpu.machine} than on {cpu.machine}{_marked(cpu, gpu)}"
    return [is_above(interval, math.log(paper.GPU_SPEEDUP[cpu.family]))], because


def _slower(gan: Row, cgan: Row) -> _Finding:
    if gan.machine != cgan.machine:
        return [], f"GAN was measured on {gan.machine}, CGAN on {cgan.machine}"
    smaller, larger = (int(row.middle("parameters") or 0) for row in (cgan, gan))
    times, interval = _times(cgan, gan)
    published = paper.RESULTS["cgan-cpu"].seconds_per_epoch / paper.RESULTS["gan-cpu"].seconds_per_epoch
    because = f"{smaller:,} against {larger:,} parameters, {show(times)} times the seconds (paper: {show(published)})"
    return [smaller < larger, is_above(interval)], because + _marked(gan, cgan)


def _quarter_of_the_epochs(gan: Row, cgan: Row) -> _Finding:
    gan_epoch, cgan_epoch = gan.balance_epoch(), cgan.balance_epoch()
    because = f"GAN {_when(gan)}, CGAN {_when(cgan)}"
    if cgan_epoch is None:  # without CGAN's epoch: GAN alone in the band is against the claim
        return [None if gan_epoch is None else False], because
    return [cgan_epoch <= (gan_epoch or gan.epochs or 0) / 4], because


def _scatter(gan: Row, cgan: Row) -> _Finding:
    narrow, wide = ([roughness(record.history["generator_loss"]) for record in row.records] for row in (gan, cgan))
    interval = difference(wide, narrow)
    because = (
        f"G's loss strays {show(mean(wide))} from its mean over {WINDOW} epochs with CGAN, {show(mean(narrow))} with GAN "
        f"(median over the epochs)"
    )
    return [is_above(interval)], because + (f"; a difference of {in_words(interval)}" if interval else "")


def _in_band_by_200(cgan: Row) -> _Finding:
    epoch, nearest = cgan.balance_epoch(), min(cgan.balances(), key=lambda balance: balance.nearest_distance or 0.0)
    missed = nearest.nearest_distance  # 0 if any run was inside
    detail = f"; nearest at epoch {nearest.nearest_epoch}, {show(missed)} outside" if missed else ""
    return [epoch is not None and epoch <= 200], f"CGAN {_when(cgan)}{detail}"


def _when(row: Row) -> str:
    epoch, reached = row.balance_epoch(), sum(balance.epoch is not None for balance in row.balances())
    runs = "" if len(row.records) == 1 else f" ({f'{reached} of ' if reached else ''}{len(row.records)} runs)"
    if epoch is not None:
        return f"reached it at epoch {epoch:,}{runs}"
    return f"{'not' if reached else 'never'} in {counted(row.epochs or 0, 'epoch')}{runs}"


def _noise(gan: Row, cgan: Row) -> _Finding:
    """Judge by the noise level and the stray pixels: both must agree."""
    verdicts, parts = [], []
    for name in ("noise_level", "stray_pixels"):
        measure, interval = MEASURES[name], difference(gan.numbers(name), cgan.numbers(name))
        of_gan, of_cgan = (show(measure.scale * (row.mean(name) or 0.0)) for row in (gan, cgan))
        more = f", a difference of {in_words(interval, measure.scale)}" if interval else ""
        parts.append(f"{measure.name}: {of_gan} with GAN, {of_cgan} with CGAN{more}")
        verdicts.append(is_above(interval))
    return verdicts, "; ".join(parts)


def _recognisable(*rows: Row) -> _Finding:
    """Judge whether more than half of the images are recognised by a classifier that is 90 % sure.

    A smaller share is not evidence against the claim: the classifier is equally unsure of blurred real digits that people can
    still read (results/quality/sanity.json).
    """
    verdicts: list[bool | None] = []
    parts = []
    for row in rows:
        interval = mean_interval(row.numbers("recognisable"))
        verdicts.append(is_above(interval, 0.5) or None)
        share = in_words(interval, 100) if interval else show(100 * (row.mean("recognisable") or 0.0))
        parts.append(f"{row.family.upper()}: {share}")
    because = f"% of images that a classifier gives 90% or more for one digit: {', '.join(parts)}"
    if min(len(row.records) for row in rows) >= FEWEST and None in verdicts:
        doubt = "half or less is no proof that people cannot read them: it gives no more to real digits that are blurred"
        return [], f"{because}; {doubt}"
    return verdicts, because


def _best(*rows: Row) -> _Finding:
    """Judge the best configuration: better images first, then speed."""
    seconds = {row.configuration: row.middle("training_seconds") or 0.0 for row in rows}
    gan, cgan = _most(rows, "noise_level")
    interval = difference(gan.numbers(FRECHET), cgan.numbers(FRECHET))
    images = f"GAN's Fréchet distance minus CGAN's is {in_words(interval)}"
    if interval is None:
        reason = _unmeasured([gan, cgan], FRECHET)
        runs = cannot_be_told(len(gan.numbers(FRECHET)), len(cgan.numbers(FRECHET)))
        images = f"which images are better {f'cannot be told ({reason})' if reason else runs}"
    because = f"{title(min(seconds, key=seconds.__getitem__))} is through first ({show(min(seconds.values()))} s); {images}"
    return [is_above(interval), seconds["cgan-gpu"] < seconds["cgan-cpu"]], because


def when_to_stop(records: Sequence[Record]) -> Table:
    """Compare each run's epoch of balance with the epoch after which its quality no longer improved."""
    lines = []
    for record in records:
        plateau, reached, done = quality.plateau(record), balance(record), f"in {record.epochs_done:,}"
        lines.append(
            {
                "run": record.name,
                "balance at epoch": NO_BAND if reached is None else reached.epoch or f"never {done}",
                "quality no longer improved after epoch": plateau.epoch or f"not yet {done}"
                if plateau
                else quality.NOT_MEASURED,
                "best Fréchet distance": f"{show(plateau.best)} at epoch {plateau.best_epoch:,}" if plateau else None,
            }
        )
    return table(lines or [{"run": "none yet"}], "When to stop: the paper's balance, and quality")


def timing(record: Record) -> str | None:
    """Compare the epoch of balance with the plateau, after which the Fréchet distance no longer improved (quality.plateau).

    RIGHT: within one evaluation of the plateau. EARLY or LATE: farther away. NEVER: no balance, but a plateau. If quality
    still improved at the end, the plateau is in the run's last fifth or later, and a balance long before that is EARLY. None:
    the run cannot decide, or its quality was not measured.
    """
    plateau, reached = quality.plateau(record), balance(record)
    if plateau is None or reached is None:
        return None
    if reached.epoch is None:
        return NEVER if plateau.epoch else None
    epochs = quality.curve(record).epoch.astype(int).tolist()
    stop = plateau.epoch or next(epoch for epoch in epochs if epoch > epochs[-1] * (1 - SETTLED))
    apart = max(later - earlier for earlier, later in itertools.pairwise([0, *epochs]) if stop in (earlier, later))
    if reached.epoch < stop - apart:
        return EARLY
    if plateau.epoch is None:
        return None
    return LATE if reached.epoch > stop + apart else RIGHT


def balance_answer(records: Sequence[Record]) -> str:
    """Say in one sentence whether the paper's balance rule finds the moment to stop, from runs with measured quality.

    Runs with a loss that has no balance are left out.
    """
    unknown = "Whether the paper's balance rule finds the moment to stop cannot be told"
    measured = [record for record in records if balance(record) is not None and quality.plateau(record)]
    if not measured:
        return f"{unknown}: quality was not measured in any of these runs."
    timings = Counter(timing(record) for record in measured)
    silent = timings.pop(None, 0)
    telling, runs = timings.total(), f"{len(measured)} run{'' if len(measured) == 1 else 's'}"
    if not telling:
        return f"{unknown}: quality still improved at the end of {runs}, without a balance long before."
    numbers = (
        f"of {runs} with quality measured {telling} can tell, and their balance "
        f"came before quality stopped improving in {timings[EARLY]}, within one evaluation of that epoch in {timings[RIGHT]}, "
        f"later in {timings[LATE]} and never in {timings[NEVER]}"
    )
    if silent:
        numbers += f"; in the remaining {silent} quality was still improving at the end, without a balance long before"
    if telling < FEWEST:
        return f"{unknown}, for that takes {FEWEST} runs: {numbers}."
    does = "finds" if timings[RIGHT] else "does not find"
    at_times = " at times" if 0 < timings[RIGHT] < telling else ""
    return f"The paper's balance rule {does} the moment to stop{at_times}: {numbers}."
