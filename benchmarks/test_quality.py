"""Update quality and what it costs: cosine and error against a float64 equilibrium, beside the time of inference."""

import functools

import pytest

from benchmarks import _cases, _quality
from benchmarks.conftest import sizes


@functools.cache
def equilibrium(size):
    """The update at equilibrium, of fresh weights."""
    return _quality.in_float64(_cases.network(size), _cases.one_batch())


@pytest.mark.parametrize("spec", _cases.nonlinear_relaxations())
@pytest.mark.parametrize("size", sizes())
def test_quality(benchmark, repeat, batch, size, spec):
    built = _cases.network(size)
    found, reference = _quality.update(built, spec, batch), equilibrium(size)
    call = _cases.inference(built, _cases.algorithm(spec, size.depth), batch)
    call()
    seconds = repeat(call)
    quality = _quality.compare(found.weights, reference.weights)
    benchmark.extra_info |= quality | found.metrics
    benchmark.extra_info |= {
        "reference_residual": reference.metrics["residual_max"],
        # Digits of the update that are right, for a millisecond of inference.
        "error_digits_per_ms": _quality.digits(quality["error"]) / (1e3 * seconds),
    }
