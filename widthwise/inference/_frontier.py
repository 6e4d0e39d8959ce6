"""Activity descent in one pass a step, over the layers that the target has reached.

    step t moves h_{L-1} … h_{L-t};   every layer below is still where the forward pass put it

From below: h_l moves as soon as e_{l+1} has been computed from its old value, so that W_{l+1} is read once for
prediction and feedback, and the state needs no second copy. Half the work of the literal algorithm at T = L, and the
same result.
"""

import itertools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..network import AbstractStage, Segment, State, States, above, below, stage_at
from ._base import Point, Problem, scaled

# So few steps are written out: a loop's copies of what it reads cost as much as a step on three layers.
UNROLLED = 4


def descend(problem: Problem, start: Point, rate: Float[Array, ""], steps: int) -> States:
    """The hidden states after `steps` gradient steps from the forward pass `start`, all layers of a step at once."""

    def step(turn: int | Array, seen: States) -> States:
        return _pass(problem, start, seen, rate, turn + 1)

    seen = above(start.states)
    # The first step moves the top layer alone; in a loop it would visit one of every segment.
    written_out = steps if steps <= UNROLLED else 1
    for turn in range(written_out):
        seen = step(turn, seen)
    return below(seen if written_out == steps else jax.lax.fori_loop(written_out, steps, step, seen))


def reached(states: States, steps: Any) -> States:
    """Zero but for the top `steps` hidden layers."""
    depths = [jax.tree.leaves(state)[0].shape[0] for state in states]
    lowest = sum(depths) - steps

    def mask(leaf: Array, first: int) -> Array:
        active = first + jnp.arange(leaf.shape[0]) >= lowest
        return jnp.where(active.reshape(-1, *(1,) * (leaf.ndim - 1)), leaf, 0)

    firsts = itertools.accumulate(depths, initial=0)
    return tuple(
        jax.tree.map(lambda leaf, first=first: mask(leaf, first), state)
        for state, first in zip(states, firsts, strict=False)
    )


def _pass(problem: Problem, start: Point, seen: States, rate: Array, steps: int | Array) -> States:
    """One gradient step on the top `steps` hidden layers, from below.

    **Arguments:** `seen`: what each stage above the first sees, which is every hidden state once; `steps`: where it is
    an int, segments that the target has not reached cost nothing.
    """
    segments, precisions = problem.network.segments[1:], problem.precisions
    states = list(seen)
    # h_1 = f_1(x) + e_1, and f_1(x) does not move.
    first_error = jax.tree.map(lambda h, f: h[0] - f[0], seen[0], start.states[0])
    feeding = _weighted(precisions[0], first_error)
    passed = 0
    for index, segment in enumerate(segments):
        gamma, last = precisions[index + 1], segment.depth - 1
        lowest = sum(s.depth for s in segments) - steps - passed
        passed += segment.depth
        reaches = lowest <= last
        if reaches is False:
            # The next segment's lower neighbour is where the forward pass put it.
            feeding = jax.tree.map(jnp.zeros_like, _row(seen[index + 1], 0))
            continue
        bottom = jnp.clip(lowest, 0, last)

        def visit(row: Array, carry: tuple[State, State], segment: Any = segment, gamma: Array = gamma) -> Any:
            own, feeding = carry
            h, target = _row(own, row), _row(own, row + 1)
            stage = stage_at(segment, row)
            moved, sent = _move(stage, h, feeding, lambda f: jax.tree.map(jnp.subtract, target, f), gamma, rate)
            return _put(own, row, moved), sent

        if last > 0:
            fresh = (lowest >= 0) & (lowest < last)
            known = _row(start.states[index + 1], bottom)
            carry = _reach(fresh, segment, bottom, states[index], feeding, known, gamma, rate)
            bottom = jnp.where(fresh, bottom + 1, bottom)
            states[index], feeding = jax.lax.fori_loop(bottom, last, visit, carry)
        error = _error_above(problem, states[index + 1 :])
        h = _row(states[index], last)
        moved, sent = _move(stage_at(segment, last), h, feeding, error, gamma, rate)
        # In a loop the last stage of a segment is visited whether reached or not, and then changes nothing.
        moved, feeding = _chosen(reaches, (moved, sent), (h, jax.tree.map(jnp.zeros_like, sent)))
        states[index] = _put(states[index], last, moved)
    return tuple(states)


def _reach(
    fresh: bool | Array,
    segment: Segment,
    row: Array,
    own: State,
    feeding: State,
    known: State,
    gamma: Array,
    rate: Array,
) -> tuple[State, State]:
    """The segment with one layer moved for the first time, if it is, and what it feeds to the layer above.

    Nothing below has moved, so the prediction made from it is still the forward pass's: one product less, of the two.

    **Arguments:** `fresh`: whether a step reaches the layer for the first time; `row`: its own; `known`: f_{l+1}.
    """
    h, target = _row(own, row), _row(own, row + 1)

    def move() -> tuple[State, State]:
        stage = stage_at(segment, row)
        return _move(stage, h, feeding, lambda f: jax.tree.map(jnp.subtract, target, f), gamma, rate, known)

    moved, sent = jax.lax.cond(fresh, move, lambda: (h, feeding))
    return _put(own, row, moved), sent


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


def _error_above(problem: Problem, rest: list[State]) -> Callable[[State], State]:
    """The error of a segment's last prediction: to the next segment's first input, or the output error."""
    if rest:
        target = _row(rest[0], 0)
        return lambda f: jax.tree.map(jnp.subtract, target, f)
    return lambda f: -jax.grad(lambda f: jnp.sum(problem.loss(f, problem.y)))(f)


def _weighted(gamma: Array, error: State) -> State:
    return jax.tree.map(lambda e: scaled(gamma, e), error)


def _row(state: State, row: Any) -> State:
    return jax.tree.map(lambda leaf: leaf[row], state)


def _put(state: State, row: Any, value: State) -> State:
    return jax.tree.map(lambda leaf, new: leaf.at[row].set(new), state, value)


def _chosen(condition: bool | Array, new: Any, old: Any) -> Any:
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), new, old)
