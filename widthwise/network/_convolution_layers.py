"""The layers of convolutional networks, as the assembler takes them (the exponents: docs/theory.md F)."""

import dataclasses
import math
from collections.abc import Mapping

from ..parameterizations import Role
from ._build import NO_BIAS, Layer, Made, Tensor, normals, ones
from ._convolution_stages import Between, Convolved, Norm, Readout
from ._dense import affine
from ._layer import Convolution

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
class LayerKind:
    """What all layers of a network share."""

    activation: str
    bias: bool
    gain: float
    matmul: str
    pool: str
    norm: str
    kernel: tuple[int, int] = (KERNEL, KERNEL)

    def convolved(self, fan_in: int, step: Step, first: bool, before: bool, waits: bool, after: bool) -> Layer:
        """Convolutions in a row. `waits`: the layer below left its pooling to this one."""
        role = Role.INPUT if first else Role.BRANCH if step.residual else Role.HIDDEN
        bias_role = Role.BRANCH_BIAS if step.residual else Role.HIDDEN_BIAS
        norm_role = Role.BRANCH_NORM if step.residual else Role.NORM
        fans = (fan_in, step.channels)
        width = fan_in if role.grows_with_fan_in else step.channels
        taps = math.prod(self.kernel)
        std = (1.0 if first else self.gain) / math.sqrt(taps)
        shape = (*self.kernel, fan_in, step.channels)
        summed = 1 if first else taps
        tensors = {"weight": Tensor(role, fans, width, shape, std, normals, summed, fan_out_axis=-1)}
        if self.bias:
            tensors["bias"] = _vector(bias_role, step.channels)
        tensors |= self._norm("before", norm_role, fan_in) if before else {}
        tensors |= self._norm("after", norm_role, step.channels) if after else {}

        def stage(made: Mapping[str, Made]) -> Convolved:
            weight, bias = made["weight"], made.get("bias", NO_BIAS)
            linear = Convolution(weight.array, bias.array, weight.multiplier, bias.multiplier, self.matmul, step.stride)
            return Convolved(
                linear,
                self._between("before", made, waits) if before else Between(),
                self._between("after", made, step.pools) if after else Between(),
                step.residual,
            )

        return Layer(role, stage, fans, step.count, tensors)

    def readout(self, fan_in: int, pixels: int, out_size: int, gather: str, before: bool, waits: bool) -> Layer:
        """The readout, one affine map from `pixels` pixels of `fan_in` channels."""
        fans, shape = (fan_in, out_size), (out_size, pixels * fan_in)
        tensors = {"weight": Tensor(Role.OUTPUT, fans, fan_in, shape, self.gain / pixels**0.5, normals, pixels)}
        if self.bias:
            # It does not grow itself: its rate follows what the readout reads.
            tensors["bias"] = Tensor(Role.OUTPUT_BIAS, fans, fan_in, (out_size,))
        tensors |= self._norm("before", Role.NORM, fan_in) if before else {}

        def stage(made: Mapping[str, Made]) -> Readout:
            between = self._between("before", made, waits) if before else Between()
            return Readout(affine(made, self.matmul), between, gather)

        return Layer(Role.OUTPUT, stage, fans, 1, tensors)

    def _norm(self, side: str, role: Role, channels: int) -> dict[str, Tensor]:
        """The arrays of the normalization before or after a product."""
        if self.norm == "none":
            return {}
        own = _vector(role, channels)
        arrays = {"gain": own._replace(start=ones), "offset": own}
        if self.norm == "batch":
            measured = own._replace(learns=False)
            arrays |= {"mean": measured, "variance": measured._replace(start=ones)}
        return {f"{side} {name}": tensor for name, tensor in arrays.items()}

    def _between(self, side: str, made: Mapping[str, Made], pools: bool) -> Between:
        pool = self.pool if pools else "none"
        if self.norm == "none":
            return Between(None, self.activation, pool)
        gain, offset, mean, variance = (
            made.get(f"{side} {name}", NO_BIAS) for name in ("gain", "offset", "mean", "variance")
        )
        norm = Norm(gain.array, offset.array, mean.array, variance.array, gain.multiplier)
        return Between(norm, self.activation, pool)


def _vector(role: Role, channels: int) -> Tensor:
    """What has one number a channel, zeros at first."""
    return Tensor(role, (1, channels), channels, (channels,))
