"""How far feedback that learns moves: the forward pass cannot see a wrong feedback table, this can.

RMS(g_l(z_l) after − before) over the forward states z_l at the start,   l = 2 … L
"""

from jaxtyping import Array, Float

from ..algorithms import AbstractAlgorithm, Learner
from ..network import States, around, each
from ..parameterizations import Parameterization, UpdateRule, update_rule
from ._probe import layer_rms


def feedback_movement(
    before: Learner, after: Learner, states: States
) -> tuple[Float[Array, " layers"], Float[Array, " layers"]] | None:
    """The movement of every layer's feedback, and the same over what it should reconstruct; None where none learns.

    **Arguments:** `before`, `after`: a learner around some steps; `states`: of the forward pass before them.
    """
    old, new = before.feedback, after.feedback
    if old is None or new is None or not old.segments:
        return None
    moved, own = [], []
    for first, last, x, z in zip(old.segments, new.segments, *around(states), strict=True):
        was, now = (each(lambda g, z: g(z), segment, z) for segment in (first, last))
        moved.append(now - was)
        own.append(x)
    movement = layer_rms(tuple(moved))
    return movement, movement / layer_rms(tuple(own))


def feedback_rule(algorithm: AbstractAlgorithm, table: Parameterization) -> UpdateRule:
    """The row of a feedback's own optimizer; the table's where no weights learn."""
    way = algorithm.feedback
    return table.rule if way is None or way.optimizer is None else update_rule(way.optimizer)
