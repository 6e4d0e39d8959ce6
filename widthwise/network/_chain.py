"""The chain z_l = f_l(z_{l-1}): a network as segments of stacked stages, visited in order or at once.

A segment is `depth` identical stages whose arrays carry a leading axis of depth. Only this module knows whether
it is visited in order (`sweep`, a `lax.scan`: compile time does not grow with depth) or at once (`each`, a
`vmap`: one batched product for all layers). States are tuples, one entry a segment, of pytrees whose leaves are
(depth, batch, ...). Hidden states leave out the readout.
"""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from .._errors import InputError
from ._factor import Factor, as_factor
from ._stage import AbstractStage, State
from ._states import States, above

# How many stages a turn of the loop visits: a GPU waits at every turn, a CPU is no faster (docs/performance.md).
BLOCKS = {"gpu": 4}


class Segment(eqx.Module):
    """A run of identical stages stacked along depth.

    **Arguments:** `stages`: one stage whose arrays carry a leading axis of depth; `depth`: its length;
    `precision`: the parameterization's factor on γ_l for these layers, relative to the base (`Factor`).
    """

    stages: AbstractStage
    depth: int = eqx.field(static=True)
    precision: Factor

    def __init__(self, stages: AbstractStage, depth: int, precision: float | Factor = 1.0) -> None:
        self.stages, self.depth = stages, depth
        self.precision = as_factor(precision, (), _dtype(stages))


def _dtype(tree: Any) -> Any:
    """The float type of the first array; JAX's own where there is none."""
    leaves = jax.tree.leaves(eqx.filter(tree, eqx.is_inexact_array))
    return leaves[0].dtype if leaves else None


class Network(eqx.Module):
    """A chain of segments, from the input layer to the readout.

    **Arguments:** `segments`: the first and the last hold one stage each; `in_size`, `out_size`; `image_shape`:
    (height, width, channels) of the images that it reads, None where it reads rows of `in_size` numbers.

    **Raises:** `InputError` where the chain has no readout, or its ends hold more than one stage.
    """

    segments: tuple[Segment, ...]
    in_size: int = eqx.field(static=True)
    out_size: int = eqx.field(static=True)
    image_shape: tuple[int, int, int] | None = eqx.field(static=True, default=None)

    def __check_init__(self) -> None:
        depths = [segment.depth for segment in self.segments]
        if len(depths) < 2 or depths[0] != 1 or depths[-1] != 1:
            raise InputError(
                f"the segments have depths {depths}",
                setting="segments",
                value=depths,
                remedy="a network has an input stage and a readout, each a segment of depth 1",
            )

    @property
    def depth(self) -> int:
        """L, the number of weight layers."""
        return sum(segment.depth for segment in self.segments)

    @property
    def is_linear(self) -> bool:
        """Whether every stage is affine."""
        return all(segment.stages.is_linear for segment in self.segments)

    @property
    def in_shape(self) -> tuple[int, ...]:
        """The shape of one input."""
        return (self.in_size,) if self.image_shape is None else self.image_shape

    @property
    def dtype(self) -> Any:
        """The float type of the weights."""
        return _dtype(self.segments[0])

    def __call__(self, x: Any) -> Any:
        """The prediction f of the forward pass, (batch, out), of inputs (batch, ...).

        A network of labels, as `Built.roles` is one, returns itself for a network: optax asks a tree of labels that can
        be called which labels the parameters have.
        """
        return self if isinstance(x, Network) else forward(self, x)[-1][0]


def sweep(
    step: Callable[..., tuple[Any, Any]], carry: Any, segment: Segment, *rows: Any, reverse: bool = False
) -> tuple[Any, Any]:
    """Visit a segment's stages in order.

    **Arguments:** `step(carry, stage, *row) -> (carry, out)`; `carry`; `segment`; `rows`: pytrees with a
    leading axis of depth; `reverse`: from the last stage to the first.

    **Returns:** the last carry and the outs, stacked along depth.
    """
    arrays, static = eqx.partition(segment.stages, eqx.is_array)

    def visit(carry: Any, row: Any) -> tuple[Any, Any]:
        return step(carry, eqx.combine(row[0], static), *row[1:])

    if segment.depth == 1:
        # A loop of one turn costs a loop's copies; the ends of every chain are such segments.
        carry, out = visit(carry, jax.tree.map(lambda leaf: leaf[0], (arrays, *rows)))
        return carry, jax.tree.map(lambda leaf: leaf[None], out)
    return jax.lax.scan(visit, carry, (arrays, *rows), reverse=reverse, unroll=BLOCKS.get(jax.default_backend(), 1))


def each(fn: Callable[..., Any], segment: Segment, *rows: Any) -> Any:
    """Visit a segment's stages at once: `fn(stage, *row)` for every depth; no layer waits for another."""
    arrays, static = eqx.partition(segment.stages, eqx.is_array)

    def visit(arrays: Any, *row: Any) -> Any:
        return fn(eqx.combine(arrays, static), *row)

    if segment.depth == 1:
        out = visit(*jax.tree.map(lambda leaf: leaf[0], (arrays, *rows)))
        return jax.tree.map(lambda leaf: leaf[None], out)
    return jax.vmap(visit)(arrays, *rows)


def stage_at(segment: Segment, row: Any) -> AbstractStage:
    """The stage at one depth of a segment, an index that may be traced."""
    arrays, static = eqx.partition(segment.stages, eqx.is_array)
    return eqx.combine(jax.tree.map(lambda leaf: leaf[row], arrays), static)


def head(network: Network, x: State) -> State:
    """f_1(x), which no relaxation moves as long as the input is clamped: computed once."""
    _check_input(network, x)
    return sweep(lambda z, stage: (stage(z), None), x, network.segments[0])[0]


def forward(network: Network, x: State) -> States:
    """All layers' states of the forward pass, in order.

    z_l = f_l(z_{l-1}),   z_0 = x

    **Raises:** `InputError` where x is not of the network's input shape.
    """
    _check_input(network, x)
    states = []
    for segment in network.segments:
        x, out = sweep(lambda z, stage: (stage(z),) * 2, x, segment)
        states.append(out)
    return tuple(states)


def _check_input(network: Network, x: State) -> None:
    """Refuse flat images where images are read, and the reverse, which would else fail deep in a product."""
    if isinstance(x, Array) and x.shape[1:] != network.in_shape:
        wants = "images" if network.image_shape is not None else "rows"
        raise InputError(
            f"the input's shape is {x.shape}",
            setting="input",
            value=x.shape,
            remedy=f"this network reads {wants} of shape (batch, {', '.join(map(str, network.in_shape))}); "
            f"reshape it, or build the network for it",
        )


def calibrated(network: Network, x: State) -> Network:
    """The network with the statistics of a batch in its batch normalizations, frozen from then on.

    **Arguments:** `x`: the batch; without batch normalization nothing is computed.
    """
    if not any(segment.stages.has_statistics for segment in network.segments):
        return network

    def step(z: State, stage: AbstractStage) -> tuple[State, Any]:
        stage = stage.calibrated(z)
        return stage(z), eqx.filter(stage, eqx.is_array)

    segments = []
    for segment in network.segments:
        x, arrays = sweep(step, x, segment)
        stages = eqx.combine(arrays, segment.stages)
        segments.append(eqx.tree_at(lambda s: s.stages, segment, stages))
    return eqx.tree_at(lambda n: n.segments, network, tuple(segments))


def perturbed(network: Network, first: State, errors: States) -> tuple[States, Array]:
    """The hidden states and the prediction when every hidden layer is displaced by its error.

        h_l = f_l(h_{l-1}) + e_l,   f = f_L(h_{L-1})

    **Arguments:** `first`: f_1(x), from `head`; `errors`: e_l of the hidden layers.
    """
    z = jax.tree.map(lambda f, e: f + e[0], first, errors[0])
    states = [jax.tree.map(lambda leaf: leaf[None], z)]

    def step(z: State, stage: AbstractStage, error: State) -> tuple[State, State]:
        z = jax.tree.map(jnp.add, stage(z), error)
        return z, z

    for segment, error in zip(network.segments[1:-1], errors[1:], strict=True):
        z, out = sweep(step, z, segment, error)
        states.append(out)
    return tuple(states), sweep(lambda z, stage: (stage(z), None), z, network.segments[-1])[0]


def pull(stage: AbstractStage, x: State, cotangent: State) -> State:
    """J_l^T c: a cotangent of one stage's output, pulled to its input."""
    return jax.vjp(stage, x)[1](cotangent)[0]


def pullback(network: Network, hidden: States, cotangent: Array, sources: States | None = None) -> States:
    """A cotangent of the prediction, pulled to every hidden layer's state, in reverse order.

        r_{L-1} = J_L^T c + s_{L-1},   r_{l-1} = J_l^T r_l + s_{l-1}

    **Arguments:** `hidden`: the states at which the Jacobians are taken; `cotangent`: (batch, out);
    `sources`: s_l of every hidden layer (none).
    """
    return _down(network, above(hidden), cotangent, sources, lambda stage, x, c: (pull(stage, x, c), None))[0]


def pulled_at_both(
    network: Network,
    points: tuple[States, States],
    cotangent: Callable[[Array], Array],
    other: Array,
    sources: tuple[States, States] | None = None,
) -> tuple[States, Array, States, States]:
    """`pullback` at two points, with what every layer predicts at the first, in one sweep.

    **Arguments:** `points`: the hidden states of both; `cotangent`: of the first's prediction; `other`: the second's
    cotangent; `sources`: of both (none).

    **Returns:** f_l(h_{l-1}) of the hidden layers above the first, and the prediction; what is pulled at each point.
    """

    def visit(stage: AbstractStage, x: tuple[State, State], c: tuple[State, State]) -> tuple[Any, State]:
        prediction, pulled = jax.vjp(stage, x[0])
        # Only the readout is reached without one.
        here = cotangent(prediction) if c[0] is None else c[0]
        return (pulled(here)[0], pull(stage, x[1], c[1])), prediction

    seen = tuple(zip(*map(above, points), strict=True))
    added = None if sources is None else tuple(zip(*sources, strict=True))
    pulled, (*predicted, prediction) = _down(network, seen, (None, other), added, visit)
    here, there = zip(*pulled, strict=True)
    return tuple(predicted), prediction[0], here, there


def _down(
    network: Network,
    seen: tuple[Any, ...],
    cotangent: Any,
    sources: tuple[Any, ...] | None,
    visit: Callable[[AbstractStage, Any, Any], tuple[Any, Any]],
) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """What `visit(stage, x, c) -> (c of the layer below, out)` pulls to every hidden layer, and its outs."""
    carry, out = sweep(lambda c, stage, x: visit(stage, x, c), cotangent, network.segments[-1], seen[-1])
    pulled, outs = [], [out]

    def step(c: Any, stage: AbstractStage, x: Any, source: Any = None) -> tuple[Any, tuple[Any, Any]]:
        c = _added(c, source)
        below, out = visit(stage, x, c)
        return below, (c, out)

    added = () if sources is None else sources
    for index in range(len(network.segments) - 2, 0, -1):
        rows = (seen[index - 1], *added[index : index + 1])
        carry, (own, out) = sweep(step, carry, network.segments[index], *rows, reverse=True)
        pulled.append(own)
        outs.append(out)
    if sources is not None:
        carry = _added(carry, jax.tree.map(lambda leaf: leaf[0], sources[0]))
    pulled.append(jax.tree.map(lambda leaf: leaf[None], carry))
    return tuple(reversed(pulled)), tuple(reversed(outs))


def _added(state: State, source: State | None) -> State:
    return state if source is None else jax.tree.map(jnp.add, state, source)
