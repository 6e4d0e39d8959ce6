"""Stages on images: convolutions with what lies between them, the readout from an image, and their ways down."""

import dataclasses
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from .._errors import InputError, unknown
from ._factor import Factor, as_factor
from ._layer import Convolution, Linear, activation
from ._stage import AbstractStage, State

POOLS = ("none", "avg", "max")
READOUTS = ("flatten", "gap")
NORMS = ("none", "layer", "batch")
# Added to a variance, as everywhere in the field.
SMALL = 1e-5

# Sizes that strides and pooling change between input and output: not compared by name.
Image = Float[Array, "batch _height _width _channels"]


class Norm(eqx.Module):
    """A normalization of images: to mean 0 and variance 1, then each channel's own gain and offset.

        multiplier · (g (x − mean) / sqrt(variance + 1e-5) + β)

    **Arguments:** `gain` g, `offset` β: (channels,); `mean`, `variance`: (channels,) of a batch, as `measured` left
    them, constants for every gradient; None for layer normalization, whose statistics are each example's own, over
    height, width and channels; `multiplier`.
    """

    gain: Float[Array, "*depth channels"]
    offset: Float[Array, "*depth channels"]
    mean: Float[Array, "*depth channels"] | None
    variance: Float[Array, "*depth channels"] | None
    multiplier: Factor

    def __init__(
        self,
        gain: Float[Array, "*depth channels"],
        offset: Float[Array, "*depth channels"],
        mean: Float[Array, "*depth channels"] | None = None,
        variance: Float[Array, "*depth channels"] | None = None,
        multiplier: float | Factor = 1.0,
    ) -> None:
        self.gain, self.offset, self.mean, self.variance = gain, offset, mean, variance
        self.multiplier = as_factor(multiplier, gain.shape[:-1], gain.dtype)

    def __call__(self, x: Image) -> Image:
        if self.mean is None or self.variance is None:
            mean = jnp.mean(x, axis=(1, 2, 3), keepdims=True)
            variance = jnp.var(x, axis=(1, 2, 3), keepdims=True)
        else:
            mean, variance = jax.lax.stop_gradient((self.mean, self.variance))
        return self.multiplier * (self.gain * (x - mean) / jnp.sqrt(variance + SMALL) + self.offset)

    def measured(self, x: Image) -> "Norm":
        """The normalization with the statistics of a batch, over examples, height and width."""
        if self.mean is None:
            return self
        statistics = (jnp.mean(x, axis=(0, 1, 2)), jnp.var(x, axis=(0, 1, 2)))
        return eqx.tree_at(lambda norm: (norm.mean, norm.variance), self, statistics)


class Between(eqx.Module):
    """What lies between two products: normalization, activation, pooling, in this order.

    **Arguments:** `norm` or None; `activation`; `pool`: of 2 x 2 pixels, `"none"`, `"avg"` or `"max"`; a last row or
    column that is left over is dropped.
    """

    norm: Norm | None = None
    activation: str = eqx.field(static=True, default="linear")
    pool: str = eqx.field(static=True, default="none")

    @property
    def is_linear(self) -> bool:
        """Whether it is affine."""
        layer = self.norm is not None and self.norm.mean is None
        return self.activation == "linear" and self.pool != "max" and not layer

    def __call__(self, x: Image) -> Image:
        return pooled(activation(self.activation)(x if self.norm is None else self.norm(x)), self.pool)

    def measured(self, x: Image) -> "Between":
        """It with the statistics of a batch."""
        return self if self.norm is None else eqx.tree_at(lambda b: b.norm, self, self.norm.measured(x))


class Convolved(AbstractStage):
    """A convolution between two activations, and a skip around all of it where `residual`.

        f(x) = after(a W ⋆ before(x) + b)  (+ x)

    **Arguments:** `linear`: the convolution; `before`, `after`: pre-activation states use `before`, post-activation
    states `after`, the other is empty; `residual`.
    """

    linear: Convolution
    before: Between = eqx.field(default_factory=Between)
    after: Between = eqx.field(default_factory=Between)
    residual: bool = eqx.field(static=True, default=False)

    @property
    def is_linear(self) -> bool:
        """Whether nothing bends."""
        return self.before.is_linear and self.after.is_linear

    @property
    def has_statistics(self) -> bool:
        """Whether it normalizes by the batch."""
        return any(b.norm is not None and b.norm.mean is not None for b in (self.before, self.after))

    def __call__(self, x: Image, *, key: PRNGKeyArray | None = None, train: bool = True) -> Image:
        """f(x) on a batch; deterministic, so `key` and `train` change nothing."""
        out = self.after(self.linear(self.before(x)))
        return out + x if self.residual else out

    def calibrated(self, x: Image) -> "Convolved":
        """The stage with the statistics that a batch has in it."""
        before = self.before.measured(x)
        after = self.after.measured(self.linear(before(x)))
        return eqx.tree_at(lambda s: (s.before, s.after), self, (before, after))

    def transposed(self, z: Image, like: Image) -> Image:
        """The transpose of convolution and average pooling, without bias, norm and activation."""
        if self.residual or self.before.norm is not None or self.after.norm is not None:
            return super().transposed(z, like)
        unbiased = dataclasses.replace(self.linear, bias=None)
        return _transposed(
            lambda x: pooled(unbiased(pooled(x, self.before.pool)), self.after.pool), self._pools, z, like
        )

    @property
    def _pools(self) -> tuple[str, str]:
        return self.before.pool, self.after.pool


class Readout(AbstractStage):
    """The readout from an image: what lies before it, the image as one vector, an affine map.

        f(x) = a W gathered(before(x)) + b

    **Arguments:** `linear`; `before`; `gather`: `"flatten"`, or `"gap"`, the mean over all pixels.
    """

    linear: Linear
    before: Between = eqx.field(default_factory=Between)
    gather: str = eqx.field(static=True, default="flatten")

    @property
    def is_linear(self) -> bool:
        """Whether nothing bends."""
        return self.before.is_linear

    @property
    def has_statistics(self) -> bool:
        """Whether it normalizes by the batch."""
        return self.before.norm is not None and self.before.norm.mean is not None

    def __call__(self, x: Image, *, key: PRNGKeyArray | None = None, train: bool = True) -> State:
        """f(x) on a batch; deterministic, so `key` and `train` change nothing."""
        return self.linear(gathered(self.before(x), self.gather))

    def calibrated(self, x: Image) -> "Readout":
        """The stage with the statistics that a batch has in it."""
        return eqx.tree_at(lambda s: s.before, self, self.before.measured(x))

    def transposed(self, z: Float[Array, "batch out"], like: Image) -> Image:
        """The transpose of the product and of gathering and pooling, without norm and activation."""
        if self.before.norm is not None:
            return super().transposed(z, like)
        unbiased = dataclasses.replace(self.linear, bias=None)
        return _transposed(
            lambda x: unbiased(gathered(pooled(x, self.before.pool), self.gather)), (self.before.pool,), z, like
        )


class Restored(AbstractStage):
    """A way down to an image: one map with weights of its own, which undoes stride, pooling and gathering.

        g(z) = after(Q ⋆ enlarged(before(z)))       from an image
        g(z) = after(enlarged(image(Q before(z))))  from a vector, of as many pixels as were gathered

    Enlarging repeats the nearest pixel.

    **Arguments:** `linear`: Q; `shape`: (height, width, channels) of the state below; `gathered`: (height, width) of
    the image that became a vector, (1, 1) for a mean over pixels, None from an image; `before`, `after`: activations.
    """

    linear: Linear | Convolution
    shape: tuple[int, int, int] = eqx.field(static=True)
    gathered: tuple[int, int] | None = eqx.field(static=True, default=None)
    before: str = eqx.field(static=True, default="linear")
    after: str = eqx.field(static=True, default="linear")

    @property
    def is_linear(self) -> bool:
        """Whether both activations are the identity."""
        return self.before == self.after == "linear"

    @property
    def places(self) -> int:
        """Pixels that share a weight: all of them, or where a vector is spread those that one of its pixels fills."""
        height, width, _ = self.shape
        return height * width // (1 if self.gathered is None else self.gathered[0] * self.gathered[1])

    def __call__(self, x: State, *, key: PRNGKeyArray | None = None, train: bool = True) -> Image:
        """g(z) on a batch."""
        z = activation(self.before)(x)
        if self.gathered is None:
            return activation(self.after)(self.linear(self._enlarged(z)))
        return activation(self.after)(self._enlarged(self.linear(z).reshape(-1, *self.gathered, self.shape[2])))

    def _enlarged(self, z: Image) -> Image:
        return jax.image.resize(z, (z.shape[0], *self.shape[:2], z.shape[3]), "nearest")


def _transposed(linear: Callable[[Array], Array], pools: tuple[str, ...], z: Array, like: Image) -> Image:
    if "max" in pools:
        raise InputError(
            "max pooling has no transposed map",
            setting="pool",
            value="max",
            remedy="use average pooling, or the feedback 'ridge'",
        )
    return jax.linear_transpose(linear, like)(z)[0]


def pooled(x: Image, pool: str) -> Image:
    """Blocks of 2 x 2 pixels, their mean (`"avg"`) or largest value (`"max"`); of a signal blocks of 2.

    **Raises:** `InputError` for an unknown name.
    """
    if pool not in POOLS:
        raise unknown("pooling", pool, POOLS)
    if pool == "none":
        return x
    batch, height, width, channels = x.shape
    h, w = min(2, height), min(2, width)
    blocks = x[:, : height // h * h, : width // w * w].reshape(batch, height // h, h, width // w, w, channels)
    return jnp.mean(blocks, axis=(2, 4)) if pool == "avg" else jnp.max(blocks, axis=(2, 4))


def gathered(x: Image, gather: str) -> Float[Array, "batch features"]:
    """An image as one vector: all its numbers (`"flatten"`), or each channel's mean (`"gap"`).

    **Raises:** `InputError` for an unknown name.
    """
    if gather not in READOUTS:
        raise unknown("readout", gather, READOUTS)
    return jnp.mean(x, axis=(1, 2)) if gather == "gap" else x.reshape(x.shape[0], -1)
