"""One epoch of Fashion-MNIST, width 128, depth 30, as `widthwise.train` runs it: time, accuracy, settled or not."""

import jax
import numpy as np
import pytest

import widthwise as ww
from benchmarks import _cases
from benchmarks._settings import Size

SIZE = Size(128, 30)
RULES = ["bp", *_cases.nonlinear_relaxations()]


@pytest.fixture(scope="module")
def data():
    try:
        return ww.data.load("fashion_mnist")
    except ww.InputError as error:
        pytest.skip(f"Fashion-MNIST is not here: {error}")


# That inference did not settle is a result here, and stands in the record.
@pytest.mark.filterwarnings("default::widthwise.UnsettledWarning")
@pytest.mark.parametrize("spec", [pytest.param(r, marks=pytest.mark.slow if r == "descent" else ()) for r in RULES])
def test_epoch(benchmark, data, spec):
    rule = ww.Backprop() if spec == "bp" else _cases.algorithm(spec, SIZE.depth)
    table = ww.parameterization("mupc", algorithm="pc", optimizer="adam")
    built = ww.residual_mlp(784, SIZE.width, 10, depth=SIZE.depth, table=table, key=jax.random.key(0))
    trained = benchmark.pedantic(lambda: ww.train(built, rule, data, rate=1e-2, epochs=1, decay="linear"), rounds=1)
    benchmark.extra_info |= {
        "epoch_s": trained.train_seconds,
        "compile_s": trained.compile_seconds,
        "test_accuracy": trained.test_accuracy,
    }
    if "settled" in trained.history:
        benchmark.extra_info["settled"] = float(np.mean(trained.history["settled"]))
        benchmark.extra_info["residual_median"] = float(np.median(trained.history["residual_median"]))
