"""One uninterrupted sweep, which all others must equal."""

import os

import pytest
from faults.sweeps import SWEEP, ended, start


@pytest.fixture(scope="session", autouse=True)
def programs(tmp_path_factory):
    """A cache of compiled programs for all these processes: each of them compiles the same four."""
    os.environ["WIDTHWISE_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    os.environ["JAX_ENABLE_COMPILATION_CACHE"] = "1"


@pytest.fixture(scope="session")
def whole(tmp_path_factory, programs):
    home = tmp_path_factory.mktemp("whole")
    assert ended(start(home, SWEEP, home / "run")) == (0, "")
    return home / "run"
