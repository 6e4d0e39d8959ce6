"""From gradient descent to Gauss-Newton: what predictive coding's settled errors become along three axes.

A linear chain as in `_linear_equilibrium`, P_l = ∂f/∂h_l, r = y − f. Its equilibrium lies between two limits:

    γ_L -> 0     e_l -> (γ_L/γ_l) P_l^T r                              backprop's gradient
    γ_L -> ∞     e_l -> γ_l^-1 P_l^T (Σ_{k<L} γ_k^-1 P_k P_k^T)^-1 r   all hidden layers together reach the target
    and there, if γ_k / γ_l -> ∞ for all other hidden k,   e_l -> P_l^+ r   layer l alone: Gauss-Newton

Under muP P_l P_l^T ~ M^-1, so γ_L = γ' M^-γ̄ holds the first limit at γ̄ = 0 and the second as γ' -> ∞ at γ̄ = −1; γ' = 1
there is a damped mixture. Where W_L W_L^T is a multiple of I, as at a random initialization, both limits point the same
way, and no cosine tells them apart.

Inference that does not settle has axes of its own: one sequential sweep from the forward pass, whose step sizes s_l
multiply with the hidden precisions to rescale each layer's update.

**Assumptions:** as in `_linear_equilibrium`; nothing here holds for a nonlinear network at γ̄ = −1, whose activities
leave the forward pass, and with them the Jacobians. Source: arXiv 2411.02001, Theorem 4.2; docs/theory.md B1, B3, B4.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from .._errors import InputError
from .._product import in_full
from ._linear_equilibrium import Matrices, Precisions, downstream, fixed_point_errors, misfit_of


class LimitCosines(NamedTuple):
    """How near settled errors are to both limits, for every hidden layer and example.

    **Fields:** `gradient_descent`: cos(e_l*, P_l^T r); `gauss_newton`: cos(e_l*, P_l^+ r).
    """

    gradient_descent: Float[Array, "hidden batch"]
    gauss_newton: Float[Array, "hidden batch"]


@in_full
def gradient_descent_errors(
    matrices: Matrices, precisions: Precisions, x: Float[Array, "batch in"], y: Float[Array, "batch out"]
) -> list[Float[Array, "batch _"]]:
    """The errors of the limit γ_L -> 0, to first order in γ_L: backprop's, each over its layer's precision.

        e_l = (γ_L/γ_l) P_l^T (y − f)

    **Arguments:** `matrices`: A_1 … A_L; `precisions`: γ_1 … γ_L; `x`; `y`. **Returns:** e_1 … e_L.

    >>> one = jnp.ones((1, 1))
    >>> [e.item() for e in gradient_descent_errors([one, one], [1.0, 0.5], one, 3 * one)]
    [1.0, 2.0]
    """
    misfit = misfit_of(matrices, x, y)
    layers = zip(precisions, downstream(matrices), strict=True)
    return [precisions[-1] / precision * misfit @ P for precision, P in layers]


@in_full
def gauss_newton_errors(
    matrices: Matrices, x: Float[Array, "batch in"], y: Float[Array, "batch out"]
) -> list[Float[Array, "batch _"]]:
    """The least change of each hidden layer alone that brings the output to its target.

        e_l = P_l^+ (y − f)

    **Arguments:** as in `gradient_descent_errors`. **Returns:** e_1 … e_{L-1}.

    >>> one = jnp.ones((1, 1))
    >>> [e.item() for e in gauss_newton_errors([one, 2 * one], one, 4 * one)]
    [1.0]
    """
    misfit = misfit_of(matrices, x, y)
    return [misfit @ jnp.linalg.pinv(P).T for P in downstream(matrices)[:-1]]


@in_full
def clamped_output_errors(
    matrices: Matrices, precisions: Precisions, x: Float[Array, "batch in"], y: Float[Array, "batch out"]
) -> list[Float[Array, "batch _"]]:
    """The errors of the limit γ_L -> ∞: the least weighted change of all hidden layers that reaches the target.

        e_l = γ_l^-1 P_l^T (Σ_{k<L} γ_k^-1 P_k P_k^T)^-1 (y − f),   e_L = 0

    **Arguments:** as in `gradient_descent_errors`; γ_L is not read. **Returns:** e_1 … e_L. **Assumptions:** hidden
    layers at least as wide as the output, else it cannot be reached.

    >>> one = jnp.ones((1, 1))
    >>> [e.item() for e in clamped_output_errors([one, one, one], [1.0, 3.0, 1.0], one, 5 * one)]
    [3.0, 1.0, 0.0]
    """
    misfit = misfit_of(matrices, x, y)
    layers = list(zip(precisions[:-1], downstream(matrices)[:-1], strict=True))
    multiplier = jnp.linalg.solve(sum(P @ P.T / precision for precision, P in layers), misfit.T).T
    return [*(multiplier @ P / precision for precision, P in layers), jnp.zeros_like(y)]


@in_full
def limit_cosines(
    matrices: Matrices, precisions: Precisions, x: Float[Array, "batch in"], y: Float[Array, "batch out"]
) -> LimitCosines:
    """The cosines of the settled hidden errors to gradient descent's and to Gauss-Newton's.

    **Arguments:** as in `gradient_descent_errors`. Cosines of errors, not of weight updates: those also depend on the
    settled input h*_{l-1}, which at γ̄ = −1 has left the forward pass.

    >>> one = jnp.ones((1, 1))
    >>> limit_cosines([one, one], [1.0, 1.0], one, 3 * one).gauss_newton.tolist()
    [[1.0]]
    """
    settled = fixed_point_errors(matrices, precisions, x, y)[:-1]
    descent = gradient_descent_errors(matrices, precisions, x, y)[:-1]
    newton = gauss_newton_errors(matrices, x, y)
    return LimitCosines(
        jnp.stack([_cosine(e, d) for e, d in zip(settled, descent, strict=True)]),
        jnp.stack([_cosine(e, n) for e, n in zip(settled, newton, strict=True)]),
    )


@in_full
def wide_limit_cosines(
    gram: Float[Array, "out out"], strength: float | Float[Array, ""], misfit: Float[Array, "batch out"]
) -> tuple[Float[Array, " batch"], Float[Array, " batch"]]:
    """The same cosines of any hidden layer, where all see the output through the same G.

        P_l P_l^T = G for all l < L,   C = c G,   u = (I + c G)^-1 r
        cos_GD = u^T G r / sqrt(u^T G u · r^T G r),   cos_GN = u^T r / sqrt(u^T G u · r^T G^-1 r)

    so γ̄, γ' and the hidden precisions act through one number, c = γ_L Σ_{l<L} γ_l^-1.

    **Arguments:** `gram`: G, of full rank; `strength`: c; `misfit`: r. **Returns:** cosines to gradient descent and to
    Gauss-Newton. **Assumptions:** hidden matrices are orthogonal, or random and wide with A A^T = I on average.

    >>> both = wide_limit_cosines(jnp.eye(2), 3.0, jnp.array([[1.0, 2.0]]))
    >>> [round(float(cosine[0]), 6) for cosine in both]
    [1.0, 1.0]
    """
    identity = jnp.eye(gram.shape[0], dtype=gram.dtype)
    u = jnp.linalg.solve(identity + strength * gram, misfit.T).T
    inverse = jnp.linalg.solve(gram, misfit.T).T
    size = jnp.sqrt(jnp.sum(u * (u @ gram), axis=-1))
    descent = jnp.sum(u * (misfit @ gram), axis=-1) / jnp.sqrt(jnp.sum(misfit * (misfit @ gram), axis=-1))
    newton = jnp.sum(u * misfit, axis=-1) / jnp.sqrt(jnp.sum(misfit * inverse, axis=-1))
    return descent / size, newton / size


@in_full
def single_sweep_errors(
    matrices: Matrices,
    precisions: Precisions,
    steps: Sequence[float] | Float[Array, " hidden"],
    x: Float[Array, "batch in"],
    y: Float[Array, "batch out"],
    *,
    fixed_prediction: bool = False,
) -> list[Float[Array, "batch _"]]:
    """The errors after one sequential sweep from the forward pass, from the readout down.

        Δ_L = y − f,   Δ_l = s_l γ_{l+1} A_{l+1}^T Δ_{l+1}
        e_l = Δ_l − A_l Δ_{l-1},   Δ_0 = 0,       under fixed predictions (FPA) e_l = Δ_l

    so that FPA's γ_l e_l = γ_L Π_{k=l}^{L-1} (s_k γ_k) P_l^T (y − f): step sizes and hidden precisions rescale layers
    against each other, γ_L rescales all, and only s_k = 1/γ_k leaves backprop's gradient.

    **Arguments:** as in `gradient_descent_errors`; `steps`: s_1 … s_{L-1}. **Returns:** e_1 … e_L.
    **Raises:** `InputError` for another number of steps than hidden layers.

    >>> one = jnp.ones((1, 1))
    >>> [e.item() for e in single_sweep_errors([one, one], [2.0, 1.0], [0.25], one, 3 * one)]
    [0.5, 1.5]
    """
    if len(steps) != len(matrices) - 1:
        raise InputError(
            f"{len(steps)} steps for {len(matrices) - 1} hidden layers",
            setting="steps",
            value=len(steps),
            remedy="give one for each",
        )
    moves = [misfit_of(matrices, x, y)]
    for A, precision, step in zip(matrices[:0:-1], precisions[:0:-1], steps[::-1], strict=True):
        moves.append(step * precision * moves[-1] @ A)
    moves = moves[::-1]
    if fixed_prediction:
        return moves
    shifted = [move - below @ A.T for A, below, move in zip(matrices[1:], moves[:-1], moves[1:], strict=True)]
    return [moves[0], *shifted]


def _cosine(a: Float[Array, "batch units"], b: Float[Array, "batch units"]) -> Float[Array, " batch"]:
    return jnp.sum(a * b, axis=-1) / (jnp.linalg.norm(a, axis=-1) * jnp.linalg.norm(b, axis=-1))
