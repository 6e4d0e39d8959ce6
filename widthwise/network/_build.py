"""The one place where a parameterization is asked how a layer scales.

A builder says what its layers are, as a list of `Layer`; `assembled` draws their arrays, asks the table of each, and
returns the network with every array's rate, epsilon and decay beside it.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from .._errors import InputError
from .._numbers import whole_number
from ..parameterizations import Parameterization, Role, Scaling, Size, growth
from ._chain import Network, Segment
from ._stage import AbstractStage

STATES = ("pre", "post")
# Beyond this no weight matrix fits a machine, and index arithmetic overflows.
LARGEST = 2**24


class Tensor(NamedTuple):
    """One array of a layer, all but how the table scales it.

    **Fields:** `role`; `fans`: fan-in and fan-out (of a convolution: channels); `width`: N of this array; `shape`:
    without the axis of depth; `std`: constant on its initial scale; `start`: what it is drawn from: `normals`, ones or
    zeros; `summed`: how many equal terms an output sums over beside the fan-in (taps, pixels), which divide its rate;
    `learns`: False for statistics, which are measured; `fan_out_axis`: the axis of the fan-out.
    """

    role: Role
    fans: tuple[int, int]
    width: int
    shape: tuple[int, ...]
    std: float = 1.0
    start: Callable[[PRNGKeyArray, tuple[int, ...], Any], Array] | None = None
    summed: int = 1
    learns: bool = True
    fan_out_axis: int = 0


class Made(NamedTuple):
    """An array as the table scales it, and its multiplier; None where a layer has no such array."""

    array: Any
    multiplier: float


NO_BIAS = Made(None, 1.0)


@dataclasses.dataclass(frozen=True)
class Layer:
    """One layer of a network, or `count` alike in a row.

    **Arguments:** `role`: of its weights, which also decides its precision; `stage`: the stage from its arrays by name;
    `fans`: of its weights; `count`; `tensors`: its arrays by name, that of the role first.
    """

    role: Role
    stage: Callable[[Mapping[str, Made]], AbstractStage]
    fans: tuple[int, int]
    count: int
    tensors: Mapping[str, Tensor]


@dataclasses.dataclass(frozen=True)
class LeafScaling:
    """What the training loop needs of one array: its role, and its row's factors at its size.

    **Arguments:** `role`; `rate`, `epsilon`, `decay`: factors on the base learning rate, on Adam's epsilon and
    on the weight decay; `norm`: growth of the gradient's norm, beside the base size; `fan_out_axis`: which of the
    array's axes, that of depth left out, is its fan-out.
    """

    role: Role
    rate: float
    epsilon: float
    decay: float
    norm: float = 1.0
    fan_out_axis: int = 0


class Factors(eqx.Module):
    """The table's numbers for the optimizer as arrays: one entry for each trainable array, in the order of leaves.

    Arguments of compiled programs, so that all tables of one shape share one program.
    """

    rate: Float[Array, " leaves"]
    epsilon: Float[Array, " leaves"]
    decay: Float[Array, " leaves"]
    norm: Float[Array, " leaves"]


class FeedbackRow(NamedTuple):
    """What the table says of one feedback map: its role, size, init, multiplier, optimizer's factors and ridge."""

    role: Role
    size: Size
    init: float
    multiplier: float
    scaling: LeafScaling
    ridge: float


class Built(eqx.Module):
    """A network beside what scales it.

    **Arguments:** `network`; `scalings`: a pytree of the structure of `eqx.filter(network, eqx.is_inexact_array)` with
    a `LeafScaling` at every array; `table`: the parameterization it was built from; `sizes`: that of each segment's
    weights.
    """

    network: Network
    scalings: PyTree[LeafScaling]
    table: Parameterization = eqx.field(static=True)
    sizes: tuple[Size, ...] = eqx.field(static=True)

    @property
    def roles(self) -> PyTree[Role]:
        """The role of every trainable array, in the structure of `eqx.filter(network, eqx.is_inexact_array)`.

        Labels for `optax.partition`.
        """
        return jax.tree.map(lambda scaling: scaling.role, self.scalings)

    @property
    def feedback_rows(self) -> tuple[FeedbackRow, ...]:
        """What the table says of feedback, for each segment above the first."""
        return feedback_rows(self.table, self.sizes)

    @property
    def factors(self) -> Factors:
        """The scalings as arrays."""
        return factors_of(self.scalings, self.network.dtype)


def factors_of(scalings: PyTree[LeafScaling], dtype: Any) -> Factors:
    """The rates, epsilons, decays and norms of a pytree of scalings, as arrays."""
    names = [field.name for field in dataclasses.fields(Factors)]
    rows = [[getattr(one, name) for name in names] for one in jax.tree.leaves(scalings)]
    return Factors(*(jnp.asarray(column, dtype) for column in np.asarray(rows, float).reshape(-1, len(names)).T))


def assembled(
    layers: Sequence[Layer],
    table: Parameterization,
    *,
    depth: int,
    in_size: int,
    out_size: int,
    key: PRNGKeyArray,
    dtype: Any,
    image_shape: tuple[int, int, int] | None = None,
) -> Built:
    """A network from its layers, each array scaled as the table says.

    **Arguments:** `layers`: from the input to the readout; those of count 0 are left out; `table`; `depth`: L; `key`:
    split among the layers; `dtype`: of the arrays (default: JAX's float); `in_size`, `out_size`, `image_shape`: as of
    `Network`.
    """
    dtype = jnp.zeros(()).dtype if dtype is None else dtype
    segments, labels, sizes = [], [], []
    for layer, draw in zip(layers, jax.random.split(key, len(layers)), strict=True):
        if not layer.count:
            continue
        made: dict[str, Made] = {}
        scalings: dict[int, LeafScaling] = {}
        for index, (name, tensor) in enumerate(layer.tensors.items()):
            size = size_of(table, tensor.fans, tensor.width, depth)
            row = table.scalings[tensor.role]
            start = tensor.start or (lambda key, shape, dtype: jnp.zeros(shape, dtype))
            own = draw if index == 0 else jax.random.fold_in(draw, index)
            std = tensor.std * row.init.at(size) if tensor.learns else 1.0
            array = std * start(own, (layer.count, *tensor.shape), dtype)
            made[name] = Made(array, row.multiplier.at(size))
            scalings[id(array)] = _scaling(row, tensor, size)
        first = next(iter(layer.tensors.values()))
        sizes.append(size_of(table, layer.fans, first.width, depth))
        segment = Segment(layer.stage(made), layer.count, table.scalings[layer.role].precision.at(sizes[-1]))
        segments.append(segment)
        labels.append(_labelled(segment, scalings))
    network = Network(tuple(segments), in_size, out_size, image_shape)
    return built(network, labels, table, sizes)


def built(
    network: Network, labels: Sequence[PyTree[LeafScaling]], table: Parameterization, sizes: Sequence[Size]
) -> Built:
    """A network with its scalings, one pytree for each segment.

    **Raises:** `InputError` for float16 under an optimizer that divides by the root of a mean square.
    """
    if network.dtype == jnp.float16 and "epsilon" in table.rule.settings:
        raise InputError(
            f"dtype is float16, and squares of gradients, which {table.optimizer!r} divides by, are 0 there",
            setting="dtype",
            value="float16",
            remedy="use bfloat16 or float32, or another optimizer",
        )
    arrays = eqx.filter(network, eqx.is_inexact_array)
    scalings = jax.tree.unflatten(jax.tree.structure(arrays), jax.tree.leaves(list(labels)))
    return Built(network, scalings, table, tuple(sizes))


def _labelled(segment: Segment, scalings: Mapping[int, LeafScaling]) -> PyTree[LeafScaling]:
    """The segment with a LeafScaling in place of every array, known by its identity."""
    arrays = eqx.filter(segment, eqx.is_inexact_array)
    return jax.tree.map(lambda array: scalings[id(array)], arrays)


def _scaling(row: Scaling, tensor: Tensor, size: Size) -> LeafScaling:
    """What the training loop needs of an array; what is measured and not learned has neither rate nor decay."""
    learns = 1.0 if tensor.learns else 0.0
    rate, decay = row.rate.at(size) / tensor.summed, row.decay.at(size)
    return LeafScaling(
        tensor.role,
        learns * rate,
        row.epsilon.at(size),
        learns * decay,
        _norm(row, tensor.role, size),
        tensor.fan_out_axis,
    )


def _norm(row: Scaling, role: Role, size: Size) -> float:
    """How the norm of a gradient grows: its entries, as epsilon does, times the root of their number.

    Fan-in and fan-out count where they grow with the width, and the layers of a segment where they grow with the depth.
    """
    fans = int(role.grows_with_fan_in) + int(not role.is_output)
    stacked = role in (Role.HIDDEN, Role.HIDDEN_BIAS, Role.NORM) or role.is_branch
    entries = (size.width / size.base_width) ** fans * (size.depth / size.base_depth) ** int(stacked)
    return growth(row.epsilon, role).at(size) * math.sqrt(entries)


def size_of(table: Parameterization, fans: tuple[int, int], width: int, depth: int) -> Size:
    """A layer's size beside the table's base."""
    return table.size(fan_in=fans[0], fan_out=fans[1], width=width, depth=depth)


def own_scaling(
    table: Parameterization, role: Role, size: Size, learns: bool = True, fan_out_axis: int = 0
) -> tuple[float, LeafScaling]:
    """How far an array that came with its own scale grows with the size, and what the training loop needs of it."""
    row, tensor = table.scalings[role], Tensor(role, (0, 0), 0, (), learns=learns, fan_out_axis=fan_out_axis)
    return growth(row.init, role).at(size), _scaling(row, tensor, size)


def own_precision(table: Parameterization, role: Role, size: Size) -> float:
    """The factor on the precision of a layer of one's own."""
    return table.scalings[role].precision.at(size)


def has_branch_law(table: Parameterization) -> bool:
    """Whether the table scales residual branches with the depth."""
    row = table.scalings[Role.BRANCH]
    return any(power.depth != 0 for power in (row.multiplier, row.init, row.rate, row.epsilon))


def feedback_rows(table: Parameterization, sizes: Sequence[Size]) -> tuple[FeedbackRow, ...]:
    """What the table says of Q_l, for each segment above the first: its fan-in is the stage's fan-out."""
    # Only the readout's sees something that does not grow.
    roles = [Role.FEEDBACK] * (len(sizes) - 2) + [Role.FEEDBACK_OUTPUT]
    rows = []
    for role, size in zip(roles, sizes[1:], strict=True):
        width = size.fan_out if role.grows_with_fan_in else size.width
        size = dataclasses.replace(size, fan_in=size.fan_out, fan_out=size.fan_in, width=width)
        row = table.scalings[role]
        scaling = _scaling(row, Tensor(role, (0, 0), 0, ()), size)
        rows.append(FeedbackRow(role, size, row.init.at(size), row.multiplier.at(size), scaling, row.ridge.at(size)))
    return tuple(rows)


def normals(key: PRNGKeyArray, shape: tuple[int, ...], dtype: Any) -> Array:
    """w ~ N(0, 1): what one draw of this shape holds, whose program takes XLA up to ten times as long to compile."""
    return jax.random.normal(key, (math.prod(shape),), dtype).reshape(shape)


def ones(key: PRNGKeyArray, shape: tuple[int, ...], dtype: Any) -> Array:
    """All ones, whatever the key: how gains start."""
    return jnp.ones(shape, dtype)


def at_least(name: str, value: Any, least: int) -> int:
    """A size as Python's int.

    **Raises:** `InputError` for what is no whole number, too small, or larger than any machine holds.
    """
    return whole_number(name, value, least, LARGEST)
