"""What a family or an algorithm of one's own may get wrong, found before anything is measured, by the layer's name."""

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray

from .._errors import InputError
from .._loss import Loss
from ..algorithms import AbstractAlgorithm, Batch, Learner
from ..network import Built, Network, calibrated, forward, inputs
from ..training import first_gradients, streams
from ._probe import Build, learner_of, probe


def check_family(build: Build, algorithm: AbstractAlgorithm, loss: Loss, widths: Sequence[int]) -> None:
    """A family that grows and an algorithm that is sound on its smallest network, before anything is compiled.

    **Raises:** as `check_growth` and `check_algorithm`.
    """
    small, large = (build(width, streams(0).init) for width in widths[:2])
    check_growth(small, large, (widths[0], widths[1]))
    check_algorithm(algorithm, small, loss)


def check_growth(small: Built, large: Built, sizes: tuple[int, int]) -> None:
    """Every stage's arrays must grow with the width, or there is nothing to measure.

    **Raises:** `InputError` that names the first layer whose arrays have the same shapes at both widths, and where the
    two networks have different layers.
    """
    pairs = [(built.network.segments, built.scalings.segments) for built in (small, large)]
    if len(pairs[0][0]) != len(pairs[1][0]):
        raise InputError(
            f"build returned {len(pairs[0][0])} segments at width {sizes[0]} and {len(pairs[1][0])} at {sizes[1]}",
            setting="build",
            value=[len(segments) for segments, _ in pairs],
            remedy="a family has the same layers at every width",
        )
    for index, (one, other) in enumerate(zip(pairs[0][0], pairs[1][0], strict=True)):
        shapes = [[leaf.shape[1:] for leaf in _arrays(segment)] for segment in (one, other)]
        if shapes[0] == shapes[1]:
            roles = sorted({str(label.role) for label in jax.tree.leaves(pairs[0][1][index])})
            raise InputError(
                f"build gives {layers(small.network, index)} ({', '.join(roles)}) arrays of the same shapes at widths "
                f"{sizes[0]} and {sizes[1]} ({', '.join(map(str, shapes[0]))})",
                setting="build",
                value=shapes[0],
                remedy="pass the width on to it",
            )


def check_normalization(built: Built) -> None:
    """Each layer's own update must be its alone.

    **Raises:** `InputError` that names the first layer that normalizes by the batch.
    """
    for index, segment in enumerate(built.network.segments):
        if segment.stages.has_statistics:
            # They are no parameters, and one layer's update would change them in another.
            raise InputError(
                f"{layers(built.network, index)} normalizes by the batch",
                setting="norm",
                value="batch",
                remedy="derive with layer normalization, or with none",
            )


def check_algorithm(algorithm: AbstractAlgorithm, built: Built, loss: Loss) -> None:
    """Inference and gradients of the right shapes on one network and the probe; but for shapes nothing is computed.

    **Raises:** `InputError` that names the layer whose error, input or gradient has another shape than expected; and
    what the algorithm itself refuses of a batch (`AbstractAlgorithm.validate`).
    """
    network, learner, batch, key = _begun(algorithm, built)
    algorithm.validate(learner, batch)
    states = eqx.filter_eval_shape(forward, network, batch.x)
    found = eqx.filter_eval_shape(lambda: algorithm.infer(learner, batch, loss, key=key))
    seen = eqx.filter_eval_shape(lambda: inputs(batch.x, forward(network, batch.x)[:-1]))
    for what, given, wanted in (("errors", found.errors, states), ("inputs", found.inputs, seen)):
        if len(given) != len(wanted):
            raise InputError(
                f"the algorithm {algorithm.name!r} infers {what} of {len(given)} segments, but the network "
                f"has {len(wanted)}",
                setting="algorithm",
                value=algorithm.name,
                remedy="one entry for each segment, the readout's last",
            )
        for index, (own, right) in enumerate(zip(given, wanted, strict=True)):
            _same(f"the {what} that {algorithm.name!r} infers for {layers(network, index)}", own, right)
    parameters = eqx.filter(network, eqx.is_inexact_array)
    shapes = eqx.filter_eval_shape(lambda: first_gradients(algorithm, learner, batch, loss, key=key))
    for index, (own, right) in enumerate(zip(shapes.segments, parameters.segments, strict=True)):
        _same(f"the gradient that {algorithm.name!r} returns for {layers(network, index)}", own, right)


def check_gradient(algorithm: AbstractAlgorithm, built: Built, loss: Loss) -> None:
    """A gradient that is finite on one network and the probe: this compiles, so it is asked where something was not.

    **Raises:** `InputError` that names the first layer whose gradient is NaN or infinite.
    """
    network, learner, batch, key = _begun(algorithm, built)
    gradients = eqx.filter_jit(lambda: first_gradients(algorithm, learner, batch, loss, key=key))
    for index, segment in enumerate(gradients().segments):
        check_finite(segment, network, index, f"the gradient of {algorithm.name!r}")


def _begun(algorithm: AbstractAlgorithm, built: Built) -> tuple[Network, Learner, Batch, PRNGKeyArray]:
    """One network, its learner, and the probe as a step of training begins with it."""
    key = streams(0).order
    batch = probe(built, key, jax.tree.leaves(_arrays(built.network))[0].dtype)
    network = calibrated(built.network, batch.x)
    return network, learner_of(algorithm, built, network, key), batch, key


def check_finite(values: Any, network: Network, index: int, what: str) -> None:
    """Whether a segment's arrays, stacked along depth, are finite.

    **Raises:** `InputError` that names the first layer where they are not.
    """
    depth = network.segments[index].depth
    finite = jnp.ones(depth, bool)
    for leaf in jax.tree.leaves(values):
        finite &= jnp.isfinite(leaf).reshape(depth, -1).all(axis=1)
    if not bool(finite.all()):
        layer = sum(segment.depth for segment in network.segments[:index]) + int(jnp.argmin(finite)) + 1
        raise InputError(
            f"{what} is NaN or infinite in layer {layer} of {network.depth}, on 8 standard normal inputs",
            setting=what,
            value="NaN or infinite",
            remedy="look for a division by zero, a logarithm of it, or inference that diverges",
        )


def layers(network: Network, index: int) -> str:
    """The layers of a segment, counted from 1."""
    first = sum(segment.depth for segment in network.segments[:index]) + 1
    last = first + network.segments[index].depth - 1
    return f"layer {first}" if first == last else f"layers {first} to {last}"


def _same(what: str, given: Any, wanted: Any) -> None:
    """Refuse another structure or shapes than the network's own."""
    shapes = [[leaf.shape for leaf in jax.tree.leaves(held)] for held in (given, wanted)]
    if shapes[0] != shapes[1]:
        ours, theirs = (", ".join(map(str, held)) or "nothing" for held in shapes)
        raise InputError(
            f"{what} have shape {ours}",
            setting=what,
            value=ours,
            remedy=f"expected {theirs}, depth first, then what the layer has",
        )


def _arrays(tree: Any) -> list[Any]:
    """What learns; also of shapes alone."""
    return [
        leaf
        for leaf in jax.tree.leaves(tree)
        if hasattr(leaf, "dtype") and hasattr(leaf, "shape") and jnp.issubdtype(leaf.dtype, jnp.inexact)
    ]
