"""The kernel regime: training by gradient descent of a network that is linear in its weights, in closed form.

    f(x; θ) ≈ f_0(x) + J(x) (θ − θ_0),   J = ∂f/∂θ,   K(x', x) = J(x') R J(x)^T,   R the rates of the leaves

Under the squared error the weights flow as θ̇ = R J^T (y − f), and the outputs on the training examples x and on any
others x' as

    f_t(x') = f_0(x') + K(x', x) K^-1 (I − exp(−K t)) (y − f_0(x)),   K = K(x, x)

Gradient descent of n steps has (I − t K / n)^n in place of the exponential. A wide network at richness 0 follows this,
as its features stand still; predictive coding there shares the end point, not the way: its flow is preconditioned by
(I + C)^-1, but never leaves the span of J^T.

**Assumptions:** squared error; weights near θ_0; plain SGD. Sources: arXiv 1806.07572 (the kernel), 2404.19719
(richness); docs/theory.md B2a.
"""

import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._errors import InputError
from .._product import in_full
from ..network import Built, LeafScaling, Network

# Below this fraction of the largest, an eigenvalue of a kernel is a direction that rounding alone would train.
ROUNDING = 1e-12


@in_full
def neural_tangent_kernel(
    built: Built, x: Float[Array, "batch *in"], other: Float[Array, "others *in"] | None = None
) -> Float[Array, "rows columns"]:
    """The empirical neural tangent kernel (NTK), every leaf weighted by its rate.

        K(x', x) = Σ_θ r_θ ∂f(x')/∂θ ∂f(x)/∂θ^T

    One pull and one push through the network a column: no Jacobian is held.

    **Arguments:** `built`: the network, whose scalings give r_θ; `x`: the columns' inputs; `other`: x', the rows' (x).

    **Returns:** rows and columns are (example, output), the output running fastest.

    >>> from widthwise.network import mlp
    >>> from widthwise.parameterization import parameterization
    >>> built = mlp(2, 4, 3, depth=2, table=parameterization("ntp"), key=jax.random.key(0))
    >>> neural_tangent_kernel(built, jnp.ones((5, 2)), jnp.ones((1, 2))).shape
    (3, 15)
    """
    other = x if other is None else other
    parameters, static = eqx.partition(built.network, eqx.is_inexact_array)

    def output(x: Array) -> Any:
        return lambda parameters: _called(eqx.combine(parameters, static), x)

    flat, pull = jax.vjp(output(x), parameters)

    def column(unit: Array) -> Array:
        gradient = pull(unit)[0]
        weighted = jax.tree.map(_by_rate, gradient, built.scalings)
        return jax.jvp(output(other), (parameters,), (weighted,))[1]

    return jax.lax.map(column, jnp.eye(flat.size, dtype=flat.dtype)).T


@in_full
def kernel_flow(
    kernel: Float[Array, "train train"],
    misfit: Float[Array, " train"],
    time: float,
    cross: Float[Array, "rows train"] | None = None,
    *,
    steps: int | None = None,
) -> Float[Array, " rows"]:
    """How far the outputs have come after some time of the kernel's flow.

        K(x', x) Q (1 − exp(−Λ t)) / Λ Q^T (y − f_0),   K = Q Λ Q^T

    **Arguments:** `kernel`: K on the training examples; `misfit`: y − f_0 there, in the order of K; `time`: t, in units
    of the sum of squared errors over examples: base rate · steps / batch for a loss that is a mean over the batch, or
    `math.inf`; `cross`: K(x', x) (K); `steps`: n of gradient descent instead of the flow.

    **Returns:** f_t(x') − f_0(x').

    **Raises:** `InputError` for a time or steps that are negative, and steps that lead to no end.

    >>> kernel_flow(jnp.diag(jnp.array([1.0, 2.0])), jnp.ones(2), math.inf).tolist()
    [1.0, 1.0]
    """
    if not time >= 0 or (steps is not None and (steps < 1 or math.isinf(time))):
        raise InputError(
            f"time {time}, steps {steps}",
            setting="time",
            value=time,
            remedy="expected a time of at least 0, finite and with a step if any",
        )
    eigenvalues, vectors = jnp.linalg.eigh(kernel)
    floor = ROUNDING * eigenvalues[-1]
    safe = jnp.where(eigenvalues > floor, eigenvalues, 1.0)
    learned = -jnp.expm1(-safe * time) if steps is None else 1 - (1 - time / steps * safe) ** steps
    # A direction that the kernel does not see is never learned.
    learned = jnp.where(eigenvalues > floor, learned / safe, 0.0)
    return (kernel if cross is None else cross) @ (vectors @ (learned * (vectors.T @ misfit)))


def _called(network: Network, x: Array) -> Float[Array, " outputs"]:
    return network(x).reshape(-1)


def _by_rate(gradient: Array, scaling: LeafScaling) -> Array:
    return scaling.rate * gradient
