"""Where an algorithm's update points: its angle to backprop's, and to Gauss-Newton's."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from .._loss import Loss, mse
from ..algorithms import AbstractAlgorithm, Backprop, Batch, GaussNewtonTargets, Learner, cosine
from ..network import calibrated


def directions(
    algorithm: AbstractAlgorithm,
    learner: Learner,
    batch: Batch,
    *,
    key: PRNGKeyArray,
    loss: Loss = mse,
    damping: float = 1e-6,
) -> dict[str, Float[Array, " layers"]]:
    """The angles, in degrees, of every layer's weight gradient to those of two references.

        angle = arccos(⟨a, b⟩ / (|a| |b|))

    **Arguments:** `algorithm`; `learner`: its own, from `algorithm.init`; `batch`; `key`: of its noise; `loss`;
    `damping`: of Gauss-Newton.

    **Returns:** `"backprop"` and `"gauss_newton"`, each (layers,); the readout, last, learns from the loss in all.

    **Raises:** `InputError` for what the algorithm refuses of the batch.

    >>> import jax, widthwise as ww
    >>> built = ww.mlp(4, 8, 2, depth=3, table=ww.parameterization("mup"), key=jax.random.key(0))
    >>> batch = ww.Batch(jnp.ones((3, 4)), jnp.ones((3, 2)))
    >>> rule, key = ww.Backprop(), jax.random.key(1)
    >>> found = directions(rule, rule.init(built, key=key), batch, key=key)
    >>> bool(jnp.all(found["backprop"] < 0.1))
    True
    """
    network = calibrated(learner.network, batch.x)
    learner = eqx.tree_at(lambda held: held.network, learner, network)
    # What is traced has no numbers to look at.
    if not any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves((algorithm, learner, batch))):
        algorithm.validate(learner, batch)
    own, _ = algorithm.grads(learner, batch, loss, key=key)
    found = {}
    for name, reference in (("backprop", Backprop()), ("gauss_newton", GaussNewtonTargets(jnp.asarray(damping)))):
        other, _ = reference.grads(learner, batch, loss, key=key)
        found[name] = jnp.degrees(jnp.arccos(jnp.clip(cosine(own, other)[1], -1, 1)))
    return found
