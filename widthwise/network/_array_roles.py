"""What each array of a user's modules is: its role, and its own fan-in and fan-out.

Two widths say which axes grow; which axis an array reads from, shapes do not say: y = W x and y = x W have the same. A
derivative does. For one example x and a cotangent c the gradient of c · f(x) is a sum of δ s^T over the places where W
is used, with s what W reads and δ what comes back to its output: a change of c changes δ and leaves s.

| grows with the width | role | as in |
|---|---|---|
| fan-out and fan-in | hidden | a layer between two hidden ones |
| fan-out | input | the first layer |
| fan-in, in the last stage | output | the readout |
| the only axis | hidden bias | a bias, the gain of a norm |
| the only axis, in a last stage of one output with no other array that grows | output | a vector readout |
| nothing | output bias | the readout's bias, a scalar: finite, whatever it is |

All else is asked: an error names the array, and `roles` settles it; a matrix whose order no derivative tells is then
taken as (out, in), Equinox's, and a kernel whose last two axes grow as (taps, in, out), Flax's. An array on which the
gradient's program does not depend is behind `stop_gradient`: it neither learns nor decays.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import Var

from .._errors import InputError, unknown
from ..parameterizations import Role

# Of singular values, and of the distance between two spaces, in float32.
RANK, APART = 1e-4, 1e-2


class ArrayRole(NamedTuple):
    """What one array is: `fans`: its own fan-in and fan-out, None where it is a vector or a scalar; `learns`: False
    where it is frozen; `fan_out_axis`."""

    role: Role
    fans: tuple[int, int] | None = None
    learns: bool = True
    fan_out_axis: int = 0


def check_stages(modules: Sequence[Any], wide: Sequence[Any], width: int) -> None:
    """Refuse what is no family: other stages or arrays at another width, and stages that do not grow.

    **Raises:** `InputError`.
    """
    if len(modules) != len(wide):
        raise InputError(
            f"make returned {len(modules)} stages at width {width} and {len(wide)} at {2 * width}",
            setting="make",
            value=[len(modules), len(wide)],
            remedy="return the same stages at every width",
        )
    for index, pair in enumerate(zip(modules, wide, strict=True)):
        small, large = map(_paths, pair)
        _check_growth(index, type(pair[0]).__name__, width, small, large)


def array_roles(
    modules: Sequence[Any],
    wide: Sequence[Any],
    read: Sequence[Sequence["Read"]],
    out_size: int,
    given: Mapping[str, Role | str],
    frozen: Sequence[str],
) -> list[list[ArrayRole]]:
    """The arrays of every stage, in order.

    **Arguments:** `modules`, `wide`: at a width and at twice that width; `read`: what the arrays of every stage read,
    see `read_axes`; `out_size`: of the prediction; `given`: roles by the array's name; `frozen`: names of arrays that
    neither learn nor decay.

    **Raises:** `InputError` where a role is ambiguous, and for names that no array has.
    """
    names: list[str] = []
    found = []
    for index, (module, wider) in enumerate(zip(modules, wide, strict=True)):
        small, large = _paths(module), _paths(wider)
        here = [f"{index}{jax.tree_util.keystr(path)}" for path, _ in small]
        names += here
        last = index == len(modules) - 1
        scalar = (
            last
            and out_size == 1
            and not any(a.shape != b.shape and a.ndim > 1 for (_, a), (_, b) in zip(small, large, strict=True))
        )
        found.append(
            [
                _array_role(name, a.shape, b.shape, axis, given.get(name), name in frozen, last, scalar)
                for name, (_, a), (_, b), axis in zip(here, small, large, read[index], strict=True)
            ]
        )
    for what, wanted in (("array in roles", given), ("array in frozen", frozen)):
        for name in wanted:
            if name not in names:
                raise unknown(what, name, names)
    return found


def _paths(module: Any) -> list[tuple[Any, Any]]:
    """The arrays of a module with their paths: its structure holds sizes too, so that two widths share these alone."""
    return jax.tree_util.tree_leaves_with_path(eqx.filter(module, is_array))


def _check_growth(index: int, name: str, width: int, small: list[Any], large: list[Any]) -> None:
    kind = f"stage {index + 1} ({name})"
    if not small or [path for path, _ in small] != [path for path, _ in large]:
        raise InputError(
            f"{kind} has no arrays, or others at width {2 * width} than at {width}",
            setting="stage",
            value=name,
            remedy="put activations into the stage before or after them, and let the width change shapes alone",
        )
    if all(a.shape == b.shape for (_, a), (_, b) in zip(small, large, strict=True)):
        shown = ", ".join(str(leaf.shape) for _, leaf in small)
        raise InputError(
            f"{kind} has the same shapes at widths {width} and {2 * width} ({shown})",
            setting="stage",
            value=name,
            remedy="make(width, key) must let every stage grow with the width",
        )


def _array_role(
    name: str,
    small: tuple[int, ...],
    large: tuple[int, ...],
    read: "Read",
    given: Role | str | None,
    frozen: bool,
    last: bool,
    scalar: bool,
) -> ArrayRole:
    """The role of an array from its shapes at a width and at twice that width, and from the axis that it reads."""
    grows = {axis for axis, (a, b) in enumerate(zip(small, large, strict=True)) if a != b}
    uneven = any(large[axis] != 2 * small[axis] for axis in grows)
    learns = not frozen and read.learns
    axis = read.axis if read.axis is not None else 1 if len(small) > 2 else None
    # Without a derivative's word the orders of Equinox, (out, in, taps), and of Flax, (taps, in, out).
    flax = len(small) > 2 and bool(grows) and min(grows) >= len(small) - 2
    out = len(small) - 1 if flax else 0 if axis in (None, 1) else 1
    fans = None if len(small) < 2 else (math.prod(small) // small[out], small[out])
    if given is not None:
        return ArrayRole(_given(given), fans, learns, out)
    role = None if uneven else _role(len(small), grows, axis, last, scalar and read.varies)
    if role is Role.HIDDEN and axis is None and len(set(small)) > 1:
        role = None
    if role is Role.OUTPUT and fans is None:
        fans = (small[0], 1)
    if role is None and not learns:
        # Nothing but its size at first depends on its role, and that is the user's.
        role = Role.OUTPUT_BIAS
    if role is None:
        why = "grows, but not in proportion to the width" if uneven else "could have several roles"
        raise InputError(
            f"the array {name}, of shape {small} and {large} at twice the width, {why}",
            setting="array",
            value=name,
            remedy=f"say which, as in roles={{{name!r}: 'input'}}",
        )
    return ArrayRole(role, fans, learns, out)


def _role(axes: int, grows: set[int], read: int | None, last: bool, vector_readout: bool) -> Role | None:
    if not grows:
        return Role.OUTPUT_BIAS
    if axes < 2:
        return Role.OUTPUT if vector_readout else Role.HIDDEN_BIAS
    if grows == {0, 1}:
        return Role.HIDDEN
    if read is None or len(grows) != 1 or max(grows) > 1:
        return None
    reads = read in grows
    # Of more axes, the order is Equinox's, (out, in, ...): a kernel whose first axis grows may be (in, out) at the end.
    if axes > 2 and last and not reads:
        return None
    return Role.INPUT if not reads else Role.OUTPUT if last else None


def _given(role: Role | str) -> Role:
    try:
        return Role(role)
    except ValueError:
        raise unknown("role", role, list(Role)) from None


class Read(NamedTuple):
    """What a derivative says of an array: the `axis` of a matrix that it reads along (None: not known), whether it
    `learns`, and whether its gradient's direction `varies` with the example."""

    axis: int | None
    learns: bool
    varies: bool


def read_axes(module: Any, shape: tuple[int, ...]) -> list[Read]:
    """What every array of a module reads, by the gradient's change with the cotangent and with the example.

    The arrays are replaced by random ones: what is drawn as zeros would stop the gradient of all below it.
    """
    arrays, static = eqx.partition(module, eqx.is_inexact_array)
    leaves, tree = jax.tree.flatten(arrays)
    keys = jax.random.split(jax.random.key(0), len(leaves) + 4)
    # Small enough to leave saturating activations awake.
    drawn = [
        jax.random.normal(key, leaf.shape, leaf.dtype) / math.sqrt(max(leaf.shape, default=1))
        for key, leaf in zip(keys, leaves, strict=False)
    ]
    held = jax.tree.unflatten(tree, drawn)
    inputs = [jax.random.normal(key, shape) for key in keys[-4:-2]]
    out = eqx.filter_eval_shape(lambda: eqx.combine(held, static)(inputs[0]))
    cotangents = [jax.random.normal(key, out.shape) for key in keys[-2:]]

    def gradients(x: Any, c: Any) -> list[Any]:
        return jax.tree.leaves(jax.grad(lambda arrays: jnp.sum(c * eqx.combine(arrays, static)(x)))(held))

    learning = _depends(jax.make_jaxpr(gradients)(inputs[0], cotangents[0]).jaxpr)
    pairs = ((inputs[0], cotangents[0]), (inputs[0], cotangents[1]), (inputs[1], cotangents[0]))
    found = [[np.asarray(leaf, float) for leaf in jax.jit(gradients)(*pair)] for pair in pairs]
    return [_read(learns, *three) for learns, *three in zip(learning, *found, strict=True)]


def _depends(program: Any) -> list[bool]:
    """Of every output of a program whose last input is a cotangent, whether it is computed from it.

    Zeros alone are no sign: a unit may sleep at every example that is tried.
    """
    known = {program.invars[-1]}
    for equation in program.eqns:
        if any(isinstance(one, Var) and one in known for one in equation.invars):
            known.update(equation.outvars)
    return [isinstance(one, Var) and one in known for one in program.outvars]


def _read(learns: bool, first: np.ndarray, other_cotangent: np.ndarray, other_input: np.ndarray) -> Read:
    varies = _apart(first.reshape(-1, 1), other_input.reshape(-1, 1))
    if first.ndim != 2 or not any(held.any() for held in (first, other_cotangent, other_input)):
        return Read(None, learns, varies)
    sides = [(held, held.T) for held in (first, other_cotangent, other_input)]
    # Of each side, whether its space stays with another cotangent, and whether it moves with another example.
    stays = [not _apart(sides[0][side], sides[1][side]) for side in (0, 1)]
    moves = [_apart(sides[0][side], sides[2][side]) for side in (0, 1)]
    if stays[0] != stays[1]:
        return Read(0 if stays[0] else 1, learns, varies)
    if all(stays) and moves[0] != moves[1]:
        return Read(0 if moves[0] else 1, learns, varies)
    return Read(None, learns, varies)


def _apart(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether the columns of two matrices span different spaces; False where either spans all there is."""
    bases = []
    for held in (one, other):
        left, values, _ = np.linalg.svd(held, full_matrices=False)
        bases.append(left[:, values > RANK * max(values[0], 1e-30)])
    if bases[0].shape[1] != bases[1].shape[1]:
        return True
    return float(np.abs(bases[0] @ bases[0].T - bases[1] @ bases[1].T).max(initial=0.0)) > APART


def is_array(leaf: Any) -> bool:
    """Whether a leaf learns, or stands for one that does."""
    return isinstance(leaf, jax.ShapeDtypeStruct | jax.Array) and jnp.issubdtype(leaf.dtype, jnp.inexact)
