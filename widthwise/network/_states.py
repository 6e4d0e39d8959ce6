"""States of a chain: what each layer sees of them, and their norms.

A tuple, one entry a segment, of pytrees whose leaves are (depth, batch, ...). Hidden states leave out the readout.
"""

import itertools
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ._stage import State

States = tuple[State, ...]


def above(hidden: States) -> States:
    """What each segment above the first sees: the hidden states shifted by one layer.

    **Arguments:** `hidden`: the states of all layers but the readout.

    **Returns:** one entry for each segment after the first, the readout's last.
    """
    seen = []
    below = hidden[0]
    for state in hidden[1:]:
        last = jax.tree.map(lambda leaf: leaf[-1:], below)
        # A stage alone in its segment may change the state's shape; in a longer one all states are alike.
        alone = jax.tree.leaves(state)[0].shape[0] == 1
        seen.append(last if alone else jax.tree.map(_append_all_but_last, last, state))
        below = state
    return (*seen, jax.tree.map(lambda leaf: leaf[-1:], below))


def _append_all_but_last(low: Array, own: Array) -> Array:
    return jnp.concatenate([low, own[:-1]])


def below(seen: States) -> States:
    """The hidden layers' rows of what belongs to the layers above the first: the inverse of `above`.

    **Arguments:** `seen`: one entry for each segment after the first, the readout's last.
    """
    hidden = [jax.tree.map(lambda leaf: leaf[:1], seen[0])]
    for own, following in itertools.pairwise(seen):
        last = jax.tree.map(lambda leaf: leaf[:1], following)
        # As in `above`: a stage alone in its segment may change the state's shape.
        alone = jax.tree.leaves(own)[0].shape[0] == 1
        hidden.append(last if alone else jax.tree.map(_append_to_all_but_first, own, last))
    return tuple(hidden)


def _append_to_all_but_first(own: Array, high: Array) -> Array:
    return jnp.concatenate([own[1:], high])


def inputs(x: State, hidden: States) -> States:
    """What each layer sees: the network's input, then the hidden states shifted by one layer."""
    return (jax.tree.map(lambda leaf: leaf[None], x), *above(hidden))


def square_norm(states: States, weights: tuple[Any, ...] | None = None) -> Float[Array, " batch"]:
    """Per example: the sum over layers and units of w_l |z_l|².

    **Arguments:** `states`; `weights`: one a segment, scalars or (batch,) (default 1).
    """
    weights = (1.0,) * len(states) if weights is None else weights
    return sum(
        weight * jnp.sum(leaf * leaf, axis=(0, *range(2, leaf.ndim)))
        for weight, state in zip(weights, states, strict=True)
        for leaf in jax.tree.leaves(state)
    )


def around(states: States) -> tuple[States, States]:
    """What lies below and above every map: z_{l-1} and z_l, one entry for each segment above the first.

    **Arguments:** `states`: of the forward pass, the prediction last.
    """
    *hidden, prediction = states
    return above(tuple(hidden)), (*hidden[1:], prediction)


def flat(state: jax.Array) -> jax.Array:
    """One vector an example."""
    return jnp.reshape(state, (state.shape[0], -1))
