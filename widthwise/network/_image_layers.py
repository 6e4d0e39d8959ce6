"""The layers of convolutional networks, each array of which asks the table once (the exponents: docs/theory.md F)."""

import dataclasses
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray, PyTree

from ..parameterizations import Parameterization, Role, Size
from ._build import LeafScaling, label, normals
from ._chain import Segment
from ._convolution_stages import Between, Convolved, Norm, Readout
from ._layer import Convolution, Linear

KERNEL = 3


@dataclasses.dataclass(frozen=True)
class Step:
    """`count` convolutions alike: their channels, stride, and whether pooling follows."""

    channels: int
    stride: int = 1
    pools: bool = False
    count: int = 1
    residual: bool = False


@dataclasses.dataclass(frozen=True)
class LayerMaker:
    """What all layers of a network share; each of its methods asks the table once for each array."""

    table: Parameterization
    depth: int
    activation: str
    bias: bool
    gain: float
    dtype: Any
    matmul: str
    pool: str
    norm: str

    def convolved(
        self, fan_in: int, step: Step, first: bool, before: bool, waits: bool, after: bool, key: PRNGKeyArray
    ) -> tuple[Segment, PyTree[LeafScaling], Size]:
        """A segment of convolutions. `waits`: the layer below left its pooling to this one."""
        role = Role.INPUT if first else Role.BRANCH if step.residual else Role.HIDDEN
        size = self._size(role, fan_in, step.channels)
        std = (1.0 if first else self.gain) / KERNEL
        shape = (step.count, KERNEL, KERNEL, fan_in, step.channels)
        bias_role = Role.BRANCH_BIAS if step.residual else Role.HIDDEN_BIAS
        linear = Convolution(
            *self._affine(role, bias_role, size, std, shape, step.count, key),
            matmul=self.matmul,
            stride=step.stride,
        )
        norm_role = Role.BRANCH_NORM if step.residual else Role.NORM
        stage = Convolved(
            linear,
            self._between(norm_role, fan_in, step.count, waits) if before else Between(),
            self._between(norm_role, step.channels, step.count, step.pools) if after else Between(),
            step.residual,
        )
        segment = Segment(stage, step.count, self.table.scalings[role].precision.at(size))
        summed = 1 if first else KERNEL**2
        return segment, self._labels(segment, role, bias_role, norm_role, size, summed), size

    def readout(
        self, fan_in: int, pixels: int, out_size: int, gather: str, before: bool, waits: bool, key: PRNGKeyArray
    ) -> tuple[Segment, PyTree[LeafScaling], Size]:
        """The readout, one affine map from `pixels` pixels of `fan_in` channels."""
        role, bias_role = Role.OUTPUT, Role.OUTPUT_BIAS
        size = self._size(role, fan_in, out_size)
        shape = (1, out_size, pixels * fan_in)
        linear = Linear(
            *self._affine(role, bias_role, size, self.gain / pixels**0.5, shape, 1, key), matmul=self.matmul
        )
        stage = Readout(linear, self._between(Role.NORM, fan_in, 1, waits) if before else Between(), gather)
        segment = Segment(stage, 1, self.table.scalings[role].precision.at(size))
        return segment, self._labels(segment, role, bias_role, Role.NORM, size, pixels), size

    def _size(self, role: Role, fan_in: int, fan_out: int) -> Size:
        width = fan_in if role.grows_with_fan_in else fan_out
        return self.table.size(fan_in=fan_in, fan_out=fan_out, width=width, depth=self.depth)

    def _affine(
        self, role: Role, bias_role: Role, size: Size, std: float, shape: tuple[int, ...], count: int, key: PRNGKeyArray
    ) -> tuple[Any, Any, float, float]:
        """Weight, bias and their multipliers."""
        row, offset = self.table.scalings[role], self.table.scalings[bias_role]
        weight = std * row.init.at(size) * normals(key, shape, self.dtype)
        bias = jnp.zeros((count, size.fan_out), self.dtype) if self.bias else None
        return weight, bias, row.multiplier.at(size), offset.multiplier.at(self._bias(bias_role, size))

    def _bias(self, role: Role, size: Size) -> Size:
        """The size of a layer's bias. The output's does not grow itself: its rate follows what the readout reads."""
        return size if role is Role.OUTPUT_BIAS else self._vector(size.fan_out)

    def _vector(self, channels: int) -> Size:
        """The size of what has one number a channel."""
        return self.table.size(fan_in=1, fan_out=channels, width=channels, depth=self.depth)

    def _between(self, role: Role, channels: int, count: int, pools: bool) -> Between:
        pool = self.pool if pools else "none"
        if self.norm == "none":
            return Between(None, self.activation, pool)
        row, size = self.table.scalings[role], self._vector(channels)
        ones = jnp.ones((count, channels), self.dtype)
        mean, variance = (0 * ones, ones) if self.norm == "batch" else (None, None)
        norm = Norm(row.init.at(size) * ones, 0 * ones, mean, variance, row.multiplier.at(size))
        return Between(norm, self.activation, pool)

    def _labels(
        self, segment: Segment, role: Role, bias_role: Role, norm_role: Role, size: Size, summed: int
    ) -> PyTree[LeafScaling]:
        """The segment with a LeafScaling in place of every array."""
        stages: Any = eqx.filter(segment.stages, eqx.is_array)
        weight = label(self.table, role, size)
        weight = dataclasses.replace(weight, rate=weight.rate / summed)
        linear = eqx.tree_at(lambda m: m.weight, stages.linear, weight)
        if linear.bias is not None:
            linear = eqx.tree_at(lambda m: m.bias, linear, label(self.table, bias_role, self._bias(bias_role, size)))
        stages = eqx.tree_at(lambda s: s.linear, stages, linear)
        for side in ("before", "after"):
            norm = _norm_of(side, stages)
            if norm is not None:
                held = label(self.table, norm_role, self._vector(norm.gain.shape[-1]))
                marked = jax.tree.map(lambda _, held=held: held, norm)
                if norm.mean is not None:
                    # Measured, not learned.
                    fixed = dataclasses.replace(held, rate=0.0, decay=0.0)
                    marked = eqx.tree_at(lambda n: (n.mean, n.variance), marked, (fixed, fixed))
                stages = eqx.tree_at(partial(_norm_of, side), stages, marked)
        return eqx.tree_at(lambda s: s.stages, eqx.filter(segment, eqx.is_array), stages)


def _norm_of(side: str, stage: Any) -> Any:
    """The normalization before or after a stage's product, None where it has none."""
    return getattr(getattr(stage, side, None), "norm", None)
