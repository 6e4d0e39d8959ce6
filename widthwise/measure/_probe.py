"""What every measurement over widths shares: paired networks, and one small problem for all of them."""

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from .._errors import InputError
from ..algorithms import Batch
from ..network import Built, States
from ..parameterization import Parameterization
from ..training import streams

Build = Callable[[int, PRNGKeyArray], Built]
PROBE_SIZE = 8


def increasing(sizes: Sequence[int], what: str = "widths") -> list[int]:
    """The widths, or depths, which a slope can be taken over.

    **Raises:** `InputError` for fewer than two, and sizes that do not increase.
    """
    sizes = list(sizes)
    if len(sizes) < 2 or any(a >= b for a, b in itertools.pairwise(sizes)) or sizes[0] < 1:
        raise InputError(f"{what} {sizes}: a slope needs at least two {what}, increasing, of at least 1")
    return sizes


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
            f"differs from the one given ({table.name!r}, {table.gauge!r}): pass the same table to both"
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


def layer_rms(states: States) -> Float[Array, " layers"]:
    """The root mean square of every layer's state, over examples and units."""
    return jnp.concatenate([jnp.sqrt(jnp.mean(s**2, axis=tuple(range(1, s.ndim)))) for s in states])
