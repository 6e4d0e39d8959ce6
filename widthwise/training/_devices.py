"""One batch on several devices: every device infers its own examples, gradients are added, weights are everywhere."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from .._errors import InputError


class Split(NamedTuple):
    """Where arrays lie: `batch`, the leading axis of examples over the devices; `whole`, a copy on each."""

    batch: NamedSharding
    whole: NamedSharding

    def examples(self, tree: Any) -> Any:
        """Batches inside a compiled function, split by their leading axis."""
        return jax.lax.with_sharding_constraint(tree, self.batch)

    def copied(self, tree: Any) -> Any:
        """All arrays of a tree, copied to every device."""
        arrays, static = eqx.partition(tree, eqx.is_array)
        return eqx.combine(jax.device_put(arrays, self.whole), static)


def split(devices: int, batch_size: int) -> Split | None:
    """How a batch is split over this process's first devices; None for one device.

    Inference never looks from one example to another, so devices meet once in each of its iterations (does any
    example go on?) and once to add their gradients. Results equal one device's but for the rounding of that sum.

    **Raises:** `InputError` for more devices than there are, and a batch that they cannot share evenly.
    """
    if devices == 1:
        return None
    if devices < 1:
        raise InputError(f"devices is {devices}: it must be at least 1")
    if batch_size % devices:
        raise InputError(f"batch_size is {batch_size}: {devices} devices cannot share it evenly")
    here = jax.devices()
    if devices > len(here):
        raise InputError(
            f"devices is {devices}: this process has {len(here)}; a CPU's cores count as devices after "
            f"jax.config.update('jax_num_cpu_devices', N), before JAX is first used"
        )
    mesh = jax.make_mesh((devices,), ("batch",), axis_types=(AxisType.Auto,), devices=here[:devices])
    return Split(NamedSharding(mesh, PartitionSpec("batch")), NamedSharding(mesh, PartitionSpec()))
