"""How good an update is: its direction and length against the update at a float64 equilibrium."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from widthwise import mse
from widthwise.algorithms import Batch, Learner
from widthwise.network import Built, Network

from . import _cases
from ._settings import BATCH, EQUILIBRIUM, Size


class Update(NamedTuple):
    """A weight gradient (a stack a segment, float64) and how inference went."""

    weights: list[np.ndarray]
    metrics: dict[str, float]


def update(built: Built, spec: str, batch: Batch) -> Update:
    """The gradient that a relaxation leads to, in the network's float type."""
    depth = built.network.depth
    rule = _cases.algorithm(spec, depth)

    @eqx.filter_jit
    def compute(network: Network, batch: Batch) -> Any:
        return rule.grads(Learner(network), batch, mse, key=jax.random.key(0))

    gradients, metrics = compute(built.network, batch)
    found = {name: float(value) for name, value in metrics.items()}
    return Update([weight.astype(np.float64) for weight in _cases.weights_of(gradients)], found)


def in_float64(built: Built, batch: Batch, spec: str = EQUILIBRIUM) -> Update:
    """The same from the same weights and data in float64; settled, unless told otherwise."""
    weights, data = _cases.weights_of(built.network), [np.asarray(array) for array in batch]
    size = Size(weights[0].shape[1], built.network.depth)
    with jax.enable_x64(True):
        # Its multipliers and activation are those of the network that it copies.
        activation = built.network.segments[-1].stages.before
        wide = _cases.with_weights(_cases.network(size, activation, dtype=jnp.float64), weights)
        return update(wide, spec, Batch(*(jnp.asarray(array, jnp.float64) for array in data)))


def compare(found: list[np.ndarray], reference: list[np.ndarray]) -> dict[str, float]:
    """Cosine to a reference and distance from it, relative to its length, over all weights."""
    dot = sum(float(np.vdot(a, b)) for a, b in zip(found, reference, strict=True))
    own, length = (np.sqrt(sum(float(np.vdot(a, a)) for a in stacks)) for stacks in (found, reference))
    gap = np.sqrt(sum(float(np.sum((a - b) ** 2)) for a, b in zip(found, reference, strict=True)))
    # An update that is zero or not finite has no direction.
    return {"cosine": dot / (own * length) if own * length > 0 else 0.0, "error": gap / length}


def trained(built: Built, steps: int, spec: str, rate: float) -> tuple[Built, dict[str, float]]:
    """The network after some training steps of a rule, and the last step's metrics."""
    x, y, _ = _cases.examples(steps * BATCH)
    whole = len(x) // BATCH
    first = Batch(jnp.asarray(x[:BATCH]), jnp.asarray(y[:BATCH]))
    stepper = _cases.Stepper(built, _cases.algorithm(spec, built.network.depth), first, rate)
    for index in range(steps):
        rows = slice((index % whole) * BATCH, (index % whole + 1) * BATCH)
        stepper.batch = Batch(jnp.asarray(x[rows]), jnp.asarray(y[rows]))
        stepper()
    trained = eqx.filter(stepper.arrays.learner.network, eqx.is_inexact_array)
    weights = [np.asarray(leaf) for leaf in jax.tree.leaves(trained)]
    metrics = {name: float(value) for name, value in stepper.metrics.items()}
    return _cases.with_weights(built, weights), metrics


def digits(error: float) -> float:
    """How many digits of an update are right: minus log10 of its relative error, none below 0."""
    return max(0.0, -float(np.log10(error))) if error > 0 else float("inf")
