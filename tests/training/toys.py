"""Small data and networks for the tests of training and of sweeps."""

import equinox as eqx
import jax
import numpy as np

from widthwise.data import Dataset
from widthwise.network import mlp
from widthwise.parameterizations import parameterization


def toy(examples=40, features=6, classes=3, test_examples=23, seed=0):
    """Bytes with labels that a linear map could tell apart."""
    draw = np.random.default_rng(seed)
    x = draw.integers(0, 256, (examples + test_examples, features), dtype=np.uint8)
    y = np.argmax(x @ draw.normal(size=(features, classes)), axis=1)
    parts = (x[:examples], y[:examples], x[examples:], y[examples:])
    return Dataset("toy", *parts, shift=128.0, scale=75.0, classes=classes)


def one_hot(labels, classes=3):
    return np.eye(classes)[labels]


def made(name="mup", *, width=16, depth=3, seed=0, data=None, bias=True, activation="tanh", **settings):
    """A built network of the toy's sizes; `settings` are the table's."""
    table = parameterization(name, **({"base_width": 4, "base_depth": 3} | settings))
    return from_table(table, width=width, depth=depth, seed=seed, bias=bias, activation=activation)


def from_table(table, *, width=16, depth=3, seed=0, bias=True, activation="tanh", dtype=None):
    key = jax.random.key(seed)
    options = {"depth": depth, "activation": activation, "table": table, "bias": bias, "dtype": dtype}
    return mlp(6, width, 3, key=key, **options)


def weights(network):
    """Every array of a network, in order, as numpy."""
    return [np.asarray(leaf) for leaf in jax.tree.leaves(eqx.filter(network, eqx.is_inexact_array))]


def effective(network):
    """W = m w and b = m_b β of every segment: what a gauge move leaves alone."""
    arrays = []
    for segment in network.segments:
        linear = segment.stages.linear
        arrays.append(np.asarray(linear.multiplier.value)[:, None, None] * np.asarray(linear.weight))
        if linear.bias is not None:
            arrays.append(np.asarray(linear.bias_multiplier.value)[:, None] * np.asarray(linear.bias))
    return arrays


def gap(found, expected):
    """The largest difference of two lists of arrays, over the largest entry."""
    size = max(np.abs(array).max() for array in expected)
    assert size > 0
    return max(np.abs(a - b).max() for a, b in zip(found, expected, strict=True)) / size
