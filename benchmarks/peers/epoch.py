"""One epoch of Fashion-MNIST at depth 30, width 128: jpc's notebook beside `widthwise train`, in turns.

    python -m benchmarks.peers.epoch --jpc PYTHON [--pairs 3] [--depth 30] [--data fashion_mnist]

Ours: backprop and predictive coding with the output precision by rule, silu and relu, at the rates that
recipes/mupc/accuracy_by_depth.py tuned at depth 16, with its cap of 0.03 on curvature, or 0.01 and then one iteration.
Writes results/epoch_<date>.json and .log.
"""

import argparse
import datetime
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import mean, median, stdev
from typing import Any

import numpy as np

from ._processes import Worker, environment, once

RESULTS = Path(__file__).parents[1] / "results"
COMMON = (
    "--network residual_mlp --width 128 --parameterization mupc --optimizer adam "
    "--schedule linear --epochs 1 --batch-size 64 --no-compilation-cache"
)
RULE = "--algorithm pc --gamma-bar -1 --output-precision 0.8 --relaxation error"
# As tuned in recipes/mupc/results/accuracy_by_depth.log: 2^-4.
OURS = {
    f"pc {activation}, {name}": f"{RULE} {flags} --activation {activation} --rate 0.0625"
    for activation in ("silu", "relu")
    for name, flags in {
        "3 iterations": "--precision-cap 0.03 --iterations 3",
        "2 iterations": "--precision-cap 0.03 --iterations 2",
        "2, two devices": "--precision-cap 0.03 --iterations 2 --devices 2",
        "1, cap 0.01": "--precision-cap 0.01 --iterations 1 --look-ahead",
    }.items()
} | {
    "bp silu": "--algorithm bp --activation silu --rate 0.0625",
    "bp relu": "--algorithm bp --activation relu --rate 0.0625",
}


def write_data(path: Path, name: str) -> None:
    """Both splits as jpc reads them: normalized inputs and one-hot targets."""
    from widthwise.data import load

    data = load(name)
    arrays = {}
    for split in ("train", "test"):
        pixels = getattr(data, f"x_{split}").astype(np.float32)
        arrays[f"x_{split}"] = ((pixels - data.shift) / data.scale).astype(np.float32)
        arrays[f"y_{split}"] = np.asarray(data.targets(split), np.float32)
    np.savez(path, **arrays)


def ours(flags: str, data: str, depth: int, seed: int, folder: Path) -> dict[str, Any]:
    """One `widthwise train`."""
    out = folder / "ours.json"
    words = f"train --data {data} {COMMON} {flags} --depth {depth} --seed {seed}".split()
    command = [sys.executable, "-P", "-m", "widthwise", *words, "--json", str(out)]
    subprocess.run(command, check=True, env=environment(ours=True), capture_output=True)
    result = json.loads(out.read_text())
    settled = result["settled"] or {}
    return {
        "seconds": result["train_seconds"],
        "first": result["compile_seconds"],
        "accuracy": result["test_accuracy"],
        "residual_median": settled.get("residual_median"),
        "batches_settled": settled.get("fraction_converged"),
        "examples_settled": settled.get("examples_settled"),
    }


def settledness(rows: list[dict[str, Any]]) -> str:
    """What inference left, where there was some: medians of the rounds."""
    if rows[0].get("residual_median") is None:
        return ""
    residual, batches, examples = (
        median(row[name] for row in rows) for name in ("residual_median", "batches_settled", "examples_settled")
    )
    return f"  residual {residual:.1e}  settled {100 * batches:.1f} % of batches, {100 * examples:.1f} % of examples"


def main(words: list[str] | None = None) -> None:
    """Every library in each round, a seed a round."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jpc", required=True, metavar="PYTHON", help="interpreter with jpc")
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--depth", type=int, default=30)
    parser.add_argument("--data", default="fashion_mnist")
    options = parser.parse_args(words)
    stamp = datetime.datetime.now().strftime("%Y-%m-%d_%H%M")
    lines = [f"depth {options.depth}, {options.pairs} rounds, load at the start {os.getloadavg()[0]:.2f}"]
    print(lines[0], flush=True)
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in ("jpc", *OURS)}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_data(folder / "data.npz", options.data)
        for seed in range(options.pairs):
            script = str(Path(__file__).parent / "epoch_jpc.py")
            read = [str(folder / "data.npz"), "--depth", str(options.depth), "--seed", str(seed)]
            found["jpc"].append(once(Worker([options.jpc, script, *read], ours=False)))
            for rule, flags in OURS.items():
                found[rule].append(ours(flags, options.data, options.depth, seed, folder))
    for rule, rows in found.items():
        seconds = [row["seconds"] for row in rows]
        accuracy = [100 * row["accuracy"] for row in rows]
        ratio = median(theirs["seconds"] / s for theirs, s in zip(found["jpc"], seconds, strict=True))
        spread = stdev(accuracy) if len(rows) > 1 else 0.0
        lines.append(
            f"{rule:24s} {mean(accuracy):.2f} ± {spread:.2f} %  {median(seconds):6.1f} s "
            f"({min(seconds):.1f} to {max(seconds):.1f})  first {median(row['first'] for row in rows):.1f} s  "
            f"jpc / it {ratio:.1f}" + settledness(rows)
        )
        print(lines[-1], flush=True)
    (RESULTS / f"epoch_{stamp}.json").write_text(json.dumps(found, indent=1) + "\n")
    (RESULTS / f"epoch_{stamp}.log").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
