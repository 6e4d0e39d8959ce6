"""Feedback solved on the batch: ridge regression from a layer's states to those below it."""

import math
from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from ..._errors import InputError
from ..._positive_solve import positive_solve
from ..._product import product
from ...inference import not_negative
from ...network import AbstractStage, Built, State, States, around, each, feedback, flat, forward
from .._base import Batch, Learner
from ._base import AbstractFeedback, _own


class RidgeFeedback(AbstractFeedback):
    """The linear map that reconstructs the batch's own states best, by ridge regression in closed form.

        g_l(v) = Z_{l-1}^T (Z_l Z_l^T + μ_l I)^-1 Z_l v = Z_{l-1}^T Z_l (Z_l^T Z_l + μ_l I)^-1 v

    The first form solves B x B systems, the second one of the state's size; the smaller is taken. States of any shape
    are vectors here, so that it undoes stride and pooling as it undoes a product.

    **Arguments:** `ridge`: μ', which the table's factor, the fan-in of g_l, and B multiply (an array where it is
    swept).

    **Raises:** `InputError` for a ridge that is negative.

    >>> RidgeFeedback(ridge=1e-3).is_linear
    True

    Source: arXiv 2411.02001; docs/theory.md C.
    """

    ridge: Float[Array, ""] = eqx.field(default=1e-3, converter=not_negative("ridge"))

    @property
    def is_linear(self) -> bool:
        """It is."""
        return True

    def init(self, built: Built, *, key: PRNGKeyArray) -> Learner:
        """The factors on the ridge."""
        return Learner(built.network, feedback(built))

    def validate(self, learner: Learner, batch: Batch) -> None:
        """A ridge of 0 cannot be used where a Gram matrix is singular: its solution would be NaN or rounding.

        **Raises:** `InputError`, which names the layer.
        """
        super().validate(learner, batch)
        if float(self.ridge) > 0:
            return
        states = around(forward(learner.network, batch.x))[1]
        ranks = [
            each(lambda _, z: jnp.linalg.matrix_rank(flat(z)), *row)
            for row in zip(learner.network.segments[1:], states, strict=True)
        ]
        full = [min(flat(state[0]).shape) for state in states for _ in range(state.shape[0])]
        for layer, (rank, least) in enumerate(zip(jnp.concatenate(ranks).tolist(), full, strict=True), start=2):
            if rank < least:
                raise InputError(
                    f"ridge is {float(self.ridge)}, and the states of layer {layer} have rank {rank} of {least}, so "
                    f"that their Gram matrix is singular",
                    setting="ridge",
                    value=float(self.ridge),
                    remedy="use a ridge above 0",
                )

    def rows(self, learner: Learner, low: States, high: States) -> tuple[Any, ...]:
        """Two factors a layer: g(v) = (v left) right, left None where it is the identity."""
        found = []
        for segment, factor, z, target in zip(
            learner.network.segments[1:], _own(learner).ridges, high, low, strict=True
        ):
            # Of an image every pixel adds to the Gram matrix as every channel does.
            _, batch, *pixels, _ = z.shape
            ridge = self.ridge * (batch * math.prod(pixels)) * factor.value.astype(self.ridge.dtype)
            found.append(each(lambda _, z, x, ridge=ridge: ridge_map(flat(z), flat(x), ridge), segment, z, target))
        return tuple(found)

    def down(self, stage: AbstractStage, row: Any, value: State, like: State) -> State:
        """(v left) right, in the shape of the layer below."""
        left, right = row
        rows = flat(value) if left is None else product(flat(value), left)
        return jnp.reshape(product(rows, right), like.shape)


def ridge_map(
    z: Float[Array, "batch high"], x: Float[Array, "batch low"], ridge: Float[Array, ""]
) -> tuple[Float[Array, "high batch"] | None, Float[Array, "rank low"]]:
    """The factors of the ridge regression from rows z to rows x: v -> (v left) right.

    Z^T (Z Z^T + μ I_B)^-1 X where examples are fewer than units, else (Z^T Z + μ I)^-1 Z^T X and no left factor
    """
    if z.shape[0] < z.shape[1]:
        return z.T, _solved(product(z, z.T), ridge, x)
    return None, _solved(product(z.T, z), ridge, product(z.T, x))


def _solved(gram: Array, ridge: Array, right: Array) -> Array:
    shifted = gram + ridge.astype(gram.dtype) * jnp.eye(gram.shape[0], dtype=gram.dtype)
    return positive_solve(shifted, right)
