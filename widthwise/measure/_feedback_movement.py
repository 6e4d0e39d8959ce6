"""How far feedback that learns moves: the forward pass cannot see a wrong feedback table, this can.

RMS(g_l(z_l) after − before) over the forward states z_l at the start,   l = 2 … L
"""

from fractions import Fraction

from jaxtyping import Array, Float

from ..algorithms import Learner
from ..network import States, around, each
from ..parameterizations import Parameterization, Role
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


def predicted_feedback_slopes(table: Parameterization, optimizer: str) -> dict[str, Fraction]:
    """d log RMS(ΔQ_l z_l) / d log M of the hidden layers' and the readout's feedback, where states keep their size.

    −C + n,   n = 1 where the fan-in of Q grows: entries of z_{l-1} − Q z_l and of z_l are of order one

    **Arguments:** `table`; `optimizer`: of the feedback, `"sgd"` or `"adam"`.
    """

    def slope(role: Role) -> Fraction:
        letters = table.scalings[role].letters(role)
        step = letters["c"] + (2 if optimizer == "sgd" else 1) * letters["a"]
        return int(role.grows_with_fan_in) - step

    return {"hidden": slope(Role.FEEDBACK), "output": slope(Role.FEEDBACK_OUTPUT)}
