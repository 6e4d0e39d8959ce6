"""Activity descent in one pass a step, over the layers that the target has reached.

    step t moves h_{L-1} … h_{L-t};   every layer below is still where the forward pass put it

From below: h_l moves as soon as e_{l+1} has been computed from its old value, so that W_{l+1} is read once for
prediction and feedback, and the state needs no second copy. A layer reached for the first time is predicted as the
forward pass did, for nothing below it has moved. Half the work of the literal algorithm at T = L, and the same result.
"""

import itertools
from collections.abc import Callable
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..network import AbstractStage, Network, Segment, State, States, above, below, stage_at
from ._problem import Point, Problem, scaled

# Layers visited one by one, not in a loop, which copies each layer's weights to read them: a few always, more from so
# many bytes of weights on (256x256 in float32), where that is worth a longer compilation (docs/performance.md).
FEW, FEW_LARGE = 4, 8
LARGE = 2**18


def descend(problem: Problem, start: Point, rate: Float[Array, ""], steps: int) -> States:
    """The hidden states after `steps` gradient steps from the forward pass `start`, all layers of a step at once."""
    few = FEW_LARGE if _largest(problem.network) >= LARGE else FEW
    if min(steps, problem.network.depth - 1) <= few:
        return _one_by_one(problem, start, rate, steps)

    def step(turn: Array, joined: States) -> States:
        return _pass(problem, start, joined, rate, turn + 1)

    # The first step moves the top layer alone; in a loop it would visit one of every segment.
    joined = _joined(above(_one_by_one(problem, start, rate, 1)))
    return below(_parted(jax.lax.fori_loop(1, steps, step, joined)))


def reached(states: States, steps: Any) -> States:
    """Zero but for the top `steps` hidden layers."""
    depths = [_depth(state) for state in states]
    lowest = sum(depths) - steps

    def mask(leaf: Array, first: int) -> Array:
        active = first + jnp.arange(leaf.shape[0]) >= lowest
        return jnp.where(active.reshape(-1, *(1,) * (leaf.ndim - 1)), leaf, 0)

    firsts = itertools.accumulate(depths, initial=0)
    return tuple(
        jax.tree.map(lambda leaf, first=first: mask(leaf, first), state)
        for state, first in zip(states, firsts, strict=False)
    )


def _largest(network: Network) -> int:
    """Bytes of the largest layer's weights above the first layer."""

    def of_a_layer(segment: Segment) -> int:
        arrays = jax.tree.leaves(eqx.filter(segment.stages, eqx.is_inexact_array))
        return sum(array.size * array.dtype.itemsize for array in arrays) // segment.depth

    return max(of_a_layer(segment) for segment in network.segments[1:])


def _one_by_one(problem: Problem, start: Point, rate: Array, steps: int) -> States:
    """The steps, with every layer that they reach an array of its own and no loop over layers."""
    segments, seen = problem.network.segments[1:], list(above(start.states))
    places = [(index, row) for index, segment in enumerate(segments) for row in range(segment.depth)][-steps:]
    stages = [stage_at(segments[index], row) for index, row in places]
    initial = [_row(seen[index], row) for index, row in places]
    predictions = [*initial[1:], start.prediction]

    def move(states: list[State], first: int, feeding: State, known: State | None = None) -> list[State]:
        moved = states[:first]
        for place in range(first, len(states)):
            error = _error_to(states[place + 1]) if place + 1 < len(states) else problem.output_error
            gamma = problem.precisions[places[place][0] + 1]
            state, feeding = _move(stages[place], states[place], feeding, error, gamma, rate, known)
            moved.append(state)
            known = None
        return moved

    def whole(_: Array, states: list[State]) -> list[State]:
        # Only now is the lowest layer h_1.
        return move(states, 0, _weighted(problem.precisions[0], _error_to(states[0])(initial[0])))

    states = initial
    for first in reversed(range(len(places))):
        states = move(states, first, jax.tree.map(jnp.zeros_like, initial[first]), predictions[first])
    if steps > len(places):
        states = jax.lax.fori_loop(len(places), steps, whole, states)
    for (index, row), state in zip(places, states, strict=True):
        seen[index] = _put(seen[index], row, state)
    return below(tuple(seen))


def _joined(seen: States) -> States:
    """What a longer segment's stages see, and then what the last one predicts, which the next segment sees too."""
    following = (*seen[1:], None)
    return tuple(
        jax.tree.map(lambda own, high: jnp.concatenate([own, high[:1]]), own, high) if _depth(own) > 1 else own
        for own, high in zip(seen, following, strict=True)
    )


def _parted(joined: States) -> States:
    """What each stage sees: the inverse of `_joined`."""
    return tuple(jax.tree.map(lambda leaf: leaf[:-1], own) if _depth(own) > 1 else own for own in joined)


def _pass(problem: Problem, start: Point, joined: States, rate: Array, steps: Array) -> States:
    """One gradient step on the top `steps` hidden layers, from below.

    **Arguments:** `joined`: what each stage above the first sees, from `_joined`.
    """
    segments, precisions = problem.network.segments[1:], problem.precisions
    states = list(joined)
    # h_1 = f_1(x) + e_1, and f_1(x) does not move.
    feeding = _weighted(precisions[0], jax.tree.map(lambda h, f: h[0] - f[0], joined[0], start.states[0]))
    lowest = sum(segment.depth for segment in segments) - steps
    for index, segment in enumerate(segments):
        gamma = precisions[index + 1]
        if segment.depth > 1:
            forward = start.states[index + 1]
            states[index], feeding = _within(segment, states[index], feeding, forward, lowest, gamma, rate)
        else:
            rest = states[index + 1 :]
            error = _error_to(_row(rest[0], 0)) if rest else problem.output_error
            h = _row(states[index], 0)
            moved, sent = _move(stage_at(segment, 0), h, feeding, error, gamma, rate)
            # A stage alone is visited whether reached or not, and then changes nothing.
            moved, feeding = _chosen(lowest <= 0, (moved, sent), (h, jax.tree.map(jnp.zeros_like, sent)))
            states[index] = _put(states[index], 0, moved)
        if index > 0 and segments[index - 1].depth > 1:
            states[index - 1] = _put(states[index - 1], segments[index - 1].depth, _row(states[index], 0))
        lowest = lowest - segment.depth
    return tuple(states)


def _within(
    segment: Segment, own: State, feeding: State, forward: State, lowest: Array, gamma: Array, rate: Array
) -> tuple[State, State]:
    """What a longer segment's stages see, moved from `lowest` on, and what the stage above them is fed.

    **Arguments:** `own`: what each stage sees, then what the last one predicts; `forward`: what the forward pass
    predicted of each.
    """
    bottom = jnp.clip(lowest, 0, segment.depth)

    def moved(row: Array, own: State, feeding: State, known: State | None = None) -> tuple[State, State]:
        return _move(stage_at(segment, row), _row(own, row), feeding, _error_to(_row(own, row + 1)), gamma, rate, known)

    def visit(row: Array, carry: tuple[State, State]) -> tuple[State, State]:
        h, sent = moved(row, *carry)
        return _put(carry[0], row, h), sent

    # The layer reached for the first time: one product, not two.
    fresh = (lowest >= 0) & (lowest < segment.depth)
    known = _row(forward, jnp.minimum(bottom, segment.depth - 1))
    h, feeding = jax.lax.cond(fresh, lambda: moved(bottom, own, feeding, known), lambda: (_row(own, bottom), feeding))
    first = jnp.where(fresh, bottom + 1, bottom)
    return jax.lax.fori_loop(first, segment.depth, visit, (_put(own, bottom, h), feeding))


def _move(
    stage: AbstractStage,
    h: State,
    feeding: State,
    error: Callable[[State], State],
    gamma: Array,
    rate: Array,
    known: State | None = None,
) -> tuple[State, State]:
    """One layer moved, and the weighted error of the layer above it.

        h − s (γ_l e_l − J_{l+1}^T γ_{l+1} e_{l+1}),   γ_{l+1} e_{l+1}

    **Arguments:** `stage`: f_{l+1}; `feeding`: γ_l e_l; `error`: e_{l+1} of a prediction; `gamma`: γ_{l+1};
    `known`: the prediction f_{l+1}(h) where it is known, and then not computed.
    """
    prediction, pull = jax.vjp(stage, h)
    sent = _weighted(gamma, error(prediction if known is None else known))
    back = pull(sent)[0]
    return jax.tree.map(lambda h, w, b: h - rate * (w - b), h, feeding, back), sent


def _error_to(target: State) -> Callable[[State], State]:
    """The error of a prediction of a state."""
    return lambda f: jax.tree.map(jnp.subtract, target, f)


def _weighted(gamma: Array, error: State) -> State:
    return jax.tree.map(lambda e: scaled(gamma, e), error)


def _row(state: State, row: Any) -> State:
    return jax.tree.map(lambda leaf: leaf[row], state)


def _put(state: State, row: Any, value: State) -> State:
    # Not .at[row].set, which asks of every row whether it exists, and reads what is there in case it does not.
    put = partial(jax.lax.dynamic_update_index_in_dim, index=row, axis=0, allow_negative_indices=False)
    return jax.tree.map(put, state, value)


def _depth(state: State) -> int:
    return jax.tree.leaves(state)[0].shape[0]


def _chosen(condition: bool | Array, new: Any, old: Any) -> Any:
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), new, old)
