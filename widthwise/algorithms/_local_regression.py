"""The local regression that every algorithm's weights learn from, whatever chose its inputs and errors.

E(θ) = Σ_{l<L} (γ_l/2) |t_l − f_l(x_l; θ_l)|² + γ_L loss(f_L(x_L; θ_L), y),   x_l, t_l held fixed
"""

from typing import Any

import equinox as eqx
import jax
from jaxtyping import Array, Float

from .._loss import Loss
from ..inference import scaled
from ..network import AbstractStage, Network, States, each, square_norm

Precisions = tuple[Float[Array, "..."], ...]


def local_energy(
    precisions: Precisions, errors: States, prediction: Array, y: Array, loss: Loss
) -> Float[Array, " batch"]:
    """The energy of inputs and errors held fixed, per example.

        Σ_{l<L} (γ_l/2) |e_l|² + γ_L loss(f_L(x_L), y)

    **Arguments:** `errors`: of the hidden layers; `prediction`: f_L(x_L).
    """
    return 0.5 * square_norm(errors, precisions[:-1]) + precisions[-1] * loss(prediction, y)


def local_gradients(network: Network, precisions: Precisions, inputs: States, errors: States) -> Network:
    """The weight gradient of every layer's own regression, at once, mean over the batch.

        ∂E/∂θ_l = −(1/B) Σ_b (∂f_l/∂θ_l)^T γ_l e_l

    **Arguments:** `network`; `precisions`: γ_l, one a segment; `inputs`, `errors`: one entry a segment, leaves
    (depth, batch, ...).

    **Returns:** a pytree of the network's structure: arrays where it has arrays.

    **Raises:** `ValueError` where there are not as many entries as segments.

    >>> import jax.numpy as jnp, widthwise as ww
    >>> built = ww.mlp(2, 4, 1, depth=2, table=ww.parameterization("mup"), key=jax.random.key(0))
    >>> x, one = jnp.ones((8, 2)), jnp.ones(())
    >>> *hidden, prediction = ww.forward(built.network, x)
    >>> errors = (jnp.zeros_like(hidden[0]), 1 - prediction)
    >>> found = local_gradients(built.network, (one, one), ww.inputs(x, tuple(hidden)), errors)
    >>> bool(jnp.all(found.segments[0].stages.linear.weight == 0))
    True
    """
    segments = []
    for segment, precision, x, error in zip(network.segments, precisions, inputs, errors, strict=True):
        batch = jax.tree.leaves(error)[0].shape[1]

        def layer(stage: AbstractStage, x: Any, error: Any, weight: Array = -precision / batch) -> AbstractStage:
            parameters, static = eqx.partition(stage, eqx.is_inexact_array)
            _, pull = jax.vjp(lambda p: eqx.combine(p, static)(x), parameters)
            return pull(jax.tree.map(lambda e: scaled(weight, e), error))[0]

        stages = each(layer, segment, x, error)
        segments.append(eqx.tree_at(lambda s: s.stages, eqx.filter(segment, eqx.is_inexact_array), stages))
    return eqx.tree_at(lambda n: n.segments, eqx.filter(network, eqx.is_inexact_array), tuple(segments))
