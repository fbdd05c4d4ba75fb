"""What measured quality says of the paper's claims about images, and which images are best: from intervals over the seeds."""

from statistics import mean

from gan_lib import quality
from gan_lib.answers import HOLDS, UNKNOWN, Claim, answer, cannot_be_told, in_words, is_above
from gan_lib.intervals import FEWEST, difference, mean_interval
from gan_lib.quality import FRECHET
from gan_lib.selection import REFERENCE, Comparison, Row
from gan_lib.tables import TITLES
from gan_lib.words import show

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
        f"Best images: {_name(rows[best])}, at a Fréchet distance of {show(mean(measured[best]))}"
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


def _name(row: Row) -> str:
    return f"{_kind(row.configuration)} on {row.machine}"
