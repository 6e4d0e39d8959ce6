"""Predictive coding in linear chains, solved with explicit matrices: the oracle of every relaxation.

A chain h_l = A_l h_{l-1} + e_l, h_0 = x, h_L = y, with energy, per example, F = Σ_l (γ_l/2) |e_l|². Unrolled,

    y = f + Σ_l P_l e_l,   P_l = A_L ⋯ A_{l+1},   P_L = I,   f = P_0 x

holds for any activities. To minimize F under it, γ_l e_l = P_l^T λ, with one multiplier λ = S^-1 (y − f) for
all layers, S = Σ_l γ_l^-1 P_l P_l^T = γ_L^-1 (I + C). Everything below is this, or the same minimum from its
dense normal equations.

**Assumptions:** affine stages without bias, squared error, both ends clamped, activities at the minimum.
Batches have examples in rows. Source: arXiv 2411.02001, Theorem 4.2; docs/theory.md B1, E.
"""

import itertools
from collections.abc import Sequence

import jax.numpy as jnp
from jaxtyping import Array, Float

from .._errors import InputError
from .._product import in_full
from ..network import Dense, Network

Matrices = Sequence[Float[Array, "_ _"]]
Precisions = Sequence[float] | Float[Array, " layers"]


def effective_matrices(network: Network) -> list[Float[Array, "_ _"]]:
    """A_1 … A_L of h_l = A_l h_{l-1}, each (out, in): multiplier · W_l, plus I where the stage has a skip.

    **Raises:** `InputError` for a network with a nonlinear activation, a bias or a stage that is not `Dense`.

    >>> import jax
    >>> from widthwise.network import mlp
    >>> from widthwise.parameterization import parameterization
    >>> table = parameterization("mup")
    >>> built = mlp(3, 8, 2, depth=4, activation="linear", table=table, key=jax.random.key(0))
    >>> [A.shape for A in effective_matrices(built.network)]
    [(8, 3), (8, 8), (8, 8), (2, 8)]
    """
    matrices: list[Array] = []
    for segment in network.segments:
        stage = segment.stages
        if not isinstance(stage, Dense) or not stage.is_linear or stage.linear.bias is not None:
            kind = type(stage).__name__
            raise InputError(
                f"network has a stage {kind} with an activation or a bias; the closed forms have neither",
                setting="network",
                value=kind,
                remedy="build it with activation='linear' and bias=False",
            )
        weight = stage.linear.multiplier.value[:, None, None] * stage.linear.weight
        matrices.extend(weight + jnp.eye(weight.shape[-1], dtype=weight.dtype) if stage.residual else weight)
    return matrices


@in_full
def curvature_matrix(matrices: Matrices, precisions: Precisions) -> Float[Array, "out out"]:
    """C, the curvature of the output loss seen through the hidden layers; its norm is how far PC is from BP.

        C = Σ_{l<L} (γ_L/γ_l) P_l P_l^T = Σ_{i=2}^L (γ_L/γ_{i-1}) W_{L:i} W_{L:i}^T

    **Arguments:** `matrices`: A_1 … A_L; `precisions`: γ_1 … γ_L.

    >>> one = jnp.ones((1, 1))
    >>> curvature_matrix([one, one, one], [1.0, 1.0, 3.0]).tolist()
    [[6.0]]
    """
    layers = zip(precisions[:-1], downstream(matrices)[:-1], strict=True)
    return sum(precisions[-1] / precision * P @ P.T for precision, P in layers)


@in_full
def rescaling(matrices: Matrices, precisions: Precisions) -> Float[Array, "out out"]:
    """S, by which inference rescales the loss.

        S = Σ_l γ_l^-1 P_l P_l^T = γ_L^-1 (I + C)

    **Arguments:** as in `curvature_matrix`.

    >>> one = jnp.ones((1, 1))
    >>> rescaling([one, one, one], [1.0, 1.0, 0.5]).tolist()
    [[4.0]]
    """
    layers = zip(precisions, downstream(matrices), strict=True)
    return sum(P @ P.T / precision for precision, P in layers)


@in_full
def fixed_point_errors(
    matrices: Matrices,
    precisions: Precisions,
    x: Float[Array, "batch in"],
    y: Float[Array, "batch out"],
) -> list[Float[Array, "batch _"]]:
    """The errors e_1* … e_L* of the equilibrium.

        e_l* = (γ_L/γ_l) W_{L:l+1}^T (I + C)^-1 (y − f),   e_L* = (I + C)^-1 (y − f)

    **Arguments:** `matrices`: A_1 … A_L; `precisions`: γ_1 … γ_L; `x`; `y`.

    >>> one = jnp.ones((1, 1))
    >>> [e.item() for e in fixed_point_errors([one, one], [1.0, 1.0], one, 3 * one)]
    [1.0, 1.0]
    """
    curvature = curvature_matrix(matrices, precisions)
    system = jnp.eye(curvature.shape[0], dtype=curvature.dtype) + curvature
    top = jnp.linalg.solve(system, misfit_of(matrices, x, y).T).T
    layers = zip(precisions, downstream(matrices), strict=True)
    return [precisions[-1] / precision * top @ P for precision, P in layers]


@in_full
def equilibrated_energy(
    matrices: Matrices,
    precisions: Precisions,
    x: Float[Array, "batch in"],
    y: Float[Array, "batch out"],
) -> Float[Array, " batch"]:
    """F*, the energy at the equilibrium, per example: the loss that PC's weights descend.

        F* = 1/2 r^T S^-1 r,   r = y − f

    Training takes its mean over the batch. **Arguments:** as in `fixed_point_errors`.

    >>> one = jnp.ones((1, 1))
    >>> equilibrated_energy([one, one], [1.0, 1.0], one, 3 * one).tolist()
    [1.0]
    """
    misfit = misfit_of(matrices, x, y)
    return 0.5 * jnp.sum(misfit * jnp.linalg.solve(rescaling(matrices, precisions), misfit.T).T, axis=-1)


@in_full
def activity_hessian(matrices: Matrices, precisions: Precisions) -> Float[Array, "units units"]:
    """H = ∂²F/∂h² over all hidden units, h_1 first: block tridiagonal, dense, the same for every example.

        H_ll = γ_l I + γ_{l+1} A_{l+1}^T A_{l+1},   H_{l,l+1} = −γ_{l+1} A_{l+1}^T = H_{l+1,l}^T

    **Arguments:** as in `curvature_matrix`.

    >>> one = jnp.ones((1, 1))
    >>> activity_hessian([one, 2 * one, one], [1.0, 1.0, 1.0]).tolist()
    [[5.0, -2.0], [-2.0, 2.0]]
    """
    ends = _block_ends(matrices)
    hessian = jnp.zeros((ends[-1], ends[-1]), matrices[0].dtype)
    for l, (below, above) in enumerate(itertools.pairwise(precisions)):
        own, A = slice(ends[l], ends[l + 1]), matrices[l + 1]
        identity = jnp.eye(A.shape[1], dtype=A.dtype)
        hessian = hessian.at[own, own].set(below * identity + above * A.T @ A)
        if l + 2 < len(ends):
            upper = slice(ends[l + 1], ends[l + 2])
            hessian = hessian.at[own, upper].set(-above * A.T).at[upper, own].set(-above * A)
    return hessian


@in_full
def dense_equilibrium(
    matrices: Matrices,
    precisions: Precisions,
    x: Float[Array, "batch in"],
    y: Float[Array, "batch out"],
) -> list[Float[Array, "batch _"]]:
    """The activities h_1* … h_{L-1}* of the equilibrium, from its normal equations, without the closed form.

        H h* = b,   b_1 = γ_1 A_1 x,   b_{L-1} += γ_L A_L^T y,   otherwise 0

    **Arguments:** as in `fixed_point_errors`.

    >>> one = jnp.ones((1, 1))
    >>> [h.item() for h in dense_equilibrium([one, one], [1.0, 1.0], one, 3 * one)]
    [2.0]
    """
    ends = _block_ends(matrices)
    pull = jnp.zeros((x.shape[0], ends[-1]), x.dtype)
    pull = pull.at[:, : ends[1]].add(precisions[0] * x @ matrices[0].T)
    pull = pull.at[:, ends[-2] :].add(precisions[-1] * y @ matrices[-1])
    settled = jnp.linalg.solve(activity_hessian(matrices, precisions), pull.T).T
    return jnp.split(settled, ends[1:-1], axis=1)


@in_full
def equilibrium_weight_gradients(
    matrices: Matrices,
    precisions: Precisions,
    x: Float[Array, "batch in"],
    y: Float[Array, "batch out"],
) -> list[Float[Array, "_ _"]]:
    """The energy's gradient in every A_l at the equilibrium, mean over the batch of B examples.

        ∂F/∂A_l = −(1/B) Σ_b γ_l e_l* h*_{l-1}^T = dF*/dA_l,   h_l* = A_l h*_{l-1} + e_l*,   h_0 = x

    The two are equal as F is stationary in the activities. The gradient in W_l is this times its multiplier.
    **Arguments:** as in `fixed_point_errors`.

    >>> one = jnp.ones((1, 1))
    >>> [gradient.item() for gradient in equilibrium_weight_gradients([one, one], [1.0, 1.0], one, 3 * one)]
    [-1.0, -2.0]
    """
    gradients = []
    seen = x
    errors = fixed_point_errors(matrices, precisions, x, y)
    for A, precision, error in zip(matrices, precisions, errors, strict=True):
        gradients.append(-precision * error.T @ seen / x.shape[0])
        seen = seen @ A.T + error
    return gradients


@in_full
def downstream(matrices: Matrices) -> list[Float[Array, "out _"]]:
    """P_1 … P_L, the Jacobians ∂f/∂h_l = A_L ⋯ A_{l+1}."""
    products = [jnp.eye(matrices[-1].shape[0], dtype=matrices[-1].dtype)]
    for A in reversed(matrices[1:]):
        products.append(products[-1] @ A)
    return products[::-1]


@in_full
def misfit_of(
    matrices: Matrices, x: Float[Array, "batch in"], y: Float[Array, "batch out"]
) -> Float[Array, "batch out"]:
    """y − f, f the prediction of the forward pass."""
    for A in matrices:
        x = x @ A.T
    return y - x


def _block_ends(matrices: Matrices) -> list[int]:
    """Where each hidden layer's block of units starts, and where the last one ends."""
    ends = [0]
    for A in matrices[:-1]:
        ends.append(ends[-1] + A.shape[0])
    return ends
