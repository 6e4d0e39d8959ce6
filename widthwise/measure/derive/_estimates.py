"""From what was measured over sizes to exponents: each is corrected by its quantity's slope less the desired one."""

import dataclasses
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np

from ...network import Built
from ...parameterizations import Parameterization, Role
from .._layer_response import Found
from .._slopes import Slope
from ._rounding import settled_slope
from ._table import exponent


@dataclasses.dataclass(frozen=True)
class Axis:
    """The sizes that are varied, the other size that is not, and the suffix of the letters."""

    sizes: list[int]
    other: int | None
    suffix: str

    def built(self, build: Callable[..., Built], size: int, key: Any, table: Parameterization) -> Built:
        """The network of a size, from `build(size, key, table)` or `build(width, depth, key, table)`."""
        if self.other is None:
            return build(size, key, table)
        return build(*((self.other, size) if self.suffix else (size, self.other)), key, table)

    @property
    def name(self) -> str:
        """`"width"` or `"depth"`."""
        return "depth" if self.suffix else "width"


Estimates = dict[tuple[Role, str], Slope]


def forward_estimates(table: Parameterization, founds: list[Found], axis: Axis, r: Fraction) -> Estimates:
    """Init exponents below the readout."""
    estimates = {}
    for role in founds[0]["signal"]:
        if role.is_output or role.is_bias or role.is_norm:
            continue
        rows = [found["branches"] if axis.suffix and role.is_branch else found["signal"][role] for found in founds]
        estimates[role, "b" + axis.suffix] = _estimate(table, role, "b" + axis.suffix, axis.sizes, rows, 0.0)
    return estimates


def learning_estimates(table: Parameterization, founds: list[Found], axis: Axis, r: Fraction) -> Estimates:
    """The init exponent of the readout, and those of all rates and epsilons."""
    b, c, g = (letter + axis.suffix for letter in "bcg")
    passed = [found["passed"] for found in founds]
    answer = 0.0 if axis.suffix else 0.5 - float(r)
    estimates = {(Role.OUTPUT, b): _estimate(table, Role.OUTPUT, b, axis.sizes, passed, answer)}
    for role in founds[0]["moves"]:
        moved = [found["moves"][role] for found in founds]
        desired = 0.0 if axis.suffix or role.is_output else float(r) - 0.5
        estimates[role, c] = _estimate(table, role, c, axis.sizes, moved, desired)
        entries = size_slope(axis.sizes, [found["gradient"][role] for found in founds])
        estimates[role, g] = Slope(-entries.value, entries.error)
    return estimates


def _estimate(
    table: Parameterization, role: Role, letter: str, sizes: list[int], rows: list[np.ndarray], desired: float
) -> Slope:
    """exponent + (slope − desired)."""
    slope = size_slope(sizes, rows)
    return Slope(float(exponent(table, role, letter)) + slope.value - desired, slope.error)


def size_slope(sizes: list[int], rows: list[np.ndarray]) -> Slope:
    """The slope of the geometric mean over a role's layers; rows are (seeds,) or (seeds, layers), one a size."""
    with np.errstate(divide="ignore", invalid="ignore"):
        means = [np.exp(np.log(row).reshape(len(row), -1).mean(axis=1)) for row in rows]
    return settled_slope(sizes, np.stack(means, axis=1))
