"""Peak memory of two training steps and their compilation, in a process of its own: `rss_mb`."""

import pytest

from benchmarks import _cases
from benchmarks.conftest import sizes
from benchmarks.peers._processes import once, ours


@pytest.mark.parametrize("spec", _cases.nonlinear_relaxations())
@pytest.mark.parametrize("size", sizes())
def test_memory(benchmark, case, size, spec):
    said = benchmark.pedantic(lambda: once(ours("step", case(size), spec)), rounds=1)
    benchmark.extra_info |= {"rss_mb": said["rss_mb"], "device_mb": said["device_mb"], "first_s": said["first"]}
