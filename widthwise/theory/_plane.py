"""Where a parameterization lies in the plane of richness and gauge, read from its exponents alone.

Tables whose output changes by order one and whose representations all move as M^(r − 1/2) form a line, r from 0 (lazy)
to 1/2 (rich); gauge moves carry each point of it along axes, one for every tensor, that training cannot see. All else
is unstable as the width grows, or leaves layers behind.

Source: arXiv 2404.19719; docs/theory.md A1.
"""

from fractions import Fraction
from typing import NamedTuple

from ..parameterizations import Parameterization, Role
from ._exponents import HALF, ZERO, predicted_slopes


class Place(NamedTuple):
    """A table's coordinates.

    **Fields:** `richness`: r = 1/2 + slope of the last representation's movement; `gauge`: a of W = M^-a w, for input,
    hidden and output weights, 0 where all width sits in init and rate (STP); `slopes`: as `predicted_slopes` counts
    them; `verdict`: `"stable"`, `"unstable"` or `"left behind"`; `reason`: in words.
    """

    richness: Fraction
    gauge: dict[str, Fraction]
    slopes: dict[str, Fraction]
    verdict: str
    reason: str


def place(table: Parameterization, *, depth: int = 4) -> Place:
    """A table's place in the plane.

    **Arguments:** as in `predicted_slopes`. **Raises:** `InputError` for a depth below 2.

    >>> from widthwise.parameterization import parameterization
    >>> found = place(parameterization("ntp", gauge="mup"))
    >>> str(found.richness), str(found.gauge["hidden"]), found.verdict
    ('0', '1/2', 'stable')
    >>> place(parameterization("sp")).reason
    'the output changes as M^1'
    """
    slopes = predicted_slopes(table, depth=depth)
    weights = (Role.INPUT, Role.HIDDEN, Role.OUTPUT)
    gauge = {str(role): table.scalings[role].letters(role)["a"] for role in weights}
    last = slopes.get("hidden", slopes["first"])
    return Place(last + HALF, gauge, slopes, *_judged(slopes, last))


def _judged(slopes: dict[str, Fraction], last: Fraction) -> tuple[str, str]:
    """Verdict and reason; where several things go wrong, the gravest."""
    first, output = slopes["first"], slopes["output"]
    if output > ZERO:
        return "unstable", f"the output changes as M^{output}"
    if max(first, last) > ZERO:
        return "unstable", f"representations move as M^{max(first, last)}"
    if output < ZERO:
        return "left behind", f"the output changes as M^{output}"
    if first != last:
        return "left behind", f"the first representation moves as M^{first}, the last as M^{last}"
    if last < -HALF:
        return "left behind", f"representations move as M^{last}, too little for the output to learn from them"
    regime = {ZERO: "rich: representations move as M^0", -HALF: "lazy: representations move as M^-1/2"}
    return "stable", regime.get(last, f"between lazy and rich: representations move as M^{last}")
