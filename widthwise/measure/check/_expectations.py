"""The lines of a coordinate check: each quantity's slope beside what is expected of it, and what exponents predict.

Expectations come from what training should do; predictions decide nothing.
"""

import math
from fractions import Fraction
from typing import Any

import jax
import numpy as np

from ...algorithms import AbstractAlgorithm
from ...network import Built
from ...parameterizations import OWN, Parameterization, Role, UpdateRule
from ...theory import own_movement, predicted_depth_slopes, predicted_errors, predicted_own_movements, predicted_slopes
from .._feedback_movement import feedback_rule
from .._layer_response import roles_of
from .._slopes import log_slope
from ._result import MOST_MOVEMENT, Line

TOLERANCE = 0.05
LARGEST_ERROR = 0.03
# Of one role's weights alone, which a wrong exponent moves by a quarter at least: one step tells less than four.
LARGEST_OWN_ERROR = 0.06
# Of feedback, whose reconstruction changes as it learns; and over depth, where everything carries a transient of
# (L − 2)/L (docs/theory.md D2).
LOOSE_TOLERANCE = 0.1
LEAST_MOVEMENT = 0.01
MOVES = ("movement", "output", "feedback")


def predicted(table: Parameterization, built: Built, algorithm: AbstractAlgorithm, deep: bool) -> dict[str, Any]:
    """The slopes that the table's exponents imply for this network; NaN for an algorithm that nothing is known of."""
    roles = _roles(built)
    if table.algorithm == OWN or (deep and Role.BRANCH not in roles):
        return dict.fromkeys(("first", "hidden", "output"), math.nan)
    bias = any(role.is_bias for role in roles)
    if deep:
        return predicted_depth_slopes(table, bias=bias)
    return predicted_slopes(table, bias=bias, **_counted(built, algorithm))


def _counted(built: Built, algorithm: AbstractAlgorithm) -> dict[str, Any]:
    """What exponents are counted for, beside the table."""
    return {
        "depth": built.network.depth,
        "residual": Role.BRANCH in _roles(built),
        "fixed_prediction": algorithm.fixed_prediction,
        "feedback": _feedback(algorithm),
    }


def _roles(built: Built) -> set[Role]:
    return {leaf.role for leaf in jax.tree.leaves(built.scalings)}


def _feedback(algorithm: AbstractAlgorithm) -> str | None:
    """How targets come down, as the exponents count it; None where none do."""
    if algorithm.feedback is None:
        return None
    return "tied" if algorithm.feedback.is_aligned else "batch"


def predicted_feedback_slopes(table: Parameterization, rule: UpdateRule) -> dict[str, Fraction]:
    """d log RMS(ΔQ_l z_l) / d log M of the hidden layers' and the readout's feedback, where states keep their size.

    −C + n under SGD and Adam, n = 1 where the fan-in of Q grows: entries of z_{l-1} − Q z_l and of z_l are of order one

    **Arguments:** `table`; `rule`: the feedback's optimizer.
    """
    zero = Fraction(0)

    def slope(role: Role) -> Fraction:
        return own_movement(table, role, zero, zero, rule)

    return {"hidden": slope(Role.FEEDBACK), "output": slope(Role.FEEDBACK_OUTPUT)}


def main_lines(
    sizes: list[int], found: list[dict[str, Any]], by_table: dict[str, Any], richness: float, deep: bool
) -> tuple[Line, ...]:
    """The verdict of every layer, the output last; over depth of the first, the last hidden layer and the output."""
    lines = []
    layers = found[0]["movement"].shape[-1]
    for index in (0, -2, -1) if deep else range(layers):
        last = index in (-1, layers - 1)
        part = "output" if last else "first" if index == 0 else "hidden"
        expected = 0.0 if last or deep else richness - 0.5
        rows = [one["movement"][:, 0, index] for one in found]
        medians = [float(np.median(one["relative"][:, 0, index])) for one in found]
        layer = index % layers + 1
        tolerance = LOOSE_TOLERANCE if deep else TOLERANCE
        quantity = "output" if last else "movement"
        # NaN is the largest of all.
        most = float(np.max(medians))
        lines.append(_line(quantity, layer, sizes, rows, expected, by_table[part], medians[0], tolerance, most))
    return tuple(lines)


def other_lines(
    sizes: list[int],
    found: list[dict[str, Any]],
    built: Built,
    algorithm: AbstractAlgorithm,
    table: Parameterization,
    richness: float,
) -> tuple[Line, ...]:
    """The verdicts of errors, of feedback that learns, and of each role's own movement."""
    lines, counted = [], _counted(built, algorithm)
    own = table.algorithm == OWN
    expected = None if own else algorithm.error_slope(richness=richness, gamma_bar=float(table.gamma_bar))
    if expected is not None and "error" in found[0]:
        for index, by_table in enumerate(predicted_errors(table, **counted)):
            rows = [one["error"][:, index] for one in found]
            lines.append(_line("error", index + 1, sizes, rows, expected, by_table, math.nan, TOLERANCE))
    if "feedback" in found[0]:
        ways = predicted_feedback_slopes(table, feedback_rule(algorithm, table))
        layers = found[0]["feedback"][0].shape[-1]
        for index in range(layers):
            rows = [one["feedback"][0][:, 0, index] for one in found]
            moved = float(np.median(found[0]["feedback"][1][:, 0, index]))
            part = "output" if index == layers - 1 else "hidden"
            lines.append(_line("feedback", index + 2, sizes, rows, 0.0, ways[part], moved, LOOSE_TOLERANCE))
    moves: dict[Role, Any] = {} if own else predicted_own_movements(table, **counted)
    for role in found[0].get("own", {}):
        with np.errstate(divide="ignore"):
            means = [np.exp(np.log(one["own"][role][:, 0]).mean(axis=-1)) for one in found]
        wanted = 0.0 if role.is_output else richness - 0.5
        layer = _first_layer(built, role)
        by_table = moves.get(role, math.nan)
        quantity = str(role) if role.is_bias or role.is_norm else f"{role} weights"
        sure = LARGEST_ERROR if quantity == str(role) else LARGEST_OWN_ERROR
        lines.append(_line(quantity, layer, sizes, means, wanted, by_table, math.nan, TOLERANCE, largest_error=sure))
    return tuple(lines)


def _first_layer(built: Built, role: Role) -> int:
    """The first layer that has arrays of a role."""
    index = next(index for index, roles in enumerate(roles_of(built)) if role in roles)
    return sum(segment.depth for segment in built.network.segments[:index]) + 1


def _line(
    quantity: str,
    layer: int,
    sizes: list[int],
    rows: list[np.ndarray],
    expected: float,
    by_table: Any,
    moved: float,
    tolerance: float,
    most: float = math.nan,
    largest_error: float = LARGEST_ERROR,
) -> Line:
    """One verdict; rows are all seeds' values, one a size; `moved`: NaN where nothing needs to; `most`: NaN for any."""
    slope, error = log_slope(sizes, np.stack(rows, axis=1))
    within = abs(slope - expected) <= max(tolerance, 2 * error)
    enough = (math.isnan(moved) and quantity not in MOVES) or moved >= LEAST_MOVEMENT
    moves = enough and not most >= MOST_MOVEMENT
    sure = error <= largest_error
    return Line(
        quantity, layer, slope, error, expected, float(by_table), moved,
        passed=bool(within and moves and sure), uncertain=bool(within and moves and not sure), movement_max=most,
    )  # fmt: skip
