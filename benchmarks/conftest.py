"""What the benchmarks share: the machine in every record, its peak, and cases for processes of their own."""

import statistics

import jax
import pytest

from benchmarks import _cases, _measure
from benchmarks._settings import SIZES, SLOW, Size
from benchmarks.peers._processes import once, ours
from benchmarks.peers._worker import burst, machine, timed


def pytest_benchmark_update_machine_info(config, machine_info):
    machine_info |= machine() | {"devices": [device.device_kind for device in jax.devices()]}


def sizes(*more):
    """The sizes, and more, those that take long marked."""
    slow = [*SLOW, *more]
    return [
        pytest.param(size, marks=pytest.mark.slow if size in slow else (), id=str(size)) for size in (*SIZES, *more)
    ]


@pytest.fixture(scope="session")
def peak():
    """FLOP/s of a large float32 product."""
    call = _measure.gemm()
    call()
    return _measure.GEMM_FLOPS / min(burst(call, 1.0))


@pytest.fixture(scope="session")
def case(tmp_path_factory):
    """A file with the weights and the data of a size."""
    folder, made = tmp_path_factory.mktemp("cases"), {}

    def path(size: Size):
        if size not in made:
            made[size] = str(folder / f"{size}.npz")
            once(ours("case", str(size), made[size]))
        return made[size]

    return path


@pytest.fixture
def repeat(benchmark):
    """Time a call that is compiled already: three rounds, or as many more as fit in two seconds."""

    def run(call):
        rounds = max(3, min(200, int(2 / timed(call))))
        benchmark.pedantic(call, rounds=rounds, warmup_rounds=0)
        return statistics.median(benchmark.stats.stats.data)

    return run


@pytest.fixture(scope="session")
def batch():
    """The batch that all see."""
    return _cases.one_batch()
