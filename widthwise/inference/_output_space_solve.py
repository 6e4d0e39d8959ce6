"""The exact equilibrium of a linear network, solved in the output space.

    S = γ_L^-1 I + Σ_{l<L} γ_l^-1 P_l P_l^T,   P_l = ∂f/∂h_l,   λ = S^-1 (y − f),   e_l = γ_l^-1 P_l^T λ

An out x out system whatever the depth: one sweep down and one up, of out rows each, and a Cholesky
factorization (docs/theory.md B1, E).
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._arguments import positive
from .._errors import InputError
from .._loss import mse
from .._positive_solve import positive_solve
from .._product import product
from ..network import States, perturbed, pullback
from ._base import AbstractRelaxation, Settled, refuse_decay, relative
from ._problem import Point, Problem, over_precisions, scaled


class OutputSpaceSolve(AbstractRelaxation):
    """The exact equilibrium of a linear (affine) network under the squared error.

    **Arguments:** `tolerance`: what `Settled` calls converged.

    **Raises:** `InputError`, when called, for a network with a nonlinear activation, another loss or fixed
    predictions: use `ErrorDescent`.

    Source: arXiv 2411.02001, Theorem 4.2; docs/theory.md E.
    """

    tolerance: Float[Array, ""] = eqx.field(default=1e-2, converter=positive("tolerance"))

    def __call__(self, problem: Problem, start: Point) -> tuple[Point, Settled]:
        """Solve for the errors; states follow from where the Jacobian's few rows lead, in place of the batch's own."""
        if not problem.network.is_linear or problem.loss is not mse or problem.fixed_prediction:
            raise InputError(
                "relaxation 'exact' needs linear activations, the loss mse and free predictions",
                setting="relaxation",
                value="exact",
                remedy="use the relaxation 'error' (ErrorDescent)",
            )
        refuse_decay(problem, "the exact solve")
        rows = jacobian_rows(problem, start)
        sources = over_precisions(problem, rows)
        pushed, shared = _pushed_rows(problem, sources)

        def solve(top: Array, error: Array) -> Array:
            system = shared + jnp.eye(shared.shape[0], dtype=shared.dtype) / top
            return positive_solve(system, error)

        top = problem.precisions[-1]
        # A precision of its own for every example is a system of its own.
        error = start.output_error
        multiplier = jax.vmap(solve)(top, error) if top.ndim else solve(top, error.T).T
        moved = product(multiplier, shared)
        output_error = error - moved
        point = Point(
            errors=_combined(multiplier, sources),
            states=jax.tree.map(jnp.add, start.states, _combined(multiplier, pushed)),
            prediction=start.prediction + moved,
            output_error=output_error,
            pulled=_combined(-scaled(top, output_error), rows),
        )
        # γ_l e_l = P_l^T λ, so ∇_e F = P_l^T (λ − γ_L δ): its norm needs the rows' products alone.
        gram = _gram(rows)
        here, there = (
            jnp.maximum(jnp.sum(product(v, gram) * v, axis=-1), 0)
            for v in (multiplier - scaled(top, output_error), scaled(top, error))
        )
        count = jnp.ones(problem.y.shape[0], jnp.int32)
        return point, self.judged(relative(here, there), count, problem.energy(point))


def _pushed_rows(problem: Problem, sources: States) -> tuple[States, Float[Array, "out out"]]:
    """How hidden states and the prediction move when the errors of "example" o are Γ^-1 times row o of the Jacobian.

    The prediction's part is Σ_{l<L} γ_l^-1 P_l P_l^T.
    """
    nowhere = jax.tree.map(jnp.zeros_like, sources)
    first = jax.tree.map(lambda leaf: leaf[0], nowhere[0])
    return jax.jvp(lambda e: perturbed(problem.network, first, e), (nowhere,), (sources,))[1]


def _combined(weights: Float[Array, "batch out"], rows: States) -> States:
    """Σ_o λ_bo r_o of every hidden layer."""

    def one(leaf: Array) -> Array:
        # A product a layer is twice as fast on a CPU as the one `einsum` makes of all.
        every = jnp.broadcast_to(weights, (leaf.shape[0], *weights.shape))
        flat = product(every, leaf.reshape(*leaf.shape[:2], -1))
        return flat.reshape(*flat.shape[:2], *leaf.shape[2:])

    return jax.tree.map(one, rows)


def _gram(rows: States) -> Float[Array, "out out"]:
    """Σ_l P_l P_l^T."""
    flat = [jnp.moveaxis(leaf, 1, 0).reshape(leaf.shape[1], -1) for leaf in jax.tree.leaves(rows)]
    return sum((product(leaf, leaf.T) for leaf in flat[1:]), product(flat[0], flat[0].T))


def jacobian_rows(problem: Problem, start: Point) -> States:
    """P_l = ∂f/∂h_l of a linear network, (depth, out, units): the readout's basis vectors pulled to every layer."""
    basis = jnp.eye(problem.y.shape[-1], dtype=problem.y.dtype)
    # A linear network's Jacobian is the same at every example: any state of the right shape serves.
    anywhere = jax.tree.map(
        lambda leaf: jnp.zeros((leaf.shape[0], basis.shape[0], *leaf.shape[2:]), leaf.dtype), start.states
    )
    return pullback(problem.network, anywhere, basis)
