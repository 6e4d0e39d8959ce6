"""`widthwise doctor`: what works on this machine."""

import importlib.metadata
import os
import platform
import sys
import time
from collections.abc import Sequence
from typing import Any

from .._errors import InputError
from ..data import SOURCES, found_on_disk, load
from ._flags import Parser
from ._shared import write_result

PACKAGES = (
    "jax",
    "jaxlib",
    "equinox",
    "optax",
    "jaxtyping",
    "pydantic",
    "numpy",
    "scikit-learn",
    "matplotlib",
)


def run(arguments: Sequence[str]) -> int:
    """Print versions, devices and data; exit code 1 where a computation fails."""
    parser = Parser(prog="widthwise doctor", description="Versions, devices, data, and one small computation.")
    parser.add_argument("--json", metavar="FILE", help="write what was found")
    values = parser.parse_all(arguments)
    found: dict[str, Any] = {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cores": os.cpu_count(),
        "versions": {name: _version(name) for name in PACKAGES},
        "computation": _computation(),
        "data": {name: _data(name) for name in ("digits", *SOURCES)},
        "environment": {name: os.environ.get(name) for name in ("WIDTHWISE_DATA", "WIDTHWISE_CACHE", "JAX_PLATFORMS")},
    }
    for name, value in found.items():
        print(f"{name}: {_text(value)}")
    write_result(values.json, found)
    good = found["computation"].get("works", False)
    if not good:
        print("widthwise: JAX does not compute here", file=sys.stderr)
    return 0 if good else 1


def _text(value: Any) -> str:
    if not isinstance(value, dict):
        return str(value)
    return "".join(f"\n  {name}: {item}" for name, item in value.items())


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "missing"


def _computation() -> dict[str, Any]:
    """One product, checked, and how fast it was."""
    try:
        import jax
        import jax.numpy as jnp

        a = jnp.ones((1024, 1024))
        product = jax.jit(lambda a: a @ a)
        right = bool(product(a)[0, 0] == 1024)
        began = time.perf_counter()
        product(a).block_until_ready()
        seconds = time.perf_counter() - began
    except (ImportError, RuntimeError) as error:
        return {"works": False, "error": str(error)}
    return {
        "works": right,
        "devices": [f"{device.platform} ({device.device_kind})" for device in jax.devices()],
        "gigaflops": round(2 * 1024**3 / seconds / 1e9, 1),
    }


def _data(name: str) -> str:
    """Whether a data set is at hand, without downloading it."""
    if name == "digits":
        return f"{load(name).x_train.shape[0]} training examples"
    try:
        return str(found_on_disk(name) or "not on this machine; it is downloaded when it is first used")
    except InputError as error:
        return str(error)
