"""Optimizers: a direction, scaled leaf by leaf as the network's table says.

    g <- clip(g),   u = direction(g / ε_l),   Δw = −η r_l u

with decay λ d_l w added to g (coupled) or to u (lr), or subtracted from w (independent).

The direction is looked up by the table's row (`parameterizations/_update_rule.py`), or is the user's own. Gradients are
divided by ε_l where their size does not matter to the direction, which its own ε then meets at every size alike.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, PyTree

from .._errors import InputError, unknown
from .._numbers import real_number
from ..algorithms import AbstractFeedback
from ..network import Built, Feedback, LeafScaling
from ..parameterizations import (
    FEEDBACK_OPTIMIZERS,
    UPDATE_RULES,
    WEIGHT_DECAY_KINDS,
    Role,
    UpdateRule,
    update_rule,
)
from ._directions import direction_of, is_zero
from ._scaled import Number, Scaled, clip_by_scaled_norm, mapped

HOW = (
    "give a name, a row ww.UpdateRule(name, gradient_degree, weight_degree, aligned_norm, transform), or a pair of a "
    "name or row and a function from the built network to an optax transformation without a learning rate"
)


class OptimizerState(NamedTuple):
    """What `optimizer` remembers: updates made, and the direction's own memory."""

    count: Int[Array, ""]  # type: ignore[assignment]
    memory: Any


def optimizer(
    built: Built,
    learning_rate: float | Float[Array, ""] | optax.Schedule | None = None,
    *,
    direction: optax.GradientTransformation | None = None,
    momentum: Number = 0.0,
    epsilon: Number = 1e-8,
    weight_decay: Number = 0.0,
    decay_mask: PyTree[bool] | Callable[[PyTree], PyTree[bool]] | None = None,
    clip: Number | None = None,
) -> optax.GradientTransformation:
    """An optax optimizer under which a network keeps its best learning rate as it grows.

        Δw = −η r_l u,   u = direction(g / ε_l)
        decay: g += λ d_l w (coupled),   u += λ d_l w (lr),   Δw −= λ d_l w (independent)

    **Arguments:** `built`: the network beside its scalings r_l, ε_l, d_l; `learning_rate`: η, a number, an array or
    an optax schedule, or None for an `update` that takes it as the keyword `rate`; `direction`: an optax transformation
    without a learning rate, of the table's optimizer (default: the row's own); `momentum`: μ, of SGD; `epsilon`: ε at
    the base size, of Adam and its kin; `weight_decay`: λ at the base size, of the table's kind; `decay_mask`: which
    arrays decay, as in optax (all); `clip`: the largest norm of the gradient, see `clip_by_scaled_norm`.

    **Returns:** an optax transformation: `init(parameters)`, `update(gradients, state, parameters)`, with parameters
    `eqx.filter(network, eqx.is_inexact_array)`.

    **Raises:** `InputError` for values out of range, settings that the optimizer does not have, and an optimizer of
    one's own without a transformation.

    >>> import equinox as eqx, widthwise as ww
    >>> built = ww.mlp(2, 4, 1, depth=2, table=ww.parameterization("mup", optimizer="lion"), key=jax.random.key(0))
    >>> transform = optimizer(built, optax.cosine_decay_schedule(0.1, 100))
    >>> state = transform.init(eqx.filter(built.network, eqx.is_inexact_array))

    Source: docs/theory.md A3, A5.
    """
    inner = scaled_update(
        built,
        direction=direction,
        momentum=momentum,
        epsilon=epsilon,
        weight_decay=weight_decay,
        decay_mask=decay_mask,
        clip=clip,
    )
    if learning_rate is None:
        return inner

    def init(parameters: PyTree) -> OptimizerState:
        return OptimizerState(jnp.zeros((), jnp.int32), inner.init(parameters))

    def update(gradients: PyTree, state: OptimizerState, parameters: PyTree = None) -> tuple[PyTree, OptimizerState]:
        with jax.numpy_dtype_promotion("standard"):
            rate = learning_rate(state.count) if callable(learning_rate) else learning_rate
        updates, memory = inner.update(gradients, state.memory, parameters, rate=jnp.asarray(rate))
        return updates, OptimizerState(optax.safe_increment(state.count), memory)

    return optax.GradientTransformation(init, update)


def scale_by_parameterization(
    built: Built,
    *,
    weight_decay: Number = 0.0,
    decay_mask: PyTree[bool] | Callable[[PyTree], PyTree[bool]] | None = None,
) -> optax.GradientTransformation:
    """Scale every array's update as the network's table says: a link for an optax chain.

        u <- r_l (u + λ d_l w)

    It follows the direction (`optax.scale_by_adam()`) and precedes `optax.scale_by_learning_rate`.

    **Arguments:** `built`: the network beside its scalings; `weight_decay`: λ at the base size, of the kind `"lr"`;
    `decay_mask`: which arrays decay, as in optax (all).

    **Returns:** an optax transformation.

    **Raises:** `InputError` for a decay that is negative, and one of another kind, which stands elsewhere in the chain.

    >>> import widthwise as ww
    >>> built = ww.mlp(2, 4, 1, depth=2, table=ww.parameterization("mup", optimizer="adam"), key=jax.random.key(0))
    >>> links = (optax.scale_by_adam(), scale_by_parameterization(built), optax.scale_by_learning_rate(0.1))
    >>> transform = optax.chain(*links)
    """
    kind = built.table.weight_decay_kind
    checked_settings(weight_decay=weight_decay)
    if kind != "lr" and not is_zero(weight_decay):
        raise InputError(
            f"weight_decay {weight_decay} of the kind {kind!r} does not follow the direction",
            setting="weight_decay",
            value=weight_decay,
            remedy="use ww.optimizer, or a table with weight_decay_kind='lr'",
        )
    scaled = _scaled(built)
    decay = _decay(scaled, weight_decay, decay_mask)

    def update(updates: PyTree, state: Any, parameters: PyTree = None) -> tuple[PyTree, Any]:
        updates = updates if decay is None else decay(updates, parameters)
        return _times(scaled.column(scaled.factors.rate), updates), state

    return optax.GradientTransformation(lambda _: optax.EmptyState(), update)


def scaled_update(
    built: Built | Scaled,
    *,
    rule: UpdateRule | None = None,
    direction: optax.GradientTransformation | None = None,
    decay_kind: str | None = None,
    momentum: Number = 0.0,
    epsilon: Number = 1e-8,
    weight_decay: Number = 0.0,
    decay_mask: Any = None,
    clip: Number | None = None,
) -> optax.GradientTransformationExtraArgs:
    """`optimizer`, whose `update` takes the learning rate as the keyword `rate`, an array: no rate recompiles.

    **Arguments:** `built`: a network beside its scalings, or these alone, whose numbers may be traced; `rule`,
    `decay_kind`: the optimizer and the kind of decay, where `built` is not a whole network.
    """
    if isinstance(built, Built):
        rule, decay_kind = built.table.rule, built.table.weight_decay_kind
    assert rule is not None
    scaled = _scaled(built)
    known = checked_settings(momentum=momentum, epsilon=epsilon, weight_decay=weight_decay, clip=clip)
    momentum, epsilon, weight_decay, clip = known["momentum"], known["epsilon"], known["weight_decay"], known["clip"]
    own = direction or direction_of(rule, scaled.labels, momentum=momentum, epsilon=epsilon)
    clipped = None if clip is None else clip_by_scaled_norm(scaled, clip)
    decay = _decay(scaled, weight_decay, decay_mask)
    if decay is not None and decay_kind not in WEIGHT_DECAY_KINDS:
        raise unknown("kind of weight decay", decay_kind, WEIGHT_DECAY_KINDS)
    relative = rule.gradient_degree == 0

    def update(
        gradients: PyTree, memory: Any, parameters: PyTree = None, *, rate: Float[Array, ""], **_: Any
    ) -> tuple[PyTree, Any]:
        if clipped is not None:
            gradients = clipped(gradients)
        if decay is not None and decay_kind == "coupled":
            gradients = decay(gradients, parameters)
        if relative:
            epsilons = scaled.column(scaled.factors.epsilon)
            gradients = mapped(lambda e, g: g / e.astype(g.dtype), epsilons, gradients)
        # Optax's bias correction raises a float to an integer count, which strict promotion forbids.
        with jax.numpy_dtype_promotion("standard"):
            steps, memory = own.update(gradients, memory, parameters)
        if decay is not None and decay_kind == "lr":
            steps = decay(steps, parameters)
        rates = scaled.column(scaled.factors.rate)
        moved = mapped(lambda r, u: -(rate.astype(u.dtype) * r.astype(u.dtype)) * u, rates, steps)
        if decay is not None and decay_kind == "independent":
            moved = jax.tree.map(jnp.subtract, moved, decay(jax.tree.map(jnp.zeros_like, moved), parameters))
        return moved, memory

    return optax.GradientTransformationExtraArgs(own.init, update)


def chosen_update(built: Built, optimizer: Any, **settings: Any) -> optax.GradientTransformationExtraArgs:
    """`scaled_update` of what `train`, `transfer`, `tune`, `check` and `derive` take as `optimizer=`.

    **Arguments:** `built`; `optimizer`: None for the table's own, a name or a row, which must be the table's, or a pair
    of one and a function from `built` to an optax transformation without a learning rate, which then does all;
    `settings`: of `scaled_update`.

    **Raises:** `InputError` for an optimizer without a row, another than the table's, and settings that are not used.
    """
    # An optax transformation is a tuple of two functions, too.
    pair = isinstance(optimizer, tuple) and not isinstance(optimizer, optax.GradientTransformation)
    row, make = optimizer if pair else (optimizer, None)  # type: ignore[misc]
    rule = built.table.rule if row is None else matching_rule(row, built)
    if make is None:
        return scaled_update(Scaled.of(built), rule=rule, decay_kind=built.table.weight_decay_kind, **settings)
    clip = settings.pop("clip", None)
    for name, value in settings.items():
        if name != "epsilon" and not is_zero(value):
            raise InputError(
                f"{name} {value} beside an optimizer of your own",
                setting=name,
                value=value,
                remedy="set it in the transformation",
            )
    return own_update(built, make(built), clip)


def feedback_optimizer(way: AbstractFeedback, held: Feedback) -> optax.GradientTransformation:
    """`optimizer` of a feedback's weights, at the feedback's own rate.

    **Arguments:** `way`: it names the optimizer and the rate; `held`: the weights beside the table's numbers.

    **Raises:** `InputError` for an optimizer that a table has no rates for in feedback, and for one without a rate.
    """
    if way.optimizer not in FEEDBACK_OPTIMIZERS:
        raise unknown("feedback optimizer", str(way.optimizer), FEEDBACK_OPTIMIZERS)
    if way.rate is None:
        raise InputError(
            f"{type(way).__name__} has the optimizer {way.optimizer!r} and rate None",
            setting="rate",
            value=None,
            remedy="give it a field `rate`",
        )
    assert held.factors is not None
    weights = eqx.filter(held.segments, eqx.is_inexact_array)
    labels = jax.tree.map(lambda _: LeafScaling(Role.FEEDBACK, 1.0, 1.0, 1.0), weights)
    inner, rate = scaled_update(Scaled(labels, held.factors), rule=UPDATE_RULES[way.optimizer]), way.rate

    def update(gradients: PyTree, memory: Any, weights: PyTree = None) -> tuple[PyTree, Any]:
        return inner.update(gradients, memory, weights, rate=jnp.asarray(rate))

    return optax.GradientTransformation(inner.init, update)


def own_update(
    built: Built, transform: optax.GradientTransformation, clip: Number | None
) -> optax.GradientTransformationExtraArgs:
    """A user's transformation, times the learning rate that `update` takes as the keyword `rate`."""
    transform = optax.with_extra_args_support(transform)
    clipped = None if clip is None else clip_by_scaled_norm(_scaled(built), clip)

    def update(
        gradients: PyTree, memory: Any, parameters: PyTree = None, *, rate: Float[Array, ""], **_: Any
    ) -> tuple[PyTree, Any]:
        gradients = gradients if clipped is None else clipped(gradients)
        with jax.numpy_dtype_promotion("standard"):
            steps, memory = transform.update(gradients, memory, parameters)
        return jax.tree.map(lambda u: -rate.astype(u.dtype) * u, steps), memory

    return optax.GradientTransformationExtraArgs(transform.init, update)


def matching_rule(row: Any, built: Built) -> UpdateRule:
    """The row of an optimizer, which must be that of the network's table.

    **Raises:** `InputError`.
    """
    if not isinstance(row, str | UpdateRule):
        raise InputError(
            f"optimizer is {str(row)[:60]!r}, which has no row", setting="optimizer", value=row, remedy=HOW
        )
    rule, wanted = update_rule(row), built.table.rule
    # Another optimizer of the same row would train as well, and be recorded under the wrong name.
    if rule != wanted:
        raise InputError(
            f"optimizer is {rule.name!r}, and the network was built from a table for {wanted.name!r}",
            setting="optimizer",
            value=rule.name,
            remedy=f"build it from ww.parameterization(..., optimizer={rule.name!r})",
        )
    return rule


def checked_settings(dtype: Any = None, **settings: Any) -> dict[str, Any]:
    """The numbers that an optimizer is made from, as Python's floats; traced ones and None pass.

    **Arguments:** `dtype`: of the weights, which must keep them (None: any); `settings`: momentum, epsilon,
    weight_decay, clip.

    **Raises:** `InputError` for numbers out of range, or rounded away.
    """
    return {
        name: value if value is None or isinstance(value, jax.core.Tracer) else real_number(name, value, dtype)
        for name, value in settings.items()
    }


def _scaled(built: Built | Scaled) -> Scaled:
    return built if isinstance(built, Scaled) else Scaled.of(built)


def _times(factors: PyTree[Array], updates: PyTree) -> PyTree:
    return mapped(lambda r, u: r.astype(u.dtype) * u, factors, updates)


def _decay(scaled: Scaled, weight_decay: Any, mask: Any) -> Callable[[PyTree, PyTree], PyTree] | None:
    """u + λ d_l w; None where there is no decay."""
    if is_zero(weight_decay):
        return None

    def decayed(updates: PyTree, parameters: PyTree) -> PyTree:
        if parameters is None:
            raise InputError(
                f"weight_decay {weight_decay} without parameters",
                setting="parameters",
                value=None,
                remedy="call update(gradients, state, parameters)",
            )
        factors = scaled.column(scaled.factors.decay)
        products = mapped(lambda d, w: (weight_decay * d).astype(w.dtype) * w, factors, parameters)
        if mask is not None:
            kept = mask(parameters) if not isinstance(mask, type(parameters)) and callable(mask) else mask
            products = jax.tree.map(lambda keep, p: p if keep else jnp.zeros_like(p), kept, products)
        return mapped(jnp.add, products, updates)

    return decayed
