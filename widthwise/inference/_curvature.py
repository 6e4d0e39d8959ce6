"""The curvature C that the output error meets: step sizes, caps on the output precision, and ‖C‖."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..network import pullback, square_norm
from ._problem import Point, Problem, over_precisions, pushed, scaled


def curvature_along_error(problem: Problem, point: Point) -> Float[Array, " batch"]:
    """The curvature along each example's output error δ, a lower bound of ‖C‖; 0 under FPA.

        γ_L κ = γ_L Σ_l γ_l^-1 |J_l^T δ|² / |δ|²

    Free of cost: the sweep that gave the gradient holds all of it.
    """
    delta = square_norm((point.output_error[None],))
    if problem.fixed_prediction:
        return jnp.zeros_like(delta)
    pulled = square_norm(point.pulled, tuple(1 / precision for precision in problem.precisions[:-1]))
    # point.pulled already holds γ_L, so its square holds it twice.
    weighted = delta * problem.precisions[-1]
    return jnp.where(delta == 0, 0.0, pulled / jnp.where(delta == 0, 1.0, weighted))


def curvature_step(problem: Problem, point: Point) -> Float[Array, " batch"]:
    """A step for descent on the errors, s = 1 / (1 + γ_L κ), from the curvature along each example's output error."""
    return 1 / (1 + curvature_along_error(problem, point))


def capped(problem: Problem, start: Point, cap: Float[Array, ""]) -> tuple[Problem, Point]:
    """Lower each example's output precision until the curvature along its output error is at most `cap`.

        γ_L,b = min(γ_L, cap / κ_b)

    **Arguments:** `problem`; `start`: its forward pass, where κ is measured; `cap`: c.

    **Returns:** the problem with an output precision for every example, and its forward pass.
    """
    along = curvature_along_error(problem, start)
    cap = cap.astype(along.dtype)
    factor = jnp.where(along > cap, cap / jnp.where(along > cap, along, 1.0), 1.0)
    precisions = (*problem.precisions[:-1], problem.precisions[-1] * factor)
    pulled = jax.tree.map(lambda leaf: jax.vmap(scaled, (None, 0))(factor, leaf), start.pulled)
    return eqx.tree_at(lambda p: p.precisions, problem, precisions), start._replace(pulled=pulled)


def curvature(problem: Problem, point: Point, products: int = 3) -> Float[Array, " batch"]:
    """‖C‖, by power iteration on the out x out curvature, per example: how far from backprop inference leads.

        C = Σ_{l<L} (γ_L/γ_l) J_l J_l^T,   condition number in error space 1 + ‖C‖

    **Arguments:** `problem`; `point`: where the Jacobians are taken; `products`: with C; the Rayleigh quotient
    after them is a lower bound. 0 under FPA, whose equilibrium is backprop's.

    Source: arXiv 2411.02001, Theorem 4.2; docs/theory.md B1.
    """

    def product(v: Array) -> Array:
        pulled = pullback(problem.network, point.states, scaled(problem.precisions[-1], v))
        return pushed(problem, point, over_precisions(problem, pulled))

    # Any start that is not orthogonal to the top direction serves; a ramp is deterministic and not symmetric.
    ramp = 1.0 + 0.1 * jnp.arange(problem.y.shape[-1], dtype=problem.y.dtype)
    v = jnp.broadcast_to(ramp, problem.y.shape)
    for _ in range(products - 1):
        v = product(v)
        v = v / jnp.maximum(jnp.linalg.norm(v, axis=-1, keepdims=True), jnp.finfo(v.dtype).tiny)
    square = jnp.sum(v * v, axis=-1)
    # No Jacobian, no curvature: a dead relu or a readout of zeros leaves v = 0.
    return jnp.sum(v * product(v), axis=-1) / jnp.where(square == 0, 1.0, square)
