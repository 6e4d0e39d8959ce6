"""Examples on the device: one copy, normalized as they are used, ordered by (seed, epoch)."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from .._errors import InputError
from .._loss import Loss
from .._numbers import whole_number
from ..algorithms import Batch
from ..data import Dataset
from ..network import Network, calibrated

CHUNK = 1000


class Streams(NamedTuple):
    """The independent random streams of one run: initialization, order of the data, the algorithm's own."""

    init: PRNGKeyArray
    order: PRNGKeyArray
    algorithm: PRNGKeyArray


def streams(seed: int) -> Streams:
    """Three streams from one seed, none of them the seed's own key.

    **Raises:** `InputError` for a seed that is negative or has more than 32 bits: it would repeat another's numbers.
    """
    if not 0 <= seed < 2**32:
        raise InputError(f"seed is {seed}", setting="seed", value=seed, remedy="it must be at least 0 and below 2^32")
    key = jax.random.key(seed)
    return Streams(*(jax.random.fold_in(key, stream) for stream in range(3)))


class Examples(eqx.Module):
    """One split of a data set on the device.

        input = (x − shift) / scale

    **Arguments:** `x`: (examples, features), uint8 or float; `y`: (examples, out) targets; `shift`, `scale`:
    (features,) or scalars; `shape`: of one input, as the network reads it.
    """

    x: Array
    y: Float[Array, "examples out"]
    shift: Array
    scale: Array
    shape: tuple[int, ...] = eqx.field(static=True)

    @property
    def count(self) -> int:
        """How many examples there are."""
        return self.x.shape[0]

    def batch(self, indices: Int[Array, " batch"]) -> Batch:
        """The examples at some indices, normalized."""
        return self._normalized(self.x[indices], self.y[indices])

    def chunk(self, start: int, stop: int) -> Batch:
        """Consecutive examples, normalized."""
        return self._normalized(self.x[start:stop], self.y[start:stop])

    def _normalized(self, x: Array, y: Array) -> Batch:
        normalized = (x.astype(y.dtype) - self.shift) / self.scale
        return Batch(normalized.reshape(x.shape[0], *self.shape), y)


def examples(dataset: Dataset, split: str, dtype: Any, network: Network | None = None) -> Examples:
    """A split (`"train"` or `"test"`) of a data set, on the device, targets in the network's float type.

    **Arguments:** `network`: which reads them, as rows unless it reads images.

    **Raises:** `InputError` for images of another shape than the network's, rows of another length, and targets of
    another number of outputs.
    """
    if network is not None and (
        network.in_size != dataset.in_size or network.image_shape not in (None, dataset.image_shape)
    ):
        wants = "rows" if network.image_shape is None else "images"
        has = f"rows of {dataset.in_size}" if dataset.image_shape is None else f"images of {dataset.image_shape}"
        raise InputError(
            f"the network reads {wants} of {network.image_shape or network.in_size}; {dataset.name} has {has}",
            setting="network",
            value=network.image_shape or network.in_size,
            remedy="build it for the data's `in_size`, or for its `image_shape` where it has one",
        )
    if network is not None and network.out_size != dataset.out_size:
        raise InputError(
            f"the network has {network.out_size} outputs; {dataset.name} has targets of {dataset.out_size}",
            setting="network",
            value=network.out_size,
            remedy="build it with the data's `out_size`",
        )
    x = dataset.x_train if split == "train" else dataset.x_test
    if x.dtype != np.uint8:
        x = x.astype(dtype)
    return Examples(
        jnp.asarray(x),
        jnp.asarray(dataset.targets(split), dtype),
        jnp.asarray(dataset.shift, dtype),
        jnp.asarray(dataset.scale, dtype),
        (dataset.in_size,) if network is None else network.in_shape,
    )


def batches_per_epoch(count: int, batch_size: int) -> int:
    """Whole batches in an epoch; the rest of a permutation waits for another epoch.

    **Raises:** `InputError` where a batch is larger than the data.
    """
    remedy = f"it must be a whole number between 1 and the {count} training examples"
    return count // whole_number("batch_size", batch_size, 1, count, remedy)


def total_steps(epochs: int | None, steps: int | None, per_epoch: int) -> int:
    """The steps of a run that is as long as one of both says.

    **Raises:** `InputError` where both or none are given, and for what is no whole number of at least 1.
    """
    if (epochs is None) == (steps is None):
        raise InputError(f"steps {steps} and epochs {epochs}", setting="steps", value=steps, remedy="give one of them")
    remedy = "at least one step must be made, a whole number"
    if epochs is not None:
        return whole_number("epochs", epochs, remedy=remedy) * per_epoch
    return whole_number("steps", steps, remedy=remedy)


def epoch_order(
    key: PRNGKeyArray, epoch: Int[Array, ""] | int, count: int, batch_size: int
) -> Int[Array, "batches batch"]:
    """The batches of an epoch: a permutation that depends on (seed, epoch) alone."""
    whole = count // batch_size
    order = jax.random.permutation(jax.random.fold_in(key, epoch), count)
    return order[: whole * batch_size].reshape(whole, batch_size)


def run_order(key: PRNGKeyArray, steps: int, count: int, batch_size: int) -> Int[Array, "steps batch"]:
    """The batches of a run's first `steps` steps, epoch after epoch."""
    epochs = -(-steps // (count // batch_size))
    orders = [epoch_order(key, epoch, count, batch_size) for epoch in range(epochs)]
    return jnp.concatenate(orders)[:steps]


def evaluate(network: Network, data: Examples, loss: Loss) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Mean loss and accuracy over a whole split, by the forward pass; the accuracy is NaN where a prediction is.

    With the output free every error vanishes at equilibrium, so settled predictions are the forward pass's.
    """
    whole = data.count // CHUNK
    starts = jnp.arange(whole) * CHUNK
    sums = [jnp.zeros((2,), data.y.dtype)]
    if whole:
        indices = starts[:, None] + jnp.arange(CHUNK)
        sums.append(jnp.sum(jax.lax.map(lambda i: _sums(network, data.batch(i), loss), indices), axis=0))
    if data.count % CHUNK:
        sums.append(_sums(network, data.chunk(whole * CHUNK, data.count), loss))
    total = jnp.sum(jnp.stack(sums), axis=0) / data.count
    return total[0], total[1]


def with_statistics(network: Network, data: Examples) -> Network:
    """The network with its batch normalizations' statistics, for prediction: of 1000 examples at most.

    They are drawn by a fixed permutation: rows sorted by class would give one class's statistics.
    """
    drawn = np.random.default_rng(0).permutation(data.count)[:CHUNK]
    return calibrated(network, data.batch(jnp.asarray(np.sort(drawn))).x)


def _sums(network: Network, batch: Batch, loss: Loss) -> Float[Array, "2"]:
    prediction = network(batch.x)
    hits = (jnp.argmax(prediction, axis=-1) == jnp.argmax(batch.y, axis=-1)).astype(prediction.dtype)
    # What is NaN names no class.
    hits = jnp.where(jnp.isnan(prediction).any(axis=-1), jnp.nan, hits)
    return jnp.stack([jnp.sum(loss(prediction, batch.y)), jnp.sum(hits)])
