"""A network of one's own: Equinox modules from one array to one array are stages; two widths tell their arrays' roles.

Roles and sizes are each array's own (`_array_roles.py`). Multipliers exist in our own layers alone, so that a network
of one's own trains in the gauge without: the module's own init at the base width counts, and

    w <- w · (RMS of w at N_0) / (RMS of w at N) · (N / N_0)^-b,   rate, epsilon, decay as the table has them

Sources: arXiv 2203.03466 (roles from two widths); docs/theory.md A3 (gauges).
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray

from .._errors import InputError, expect
from .._product import in_full
from ..parameterizations import Parameterization, Role, Size
from ._array_roles import ArrayRole, array_roles, check_stages, read_axes
from ._build import Built, LeafScaling, at_least, built, has_branch_law, own_precision, own_scaling, size_of
from ._chain import Network, Segment
from ._stage import AbstractStage, State

Make = Callable[[int, PRNGKeyArray], Sequence[Any]]


class Own(AbstractStage):
    """A user's module, a function of one example, as a stage: f_l(x) = module(x) for every example of a batch."""

    module: Any

    @property
    def is_linear(self) -> bool:
        """Not known, so no."""
        return False

    def __call__(self, x: State, *, key: PRNGKeyArray | None = None, train: bool = True) -> State:
        """The module on every example; it is not told whether it trains, so `key` and `train` change nothing."""
        return in_full(jax.vmap(self.module))(x)


def own_network(
    make: Make,
    in_size: int,
    width: int,
    *,
    table: Parameterization,
    key: PRNGKeyArray,
    roles: Mapping[str, Role | str] | None = None,
    frozen: Sequence[str] = (),
) -> Built:
    """A chain of Equinox modules, each a stage that the algorithms treat as one layer.

        z_l = module_l(z_{l-1}),   l = 1 … L

    **Arguments:** `make(width, key)`: the modules, from the input to the readout, at least two, each a function of one
    example; equal neighbours between the ends are stacked; `in_size`: of one example; `width` N; `table`: how it
    scales, in any gauge; `key`: of `make`; `roles`: the roles of arrays that neither two widths nor a derivative tell,
    by the name that the error gives them; `frozen`: the names of arrays that neither learn nor decay, as those behind
    `jax.lax.stop_gradient` do anyway.

    **Returns:** a `Built` network, as `mlp` returns it.

    **Raises:** `InputError` where a role is ambiguous, a stage has no arrays or none that grows, cannot be called with
    one array alone (dropout, layers with state) or returns anything but one array, the prediction's size depends on
    the width, `make` returns other stages at another width, and for a table whose law of depth acts on branches, where
    no array is one.

    >>> from widthwise.parameterization import parameterization
    >>> make = lambda width, key: [eqx.nn.Linear(64, width, key=key), eqx.nn.Linear(width, 10, key=key)]
    >>> built = own_network(make, 64, 128, table=parameterization("mup"), key=jax.random.key(0))
    >>> [str(leaf.role) for leaf in jax.tree.leaves(built.scalings)]
    ['input', 'hidden_bias', 'output', 'output_bias']
    """
    expect(Parameterization, 'ww.parameterization("mup")', table=table)
    in_size, width = at_least("in_size", in_size, 1), at_least("width", width, 1)
    modules = list(make(width, key))
    if len(modules) < 2:
        raise InputError(
            f"make(width, key) returned {len(modules)} stages",
            setting="make",
            value=len(modules),
            remedy="a network has an input stage and a readout",
        )
    wide = list(eqx.filter_eval_shape(lambda key: list(make(2 * width, key)), key))
    check_stages(modules, wide, width)
    shapes, wide_shapes = (_state_shapes(held, in_size) for held in (modules, wide))
    if shapes[-1] != wide_shapes[-1]:
        raise InputError(
            f"make(width, key) ends with a stage whose prediction has shape {shapes[-1]} at width {width} and "
            f"{wide_shapes[-1]} at {2 * width}",
            setting="make",
            value=[shapes[-1], wide_shapes[-1]],
            remedy="end with a stage whose output does not grow",
        )
    plain = table.in_gauge("stp")
    drawn = [list(make(size, jax.random.key(0))) for size in (table.base_width, width)]
    # At the base width, where spaces are small.
    read = [read_axes(*pair) for pair in zip(drawn[0], _state_shapes(drawn[0], in_size), strict=False)]
    found = array_roles(modules, wide, read, math.prod(shapes[-1]), dict(roles or {}), tuple(frozen))
    _check_depth_law(table, found)
    scaled, labels, sizes = [], [], []
    for index, module in enumerate(modules):
        fans = (int(np.prod(shapes[index])), int(np.prod(shapes[index + 1])))
        size = size_of(table, fans, width, len(modules))
        references = (drawn[0][index], drawn[1][index])
        rescaled, scalings = _rescaled(module, references, found[index], plain, size, len(modules))
        scaled.append(rescaled)
        labels.append(scalings)
        sizes.append(size)
    return _built(scaled, labels, sizes, table, in_size, int(np.prod(shapes[-1])))


def _state_shapes(modules: Sequence[Any], in_size: int) -> list[tuple[int, ...]]:
    """The shapes of x and of every stage's state, for one example."""
    state = jax.ShapeDtypeStruct((in_size,), jnp.zeros(()).dtype)
    shapes = [state.shape]
    for index, module in enumerate(modules):
        kind = f"stage {index + 1} ({type(module).__name__})"
        # Any error: the module is the user's, and so is what it raises.
        try:
            state = eqx.filter_eval_shape(lambda module, x: module(x), module, state)
        except Exception as error:
            told = f"{type(error).__name__}: {error}".splitlines()[0]
            raise InputError(
                f"{kind} cannot be called with one example of shape {shapes[-1]} and nothing else ({told})",
                setting="stage",
                value=type(module).__name__,
                remedy="a stage is a function of one array; dropout, which needs a key, and layers with state are not "
                "supported",
            ) from error
        if not isinstance(state, jax.ShapeDtypeStruct):
            raise InputError(
                f"{kind} returned a {type(state).__name__}",
                setting="stage",
                value=type(module).__name__,
                remedy="a stage returns one array, the next one's input",
            )
        shapes.append(state.shape)
    return shapes


def _check_depth_law(table: Parameterization, found: Sequence[Sequence[ArrayRole]]) -> None:
    """Refuse a law of depth that would act on nothing."""
    if has_branch_law(table) and not any(array.role.is_branch for arrays in found for array in arrays):
        raise InputError(
            f"the table {table.name!r} has a law of depth, which acts on branches, and no array has that role",
            setting="table",
            value=table.name,
            remedy="name the arrays of residual branches, as in roles={'1.linear.weight': 'branch'}, or use 'mup'",
        )


def _rescaled(
    module: Any,
    references: tuple[Any, Any],
    roles: Sequence[ArrayRole],
    table: Parameterization,
    stage: Size,
    depth: int,
) -> tuple[Any, list[LeafScaling]]:
    """A module whose arrays have the table's growth from their own scale at the base width, and their scalings.

    **Arguments:** `references`: the module as drawn at the base width and at this one; `roles`: of its arrays; `stage`:
    its size, which is that of its vectors.
    """
    arrays, static = eqx.partition(module, eqx.is_inexact_array)
    drawn = (jax.tree.leaves(eqx.filter(held, eqx.is_inexact_array)) for held in references)
    scaled, scalings = [], []
    for leaf, one, *held in zip(jax.tree.leaves(arrays), roles, *drawn, strict=True):
        own, reached = (float(jnp.sqrt(jnp.mean(array**2))) for array in held)
        # What is drawn as zeros stays so.
        ratio = own / reached if own and reached else 1.0
        size = stage if one.fans is None else size_of(table, one.fans, stage.width, depth)
        grown, scaling = own_scaling(table, one.role, size, one.learns, one.fan_out_axis)
        scaled.append(ratio * grown * leaf if one.learns else leaf)
        scalings.append(scaling)
    return eqx.combine(jax.tree.unflatten(jax.tree.structure(arrays), scaled), static), scalings


def _built(
    modules: list[Any],
    labels: list[list[LeafScaling]],
    sizes: list[Size],
    table: Parameterization,
    in_size: int,
    out_size: int,
) -> Built:
    """Segments, equal neighbours between the ends stacked."""
    runs: list[list[int]] = []
    for index in range(len(modules)):
        inner = 1 < index < len(modules) - 1
        if inner and runs[-1][0] > 0 and _alike(modules[runs[-1][0]], modules[index]):
            runs[-1].append(index)
        else:
            runs.append([index])
    segments = []
    for run in runs:
        role = Role.INPUT if run[0] == 0 else Role.OUTPUT if run[0] == len(modules) - 1 else Role.HIDDEN
        _, static = eqx.partition(modules[run[0]], eqx.is_array)
        arrays = [eqx.filter(modules[index], eqx.is_array) for index in run]
        stacked = eqx.combine(jax.tree.map(lambda *leaves: jnp.stack(leaves), *arrays), static)
        segments.append(Segment(Own(stacked), len(run), own_precision(table, role, sizes[run[0]])))
    network = Network(tuple(segments), in_size, out_size)
    return built(network, [labels[run[0]] for run in runs], table, [sizes[run[0]] for run in runs])


def _alike(one: Any, other: Any) -> bool:
    """Whether two modules differ in nothing but the values of their arrays."""

    def shapes(module: Any) -> Any:
        arrays, static = eqx.partition(module, eqx.is_array)
        return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), arrays), static

    return bool(eqx.tree_equal(shapes(one), shapes(other)))
