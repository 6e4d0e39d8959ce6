"""Independent arithmetic for the tests: networks as plain lists of matrices, losses and energies by hand.

Nothing here calls the library's chain, losses or energies: it reads weights out of a built network and does
the rest itself.
"""

import dataclasses
import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

import widthwise as ww
from widthwise.algorithms import Batch
from widthwise.network import mlp, residual_mlp
from widthwise.parameterizations import parameterization

PHI = {
    "linear": lambda z: z,
    "tanh": jnp.tanh,
    "relu": lambda z: jnp.where(z > 0, z, 0.0),
    "gelu": jax.nn.gelu,
    "silu": lambda z: z / (1 + jnp.exp(-z)),
}


@dataclasses.dataclass
class Layer:
    """One weight layer: its effective matrix (multiplier included) and offset."""

    matrix: np.ndarray
    offset: np.ndarray
    before: str
    after: str
    residual: bool

    def __call__(self, z):
        out = PHI[self.after](PHI[self.before](z) @ self.matrix.T + self.offset)
        return out + z if self.residual else out


def unrolled(network, traced=False):
    """A network as a list of layers, one a depth; `traced` where it is differentiated."""
    read = (lambda array: array) if traced else np.asarray
    layers = []
    for segment in network.segments:
        linear, stage = segment.stages.linear, segment.stages
        for depth in range(segment.depth):
            matrix = linear.multiplier.value[depth] * read(linear.weight)[depth]
            offset = np.zeros(matrix.shape[0])
            if linear.bias is not None:
                offset = linear.bias_multiplier.value[depth] * read(linear.bias)[depth]
            layers.append(Layer(matrix, offset, stage.before, stage.after, stage.residual))
    return layers


def per_layer(network, precisions):
    """Precisions of the segments, one a layer."""
    return [
        precision for segment, precision in zip(network.segments, precisions, strict=True) for _ in range(segment.depth)
    ]


def walk(layers, x):
    """z_1 ... z_L of the forward pass."""
    states = []
    for layer in layers:
        x = layer(x)
        states.append(x)
    return states


def half_square(f, y):
    return 0.5 * ((y - f) ** 2).sum(-1)


def logistic(f, y):
    return -(y * (f - jnp.log(jnp.exp(f).sum(-1, keepdims=True)))).sum(-1)


LOSSES = {"mse": (ww.mse, half_square), "ce": (ww.cross_entropy, logistic)}


def energy(layers, gammas, hidden, x, y, loss):
    """F of every example: sum_{l<L} gamma_l/2 |h_l - f_l(h_{l-1})|^2 + gamma_L loss(f, y)."""
    below, total = x, 0.0
    for layer, gamma, h in zip(layers[:-1], gammas[:-1], hidden, strict=True):
        total = total + gamma / 2 * ((h - layer(below)) ** 2).sum(-1)
        below = h
    return total + gammas[-1] * loss(layers[-1](below), y)


def displaced(layers, x, errors):
    """h_l = f_l(h_{l-1}) + e_l for the hidden layers."""
    hidden = []
    for layer, error in zip(layers[:-1], errors, strict=True):
        x = layer(x) + error
        hidden.append(x)
    return hidden


def error_energy(layers, gammas, errors, x, y, loss):
    """F of every example as a function of the errors."""
    return energy(layers, gammas, displaced(layers, x, errors), x, y, loss)


def stacked(states):
    """A library's states as a list, one array (batch, units) a layer."""
    return [leaf for state in states for leaf in state]


def distance(found, expected):
    """The largest difference over the largest expected value."""
    found = [np.asarray(leaf) for leaf in jax.tree.leaves(found)]
    expected = [np.asarray(leaf) for leaf in jax.tree.leaves(expected)]
    assert len(found) == len(expected)
    assert [leaf.shape for leaf in found] == [leaf.shape for leaf in expected]
    size = max(np.abs(leaf).max() for leaf in expected)
    assert size > 0
    return max(np.abs(a - b).max() for a, b in zip(found, expected, strict=True)) / size


def batch_of(loss, batch=6, in_size=5, out_size=3, seed=0):
    """Inputs and targets: real numbers for mse, class probabilities for ce."""
    draw = np.random.default_rng(seed).normal
    x, y = jnp.asarray(draw(size=(batch, in_size))), draw(size=(batch, out_size))
    if loss == "ce":
        y = np.exp(3 * y) / np.exp(3 * y).sum(-1, keepdims=True)
    return Batch(x, jnp.asarray(y))


def build(
    *,
    depth=4,
    width=7,
    residual=False,
    state="pre",
    activation="tanh",
    bias=True,
    seed=1,
    table=None,
    in_size=5,
    out_size=3,
    gain=1.0,
):
    """A small network with nonzero biases, away from the base size."""
    if table is None:
        table = parameterization("mupc" if residual else "mup", algorithm="pc", base_width=4, base_depth=3)
    make = residual_mlp if residual else functools.partial(mlp, state=state)
    options = {"depth": depth, "activation": activation, "table": table, "bias": bias, "gain": gain}
    built = make(in_size, width, out_size, key=jax.random.key(seed), **options)
    return shaken(built) if bias else built


def shaken(built):
    """The same with random biases, since zeros would hide their errors."""
    draw = np.random.default_rng(9).normal
    biases = [jnp.asarray(0.3 * draw(size=segment.stages.linear.bias.shape)) for segment in built.network.segments]
    return eqx.tree_at(lambda b: [s.stages.linear.bias for s in b.network.segments], built, biases)
