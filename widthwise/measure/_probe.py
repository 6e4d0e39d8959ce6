"""What every measurement over widths shares: paired networks, and one small problem for all of them."""

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, PRNGKeyArray

from .._errors import InputError
from .._loss import Loss
from ..algorithms import AbstractAlgorithm, Batch, Learner
from ..network import Built, Network, States
from ..parameterizations import Parameterization
from ..training import TrainState, init_learner, make_step, scan_steps, start, streams

Build = Callable[[int, PRNGKeyArray], Built]
PROBE_SIZE = 8
# Up to about this much of its own size a layer responds linearly to the rate.
LINEAR_MOVEMENT = 0.3


def increasing(sizes: Sequence[int], what: str = "widths") -> list[int]:
    """The widths, or depths, which a slope can be taken over.

    **Raises:** `InputError` for fewer than two, and sizes that do not increase.
    """
    sizes = list(sizes)
    if len(sizes) < 2 or any(a >= b for a, b in itertools.pairwise(sizes)) or sizes[0] < 1:
        raise InputError(
            f"{what} {sizes}",
            setting=what,
            value=sizes,
            remedy=f"a slope needs at least two {what}, increasing, of at least 1",
        )
    return sizes


def check_settings(seeds: int, steps: int, rate: float | None) -> None:
    """What slopes are measured with.

    **Raises:** `InputError` for fewer than two seeds, no step, and a rate that is not positive and finite.
    """
    if seeds < 2:
        raise InputError(f"seeds {seeds}", setting="seeds", value=seeds, remedy="a slope's error needs two")
    if steps < 1:
        raise InputError(f"steps {steps}", setting="steps", value=steps, remedy="a movement needs one")
    if rate is not None and not 0 < rate < math.inf:
        raise InputError(
            f"rate is {rate}", setting="rate", value=rate, remedy="it must be positive and finite, or None to be chosen"
        )


def networks_of(build: Build, table: Parameterization, width: int, seeds: int) -> tuple[Built, Any]:
    """One built network, and the arrays of all seeds' networks stacked."""
    builts = builts_of(build, table, width, seeds)
    arrays = [eqx.filter(built.network, eqx.is_array) for built in builts]
    return builts[0], jax.tree.map(lambda *leaves: jnp.stack(leaves), *arrays)


def builts_of(build: Build, table: Parameterization, width: int, seeds: int) -> list[Built]:
    """The networks of all seeds.

    **Raises:** `InputError` where they were built from another table.
    """
    builts = [build(width, streams(seed).init) for seed in range(seeds)]
    if builts[0].table != table:
        raise InputError(
            f"build({width}, key) used the table {builts[0].table.name!r} in gauge {builts[0].table.gauge!r}, which "
            f"differs from the one given ({table.name!r}, {table.gauge!r})",
            setting="table",
            value=table.name,
            remedy="pass the same table to both",
        )
    return builts


def probe(built: Built, key: PRNGKeyArray, dtype: Any) -> Batch:
    """x ~ N(0, 1), y = tanh(2 T x) with T ~ N(0, 1/in): the same for a seed at every width."""
    inputs, teacher = jax.random.split(key)
    size = built.network.in_size
    x = jax.random.normal(inputs, (PROBE_SIZE, size), dtype)
    t = jax.random.normal(teacher, (built.network.out_size, size), dtype) / jnp.sqrt(size).astype(dtype)
    return Batch(x.reshape(-1, *built.network.in_shape), jnp.tanh(2 * x @ t.T))


def rms(array: Array) -> Float[Array, ""]:
    """The root mean square of all entries."""
    return jnp.sqrt(jnp.mean(array**2))


def state_rms(state: Any) -> Float[Array, " depth"]:
    """The root mean square of a segment's state, over examples and units, layer by layer.

    The state of a user's stage may be several arrays.
    """
    leaves = jax.tree.leaves(state)
    total = sum(jnp.sum(leaf**2, axis=tuple(range(1, leaf.ndim))) for leaf in leaves)
    return jnp.sqrt(total / sum(leaf.size // leaf.shape[0] for leaf in leaves))


def layer_rms(states: States) -> Float[Array, " layers"]:
    """The root mean square of every layer's state, over examples and units."""
    return jnp.concatenate([state_rms(state) for state in states])


def trained(
    rule: AbstractAlgorithm,
    transform: optax.GradientTransformationExtraArgs,
    loss: Loss,
    learner: Learner,
    batch: Batch,
    key: PRNGKeyArray,
    *,
    rate: Float[Array, ""],
    steps: int,
) -> Learner:
    """The learner after some full-batch steps, of which one is compiled."""
    step = make_step(rule, transform, loss)
    return scan_steps(step, start(learner, transform, rate), batch, steps, None, key)[0].learner


class _Kept(eqx.Module):
    """A state of training, and the network as the first step left it."""

    state: TrainState
    first: Network


def trained_and_first(
    rule: AbstractAlgorithm,
    transform: optax.GradientTransformationExtraArgs,
    loss: Loss,
    learner: Learner,
    batch: Batch,
    key: PRNGKeyArray,
    *,
    rate: Float[Array, ""],
    steps: int,
) -> tuple[Learner, Network]:
    """As `trained`, and the network after the first of the steps, from the same compiled step."""
    step = make_step(rule, transform, loss)

    def both(kept: _Kept, batch: Batch, key: PRNGKeyArray, sample: Any = None) -> tuple[_Kept, Any]:
        state, metrics = step(kept.state, batch, key, sample)
        begins = kept.state.step == 0
        now, first = (eqx.partition(network, eqx.is_array) for network in (state.learner.network, kept.first))
        first_arrays = jax.tree.map(lambda new, old: jnp.where(begins, new, old), now[0], first[0])
        return _Kept(state, eqx.combine(first_arrays, first[1])), metrics

    begun = _Kept(start(learner, transform, rate), learner.network)
    kept = scan_steps(both, begun, batch, steps, None, key)[0]
    return kept.state.learner, kept.first


def learner_of(rule: AbstractAlgorithm, built: Built, network: Network, key: PRNGKeyArray) -> Learner:
    """A rule's learner of another network of the same build."""
    return init_learner(rule, eqx.tree_at(lambda b: b.network, built, network), key=key)


def each_seed(
    measure: Callable[[AbstractAlgorithm, Network, PRNGKeyArray], Any],
    built: Built,
    algorithm: AbstractAlgorithm,
    networks: Any,
    seeds: int,
) -> Any:
    """A measurement of every seed's network, compiled once, one seed after the other: wide networks need the memory."""
    static = eqx.filter(built.network, eqx.is_array, inverse=True)
    rule_arrays, rule_static = eqx.partition(algorithm, eqx.is_array)

    @jax.jit
    def rows(rule: Any, rows: Any) -> Any:
        whole = eqx.combine(rule, rule_static)
        return jax.lax.map(lambda row: measure(whole, eqx.combine(row[0], static), row[1]), rows)

    return rows(rule_arrays, (networks, order_keys(seeds)))


def order_keys(seeds: int) -> Array:
    """The key of each seed's probe."""
    return jnp.stack([streams(seed).order for seed in range(seeds)])


def over_widths(
    build: Build,
    table: Parameterization,
    widths: Sequence[int],
    seeds: int,
    measure: Callable[[Built, Any], dict[str, Any]],
    on_width: Callable[[int], None],
) -> dict[str, np.ndarray]:
    """What `measure(built, networks)` finds at each width: for each of its names an array (widths, seeds)."""
    found = []
    for width in widths:
        on_width(width)
        found.append(measure(*networks_of(build, table, width, seeds)))
    return {name: np.stack([np.asarray(one[name], float) for one in found]) for name in found[0]}
