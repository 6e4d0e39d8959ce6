"""Builders of convolutional networks. Their width is a number of channels.

Kernel area, pixels and batch are finite: they enter constants, never exponents. A weight's fans are channels. What else
it sums over, k² taps of a convolution or the pixels of a flattened image, divides its variance, and its rate but for
the first layer's: without this a flattened readout outruns the layers below, and bounds the rate of all.

Source: docs/theory.md F.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray

from .._errors import InputError, expect, unknown
from ..parameterizations import Parameterization
from ._build import STATES, Built, at_least
from ._chain import Network
from ._convolution_stages import NORMS, POOLS, READOUTS
from ._image_layers import LayerMaker, Step
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

    >>> from widthwise.parameterization import parameterization
    >>> built = cnn((8, 8, 1), 16, 10, table=parameterization("mup"), key=jax.random.key(0))
    >>> built.network(jnp.zeros((5, 8, 8, 1))).shape
    (5, 10)
    """
    at_least("depth", depth, 2)
    at_least("stride", stride, 1)
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

    >>> from widthwise.parameterization import parameterization
    >>> built = vgg((28, 28, 1), 16, 10, table=parameterization("mup"), key=jax.random.key(0))
    >>> [segment.stages.linear.weight.shape[-1] for segment in built.network.segments[:-1]]
    [16, 32, 64, 64]
    """
    at_least("stride", stride, 1)
    if isinstance(channels, int):
        style = 5 if depth is None else depth
        if style not in STYLES:
            raise InputError(f"depth is {depth}: vgg has the styles {', '.join(map(str, STYLES))}, or give channels")
        at_least("width", channels, 1)
        channels = [part if isinstance(part, str) else part * channels for part in STYLES[style]]
    if pool is not None and (pool == "none") == (POOLING in channels):
        asks = "ask for pooling ('M'): use 'max' or 'avg'" if pool == "none" else "never pool: write 'M' where they do"
        raise InputError(f"pool is {pool!r}, and the channels {list(channels)} {asks}")
    steps: list[Step] = []
    for part in channels:
        if part == POOLING:
            if not steps or steps[-1].pools:
                raise InputError(f"channels {list(channels)}: each 'M' follows a convolution")
            steps[-1] = dataclasses.replace(steps[-1], pools=True)
        elif isinstance(part, str):
            raise InputError(f"channels {list(channels)}: {part!r} is neither a number nor 'M'")
        else:
            steps.append(Step(part, 1 if steps else stride))
    if not steps:
        raise InputError("channels are empty: vgg needs at least one convolution")
    if depth is not None and depth != len(steps) + 1:
        raise InputError(
            f"depth is {depth}: channels {list(channels)} and a readout have {len(steps) + 1} weight layers"
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

    >>> from widthwise.parameterization import parameterization
    >>> built = residual_cnn((8, 8, 1), 16, 10, depth=10, table=parameterization("mupc"), key=jax.random.key(0))
    >>> [segment.depth for segment in built.network.segments]
    [1, 8, 1]
    """
    at_least("depth", depth, 2)
    at_least("stride", stride, 1)
    if state != "pre":
        raise InputError(f"state {state!r}: residual_cnn carries pre-activations; use state 'pre', or cnn")
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
    at_least("out_size", out_size, 1)
    for step in steps:
        at_least("channels", step.channels, 1)
    height, width, colors = _checked(image_shape)
    left = _pixels(height, width, steps)
    pixels = left if readout == "flatten" else 1
    depth = sum(step.count for step in steps) + 1
    dtype = jnp.zeros(()).dtype if dtype is None else dtype
    maker = LayerMaker(table, depth, activation, bias, gain, dtype, matmul, pool, norm)
    keys = jax.random.split(key, len(steps) + 1)
    channels, waits = colors, False
    made = []
    for index, (step, draw) in enumerate(zip(steps, keys[:-1], strict=True)):
        # Of pre-activations, what follows a convolution belongs to the layer that reads it.
        before = index > 0 and state == "pre"
        made.append(maker.convolved(channels, step, index == 0, before, waits, state == "post", draw))
        channels, waits = step.channels, step.pools
    made.append(maker.readout(channels, pixels, out_size, readout, state == "pre", waits, keys[-1]))
    segments, labels, used = zip(*made, strict=True)
    network = Network(segments, height * width * colors, out_size, (height, width, colors))
    arrays = eqx.filter(network, eqx.is_array)
    return Built(network, eqx.tree_at(lambda n: n.segments, arrays, labels), table, used)


def _checked(image_shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Height, width and channels of the images."""
    if len(image_shape) != 3:
        raise InputError(f"image_shape is {image_shape}: expected (height, width, channels)")
    height, width, colors = image_shape
    for name, value in (("image height", height), ("image width", width), ("image channels", colors)):
        at_least(name, value, 1)
    return height, width, colors


def _pixels(height: int, width: int, steps: list[Step]) -> int:
    """How many pixels are left after all steps."""
    remedy = f"fewer strides and poolings, or larger images than {height} x {width}"
    for index, step in enumerate(steps):
        if step.stride > min(height, width):
            raise InputError(
                f"layer {index + 1} has stride {step.stride} on an image of {height} x {width} pixels: {remedy}"
            )
        height, width = -(-height // step.stride), -(-width // step.stride)
        if step.pools:
            if min(height, width) < 2:
                raise InputError(
                    f"the pooling after layer {index + 1} meets an image of {height} x {width} pixels: {remedy}"
                )
            height, width = height // 2, width // 2
    return height * width
