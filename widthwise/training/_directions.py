"""The directions of the built-in optimizers, by the name of their row: optax's own, without a learning rate."""

from collections.abc import Callable
from typing import Any

import jax
import optax
from jaxtyping import PyTree
from optax.contrib import MuonDimensionNumbers, scale_by_muon

from .._errors import InputError
from ..network import LeafScaling
from ..parameterizations import UPDATE_RULES, UpdateRule
from ._scaled import Number, mapped


def direction_of(
    rule: UpdateRule, labels: PyTree[LeafScaling], *, momentum: Number, epsilon: Number
) -> optax.GradientTransformation:
    """The transformation of a row: the built-in one of its name, or the user's own.

    **Raises:** `InputError` for a setting that the optimizer does not have, and a row without a transformation.
    """
    given = {"momentum": momentum, "epsilon": epsilon}
    if not is_zero(momentum) and "momentum" not in rule.settings:
        users = ", ".join(name for name, row in UPDATE_RULES.items() if "momentum" in row.settings)
        raise InputError(
            f"momentum {momentum} is not of the optimizer {rule.name}",
            setting="momentum",
            value=momentum,
            remedy=f"it goes with {users}; leave it out",
        )
    settings = {name: given[name] for name in rule.settings}
    if rule.name in TRANSFORMS:
        return TRANSFORMS[rule.name](labels, **settings)
    if rule.transform is None:
        raise InputError(
            f"the update rule {rule.name!r} has no transformation",
            setting="transform",
            value=None,
            remedy="give it one, as in ww.UpdateRule(..., transform=optax.scale_by_sign), with optimizer=",
        )
    return rule.transform(**settings)


def is_zero(value: Any) -> bool:
    """Whether a setting is known to be off; a traced one may be anything."""
    return isinstance(value, int | float) and value == 0


def _sgd(labels: PyTree[LeafScaling], *, momentum: Number) -> optax.GradientTransformation:
    return optax.identity() if is_zero(momentum) else optax.trace(momentum)


def _adam(labels: PyTree[LeafScaling], *, epsilon: Number) -> optax.GradientTransformation:
    return optax.scale_by_adam(eps=epsilon)


def _lion(labels: PyTree[LeafScaling]) -> optax.GradientTransformation:
    return optax.scale_by_lion()


def _rmsprop(labels: PyTree[LeafScaling], *, epsilon: Number) -> optax.GradientTransformation:
    return optax.scale_by_rms(eps=epsilon, eps_in_sqrt=False, bias_correction=True)


def _muon(labels: PyTree[LeafScaling], *, epsilon: Number) -> optax.GradientTransformation:
    """Muon for weights, each layer's matrix by itself; Adam for biases and gains.

    Optax's own `muon` also multiplies by sqrt(max(1, fan_out / fan_in)), which is wrong for the readout, and takes the
    first axis for the fan-in: here the table has the powers, and each array says which axis is its fan-out.
    """

    def axes(label: LeafScaling, leaf: Any) -> MuonDimensionNumbers:
        # The axis of depth comes first, and is a batch of matrices.
        inner = list(range(1, leaf.ndim))
        if len(inner) < 2:
            raise InputError(
                f"an array of the role {label.role} has the shape {leaf.shape[1:]}, and Muon orthogonalizes matrices",
                setting="optimizer",
                value="muon",
                remedy="use another optimizer",
            )
        out = inner.pop(label.fan_out_axis)
        return MuonDimensionNumbers(tuple(inner), (out,))

    def kind(label: LeafScaling) -> str:
        return "vector" if label.role.is_bias or label.role.is_norm else "matrix"

    kinds = jax.tree.map(kind, labels)
    matrices = scale_by_muon(eps=epsilon, weight_dimension_numbers=lambda updates: mapped(axes, labels, updates))
    return optax.partition({"matrix": matrices, "vector": _adam(labels, epsilon=epsilon)}, lambda _: kinds)


TRANSFORMS: dict[str, Callable[..., optax.GradientTransformation]] = {
    "sgd": _sgd,
    "adam": _adam,
    "lion": _lion,
    "rmsprop": _rmsprop,
    "muon": _muon,
}
