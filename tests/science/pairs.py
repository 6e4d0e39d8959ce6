"""A chain whose hidden states are pairs of arrays, written by hand: nothing in the library builds one."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from widthwise.network import AbstractStage, Network, Segment

PHI = {"tanh": jnp.tanh, "linear": lambda z: z}


class Into(AbstractStage):
    """x -> (V x, U x)."""

    v: jax.Array
    u: jax.Array
    phi: str = eqx.field(static=True)

    @property
    def is_linear(self) -> bool:
        return self.phi == "linear"

    def __call__(self, x: Any, *, key: Any = None, train: bool = True) -> Any:
        return PHI[self.phi](x @ self.v.T), x @ self.u.T


class Pair(AbstractStage):
    """(a, b) -> (phi(V a) + U^T b, b + phi(U a)): b is a skip that travels inside the state."""

    v: jax.Array
    u: jax.Array
    phi: str = eqx.field(static=True)

    @property
    def is_linear(self) -> bool:
        return self.phi == "linear"

    def __call__(self, x: Any, *, key: Any = None, train: bool = True) -> Any:
        a, b = x
        return PHI[self.phi](a @ self.v.T) + b @ self.u, b + PHI[self.phi](a @ self.u.T)


class OutOf(AbstractStage):
    """(a, b) -> V a + U b."""

    v: jax.Array
    u: jax.Array

    @property
    def is_linear(self) -> bool:
        return True

    def __call__(self, x: Any, *, key: Any = None, train: bool = True) -> Any:
        return x[0] @ self.v.T + x[1] @ self.u.T


def pair_network(phi="tanh", depth=3, sizes=(5, 6, 4, 3), seed=3):
    """The network, and its stages as a plain list."""
    d, n, m, out = sizes
    draw = np.random.default_rng(seed).normal

    def normal(*shape):
        return jnp.asarray(0.7 * draw(size=shape) / np.sqrt(shape[-1]))

    into = Into(normal(1, n, d), normal(1, m, d), phi)
    pair = Pair(normal(depth, n, n), 0.5 * normal(depth, m, n), phi)
    out_of = OutOf(normal(1, out, n), normal(1, out, m))
    network = Network((Segment(into, 1), Segment(pair, depth), Segment(out_of, 1)), d, out)
    return network, plain_stages(network)


def plain_stages(network):
    """Every stage with its own arrays, in order."""
    stages = []
    for segment in network.segments:
        for index in range(segment.depth):
            stages.append(jax.tree.map(lambda leaf, i=index: np.asarray(leaf)[i], segment.stages))
    return stages


def plain_walk(stages, x):
    states = []
    for stage in stages:
        x = stage(x)
        states.append(x)
    return states


def unstacked(states):
    """States of the library, as a list of pytrees, one a layer."""
    layers = []
    for state in states:
        depth = jax.tree.leaves(state)[0].shape[0]
        layers += [jax.tree.map(lambda leaf, i=i: leaf[i], state) for i in range(depth)]
    return layers


def plain_energy(stages, gammas, hidden, x, y):
    """F of every example, mse."""
    below, total = x, 0.0
    for stage, gamma, h in zip(stages[:-1], gammas[:-1], hidden, strict=True):
        for own, predicted in zip(jax.tree.leaves(h), jax.tree.leaves(stage(below)), strict=True):
            total = total + gamma / 2 * ((own - predicted) ** 2).sum(-1)
        below = h
    return total + gammas[-1] / 2 * ((y - stages[-1](below)) ** 2).sum(-1)
