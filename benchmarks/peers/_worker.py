"""What every measured process shares, whatever library it runs: the standard library only, and jax where it is loaded.

A worker builds its network, says how long the first call took, then answers orders from its standard input, one JSON
object a line: {"do": name, "seconds": s} runs a call for about s seconds, {"do": "quit"} ends it.
"""

import json
import os
import resource
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

Call = Callable[[], Any]


def say(**values: Any) -> None:
    """One JSON object on a line of its own."""
    print(json.dumps(values), flush=True)


def timed(call: Call) -> float:
    """Seconds of one call, which must wait for its result."""
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def burst(call: Call, seconds: float) -> list[float]:
    """Seconds of each of as many calls as fit, at least one."""
    times: list[float] = []
    while not times or sum(times) < seconds:
        times.append(timed(call))
    return times


def peak_rss_mb() -> float:
    """The most memory that this program held, without what its parent held before it was started."""
    try:
        with open("/proc/self/status", encoding="ascii") as status:
            line = next(line for line in status if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    except (OSError, StopIteration):
        # The kernel counts kilobytes here, macOS bytes.
        scale = 2**20 if sys.platform == "darwin" else 2**10
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / scale


def machine() -> dict[str, Any]:
    """Device, its peak memory where it counts it, cores, and the load now."""
    import jax

    device = jax.devices()[0]
    held = (device.memory_stats() or {}).get("peak_bytes_in_use")
    return {
        "platform": device.platform,
        "device": device.device_kind,
        "device_mb": None if held is None else held / 2**20,
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "load": os.getloadavg()[0],
        "jax": jax.__version__,
    }


def serve(calls: Mapping[str, Call]) -> None:
    """Answer orders until told to quit or nobody asks any more."""
    for line in sys.stdin:
        order = json.loads(line)
        if order["do"] == "quit":
            return
        load = os.getloadavg()[0]
        times = burst(calls[order["do"]], order["seconds"])
        say(seconds=statistics.median(times), best=min(times), runs=len(times), rss_mb=peak_rss_mb(), load=load)
