"""Whole training steps: inference, local gradients, Adam. For T = L descent, the part of the machine's peak reached."""

import pytest

from benchmarks import _cases
from benchmarks.conftest import sizes
from widthwise.algorithms import Backprop


@pytest.mark.parametrize("spec", _cases.nonlinear_relaxations())
@pytest.mark.parametrize("size", sizes())
def test_step(benchmark, repeat, peak, batch, size, spec):
    stepper = _cases.Stepper(_cases.network(size), _cases.algorithm(spec, size.depth), batch)
    stepper()
    seconds = repeat(stepper)
    benchmark.extra_info |= {name: float(value) for name, value in stepper.metrics.items()}
    if spec == "descent":
        # Of the products that the algorithm asks for, whether or not it skips some.
        benchmark.extra_info["fraction_of_peak"] = size.flops() / seconds / peak
        benchmark.extra_info["peak_gflops"] = peak / 1e9


@pytest.mark.parametrize("size", sizes())
def test_step_of_a_linear_network(repeat, batch, size):
    built = _cases.network(size, "linear")
    stepper = _cases.Stepper(built, _cases.algorithm("exact", size.depth), batch)
    stepper()
    repeat(stepper)


@pytest.mark.parametrize("size", sizes())
def test_step_of_backprop(repeat, batch, size):
    stepper = _cases.Stepper(_cases.network(size), Backprop(), batch)
    stepper()
    repeat(stepper)
