"""Linear systems of symmetric positive definite matrices, which two programs may solve at once.

jaxlib gives a large enough batch of matrices to XLA's pool of threads, and waits for them in one of the pool's own. Two
programs on two cores, each with such a batch, then wait for each other, and neither ever ends. One matrix is not given
away: on a CPU they are solved in turn.
"""

from collections.abc import Callable

import jax
from jaxtyping import Array, Float

from ._product import product


def positive_solve(matrix: Float[Array, "size size"], right: Float[Array, "size ..."]) -> Float[Array, "size ..."]:
    """A^-1 B by Cholesky's factors, under any number of `vmap`, and any derivative.

    **Arguments:** `matrix`: A, symmetric positive definite; `right`: B.

    >>> import jax.numpy as jnp
    >>> positive_solve(4 * jnp.eye(2), jnp.asarray([4.0, 8.0])).tolist()
    [1.0, 2.0]
    """

    def solved(_: Callable[[Array], Array], right: Array) -> Array:
        return jax.lax.platform_dependent(matrix, right, cpu=_in_turn, default=_solved)

    # Its derivative is another such solve: a `vmap` in turn alone has no reverse mode.
    return jax.lax.custom_linear_solve(lambda x: product(matrix, x), right, solved, symmetric=True)


def _solved(matrix: Array, right: Array) -> Array:
    return jax.scipy.linalg.cho_solve(jax.scipy.linalg.cho_factor(matrix, lower=True), right)


_in_turn = jax.custom_batching.sequential_vmap(_solved)
