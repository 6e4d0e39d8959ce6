"""The way down: for every stage above the first a map from its state to the state below it.

g_l: z_l -> z_{l-1},   l = 2 … L
"""

from collections.abc import Callable
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray

from .._errors import InputError
from ._build import Built, Factors, factors_of, normals
from ._chain import Segment, forward
from ._convolution_stages import Convolved, Readout, Restored
from ._factor import Factor
from ._layer import Convolution, Linear
from ._stage import AbstractStage, Dense
from ._states import around


class Feedback(eqx.Module):
    """What carries targets down beside a network.

    **Arguments:** `ridges`: for each segment above the first, the table's factor on the ridge of a feedback solved on
    the batch; `segments`: stages g_l with weights of their own, one segment for each of these, or none; `factors`: the
    table's rates, epsilons and decays of these weights.
    """

    ridges: tuple[Factor, ...]
    segments: tuple[Segment, ...] = ()
    factors: Factors | None = None


def feedback(built: Built) -> Feedback:
    """A feedback without weights of its own: the factors on its ridge, as the table has them.

    **Raises:** `InputError` where the table was derived without them.
    """
    return Feedback(_ridges(built, "ridge"))


def trained_feedback(built: Built, *, activation: str = "linear", key: PRNGKeyArray) -> Feedback:
    """A feedback of random weights, to be trained: one affine map a stage, without biases.

        g(z) = φ(Q z) where states are post-activations,   Q φ(z) where they are pre-activations

    Maps to images undo stride and pooling (`Restored`).

    **Arguments:** `built`: the network whose table scales Q; `activation`: φ; `key`.

    **Raises:** `InputError` for a stage that no affine map undoes: one with a skip, or of a kind of one's own; and
    where the table was derived without feedback that learns.
    """
    network = built.network
    ridges = _ridges(built, "weights")
    example = jnp.zeros((1, *network.in_shape), network.dtype)
    low, _ = jax.eval_shape(lambda x: around(forward(network, x)), example)
    segments = []
    for index, (segment, below, row) in enumerate(zip(network.segments[1:], low, built.feedback_rows, strict=True)):
        stage = segment.stages
        if not isinstance(stage, Dense | Convolved | Readout) or getattr(stage, "residual", False):
            kind = "residual" if getattr(stage, "residual", False) else type(stage).__name__
            raise InputError(
                f"the network's segment {index + 2} is {kind}, and trained feedback undoes fully connected and "
                f"convolutional stages without skips",
                setting="feedback",
                value=kind,
                remedy="use the feedback 'ridge'",
            )
        draw = partial(normals, jax.random.fold_in(key, index), dtype=network.dtype)
        held = _undoing(stage, below.shape[2:], draw, row.init, row.multiplier, activation)
        segments.append(Segment(held, segment.depth))
    factors = factors_of([row.scaling for row in built.feedback_rows], network.dtype)
    return Feedback(ridges, tuple(segments), factors)


def _undoing(
    stage: Dense | Convolved | Readout,
    shape: tuple[int, ...],
    draw: Callable[[tuple[int, ...]], jax.Array],
    std: float,
    multiplier: float,
    activation: str,
) -> AbstractStage:
    """The stage that maps back to a state of a shape; φ sits where the network's own activation does."""
    weight = stage.linear.weight
    matmul = stage.linear.matmul
    if isinstance(stage, Dense):
        # A stage that reads its state as it is sees post-activations.
        before, after = ("linear", activation) if stage.before == "linear" else (activation, "linear")
        return Dense(Linear(std * draw(weight.mT.shape), None, multiplier, matmul=matmul), before, after)
    post = stage.before.activation == "linear"
    before, after = ("linear", activation) if post else (activation, "linear")
    height, width, channels = shape
    if isinstance(stage, Convolved):
        # As going up, k² taps are finite and divide the variance.
        back = std / weight.shape[-3] * draw((*weight.shape[:-2], weight.shape[-1], weight.shape[-2]))
        convolution = Convolution(back, None, multiplier, matmul=matmul)
        return Restored(convolution, (height, width, channels), None, before, after)
    shrunk = 1 if stage.before.pool == "none" else 2
    pixels = (height // shrunk, width // shrunk) if stage.gather == "flatten" else (1, 1)
    back = std * draw((weight.shape[0], pixels[0] * pixels[1] * channels, weight.shape[1]))
    linear = Linear(back, None, multiplier, matmul=matmul)
    return Restored(linear, (height, width, channels), pixels, before, after)


def _ridges(built: Built, part: str) -> tuple[Factor, ...]:
    """The table's factors on the ridge, where what is asked of its feedback was measured.

    **Arguments:** `part`: `"ridge"` or `"weights"`.
    """
    for row in built.feedback_rows:
        if f"{row.role}.{part}" in built.table.unmeasured:
            learns = "trained" if part == "weights" else "ridge"
            raise InputError(
                f"the table {built.table.name!r} was derived without the {part} of {row.role}",
                setting="table",
                value=built.table.name,
                remedy=f"derive it with the feedback {learns!r}, or set these exponents in its file by hand and take "
                f"{row.role}.{part} from 'unmeasured'",
            )
    return tuple(Factor(row.ridge, dtype=built.network.dtype) for row in built.feedback_rows)
