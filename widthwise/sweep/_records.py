"""One stored run: its name, what it was, what it found, and where."""

import datetime
import platform
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from .. import __version__
from ..store import content_hashes
from ._group import Member
from ._train_group import Rows

Records = list[dict[str, Any]]


def run_names(identity: dict[str, Any], members: Sequence[Member]) -> list[str]:
    """The hashes of a group's runs: of what defines the group, with what tells its runs apart."""
    return content_hashes(identity, [member.named() for member in members])


def records(names: Sequence[str], group: int, identity: dict[str, Any], rows: Rows, engine: str) -> Records:
    """A group's records, made where it was trained.

    **Arguments:** `names`: of its runs; `group`: its index in the sweep; `identity`: what defines it; `rows`: of
    `run_group`; `engine`: what trained it. Everything but the device, host, engine, versions and times is a function
    of the sweep alone.
    """
    place = {
        "device": device(),
        "host": platform.node(),
        "engine": engine,
        "versions": versions(),
        "finished": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }
    named = zip(names, rows, strict=True)
    return [{"hash": name, "group": group, "spec": identity, "run": row} | place for name, row in named]


def versions() -> dict[str, str]:
    """The versions that results depend on."""
    return {
        "widthwise": __version__,
        "python": platform.python_version(),
        "jax": jax.__version__,
        "numpy": np.__version__,
    }


def device() -> str:
    """The kind of device that JAX computes on."""
    found = jax.devices()[0]
    return f"{found.platform} ({found.device_kind})"
