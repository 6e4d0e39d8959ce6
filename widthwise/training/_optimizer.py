"""One optax transformation that applies every leaf's own rate, epsilon and decay."""

from typing import Any

import jax
import optax
from jaxtyping import Array, Float, PyTree

from .._errors import InputError, unknown
from ..network import Built, LeafScaling


def optimizer(
    built: Built,
    *,
    momentum: float = 0.0,
    epsilon: float = 1e-8,
    weight_decay: float = 0.0,
) -> optax.GradientTransformationExtraArgs:
    """SGD (with momentum) or Adam, as the network's table says, with every leaf's own scaling.

        SGD:   Δw = −η r_l m,              m <- μ m + g
        Adam:  Δw = −η r_l m̂ / (sqrt(v̂) + ε ε_l)
        decay: g += λ d_l w (coupled),   Δw −= η r_l λ d_l w (lr),   Δw −= λ d_l w (independent)

    **Arguments:** `built`: the network beside its scalings r_l, ε_l, d_l; `momentum`: μ, for SGD; `epsilon`: ε at
    the base size; `weight_decay`: λ at the base size, of the table's kind, on all parameters.

    **Returns:** an optax transformation whose `update` takes the base rate η as the keyword `rate`, an array: no
    rate recompiles.

    **Raises:** `InputError` for values out of range, and for momentum under Adam, which has its own.

    >>> from widthwise.network import mlp
    >>> from widthwise.parameterization import parameterization
    >>> built = mlp(2, 4, 1, depth=2, table=parameterization("mup"), key=jax.random.key(0))
    >>> update = optimizer(built, momentum=0.9).update
    """
    kind = built.table.optimizer
    if not 0 <= momentum < 1:
        raise InputError(f"momentum is {momentum}: it must be at least 0 and below 1")
    if momentum and kind == "adam":
        raise InputError(f"momentum {momentum} goes with the optimizer sgd; adam has its own")
    if not epsilon > 0 or not weight_decay >= 0:
        raise InputError(f"epsilon is {epsilon}, weight_decay {weight_decay}: epsilon must be positive, decay >= 0")
    decay_kind = built.table.weight_decay_kind if weight_decay else None
    scalings = built.scalings
    direction = _adam(scalings, epsilon) if kind == "adam" else _momentum(momentum)

    def init(parameters: PyTree) -> Any:
        return direction.init(parameters)

    def update(
        gradients: PyTree, memory: Any, parameters: PyTree, *, rate: Float[Array, ""], **_: Any
    ) -> tuple[PyTree, Any]:
        if decay_kind == "coupled":
            gradients = jax.tree.map(lambda g, w, s: g + weight_decay * s.decay * w, gradients, parameters, scalings)
        # Optax's bias correction raises a float to an integer count, which strict promotion forbids.
        with jax.numpy_dtype_promotion("standard"):
            steps, memory = direction.update(gradients, memory, parameters)

        def final(step: Array, w: Array, scaling: LeafScaling) -> Array:
            decayed = weight_decay * scaling.decay * w
            if decay_kind == "lr":
                step = step + decayed
            moved = -(rate.astype(step.dtype) * scaling.rate) * step
            return moved - decayed if decay_kind == "independent" else moved

        return jax.tree.map(final, steps, parameters, scalings), memory

    return optax.GradientTransformationExtraArgs(init, update)


def _momentum(momentum: float) -> optax.GradientTransformation:
    return optax.trace(momentum) if momentum else optax.identity()


def _adam(scalings: PyTree[LeafScaling], epsilon: float) -> optax.GradientTransformation:
    """Adam whose epsilon is ε ε_l at each leaf: gradients divided by ε_l meet the common ε, exactly."""

    def divide(gradients: PyTree, state: Any, parameters: PyTree = None) -> tuple[PyTree, Any]:
        return jax.tree.map(lambda g, s: g / s.epsilon, gradients, scalings), state

    relative = optax.GradientTransformation(lambda _: optax.EmptyState(), divide)
    return optax.chain(relative, optax.scale_by_adam(eps=epsilon))


def schedule(kind: str, steps: int) -> optax.Schedule:
    """The factor on the base rate at each step: `"constant"`, or decayed to 0 by `"linear"` or `"cosine"`."""
    makers = {
        "constant": lambda: optax.constant_schedule(1.0),
        "linear": lambda: optax.linear_schedule(1.0, 0.0, steps),
        "cosine": lambda: optax.cosine_decay_schedule(1.0, steps),
    }
    if kind not in makers:
        raise unknown("schedule", kind, makers)
    return makers[kind]()


SCHEDULES = ("constant", "linear", "cosine")
