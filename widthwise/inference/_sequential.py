"""Sequential inference (SI): each layer moves once a sweep, from the readout down, seeing the moved error above.

    h_l <- h_l − s_l [γ_l e_l − J_{l+1}^T γ_{l+1} e_{l+1}],   l = L − 1 … 1,   e_{l+1} after h_{l+1} moved

With predictions fixed (FPA) and s_l = 1/γ_l one sweep gives γ_L times backprop's gradient exactly; without, the
exponents hold but the direction is backprop's at no width (docs/theory.md B4).
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._arguments import at_least_one, factor_or_none, positive
from ..network import AbstractStage, State, States, above, pull, sweep
from ._base import AbstractRelaxation, Settled, refuse_decay
from ._problem import Point, Problem, scaled


class SequentialSweep(AbstractRelaxation):
    """K reverse sweeps from the forward pass; K = 1 is single-shot inference.

    **Arguments:** `sweeps`: K; `step`: s_l of every hidden layer, apart from the precisions, or None for
    s_l = 1/γ_l; `tolerance`: what `Settled` calls converged.

    **Raises:** `InputError` for sweeps below 1 and a step or tolerance that is not positive.

    >>> SequentialSweep(sweeps=1).sweeps
    1

    Source: arXiv 2411.02001 (SI, FPA).
    """

    sweeps: int = eqx.field(static=True, default=1, converter=at_least_one("sweeps"))
    step: Float[Array, ""] | None = eqx.field(default=None, converter=factor_or_none("step"))
    tolerance: Float[Array, ""] = eqx.field(default=1e-2, converter=positive("tolerance"))

    @property
    def passes(self) -> int:
        """K."""
        return self.sweeps

    def __call__(self, problem: Problem, start: Point) -> tuple[Point, Settled]:
        """Make K sweeps from `start`."""
        refuse_decay(problem, "a sequential sweep")

        def once(_: Any, carry: tuple[States, Point]) -> tuple[States, Point]:
            states, point = carry
            moved = jax.tree.map(jnp.add, states, self._moves(problem, point))
            return moved, problem.at_states(moved, start)

        _, point = jax.lax.fori_loop(0, self.sweeps, once, (start.states, start))
        count = jnp.full(problem.y.shape[0], self.sweeps, jnp.int32)
        return point, self.settled(problem, start, point, count)

    def _moves(self, problem: Problem, point: Point) -> States:
        """Δh of every hidden layer. A prediction waits for the layer below, so e_{l+1} moves by Δh_{l+1} alone."""
        seen = above(point.states)
        top = scaled(problem.precisions[-1], point.output_error)
        back = sweep(lambda c, stage, x: (pull(stage, x, c), None), top, problem.network.segments[-1], seen[-1])[0]
        moves = []
        for index in range(len(point.errors) - 1, 0, -1):
            precision = problem.precisions[index]

            def layer(back: State, stage: AbstractStage, x: State, error: State, p: Array = precision) -> Any:
                move = self._move(p, error, back)
                after = jax.tree.map(lambda e, m: p * (e + m), error, move)
                return pull(stage, x, after), move

            segment = problem.network.segments[index]
            back, out = sweep(layer, back, segment, seen[index - 1], point.errors[index], reverse=True)
            moves.append(out)
        first = jax.tree.map(lambda leaf: leaf[0], point.errors[0])
        move = self._move(problem.precisions[0], first, back)
        moves.append(jax.tree.map(lambda leaf: leaf[None], move))
        return tuple(reversed(moves))

    def _move(self, precision: Array, error: State, back: State) -> State:
        """−s_l [γ_l e_l − feedback] of one layer."""

        def move(e: Array, b: Array) -> Array:
            step = 1 / precision if self.step is None else self.step
            return -step.astype(e.dtype) * (precision * e - b)

        return jax.tree.map(move, error, back)
