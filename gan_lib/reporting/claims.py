"""A comparison in words: a few sentences, and the paper's claims, each held against the number that decides it."""

import itertools
import statistics
from collections import Counter
from collections.abc import Sequence
from statistics import mean
from typing import Any

import pandas as pd

from gan_lib import paper
from gan_lib.quality.measures import FRECHET
from gan_lib.reporting import quality
from gan_lib.reporting.comparison import REFERENCE, Comparison, Row, papers_own
from gan_lib.reporting.convergence import NO_BAND, SETTLED, WINDOW, balance, roughness
from gan_lib.reporting.stats import (
    FAILS,
    FEWEST,
    HOLDS,
    UNKNOWN,
    Claim,
    answer,
    cannot_be_told,
    difference,
    in_words,
    is_above,
    mean_interval,
)
from gan_lib.reporting.tables import TITLES, Table, table
from gan_lib.runs.record import Record
from gan_lib.text import show


def sentences(rows: Comparison) -> list[str]:
    """The verdict: fastest, cheapest, best images, and what could not be judged, with numbers."""
    measured = [row for row in rows.values() if row.records]
    missing = [row for row in rows.values() if not row.records]
    if not measured:
        return ["Nothing can be said yet: no run is finished. Run `gan-lib run` first."]
    fastest = min(measured, key=lambda row: row.middle("seconds_per_epoch") or float("inf"))
    cheapest = min(measured, key=_usd)
    instance = paper.INSTANCES[cheapest.named_machine].name
    published = "it has no such model"
    if fastest.published:
        published = f"{show(fastest.published.seconds_per_epoch)} s on {paper.INSTANCES[fastest.named_machine].name}"
    said = [
        f"Fastest is {_name(fastest)} with {show(fastest.middle('seconds_per_epoch'))} s per epoch (the paper: {published}).",
        f"Cheapest, were the instances that the configurations are named after as fast as the machines used here, would be "
        f"{_name(cheapest)}: its {cheapest.epochs:,} epochs would cost {show(_usd(cheapest))} USD on {instance}.",
    ]
    best = best_images(rows)
    unsaid = [] if best else ["how good the images are is left to your eye (Table 6): quality was not measured"]
    if missing:
        names = " and ".join(TITLES[row.configuration] for row in missing)
        reasons = "; ".join(sorted({row.missing for row in missing}))
        unsaid.append(f"nothing can be said of {names} ({reasons})")
    told = ", and ".join(unsaid)
    return [*said, *([best] if best else []), *([f"{told[0].upper()}{told[1:]}."] if told else [])]


def claims(rows: Comparison, at_paper_length: Comparison) -> list[Claim]:
    """The paper's claims. Those about balance, the course of the losses, images and the best configuration are judged on runs
    of the paper's schedule only."""
    rows, at_paper_length = papers_own(rows), papers_own(at_paper_length)
    return [
        _gpu_speed(rows["gan-cpu"], rows["gan-gpu"]),
        _gpu_speed(rows["cgan-cpu"], rows["cgan-gpu"]),
        _smaller_yet_slower(rows),
        _quarter_of_the_epochs(at_paper_length),
        _scatter(at_paper_length),
        _in_band_by_200(at_paper_length),
        noise(at_paper_length),
        recognisable(at_paper_length),
        _best(at_paper_length),
    ]


def claims_table(found: list[Claim]) -> Table:
    """The claims as a table."""
    frame = pd.DataFrame(found, columns=["the paper's claim", "answer", "because"])
    return Table(frame, "The paper's claims, one by one")


def _gpu_speed(cpu: Row, gpu: Row) -> Claim:
    factor = paper.GPU_SPEEDUP[cpu.model]
    claim = f"{cpu.model.upper()} trains {factor} times faster on the GPU machine"
    here = _ratio(cpu, gpu, "seconds_per_epoch")
    if here is None:
        return Claim(claim, UNKNOWN, _needs(cpu, gpu))
    return Claim(claim, HOLDS if here >= factor else FAILS, f"{show(here)} times faster on {_where(gpu)} than on {_where(cpu)}")


def _smaller_yet_slower(rows: Comparison) -> Claim:
    gan, cgan = rows["gan-cpu"], rows["cgan-cpu"]
    claim = "CGAN has fewer parameters than GAN and yet takes longer for an epoch"
    here = _ratio(cgan, gan, "seconds_per_epoch")
    if here is None:
        return Claim(claim, UNKNOWN, _needs(gan, cgan))
    if gan.machine != cgan.machine:
        return Claim(claim, UNKNOWN, f"GAN was measured on {gan.machine}, CGAN on {cgan.machine}")
    sizes = [int(row.middle("parameters") or 0) for row in (cgan, gan)]
    published = paper.RESULTS["cgan-cpu"].seconds_per_epoch / paper.RESULTS["gan-cpu"].seconds_per_epoch
    answer = HOLDS if sizes[0] < sizes[1] and here > 1 else FAILS
    return Claim(
        claim,
        answer,
        f"{sizes[0]:,} against {sizes[1]:,} parameters, {show(here)} times the seconds (paper: {show(published)})",
    )


def _quarter_of_the_epochs(rows: Comparison) -> Claim:
    claim = "CGAN is balanced in a quarter of GAN's epochs (300 against 1,200)"
    gan, cgan = _most_runs(rows, "gan"), _most_runs(rows, "cgan")
    if not gan.records or not cgan.records:
        return Claim(claim, UNKNOWN, _needs(gan, cgan) + ", at the paper's length")
    gan_epoch, cgan_epoch = gan.balance_epoch(), cgan.balance_epoch()
    words = f"GAN {_when(gan, gan_epoch)}, CGAN {_when(cgan, cgan_epoch)}"
    if cgan_epoch is None:
        # Without a band to be in there is no quarter of it; GAN alone in the band would speak against the claim.
        return Claim(claim, UNKNOWN if gan_epoch is None else FAILS, words)
    bound = gan_epoch if gan_epoch is not None else gan.epochs or 0
    return Claim(claim, HOLDS if cgan_epoch <= bound / 4 else FAILS, words)


def _scatter(rows: Comparison) -> Claim:
    claim = "GAN's losses run in a narrow band, CGAN's jump over a wide one"
    gan, cgan = _most_runs(rows, "gan"), _most_runs(rows, "cgan")
    if not gan.records or not cgan.records:
        return Claim(claim, UNKNOWN, _needs(gan, cgan) + ", at the paper's length")
    narrow, wide = ([roughness(record.history["generator_loss"]) for record in row.records] for row in (gan, cgan))
    found = difference(wide, narrow)
    given = answer([is_above(found)])
    words = (
        f"G's loss strays {show(statistics.mean(wide))} from its mean over {WINDOW} epochs with CGAN, "
        f"{show(statistics.mean(narrow))} with GAN (median over the epochs)"
    )
    words += f"; a difference of {in_words(found)}" if found else ""
    return Claim(claim, given, words + (f"; {cannot_be_told(len(wide), len(narrow))}" if given == UNKNOWN else ""))


def _in_band_by_200(rows: Comparison) -> Claim:
    claim = "CGAN is inside the balance band by epoch 200"
    cgan = _most_runs(rows, "cgan")
    if not cgan.records:
        return Claim(claim, UNKNOWN, _needs(cgan) + ", at the paper's length")
    epoch = cgan.balance_epoch()
    balances = cgan.balances()
    nearest = min(balances, key=lambda balance: balance.nearest_distance or 0.0)
    missed = all(balance.epoch is None for balance in balances) and nearest.nearest_epoch is not None
    detail = f"; nearest at epoch {nearest.nearest_epoch}, {show(nearest.nearest_distance)} outside" if missed else ""
    return Claim(claim, HOLDS if epoch is not None and epoch <= 200 else FAILS, f"CGAN {_when(cgan, epoch)}{detail}")


def _best(rows: Comparison) -> Claim:
    claim = "CGAN on the GPU machine is the best configuration"
    if absent := [row for row in rows.values() if not row.records]:
        return Claim(claim, UNKNOWN, _needs(*absent))
    seconds = {row.configuration: row.middle("training_seconds") or 0.0 for row in rows.values()}
    quickest = min(seconds, key=lambda name: seconds[name])
    first = f"{TITLES[quickest]} is through first ({show(seconds[quickest])} s)"
    better, images = better_model(rows)
    speaks = [better, seconds["cgan-gpu"] < seconds["cgan-cpu"]]  # the better images first, and of those the quicker
    return Claim(claim, answer(speaks), f"{first}; {images}")


def _name(row: Row) -> str:
    return f"{TITLES[row.configuration].partition(',')[0]} on {_where(row)}"


def _where(row: Row) -> str:
    return row.machine + (" (reference run)" if row.origin == REFERENCE else "")


def _usd(row: Row) -> float:
    seconds = row.middle("training_seconds")
    return float("inf") if seconds is None else seconds / 3600 * paper.INSTANCES[row.named_machine].usd_per_hour


def _ratio(above: Row, below: Row, name: str) -> float | None:
    top, bottom = above.middle(name), below.middle(name)
    return top / bottom if top and bottom else None


def _needs(*rows: Row) -> str:
    return "no run of " + " or ".join(TITLES[row.configuration] for row in rows if not row.records)


def _most_runs(rows: Comparison, model: str) -> Row:
    """The row of a model to judge its losses by: they do not depend on the machine, so either will do."""
    both = [row for row in rows.values() if row.model == model]
    return max(both, key=lambda row: len(row.records))


def _when(row: Row, epoch: int | None) -> str:
    reached = sum(balance.epoch is not None for balance in row.balances())
    runs = "" if len(row.records) == 1 else f" ({f'{reached} of ' if reached else ''}{len(row.records)} runs)"
    if epoch is not None:
        return f"reached it at epoch {epoch:,}{runs}"
    return f"{'not' if reached else 'never'} in {row.epochs:,} epochs{runs}"


_UNITS = {"noise_level": ("noise level, % of black to white", 100), "stray_pixels": ("stray pixels an image", 1)}


def noise(rows: Comparison) -> Claim:
    """Are GAN's images noisier than CGAN's? Both the noise level and the stray pixels have to say so."""
    claim = "GAN's images carry more noise and stray pixels than CGAN's"
    gan, cgan = most_measured(rows, "gan"), most_measured(rows, "cgan")
    if absent := _absent(gan, cgan):
        return Claim(claim, UNKNOWN, absent)
    verdicts, said = [], []
    for name, (words, scale) in _UNITS.items():
        ours, theirs = quality.values(gan, name), quality.values(cgan, name)
        found = difference(ours, theirs)
        verdicts.append(is_above(found))
        said.append(f"{words}: {show(scale * mean(ours))} with GAN, {show(scale * mean(theirs))} with CGAN")
        if found is not None:
            said[-1] += f", a difference of {in_words(found, scale)}"
    given = answer(verdicts)
    runs = [len(quality.values(row, "noise_level")) for row in (gan, cgan)]
    return Claim(claim, given, "; ".join([*said, *([cannot_be_told(*runs)] if given == UNKNOWN else [])]))


def recognisable(rows: Comparison) -> Claim:
    """Can most images of both models be recognised? More than half, by a classifier that is 90 % sure.

    A smaller share speaks against nothing: the classifier is as unsure of real digits that people still read, once they are
    blurred (results/quality/sanity.json).
    """
    claim = "Most digits of both models can be recognised"
    both = [most_measured(rows, model) for model in ("gan", "cgan")]
    if absent := _absent(*both, name="recognisable"):
        return Claim(claim, UNKNOWN, absent)
    verdicts, said, runs = [], [], []
    for row in both:
        shares = quality.values(row, "recognisable")
        found = mean_interval(shares)
        verdicts.append(is_above(found, 0.5) or None)
        runs.append(len(shares))
        percent = show(100 * mean(shares)) if found is None else in_words(found, 100)
        said.append(f"{row.model.upper()}: {percent}")
    given = answer(verdicts)
    numbers = f"% of images that a classifier gives 90% or more for one digit: {', '.join(said)}"
    if given == HOLDS:
        return Claim(claim, given, numbers)
    doubt = "half or less is no proof that people cannot read them: it gives no more to real digits that are blurred"
    return Claim(claim, given, f"{numbers}; {cannot_be_told(*runs) if min(runs) < FEWEST else doubt}")


def best_images(rows: Comparison) -> str | None:
    """The sentence that names the configuration with the best images; None where none was measured."""
    measured = {name: distances for name, row in rows.items() if (distances := quality.values(row, FRECHET))}
    if not measured:
        return None
    order = sorted(measured, key=lambda name: mean(measured[name]))
    best = order[0]
    ground = quality.row_floor(rows[best], FRECHET)
    said = (
        f"Best images: {_kind_and_machine(rows[best])}, at a Fréchet distance of {show(mean(measured[best]))}"
        f"{f' where real digits are at {show(ground)}' if ground is not None else ''} "
        f"({_length(rows[best])}n = {len(measured[best])})"
    )
    others = [name for name in order[1:] if _kind(name) != _kind(best)]  # the machine does not change the images
    if not others:
        return f"{said}; no other model was measured."
    next_best = others[0]
    found = difference(measured[next_best], measured[best])
    numbers = (
        f"{TITLES[next_best]} is at {show(mean(measured[next_best]))} "
        f"({_length(rows[next_best])}n = {len(measured[next_best])})"
    )
    if found is not None and is_above(found):
        return f"{said}; {numbers}, worse by {in_words(found)}."
    return (
        f"{said}; {numbers}, and whether that is a difference {cannot_be_told(len(measured[next_best]), len(measured[best]))}."
    )


def better_model(rows: Comparison) -> tuple[bool | None, str]:
    """Whether CGAN's images are better than GAN's, by Fréchet distance, and the numbers; None where it cannot be told."""
    gan, cgan = most_measured(rows, "gan"), most_measured(rows, "cgan")
    if absent := _absent(gan, cgan, name=FRECHET):
        return None, f"which images are better cannot be told ({absent})"
    theirs, ours = quality.values(gan, FRECHET), quality.values(cgan, FRECHET)
    found = difference(theirs, ours)
    if found is None:
        return None, f"which images are better {cannot_be_told(len(theirs), len(ours))}"
    return is_above(found), f"GAN's Fréchet distance minus CGAN's is {in_words(found)}"


def most_measured(rows: Comparison, model: str) -> Row:
    """The row of a model with the most measured runs: images do not depend on the machine, so either will do."""
    return max((row for row in rows.values() if row.model == model), key=lambda row: len(quality.values(row, "noise_level")))


def _absent(*rows: Row, name: str = "noise_level") -> str:
    """Why there is nothing to judge by; "" where there is."""
    return "; ".join(
        f"{TITLES[row.configuration]}: {quality.why_missing(row)}" for row in rows if not quality.values(row, name)
    )


def _kind(configuration: str) -> str:
    """ "GAN", "CGAN", "WGAN" or "CWGAN": network and loss."""
    return TITLES[configuration].partition(",")[0]


def _length(row: Row) -> str:
    """ "reference run, 1,200 epochs, ": what else decides how good images are."""
    return f"{'reference run, ' if row.origin == REFERENCE else ''}{row.epochs:,} epochs, "


def _kind_and_machine(row: Row) -> str:
    return f"{_kind(row.configuration)} on {row.machine}"


RIGHT, EARLY, LATE, NEVER = "right", "early", "late", "never"


def when_to_stop(records: Sequence[Record]) -> Table:
    """For each run with quality: the epoch of the paper's balance beside the one after which quality no longer improved."""

    def line(record: Record) -> dict[str, Any]:
        found = quality.plateau(record)
        best = None if found is None else f"{show(found.best)} at epoch {found.best_epoch:,}"
        stopped: Any = quality.NOT_MEASURED if found is None else found.epoch or f"not yet in {record.epochs_done:,}"
        balance = NO_BAND if not record.config.band else _balance(record) or f"never in {record.epochs_done:,}"
        return {
            "run": record.name,
            "balance at epoch": balance,
            "quality no longer improved after epoch": stopped,
            "best Fréchet distance": best,
        }

    listed = [line(record) for record in records]
    return table(listed or [{"run": "none yet"}], "When to stop: the paper's balance, and quality")


def timing(record: Record) -> str | None:
    """How the run's balance lies to the epoch after which its Fréchet distance no longer improved (plateau.find_plateau).

    RIGHT: within one evaluation of it. EARLY or LATE: farther from it. NEVER: no balance, though quality stopped improving.
    Where quality was still improving at the end, that epoch is known to be in the run's last fifth at the earliest, and a
    balance long before is EARLY. None: the run does not show it, or its quality was not measured.
    """
    found = quality.plateau(record)
    if found is None:
        return None
    balance = _balance(record)
    epochs = quality.curve(record).epochs
    stop = found.epoch or next(epoch for epoch in epochs if epoch > epochs[-1] * (1 - SETTLED))
    if balance is None:
        return NEVER if found.epoch else None
    apart = max(later - earlier for earlier, later in itertools.pairwise([0, *epochs]) if stop in (earlier, later))
    if balance < stop - apart:
        return EARLY
    if found.epoch is None:
        return None
    return LATE if balance > stop + apart else RIGHT


def balance_answer(records: Sequence[Record]) -> str:
    """Does the paper's balance rule find the moment to stop? One sentence, from the runs whose quality was measured.

    Runs with a Wasserstein loss have no balance, and are left out.
    """
    question = "Whether the paper's balance rule finds the moment to stop"
    measured = [record for record in records if record.config.band and quality.plateau(record)]
    if not measured:
        return f"{question} cannot be told: quality was not measured in any of these runs."
    found = Counter(timing(record) for record in measured)
    silent = found.pop(None, 0)
    told = found.total()
    runs = f"{len(measured)} run{'' if len(measured) == 1 else 's'}"
    if not told:
        return f"{question} cannot be told: quality still improved at the end of {runs}, without a balance long before."
    numbers = (
        f"of {runs} with quality measured {told} can tell, and their balance "
        f"came before quality stopped improving in {found[EARLY]}, within one evaluation of that epoch in {found[RIGHT]}, "
        f"later in {found[LATE]} and never in {found[NEVER]}"
    )
    if silent:
        numbers += f"; in the remaining {silent} quality was still improving at the end, without a balance long before"
    if told < FEWEST:
        return f"{question} cannot be told, for that takes {FEWEST} runs: {numbers}."
    if found[RIGHT] == told:
        return f"The paper's balance rule finds the moment to stop: {numbers}."
    if not found[RIGHT]:
        return f"The paper's balance rule does not find the moment to stop: {numbers}."
    return f"The paper's balance rule finds the moment to stop at times: {numbers}."


def _balance(record: Record) -> int | None:
    return reached.epoch if (reached := balance(record)) else None
