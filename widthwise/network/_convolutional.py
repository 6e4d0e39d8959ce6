"""Builders of convolutional networks. Their width is a number of channels.

Kernel area, pixels and batch are finite: they enter constants, never exponents. A weight's fans are channels. What else
it sums over, k² taps of a convolution or the pixels of a flattened image, divides its variance, and its rate but for
the first layer's: without this a flattened readout outruns the layers below, and bounds the rate of all.

Source: docs/theory.md F.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

from jaxtyping import PRNGKeyArray

from .._errors import InputError, expect, unknown
from ..parameterizations import Parameterization
from ._build import STATES, Built, assembled, at_least
from ._convolution_layers import KERNEL, LayerKind, Step
from ._convolution_stages import NORMS, POOLS, READOUTS
from ._layer import ACTIVATIONS, MATMULS

POOLING = "M"
# VGG by its number of weight layers: multiples of the width, and where it pools.
STYLES: dict[int, tuple[int | str, ...]] = {
    5: (1, "M", 2, "M", 4, "M", 4),
    7: (1, 1, "M", 2, 2, "M", 4, 4, "M"),
    9: (1, 1, "M", 2, 2, "M", 4, 4, "M", 4, 4, "M"),
    11: (1, 1, "M", 2, 2, "M", 4, 4, 4, "M", 4, 4, 4, "M"),
}


def cnn(
    image_shape: tuple[int, ...],
    width: int,
    out_size: int,
    *,
    depth: int = 3,
    stride: int = 2,
    pool: str = "none",
    **settings: Any,
) -> Built:
    """Convolutions of `width` channels each, and a readout.

        h_1 = W_1 ⋆ x,   h_l = W_l ⋆ pool(φ(h_{l-1})),   f = W_L flat(pool(φ(h_{L-1})))          state = "pre"

    **Arguments:** `image_shape`: (height, width, channels) of the images; `width`: channels; `out_size`; `depth`: L
    weight layers, of which L − 1 are convolutions of 3 x 3 pixels; `stride`: of every convolution; `pool`: after every
    convolution's activation, 2 x 2 pixels, `"none"`, `"avg"` or `"max"`; `settings`: `readout` (`"flatten"`, or
    `"gap"`, the mean over pixels), `norm` (`"none"`, `"layer"` or `"batch"`, before every activation; a batch's
    statistics are frozen at the forward pass), and as in `mlp` `activation`, `table`, `key`, `bias`, `state`, `gain`,
    `dtype`, `matmul`.

    **Returns:** a `Built` network that reads images (batch, height, width, channels).

    **Raises:** `InputError` for sizes below 1, images too small for all strides and poolings, and unknown names.

    >>> import jax, jax.numpy as jnp
    >>> from widthwise.parameterization import parameterization
    >>> built = cnn((8, 8, 1), 16, 10, table=parameterization("mup"), key=jax.random.key(0))
    >>> built.network(jnp.zeros((5, 8, 8, 1))).shape
    (5, 10)
    """
    depth, stride = at_least("depth", depth, 2), at_least("stride", stride, 1)
    step = Step(width, stride, pool != "none")
    inner = depth - 2
    # Layers that keep the image's size are one segment.
    alike = [dataclasses.replace(step, count=inner)] if stride == 1 and pool == "none" and inner else [step] * inner
    return _network(image_shape, [step, *alike], out_size, pool=pool, **settings)


def vgg(
    image_shape: tuple[int, ...],
    channels: int | Sequence[int | str],
    out_size: int,
    *,
    depth: int | None = None,
    stride: int = 1,
    pool: str | None = None,
    **settings: Any,
) -> Built:
    """Convolutions whose channels grow as pooling shrinks the image, and a readout.

    **Arguments:** as in `cnn`; `channels`: of each convolution, with `"M"` where it pools, like `(16, "M", 32, "M")`;
    or one number, which the style of `depth` (5, 7, 9 or 11 weight layers; 5) multiplies; `stride`: of the first
    convolution; `pool`: its kind, where it pools (`"max"`).

    **Raises:** `InputError` as in `cnn`, for a depth that has no style or is not that of the channels, and a kind of
    pooling for channels that do not pool.

    >>> import jax, jax.numpy as jnp
    >>> from widthwise.parameterization import parameterization
    >>> built = vgg((28, 28, 1), 16, 10, table=parameterization("mup"), key=jax.random.key(0))
    >>> [segment.stages.linear.weight.shape[-1] for segment in built.network.segments[:-1]]
    [16, 32, 64, 64]
    """
    stride = at_least("stride", stride, 1)
    if not isinstance(channels, Sequence):
        style = 5 if depth is None else depth
        if style not in STYLES:
            raise InputError(
                f"depth is {depth}",
                setting="depth",
                value=depth,
                remedy=f"vgg has the styles {', '.join(map(str, STYLES))}, or give channels",
            )
        channels = at_least("width", channels, 1)
        channels = [part if isinstance(part, str) else part * channels for part in STYLES[style]]
    if pool is not None and (pool == "none") == (POOLING in channels):
        never = pool != "none"
        asks = "never pool" if never else "ask for pooling ('M')"
        remedy = "write 'M' where they do" if never else "use 'max' or 'avg'"
        raise InputError(
            f"pool is {pool!r}, and the channels {list(channels)} {asks}", setting="pool", value=pool, remedy=remedy
        )
    steps: list[Step] = []
    for part in channels:
        if part == POOLING:
            if not steps or steps[-1].pools:
                raise InputError(
                    f"channels {list(channels)} pool twice, or before a convolution",
                    setting="channels",
                    value=list(channels),
                    remedy="each 'M' follows a convolution",
                )
            steps[-1] = dataclasses.replace(steps[-1], pools=True)
        elif isinstance(part, str):
            raise InputError(
                f"channels {list(channels)}: {part!r} is neither a number nor 'M'",
                setting="channels",
                value=list(channels),
                remedy="give a list like [16, 'M', 32]",
            )
        else:
            steps.append(Step(part, 1 if steps else stride))
    if not steps:
        raise InputError(
            "channels are empty", setting="channels", value=list(channels), remedy="vgg needs at least one convolution"
        )
    if depth is not None and depth != len(steps) + 1:
        raise InputError(
            f"depth is {depth}, and the channels {list(channels)} and a readout have {len(steps) + 1} weight layers",
            setting="depth",
            value=depth,
            remedy="leave depth out",
        )
    return _network(image_shape, steps, out_size, pool="max" if pool is None else pool, **settings)


def residual_cnn(
    image_shape: tuple[int, ...],
    width: int,
    out_size: int,
    *,
    depth: int,
    stride: int = 2,
    pool: str = "none",
    state: str = "pre",
    readout: str = "gap",
    **settings: Any,
) -> Built:
    """A convolution, residual branches of one convolution each at its resolution, and a readout.

        h_1 = W_1 ⋆ x,   h_l = h_{l-1} + W_l ⋆ φ(norm(h_{l-1})),   f = W_L gathered(φ(norm(h_{L-1})))

    **Arguments, raises:** as in `cnn`; `depth`: L = branches + 2; `stride`: of the first convolution; `pool`: before
    the readout.

    >>> import jax, jax.numpy as jnp
    >>> from widthwise.parameterization import parameterization
    >>> built = residual_cnn((8, 8, 1), 16, 10, depth=10, table=parameterization("mupc"), key=jax.random.key(0))
    >>> [segment.depth for segment in built.network.segments]
    [1, 8, 1]
    """
    depth, stride = at_least("depth", depth, 2), at_least("stride", stride, 1)
    if state != "pre":
        raise InputError(
            f"state {state!r}: residual_cnn carries pre-activations",
            setting="state",
            value=state,
            remedy="use state 'pre', or cnn",
        )
    steps = [Step(width, stride)]
    if depth > 2:
        steps.append(Step(width, 1, False, depth - 2, residual=True))
    steps[-1] = dataclasses.replace(steps[-1], pools=pool != "none")
    return _network(image_shape, steps, out_size, pool=pool, readout=readout, **settings)


def _network(
    image_shape: tuple[int, ...],
    steps: list[Step],
    out_size: int,
    *,
    table: Parameterization,
    key: PRNGKeyArray,
    activation: str = "tanh",
    bias: bool = False,
    state: str = "pre",
    gain: float = 1.0,
    dtype: Any = None,
    matmul: str = "float32",
    pool: str = "none",
    readout: str = "flatten",
    norm: str = "none",
) -> Built:
    """Segments one after the other, from the image to the readout."""
    expect(Parameterization, 'ww.parameterization("mup")', table=table)
    for kind, value, options in (
        ("activation", activation, ACTIVATIONS),
        ("matmul", matmul, MATMULS),
        ("state", state, STATES),
        ("pooling", pool, POOLS),
        ("readout", readout, READOUTS),
        ("normalization", norm, NORMS),
    ):
        if value not in options:
            raise unknown(kind, value, options)
    out_size = at_least("out_size", out_size, 1)
    steps = [dataclasses.replace(step, channels=at_least("channels", step.channels, 1)) for step in steps]
    height, width, colors = _checked(image_shape)
    left = _pixels(height, width, steps)
    pixels = left if readout == "flatten" else 1
    # Along an axis of one pixel, as a signal's, there are no neighbours.
    kernel = (KERNEL if height > 1 else 1, KERNEL if width > 1 else 1)
    alike = LayerKind(activation, bias, gain, matmul, pool, norm, kernel)
    channels, waits = colors, False
    layers = []
    for index, step in enumerate(steps):
        # Of pre-activations, what follows a convolution belongs to the layer that reads it.
        before = index > 0 and state == "pre"
        layers.append(alike.convolved(channels, step, index == 0, before, waits, state == "post"))
        channels, waits = step.channels, step.pools
    layers.append(alike.readout(channels, pixels, out_size, readout, state == "pre", waits))
    return assembled(
        layers,
        table,
        depth=sum(step.count for step in steps) + 1,
        in_size=height * width * colors,
        out_size=out_size,
        image_shape=(height, width, colors),
        key=key,
        dtype=dtype,
    )


def _checked(image_shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Height, width and channels of the images."""
    if len(image_shape) != 3:
        raise InputError(
            f"image_shape is {image_shape}",
            setting="image_shape",
            value=image_shape,
            remedy="expected (height, width, channels)",
        )
    names = ("image height", "image width", "image channels")
    height, width, colors = (at_least(name, value, 1) for name, value in zip(names, image_shape, strict=True))
    return height, width, colors


def _pixels(height: int, width: int, steps: list[Step]) -> int:
    """How many pixels are left after all steps."""
    remedy = f"fewer strides and poolings, or larger images than {height} x {width}"
    # An axis of one pixel, as a signal's, is neither strided nor pooled.
    long = [size > 1 for size in (height, width)]
    for index, step in enumerate(steps):
        shortest = min((size for size, own in zip((height, width), long, strict=True) if own), default=1)
        if step.stride > shortest:
            raise InputError(
                f"layer {index + 1} has stride {step.stride} on an image of {height} x {width} pixels",
                setting="stride",
                value=step.stride,
                remedy=remedy,
            )
        height, width = -(-height // step.stride), -(-width // step.stride)
        if step.pools:
            shortest = min((size for size, own in zip((height, width), long, strict=True) if own), default=1)
            if shortest < 2:
                raise InputError(
                    f"the pooling after layer {index + 1} meets an image of {height} x {width} pixels",
                    setting="image",
                    value=f"{height} x {width}",
                    remedy=remedy,
                )
            height, width = max(1, height // 2), max(1, width // 2)
    return height * width
