"""Ways to visit the layers of one iteration of error descent, forward and back, timed in turns.

    up:    h_l = h_{l-1} + a W_l tanh(h_{l-1}) + e_l            down:   r_{l-1} = r_l + a tanh'(h_{l-1}) * W_l^T r_l

    scan        one `lax.scan` over the stacked layers each way, what the library does
    blocks      the same scan with 4 layers written out in its body
    unrolled    every layer written out: compile time grows with depth
    two_devices the batch split over two host devices, each with one thread

    python -m benchmarks.loops [--sizes 128x8 128x32 512x32 128x128] [--ways scan blocks] [--turns 20]

Prints milliseconds (median) and seconds of compilation, and writes results/loops_<date>.json.
"""

import argparse
import datetime
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

from ._settings import BATCH, Size

WAYS = ("scan", "blocks", "unrolled", "two_devices")
BLOCK = 4
RESULTS = Path(__file__).parent / "results"


def iteration(way: str, depth: int):
    """One sweep up and one down over `depth` hidden layers, as a function of weights (depth, N, N), errors and h_1."""
    import jax
    import jax.numpy as jnp

    unroll = {"scan": 1, "two_devices": 1, "blocks": BLOCK, "unrolled": depth}[way]

    def run(weights, errors, first, top):
        scale = 1 / jnp.sqrt(depth * weights.shape[-1])

        def up(h, row):
            weight, error = row
            return h + scale * jnp.tanh(h) @ weight.T + error, h

        def down(r, row):
            weight, h = row
            return r + scale * (1 - jnp.tanh(h) ** 2) * (r @ weight), r

        last, seen = jax.lax.scan(up, first, (weights, errors), unroll=unroll)
        _, pulled = jax.lax.scan(down, last - top, (weights, seen), reverse=True, unroll=unroll)
        return pulled

    return run


def measure(way: str, size: Size, turns: int) -> dict[str, Any]:
    """In a process of its own: devices are chosen before JAX starts."""
    if way == "two_devices":
        os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=2 --xla_cpu_multi_thread_eigen=false"
    import jax
    import numpy as np
    from jax.sharding import NamedSharding, PartitionSpec

    depth, draw = size.depth - 2, np.random.default_rng(0)
    arrays = [
        draw.normal(size=shape).astype(np.float32)
        for shape in (
            (depth, size.width, size.width),
            (depth, BATCH, size.width),
            (BATCH, size.width),
            (BATCH, size.width),
        )
    ]
    if way == "two_devices":
        mesh = jax.make_mesh((2,), ("batch",))
        parts = (PartitionSpec(), PartitionSpec(None, "batch"), PartitionSpec("batch"), PartitionSpec("batch"))
        arrays = [jax.device_put(array, NamedSharding(mesh, part)) for array, part in zip(arrays, parts, strict=True)]
    arrays[1] = arrays[1] * 0.01
    began = time.perf_counter()
    with jax.default_matmul_precision("float32"):
        call = jax.jit(iteration(way, depth)).lower(*arrays).compile()
    compiled = time.perf_counter() - began
    jax.block_until_ready(call(*arrays))
    taken = []
    for _ in range(turns):
        began = time.perf_counter()
        jax.block_until_ready(call(*arrays))
        taken.append(time.perf_counter() - began)
    return {
        "ms": 1e3 * median(taken),
        "compile_s": compiled,
        "gflops": 4e-9 * depth * BATCH * size.width**2 / median(taken),
        "device": jax.devices()[0].device_kind,
    }


def main(words: list[str] | None = None) -> None:
    """Every way at every size, rounds in turns."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", nargs="+", default=["128x8", "128x32", "512x32", "128x128"])
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--turns", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--one", nargs=2, metavar=("WAY", "SIZE"), help=argparse.SUPPRESS)
    values = parser.parse_args(words)
    if values.one:
        print(json.dumps(measure(values.one[0], Size.parse(values.one[1]), values.turns)))
        return
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for size in values.sizes:
        rounds: dict[str, list[dict[str, Any]]] = {way: [] for way in values.ways}
        for _ in range(values.rounds):
            for way in values.ways:
                words = [sys.executable, "-m", "benchmarks.loops", "--one", way, size, "--turns", str(values.turns)]
                done = subprocess.run(words, capture_output=True, text=True, check=True)
                rounds[way].append(json.loads(done.stdout))
        found[size] = {
            way: {key: rows[0][key] if key == "device" else median(r[key] for r in rows) for key in rows[0]}
            for way, rows in rounds.items()
        }
        shown = "  ".join(
            f"{way} {row['ms']:.3g} ms (compile {row['compile_s']:.2f} s)" for way, row in found[size].items()
        )
        print(f"{size:8s} {shown}, {found[size][values.ways[0]]['device']}", flush=True)
    stamp = datetime.datetime.now().strftime("%Y-%m-%d_%H%M")
    (RESULTS / f"loops_{stamp}.json").write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
