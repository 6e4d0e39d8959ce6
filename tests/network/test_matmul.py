"""Products of rounded factors: against numpy's arithmetic on rounded numbers, and refused where they contradict."""

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
from refusals import refused
from science.oracles import distance

from widthwise import config
from widthwise.network import MATMULS, Linear, mlp
from widthwise.parameterizations import parameterization


def rounded(array):
    return np.asarray(array).astype(ml_dtypes.bfloat16).astype(np.float64)


def test_bfloat16_rounds_both_factors_and_adds_without():
    draw = np.random.default_rng(0).normal
    x, weight = draw(size=(5, 40)), draw(size=(3, 40))
    arrays = jnp.asarray(x, jnp.float32), jnp.asarray(weight, jnp.float32)
    plain, coarse = (Linear(arrays[1], None, multiplier=0.5, matmul=kind)(arrays[0]) for kind in MATMULS)
    assert coarse.dtype == jnp.float32
    # Adding 40 products in float32; a sum in bfloat16 would be off by 1e-3.
    assert distance(coarse, 0.5 * rounded(x) @ rounded(weight).T) < 1e-5
    assert distance(plain, 0.5 * x @ weight.T) < 1e-5
    assert distance(coarse, plain) > 1e-4


def test_bfloat16_derivatives():
    draw = np.random.default_rng(1).normal
    x, weight, c = (jnp.asarray(draw(size=shape), jnp.float32) for shape in ((5, 40), (3, 40), (5, 3)))

    def pulled(kind):
        return jax.vjp(lambda w, x: Linear(w, None, matmul=kind)(x), weight, x)[1](c)

    for exact, coarse in zip(pulled("float32"), pulled("bfloat16"), strict=True):
        assert coarse.dtype == jnp.float32
        # Two roundings of 2^-9 each.
        assert 1e-5 < distance(coarse, exact) < 2**-7


def test_the_choice_is_built_in_and_recorded():
    table = parameterization("mup")
    built = mlp(4, 8, 2, depth=3, table=table, key=jax.random.key(0), matmul="bfloat16")
    assert {segment.stages.linear.matmul for segment in built.network.segments} == {"bfloat16"}
    assert MATMULS == config.MATMULS
    assert config.identity(config.checked({"matmul": "bfloat16"}), "d", table)["settings"]["matmul"] == "bfloat16"


def test_refusals():
    with refused("matmul", "bfloat61"):
        mlp(4, 8, 2, depth=3, table=parameterization("mup"), key=jax.random.key(0), matmul="bfloat61")
    with refused("--matmul", "bfloat16"):
        config.checked({"matmul": "bfloat16", "dtype": "float64"})
