"""Trace and compile of a training step, in a process of its own; `compile_s` is what counts, not the whole process."""

import pytest

from benchmarks import _cases
from benchmarks._settings import Size
from benchmarks.conftest import sizes
from benchmarks.peers._processes import once, ours


@pytest.mark.parametrize("spec", _cases.nonlinear_relaxations())
@pytest.mark.parametrize("size", sizes(Size(128, 1024)))
def test_compile(benchmark, case, size, spec):
    said = benchmark.pedantic(lambda: once(ours("compile", case(size), spec)), rounds=1)
    benchmark.extra_info |= {"compile_s": said["compile"][spec], "rss_mb": said["rss_mb"], "load": said["load"]}
