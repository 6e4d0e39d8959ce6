"""A network of one's own: Equinox modules from one array to one array are stages; two widths tell their arrays' roles.

An array is compared at width N and 2N; axis 0 is its fan-out and axis 1 its fan-in, as in every Equinox layer.

| grows with the width | role | as in |
|---|---|---|
| fan-out and fan-in | hidden | a layer between two hidden ones |
| fan-out | input | the first layer |
| fan-in, in the last stage | output | the readout |
| the only axis | hidden bias | a bias, the gain of a norm |
| nothing | output bias | the readout's bias, a scalar: finite, whatever it is |

All else is ambiguous: an error that names the array, which `roles` then settles. Multipliers exist in our own layers
alone, so that a network of one's own trains in the gauge without: the module's own init at the base width counts, and

    w <- w · (RMS of w at N_0) / (RMS of w at N) · (N / N_0)^-b,   rate, epsilon, decay as the table has them

Sources: arXiv 2203.03466 (roles from two widths); docs/theory.md A3 (gauges).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray

from .._errors import InputError, expect, unknown
from .._product import in_full
from ..parameterizations import Parameterization, Role, Size
from ._build import LARGEST, Built, LeafScaling, built, own_precision, own_scaling, size_of
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
) -> Built:
    """A chain of Equinox modules, each a stage that the algorithms treat as one layer.

        z_l = module_l(z_{l-1}),   l = 1 … L

    **Arguments:** `make(width, key)`: the modules, from the input to the readout, at least two, each a function of one
    example; equal neighbours between the ends are stacked; `in_size`: of one example; `width` N; `table`: how it
    scales, in any gauge; `key`: of `make`; `roles`: the roles of arrays that two widths do not tell, by the name that
    the error gives them.

    **Returns:** a `Built` network, as `mlp` returns it.

    **Raises:** `InputError` where a role is ambiguous, a stage has no arrays or none that grows, cannot be called with
    one array alone (dropout, layers with state) or returns anything but one array, the prediction's size depends on
    the width, or `make` returns other stages at another width.

    >>> from widthwise.parameterization import parameterization
    >>> make = lambda width, key: [eqx.nn.Linear(64, width, key=key), eqx.nn.Linear(width, 10, key=key)]
    >>> built = own_network(make, 64, 128, table=parameterization("mup"), key=jax.random.key(0))
    >>> [str(leaf.role) for leaf in jax.tree.leaves(built.scalings)]
    ['input', 'hidden_bias', 'output', 'output_bias']
    """
    expect(Parameterization, 'ww.parameterization("mup")', table=table)
    for name, value in (("in_size", in_size), ("width", width)):
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= LARGEST:
            raise InputError(
                f"{name} is {value!r}",
                setting=name,
                value=value,
                remedy=f"it must be a whole number from 1 to {LARGEST}",
            )
    modules = list(make(width, key))
    if len(modules) < 2:
        raise InputError(
            f"make(width, key) returned {len(modules)} stages",
            setting="make",
            value=len(modules),
            remedy="a network has an input stage and a readout",
        )
    wide = list(eqx.filter_eval_shape(lambda key: list(make(2 * width, key)), key))
    found = _roles(modules, wide, width, dict(roles or {}))
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
    scaled, labels, sizes = [], [], []
    for index, module in enumerate(modules):
        fans = (int(np.prod(shapes[index])), int(np.prod(shapes[index + 1])))
        size = size_of(table, fans, width, len(modules))
        references = (drawn[0][index], drawn[1][index])
        rescaled, scalings = _rescaled(module, references, found[index], plain, size)
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


def _roles(modules: Sequence[Any], wide: Sequence[Any], width: int, given: dict[str, Role | str]) -> list[Any]:
    """Every module with the role of each array in its place."""
    if len(modules) != len(wide):
        raise InputError(
            f"make returned {len(modules)} stages at width {width} and {len(wide)} at {2 * width}",
            setting="make",
            value=[len(modules), len(wide)],
            remedy="return the same stages at every width",
        )
    names: list[str] = []
    found = []
    for index, (module, wider) in enumerate(zip(modules, wide, strict=True)):
        kind = f"stage {index + 1} ({type(module).__name__})"
        # Sizes stand in a module's structure too, so that two widths share paths alone.
        small, large = (jax.tree_util.tree_leaves_with_path(eqx.filter(held, _is_array)) for held in (module, wider))
        if not small or [path for path, _ in small] != [path for path, _ in large]:
            raise InputError(
                f"{kind} has no arrays, or others at width {2 * width} than at {width}",
                setting="stage",
                value=type(module).__name__,
                remedy="put activations into the stage before or after them, and let the width change shapes alone",
            )
        if all(a.shape == b.shape for (_, a), (_, b) in zip(small, large, strict=True)):
            shown = ", ".join(str(leaf.shape) for _, leaf in small)
            raise InputError(
                f"{kind} has the same shapes at widths {width} and {2 * width} ({shown})",
                setting="stage",
                value=type(module).__name__,
                remedy="make(width, key) must let every stage grow with the width",
            )
        here = [f"{index}{jax.tree_util.keystr(path)}" for path, _ in small]
        names += here
        roles = [
            _given(given[name]) if name in given else _inferred(name, a.shape, b.shape, last=index == len(modules) - 1)
            for name, (_, a), (_, b) in zip(here, small, large, strict=True)
        ]
        found.append(jax.tree.unflatten(jax.tree.structure(eqx.filter(module, _is_array)), roles))
    for name in given:
        if name not in names:
            raise unknown("array in roles", name, names)
    return found


def _inferred(name: str, small: tuple[int, ...], large: tuple[int, ...], *, last: bool) -> Role:
    """The role of an array, from its shapes at a width and at twice that width."""
    grows = {axis for axis, (a, b) in enumerate(zip(small, large, strict=True)) if a != b}
    uneven = [axis for axis in grows if large[axis] != 2 * small[axis]]
    role = None
    if not uneven:
        if len(small) < 2:
            role = Role.HIDDEN_BIAS if grows else Role.OUTPUT_BIAS
        elif grows == {1}:
            role = Role.OUTPUT if last else None
        else:
            role = {(): Role.OUTPUT_BIAS, (0,): Role.INPUT, (0, 1): Role.HIDDEN}.get(tuple(sorted(grows)))
    if role is None:
        why = "grows, but not in proportion to the width" if uneven else "could have several roles"
        raise InputError(
            f"the array {name}, of shape {small} and {large} at twice the width, {why}",
            setting="array",
            value=name,
            remedy=f"say which, as in roles={{{name!r}: 'input'}}",
        )
    return role


def _given(role: Role | str) -> Role:
    try:
        return Role(role)
    except ValueError:
        raise unknown("role", role, list(Role)) from None


def _is_array(leaf: Any) -> bool:
    """Whether a leaf learns, or stands for one that does."""
    return isinstance(leaf, jax.ShapeDtypeStruct | jax.Array) and jnp.issubdtype(leaf.dtype, jnp.inexact)


def _rescaled(
    module: Any, references: tuple[Any, Any], roles: Any, table: Parameterization, size: Size
) -> tuple[Any, list[LeafScaling]]:
    """A module whose arrays have the table's growth from their own scale at the base width, and their scalings.

    **Arguments:** `references`: the module as drawn at the base width and at this one.
    """
    arrays, static = eqx.partition(module, eqx.is_inexact_array)
    drawn = (jax.tree.leaves(eqx.filter(held, eqx.is_inexact_array)) for held in references)
    scaled, scalings = [], []
    for leaf, role, *held in zip(jax.tree.leaves(arrays), jax.tree.leaves(roles), *drawn, strict=True):
        own, reached = (float(jnp.sqrt(jnp.mean(array**2))) for array in held)
        # What is drawn as zeros stays so.
        ratio = own / reached if own and reached else 1.0
        grown, scaling = own_scaling(table, role, size)
        scaled.append(ratio * grown * leaf)
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
