"""The way down: for every stage above the first a map from its state to the state below it.

g_l: z_l -> z_{l-1},   l = 2 … L
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray, PyTree

from .._errors import InputError
from ..parameterization import Role, Size
from ._build import Built, LeafScaling
from ._chain import Segment, States, above
from ._layer import Linear
from ._stage import Dense


class Feedback(eqx.Module):
    """What carries targets down beside a network.

    **Arguments:** `ridges`: for each segment above the first, the table's factor on the ridge of a feedback solved on
    the batch; `segments`: stages g_l with weights of their own, one segment for each of these, or none; `scalings`: a
    pytree of their structure with a `LeafScaling` at every array.
    """

    ridges: tuple[float, ...] = eqx.field(static=True)
    segments: tuple[Segment, ...] = ()
    scalings: PyTree[LeafScaling] = ()


def feedback(built: Built) -> Feedback:
    """A feedback without weights of its own: the factors on its ridge, asked of the table."""
    return Feedback(tuple(built.table.scalings[role].ridge.at(size) for role, size in _maps(built)))


def trained_feedback(built: Built, *, activation: str = "linear", key: PRNGKeyArray) -> Feedback:
    """A feedback of random weights, to be trained: one affine map a stage, without biases.

        g(z) = φ(Q z) where states are post-activations,   Q φ(z) where they are pre-activations

    **Arguments:** `built`: the network whose table scales Q; `activation`: φ; `key`.

    **Raises:** `InputError` for a stage that no affine map undoes: anything but `Dense` without a skip.
    """
    segments, labels = [], []
    for index, (segment, (role, size)) in enumerate(zip(built.network.segments[1:], _maps(built), strict=True)):
        stage = segment.stages
        if not isinstance(stage, Dense) or stage.residual:
            kind = "residual" if isinstance(stage, Dense) else type(stage).__name__
            raise InputError(
                f"the network's segment {index + 2} is {kind}, and trained feedback undoes fully connected stages "
                f"without skips: use the feedback 'ridge'"
            )
        row = built.table.scalings[role]
        weight = stage.linear.weight
        normals = jax.random.normal(jax.random.fold_in(key, index), weight.mT.shape, weight.dtype)
        linear = Linear(row.init.at(size) * normals, None, row.multiplier.at(size), matmul=stage.linear.matmul)
        # A stage that reads its state as it is sees post-activations.
        post = stage.before == "linear"
        held = Dense(linear, after=activation) if post else Dense(linear, before=activation)
        label = LeafScaling(role, row.rate.at(size), row.epsilon.at(size), row.decay.at(size))
        segments.append(Segment(held, segment.depth))
        arrays: Any = eqx.filter(segments[-1], eqx.is_array)
        labels.append(eqx.tree_at(lambda s: s.stages.linear.weight, arrays, label))
    return Feedback(feedback(built).ridges, tuple(segments), tuple(labels))


def _maps(built: Built) -> list[tuple[Role, Size]]:
    """Role and size of Q_l, for each segment above the first: its fan-in is the stage's fan-out."""
    sizes = [
        Size(size.fan_out, size.fan_in, size.width, size.depth, size.base_width, size.base_depth)
        for size in built.sizes[1:]
    ]
    # Only the readout's sees something that does not grow.
    roles = [Role.FEEDBACK] * (len(sizes) - 1) + [Role.FEEDBACK_OUTPUT]
    return list(zip(roles, sizes, strict=True))


def around(states: States) -> tuple[States, States]:
    """What lies below and above every map: z_{l-1} and z_l, one entry for each segment above the first.

    **Arguments:** `states`: of the forward pass, the prediction last.
    """
    *hidden, prediction = states
    return above(tuple(hidden)), (*hidden[1:], prediction)


def flat(state: jax.Array) -> jax.Array:
    """One vector an example."""
    return jnp.reshape(state, (state.shape[0], -1))
