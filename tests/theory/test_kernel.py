"""The kernel regime by oracles: explicit Jacobians, models that are linear in their weights, ends and beginnings."""

import dataclasses
import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from refusals import refused

import widthwise as ww
from widthwise.network import Built, mlp
from widthwise.parameterizations import parameterization
from widthwise.theory import kernel_flow, neural_tangent_kernel
from widthwise.training import make_step, optimizer, start

DRAW = np.random.default_rng(0).normal
X, FRESH, Y = (jnp.asarray(DRAW(size=size)) for size in ((5, 4), (3, 4), (5, 2)))


def built(activation="tanh", width=6, depth=3):
    table = parameterization("richness", richness="1/4", base_width=3)
    return mlp(4, width, 2, depth=depth, activation=activation, bias=True, table=table, key=jax.random.key(1))


def test_the_kernel_is_that_of_the_jacobian():
    one = built()
    arrays, static = eqx.partition(one.network, eqx.is_inexact_array)
    flat, unflat = ravel_pytree(arrays)
    rates = ravel_pytree(jax.tree.map(lambda leaf, row: jnp.full(leaf.shape, row.rate), arrays, one.scalings))[0]
    both = jax.jit(jax.jacrev(lambda w: eqx.combine(unflat(w), static)(jnp.concatenate([X, FRESH]))))(flat)
    here, there = (np.asarray(J).reshape(-1, flat.size) for J in (both[:5], both[5:]))
    assert len(np.unique(np.asarray(rates))) > 2, "the table gives leaves rates of their own"
    np.testing.assert_allclose(neural_tangent_kernel(one, X), (here * rates) @ here.T, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(neural_tangent_kernel(one, X, FRESH), (there * rates) @ here.T, rtol=1e-10, atol=1e-12)


def test_a_model_linear_in_its_weights_follows_its_kernel():
    # Only the readout learns: gradient descent of f = W z on fixed z is the kernel's, to the last bit but rounding.
    one = built()
    readout = jax.tree.map(lambda s: s if s.role.is_output else dataclasses.replace(s, rate=0.0), one.scalings)
    one = Built(one.network, readout, one.table, one.sizes)
    rate, steps = 0.3, 7
    step = eqx.filter_jit(make_step(ww.Backprop(), optimizer(one), ww.mse))
    state = start(ww.Backprop().init(one, key=jax.random.key(0)), optimizer(one), jnp.asarray(rate))
    for _ in range(steps):
        state, _ = step(state, ww.Batch(X, Y), jax.random.key(0))
    misfit = (Y - one.network(X)).reshape(-1)
    kernel = neural_tangent_kernel(one, X)
    for x in (X, FRESH):
        moved = (state.learner.network(x) - one.network(x)).reshape(-1)
        cross = neural_tangent_kernel(one, X, x)
        found = kernel_flow(kernel, misfit, rate * steps / X.shape[0], cross, steps=steps)
        np.testing.assert_allclose(found, moved, atol=1e-12)
        assert np.abs(moved).max() > 0.1


def test_the_flow_solves_its_equation():
    root = jnp.asarray(DRAW(size=(4, 4)))
    kernel, misfit = root @ root.T, jnp.asarray(DRAW(size=4))

    def moved(time):
        return kernel_flow(kernel, misfit, time)

    # d/dt (f_t − f_0) = K (y − f_t), by central differences; f_0 = f_0; f_∞ = y.
    slope = (moved(0.3 + 1e-5) - moved(0.3 - 1e-5)) / 2e-5
    np.testing.assert_allclose(slope, kernel @ (misfit - moved(0.3)), rtol=1e-6)
    np.testing.assert_array_equal(moved(0.0), 0)
    np.testing.assert_allclose(moved(math.inf), misfit, rtol=1e-10)
    # Steps that shrink become the flow, to first order in their size.
    coarse, fine = (np.abs(kernel_flow(kernel, misfit, 0.3, steps=n) - moved(0.3)).max() for n in (1000, 2000))
    assert coarse / fine == pytest.approx(2, rel=0.05)


def test_what_the_kernel_does_not_see_is_not_learned():
    kernel = jnp.diag(jnp.array([1.0, 0.0]))
    np.testing.assert_allclose(kernel_flow(kernel, jnp.ones(2), math.inf), [1.0, 0.0])
    np.testing.assert_allclose(kernel_flow(kernel, jnp.ones(2), 1.0, steps=2), [0.75, 0.0])


@pytest.mark.parametrize(("time", "steps"), [(-1.0, None), (math.nan, None), (1.0, 0), (math.inf, 3)])
def test_impossible_times(time, steps):
    with refused("time", time):
        kernel_flow(jnp.eye(2), jnp.ones(2), time, steps=steps)
