"""Gauss-Newton targets: the least move of each layer that would mend the output, for comparison with other rules."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from .._loss import Loss, output_error
from .._positive_solve import positive_solve
from .._product import FULL, product
from ..inference import not_negative
from ..network import State, forward, inputs, pullback
from ._base import AbstractAlgorithm, Batch, Inference, Learner


class GaussNewtonTargets(AbstractAlgorithm):
    """Every layer's own Gauss-Newton step on its activities, then the local regression towards it.

        e_l = P_l^T (P_l P_l^T + δ I)^-1 e_L,   P_l = ∂f/∂z_l at the forward pass,   e_L = −∂loss/∂f,   x_l = z_{l-1}

    With invertible layers this is what target propagation's exact inverses give; its direction is the end that
    predictive coding reaches as γ' grows (linear networks, docs/theory.md B3).

    **Arguments:** `damping`: δ; 0 needs Jacobians of full rank.

    **Raises:** `InputError` for a damping that is negative.

    >>> GaussNewtonTargets().name
    'gauss_newton'

    Source: arXiv 2006.14331, 2411.02001; docs/theory.md B3.
    """

    damping: Float[Array, ""] = eqx.field(default=1e-6, converter=not_negative("damping"))

    @property
    def name(self) -> str:
        """`"gauss_newton"`."""
        return "gauss_newton"

    def infer(self, learner: Learner, batch: Batch, loss: Loss, *, key: PRNGKeyArray) -> Inference:
        """As many pulls of the output's basis as there are outputs, and a system of their size for each example."""
        *hidden, prediction = forward(learner.network, batch.x)
        error = output_error(loss, prediction[0], batch.y)
        count, out = error.shape
        basis = jnp.broadcast_to(jnp.eye(out, dtype=error.dtype)[:, None], (out, count, out))
        rows = jax.vmap(lambda direction: pullback(learner.network, tuple(hidden), direction))(basis)
        errors = tuple(jax.tree.map(lambda leaf: self._least(leaf, error), state) for state in rows)
        one = jnp.ones((), error.dtype)
        precisions = (one,) * (len(errors) + 1)
        return Inference(inputs(batch.x, tuple(hidden)), (*errors, error[None]), precisions, prediction[0], {})

    def _least(self, rows: Float[Array, "out depth batch ..."], error: Float[Array, "batch out"]) -> State:
        """P^T (P P^T + δ I)^-1 e of every layer and example."""
        flat = jnp.moveaxis(rows.reshape(*rows.shape[:3], -1), 0, 2)
        damping = self.damping.astype(flat.dtype) * jnp.eye(flat.shape[2], dtype=flat.dtype)
        gram = product(flat, jnp.swapaxes(flat, -1, -2)) + damping
        solved = jax.vmap(jax.vmap(positive_solve), (0, None))(gram, error)
        return jnp.einsum("dbo,dbon->dbn", solved, flat, precision=FULL).reshape(rows.shape[1:])
