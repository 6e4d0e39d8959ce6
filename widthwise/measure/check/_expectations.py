"""The lines of a coordinate check: each quantity's slope beside what is expected of it, and what exponents predict.

Expectations come from what training should do; predictions decide nothing.
"""

import math
from typing import Any

import jax
import numpy as np

from ...algorithms import AbstractAlgorithm, PredictiveCoding, TargetPropagation, TiedFeedback
from ...network import Built
from ...parameterizations import OWN, Parameterization, Role
from ...theory import predicted_depth_slopes, predicted_errors, predicted_slopes, predicted_vectors
from .._feedback_movement import predicted_feedback_slopes
from .._layer_response import roles_of
from .._slopes import log_slope
from ._result import MOST_MOVEMENT, Line

TOLERANCE = 0.05
LARGEST_ERROR = 0.03
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
        "fixed_prediction": isinstance(algorithm, PredictiveCoding) and algorithm.fixed_prediction,
        "feedback": _feedback(algorithm),
    }


def _roles(built: Built) -> set[Role]:
    return {leaf.role for leaf in jax.tree.leaves(built.scalings)}


def _feedback(algorithm: AbstractAlgorithm) -> str | None:
    """How targets come down, as the exponents count it; None where none do."""
    if not isinstance(algorithm, TargetPropagation):
        return None
    return "tied" if isinstance(algorithm.feedback, TiedFeedback) else "batch"


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
    algorithm: Any,
    table: Parameterization,
    richness: float,
) -> tuple[Line, ...]:
    """The verdicts of errors, of feedback that learns, and of biases, gains and offsets."""
    lines, counted = [], _counted(built, algorithm)
    own = table.algorithm == OWN
    expected = _expected_error(algorithm, table, richness)
    if expected is not None and "error" in found[0]:
        for index, by_table in enumerate(predicted_errors(table, **counted)):
            rows = [one["error"][:, index] for one in found]
            lines.append(_line("error", index + 1, sizes, rows, expected, by_table, math.nan, TOLERANCE))
    if "feedback" in found[0]:
        ways = predicted_feedback_slopes(table, algorithm.feedback.optimizer)
        layers = found[0]["feedback"][0].shape[-1]
        for index in range(layers):
            rows = [one["feedback"][0][:, 0, index] for one in found]
            moved = float(np.median(found[0]["feedback"][1][:, 0, index]))
            part = "output" if index == layers - 1 else "hidden"
            lines.append(_line("feedback", index + 2, sizes, rows, 0.0, ways[part], moved, LOOSE_TOLERANCE))
    vectors: dict[Role, Any] = {} if own else predicted_vectors(table, **counted)
    for role in found[0].get("vectors", {}):
        with np.errstate(divide="ignore"):
            means = [np.exp(np.log(one["vectors"][role][:, 0]).mean(axis=-1)) for one in found]
        wanted = 0.0 if role is Role.OUTPUT_BIAS else richness - 0.5
        layer = _first_layer(built, role)
        by_table = vectors.get(role, math.nan)
        lines.append(_line(str(role), layer, sizes, means, wanted, by_table, math.nan, TOLERANCE))
    return tuple(lines)


def _expected_error(algorithm: Any, table: Parameterization, richness: float) -> float | None:
    """d log RMS(e_l) / d log M where the table is right; None where nothing is known to say so."""
    if table.algorithm == OWN or _feedback(algorithm) == "tied":
        return None
    if isinstance(algorithm, TargetPropagation):
        return 0.0
    if not isinstance(algorithm, PredictiveCoding):
        return None
    if algorithm.precision_cap is not None or algorithm.activity_decay is not None:
        return None
    bounded = math.inf if algorithm.fixed_prediction else 2 * richness
    return min(-float(table.gamma_bar), bounded) - 0.5 - richness


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
) -> Line:
    """One verdict; rows are all seeds' values, one a size; `moved`: NaN where nothing needs to; `most`: NaN for any."""
    slope, error = log_slope(sizes, np.stack(rows, axis=1))
    within = abs(slope - expected) <= max(tolerance, 2 * error)
    enough = (math.isnan(moved) and quantity not in MOVES) or moved >= LEAST_MOVEMENT
    moves = enough and not most >= MOST_MOVEMENT
    sure = error <= LARGEST_ERROR
    return Line(
        quantity, layer, slope, error, expected, float(by_table), moved,
        passed=bool(within and moves and sure), uncertain=bool(within and moves and not sure), movement_max=most,
    )  # fmt: skip
