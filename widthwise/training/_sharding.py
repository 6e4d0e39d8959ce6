"""One network on several devices: `data` shares the batch, `model` the width; of one process or of many.

Every device infers its own examples with its own units; gradients are added over `data`. Where arrays lie changes no
formula: results equal one device's but for the order in which sums are rounded.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import equinox as eqx
import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from .._errors import InputError

AXES = ("data", "model")


class Split(NamedTuple):
    """Where arrays lie on a mesh of devices, for a network of one width."""

    mesh: Mesh
    width: int

    @property
    def batch(self) -> NamedSharding:
        """The leading axis of examples, over `data`."""
        return NamedSharding(self.mesh, PartitionSpec("data"))

    @property
    def whole(self) -> NamedSharding:
        """A copy on every device."""
        return NamedSharding(self.mesh, PartitionSpec())

    def examples(self, tree: Any) -> Any:
        """Batches inside a compiled function, split by their leading axis."""
        return jax.lax.with_sharding_constraint(tree, self.batch)

    def copied(self, tree: Any) -> Any:
        """All arrays of a tree, copied to every device."""
        return _placed(tree, lambda leaf: self.whole)

    def shared(self, tree: Any) -> Any:
        """All arrays of a tree of weights, or of what an optimizer keeps of them, split by `shares`."""
        return _placed(tree, self.share)

    def share(self, leaf: Any) -> NamedSharding:
        """How one array is split over `model`: by the first of its last two axes that is as long as the width.

        W_1 (out, in) by its rows, hidden W_l by their rows, W_L by its columns; whatever has no such axis is copied.
        """
        for axis in range(max(0, leaf.ndim - 2), leaf.ndim):
            if leaf.shape[axis] == self.width and self.mesh.shape["model"] > 1:
                return NamedSharding(self.mesh, PartitionSpec(*(None,) * axis, "model"))
        return self.whole


def split(sizes: Mapping[str, int], batch_size: int, width: int) -> Split | None:
    """How a network and its batches lie on devices; None for one device of one process.

    **Arguments:** `sizes`: of the mesh, `{"data": 2, "model": 2}`, 1 where an axis is missing; `batch_size`; `width`.

    **Raises:** `InputError` for unknown axes, sizes below 1, a batch or a width that cannot be shared evenly, and more
    or, in several processes, fewer devices than there are.
    """
    unknown = [axis for axis in sizes if axis not in AXES]
    if unknown:
        raise InputError(
            f"mesh has an axis {unknown[0]!r}",
            setting="mesh",
            value=unknown[0],
            remedy="its axes are data (the batch) and model (the width)",
        )
    data, model = (sizes.get(axis, 1) for axis in AXES)
    if min(data, model) < 1:
        raise InputError(
            f"devices is {min(data, model)}", setting="devices", value=min(data, model), remedy="it must be at least 1"
        )
    if batch_size % data:
        raise InputError(
            f"batch_size is {batch_size}: {data} devices cannot share it evenly",
            setting="batch_size",
            value=batch_size,
            remedy=f"give a multiple of {data}",
        )
    if width % model:
        raise InputError(
            f"width is {width}: {model} devices cannot share it evenly",
            setting="width",
            value=width,
            remedy=f"give a multiple of {model}",
        )
    devices = data * model
    if devices == 1 and jax.process_count() == 1:
        return None
    here = jax.devices()
    if devices > len(here):
        raise InputError(
            f"devices is {devices}: this process has {len(here)}",
            setting="devices",
            value=devices,
            remedy="a CPU's cores count as devices after jax.config.update('jax_num_cpu_devices', N), before "
            "JAX is first used",
        )
    if jax.process_count() > 1 and devices < len(here):
        raise InputError(
            f"mesh has {devices} devices, and {jax.process_count()} processes have {len(here)}",
            setting="mesh",
            value=devices,
            remedy=f"use them all, as --mesh data={len(here)}",
        )
    mesh = jax.make_mesh((data, model), AXES, axis_types=(AxisType.Auto,) * 2, devices=here[:devices])
    return Split(mesh, width)


def beside(network: Any, tree: Any) -> Any:
    """All arrays of a tree, copied to wherever a network's arrays lie."""
    sharding = jax.tree.leaves(eqx.filter(network, eqx.is_array))[0].sharding
    return _placed(tree, lambda leaf: NamedSharding(sharding.mesh, PartitionSpec())) if _is_spread(sharding) else tree


def gathered(tree: Any) -> Any:
    """All arrays of a tree whole in this process, where several hold parts of them; all of them must ask."""
    spread = [leaf for leaf in jax.tree.leaves(tree) if isinstance(leaf, jax.Array) and _is_spread(leaf.sharding)]
    if not spread:
        return tree
    from jax.experimental import multihost_utils

    return multihost_utils.process_allgather(tree, tiled=True)


def together() -> None:
    """Wait until every process is here; nothing where there is one."""
    if jax.process_count() > 1:
        from jax.experimental import multihost_utils

        multihost_utils.sync_global_devices("widthwise")


def join(coordinator: str | None = None, processes: int | None = None, process: int | None = None) -> None:
    """Make this process one of several that train one network, before JAX is first used.

    **Arguments:** `coordinator`: HOST:PORT that the first process listens at, `processes`: how many there are,
    `process`: which of them this is, from 0; none of them where SLURM, Open MPI or a cloud says so.

    **Raises:** `InputError` where some are missing, nothing says them, or the processes do not find each other.
    """
    given = (coordinator, processes, process)
    if any(value is None for value in given) and any(value is not None for value in given):
        raise InputError(
            f"--coordinator {coordinator}, --num-processes {processes}, --process-id {process}: one is missing",
            setting="--coordinator",
            value=coordinator,
            remedy="they go together; or none of them",
        )
    if processes is not None and process is not None and not 0 <= process < processes:
        raise InputError(
            f"process id {process} of {processes} processes",
            setting="process id",
            value=process,
            remedy=f"expected 0 to {processes - 1}",
        )
    # The one way in which a CPU's processes speak to each other.
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    try:
        jax.distributed.initialize(coordinator, processes, process)
    except (ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            f"--distributed: {reason}",
            setting="--distributed",
            value=True,
            remedy="start it under SLURM or Open MPI, or give --coordinator HOST:PORT --num-processes N --process-id I",
        ) from None


def _is_spread(sharding: Any) -> bool:
    """Whether other processes hold parts."""
    return not sharding.is_fully_addressable


def _placed(tree: Any, where: Any) -> Any:
    """Every array of a tree under its sharding; each process has the whole and gives its own devices their part."""
    arrays, static = eqx.partition(tree, eqx.is_array)

    def placed(leaf: Any) -> Any:
        sharding = where(leaf)
        if sharding.is_fully_addressable:
            return jax.device_put(leaf, sharding)
        host = np.asarray(leaf)
        return jax.make_array_from_callback(host.shape, sharding, lambda index: host[index])

    return eqx.combine(jax.tree.map(placed, arrays), static)
