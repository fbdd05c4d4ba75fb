"""Numbers and names in words, for people: three significant digits, durations, the nearest known name."""

import difflib
import math
from collections.abc import Iterable
from numbers import Integral, Real
from typing import Any

from gan_lib.errors import GanLibError


def show(value: Any) -> str:
    """Format a value: at most three significant digits for a measured number, whole counts in full, a dash for None."""
    if value is None or (isinstance(value, Real) and math.isnan(value)):
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Integral):
        return f"{int(value):,}"
    if isinstance(value, Real):
        number = float(f"{float(value):.3g}")
        if number == 0 or 1e-4 <= abs(number) < 1e15:
            digits = max(0, 2 - math.floor(math.log10(abs(number)))) if number else 0
            return f"{number:,.{digits}f}"
        return f"{number:.3g}"
    return str(value)


def exact(value: float) -> str:
    """A published or counted number, with all its digits."""
    return f"{value:,}".removesuffix(".0")


def counted(count: int, noun: str) -> str:
    """ "1 epoch", "1,200 epochs"."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def duration(seconds: float) -> str:
    """A length of time: "45 s", "3 min 20 s", "2 h 5 min"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def shorten(value: object, limit: int = 80) -> str:
    """repr() of a user's value, cut so that an error stays one readable line."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # an integer with thousands of digits, a deeply nested list
        text = f"{type(value).__name__} beyond all measure"
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def first_line(error: BaseException) -> str:
    """The first line of an error's text, or its kind when it has none."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def one_line(error: BaseException) -> str:
    """An error in one line for a record: our own as it is, a file's by its name, others by their kind."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename or 'a file'}: {error.strerror}"
    text = first_line(error)
    return text if isinstance(error, GanLibError) else f"{type(error).__name__}: {text}".removesuffix(": ")


def nearest(name: str, known: Iterable[str]) -> str:
    """Return ": did you mean 'epochs'?", or the known names if none is near."""
    names = list(known)
    if not names:
        return ": there are none yet"
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    for known_name in () if close or len(name) < 2 else names:  # lr, beta1
        words = known_name.split("_")
        if name in words or name == "".join(word[0] for word in words if word):
            close = [known_name]
            break
    return f": did you mean {close[0]!r}?" if close else f": choose from {', '.join(names)}"


def printable(value: object) -> str:
    """Escape control characters, line ends and text direction marks, which could act on a terminal."""
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in str(value))
