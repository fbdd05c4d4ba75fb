"""A comparison in words: a few sentences, and the paper's claims, each held against the number that decides it."""

import statistics

import pandas as pd

from gan_lib import paper, quality_claims
from gan_lib.answers import FAILS, HOLDS, UNKNOWN, Claim, answer, cannot_be_told, in_words, is_above
from gan_lib.balance import WINDOW, roughness
from gan_lib.intervals import difference
from gan_lib.selection import REFERENCE, Comparison, Row, papers_own
from gan_lib.tables import TITLES, Table
from gan_lib.words import show


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
    best = quality_claims.best_images(rows)
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
        quality_claims.noise(at_paper_length),
        quality_claims.recognisable(at_paper_length),
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
    better, images = quality_claims.better_model(rows)
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
