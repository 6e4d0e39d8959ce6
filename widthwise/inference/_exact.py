"""The exact equilibrium of a linear network, solved in the output space.

    S = γ_L^-1 I + Σ_{l<L} γ_l^-1 P_l P_l^T,   P_l = ∂f/∂h_l,   λ = S^-1 (y − f),   e_l = γ_l^-1 P_l^T λ

An out x out system whatever the depth: two sweeps and a Cholesky factorization (docs/theory.md B1, E).
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._errors import InputError
from .._loss import mse
from ..network import States, pullback
from ._base import AbstractRelaxation, Point, Problem, Settled, refuse_decay, scaled
from ._checks import positive


class OutputSpaceSolve(AbstractRelaxation):
    """The exact equilibrium of a linear (affine) network under the squared error.

    **Arguments:** `tolerance`: what `Settled` calls converged.

    **Raises:** `InputError`, when called, for a network with a nonlinear activation, another loss or fixed
    predictions: use `ErrorDescent`.

    Source: arXiv 2411.02001, Theorem 4.2; docs/theory.md E.
    """

    tolerance: Float[Array, ""] = eqx.field(default=1e-2, converter=positive("tolerance"))

    def __call__(self, problem: Problem, start: Point) -> tuple[Point, Settled]:
        """Solve for the errors, and go there by one forward sweep."""
        if not problem.network.is_linear or problem.loss is not mse or problem.fixed_prediction:
            raise InputError(
                "the exact relaxation needs linear activations, the loss mse and free predictions; "
                "use the relaxation 'error' (ErrorDescent)"
            )
        refuse_decay(problem, "the exact solve")
        rows = jacobian_rows(problem, start)
        out = problem.y.shape[-1]
        shared = jnp.zeros((out, out), problem.y.dtype)
        for precision, state in zip(problem.precisions[:-1], rows, strict=True):
            for leaf in jax.tree.leaves(state):
                flat = jnp.moveaxis(leaf, 1, 0).reshape(out, -1)
                shared = shared + flat @ flat.T / precision

        def solve(top: Array, error: Array) -> Array:
            system = shared + jnp.eye(out, dtype=shared.dtype) / top
            return jax.scipy.linalg.cho_solve(jax.scipy.linalg.cho_factor(system, lower=True), error)

        top = problem.precisions[-1]
        error = start.output_error
        # A precision of its own for every example is a system of its own.
        multiplier = jax.vmap(solve)(top, error) if top.ndim else solve(top, error.T).T
        errors = tuple(
            jax.tree.map(lambda leaf, p=precision: jnp.einsum("bo,lo...->lb...", multiplier, leaf) / p, state)
            for precision, state in zip(problem.precisions[:-1], rows, strict=True)
        )
        # J_l^T of any error is a row product now: the sweeps down that a point makes for itself are left unused, and
        # the compiler drops them.
        start, point = (
            at._replace(pulled=_pulled(rows, problem, at.output_error)) for at in (start, problem.at(errors, start))
        )
        count = jnp.ones(problem.y.shape[0], jnp.int32)
        return point, self.settled(problem, start, point, count)


def _pulled(rows: States, problem: Problem, error: Float[Array, "batch out"]) -> States:
    """−γ_L P_l^T (y − f) of every hidden layer."""
    cotangent = -scaled(problem.precisions[-1], error)
    return jax.tree.map(lambda leaf: jnp.einsum("bo,lo...->lb...", cotangent, leaf), rows)


def jacobian_rows(problem: Problem, start: Point) -> States:
    """P_l = ∂f/∂h_l of a linear network, (depth, out, units): the readout's basis vectors pulled to every layer."""
    basis = jnp.eye(problem.y.shape[-1], dtype=problem.y.dtype)
    # A linear network's Jacobian is the same at every example: any state of the right shape serves.
    anywhere = jax.tree.map(
        lambda leaf: jnp.zeros((leaf.shape[0], basis.shape[0], *leaf.shape[2:]), leaf.dtype), start.states
    )
    return pullback(problem.network, anywhere, basis)
