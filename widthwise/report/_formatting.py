"""Names and numbers as a reader wants them."""

import math
from fractions import Fraction

NAMES = {
    "pc": "PC", "bp": "BP", "fa": "FA", "dfa": "DFA", "tp": "TP", "dtp": "DTP", "ep": "EP",
    "sp": "SP", "mup": "muP", "ntp": "NTP", "mupc": "muPC",
    "mupc_constant": "muPC constant", "mupc_uniform": "muPC uniform",
    "sgd": "SGD", "adam": "Adam", "adamw": "AdamW",
}  # fmt: skip
NONE = "–"
MINUS = "−"
# An exponent's text is never longer, nor a power of ten, whose digits `Fraction` would all compute.
LONGEST = 40


def name(raw: object) -> str:
    """The usual spelling of an acronym; any other name as it is."""
    return NAMES.get(str(raw), str(raw))


def label(*parts: object) -> str:
    """Names joined, like `PC, muP, SGD`."""
    return ", ".join(name(part) for part in parts)


def number(value: float | None) -> str:
    """A number to three significant digits, with a true minus sign; a dash where there is none."""
    return NONE if value is None else f"{value:#.3g}".rstrip(".").replace("-", MINUS)


def power(value: float) -> str:
    """A number as a power of ten, like `3.0e-3`."""
    mantissa, exponent = f"{value:.1e}".split("e")
    return f"{mantissa}e{int(exponent)}"


def decimal(value: float | None, places: int = 2, sign: bool = False) -> str:
    """A number to so many decimal places, never a negative zero."""
    if value is None:
        return NONE
    rounded = round(value, places) + 0.0
    return f"{rounded:{'+' if sign and rounded else ''}.{places}f}".replace("-", MINUS)


def with_error(value: float | None, error: float | None, places: int = 2, sign: bool = False) -> str:
    """A value with its standard error where both exist."""
    if value is None or error is None:
        return decimal(value, places, sign)
    return f"{decimal(value, places, sign)} ± {decimal(error, places)}"


def percent(fraction: float | None) -> str:
    """A fraction in percent, with two significant digits."""
    if fraction is None:
        return NONE
    percents = 100 * fraction
    places = 0 if abs(percents) >= 10 else 1
    return f"{decimal(percents, places)} %"


def octaves(value: float) -> str:
    """A distance in octaves, like `0.2 octave` or `3.3 octaves`."""
    text = decimal(abs(value), 1)
    return f"{text} octave{'s' if float(text) > 1 else ''}"


def exponent(value: object) -> str:
    """An exponent as a fraction, like `−1/2`; text that is no number stays as it is."""
    if value is None:
        return NONE
    text = str(value)
    if len(text) > LONGEST or "e" in text.lower():
        return text
    try:
        exact = Fraction(text).limit_denominator(1000)
    except (ValueError, ZeroDivisionError):
        return text
    return str(exact).replace("-", MINUS)


def duration(seconds: float | None) -> str:
    """A wall time, like `3 h 02 min`, `4 min 05 s` or `7.5 s`."""
    if seconds is None or not math.isfinite(seconds):
        return NONE
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, left = divmod(minutes, 60)
    return f"{hours} h {left:02d} min" if hours else f"{minutes} min {rest:02d} s"


def listed(items: list) -> str:
    """Items as a phrase, like `64, 128 and 256`."""
    words = [str(item) for item in items]
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
