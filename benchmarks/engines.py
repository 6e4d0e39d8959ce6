"""The same sweep by every engine: are the records the same, and how long did each take?

    python -m benchmarks.engines [FLAG ...]     (needs the extras ray and slurm)

Digits, predictive coding under muP, 3 widths, 15 rates, 3 seeds: 135 runs. One engine after the other, each from an
empty directory and without kept programs: this process, two processes, two Ray nodes of one CPU each on the loopback,
and two SLURM jobs (submitit's local executor where there is no `sbatch`). Then one sweep that three engines share.
Flags of `widthwise transfer` go to every sweep: `--widths 8 16 --steps 1`.
"""

import datetime
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

SWEEP = (
    "transfer --data digits --network mlp --depth 3 --activation tanh --algorithm pc --parameterization mup "
    "--optimizer sgd --relaxation error --iterations 12 --widths 64 128 256 --log2-rates -5 2 0.5 --seeds 3 --steps 40 "
    "--batch-size 64 --no-compilation-cache"
)
# Of one run, in one place, at one time.
OF_THE_PLACE = ("host", "engine", "finished")
RESULTS = Path(__file__).parent / "results"

# In a process of its own: a head that trains nothing, and two nodes.
CLUSTER = """
import os, sys
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
from ray.cluster_utils import Cluster
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
for _ in range(2):
    cluster.add_node(num_cpus=1)
cluster.wait_for_nodes()
print("address", cluster.address, flush=True)
sys.stdin.read()
cluster.shutdown()
"""


@contextmanager
def cluster() -> Iterator[str]:
    """The address of a Ray cluster of two nodes on the loopback."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen([sys.executable, "-c", CLUSTER], text=True, **pipes)
    try:
        yield next(line for line in process.stdout or () if line.startswith("address")).split()[1]
    finally:
        process.communicate()


def swept(home: Path, engine: str, flags: Sequence[str] = ()) -> float:
    """Seconds that the whole command takes."""
    began = time.perf_counter()
    command = [sys.executable, "-m", "widthwise", *SWEEP.split(), *flags, "--out", str(home)]
    command += ["--engine", *engine.split()]
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - began


def comparable(home: Path) -> dict[str, dict]:
    """Records by hash, without what belongs to one place and time."""
    found = [json.loads(line) for line in (home / "records.jsonl").read_text().splitlines()]
    for record in found:
        for name in OF_THE_PLACE:
            del record[name]
        del record["run"]["seconds"]
    kept = {record["hash"]: record for record in found}
    assert len(kept) == len(found), "a run was stored twice"
    return kept


def shared(home: Path, whole: Path, engines: list[str], flags: Sequence[str] = ()) -> None:
    """One sweep of which every engine trains a group: a part of the records, then the next engine's, ..."""
    home.mkdir()
    part = len((whole / "records.jsonl").read_text().splitlines()) // len(engines)
    shutil.copy(whole / "spec.json", home)
    for engine in engines:
        done = (home / "records.jsonl").read_text().splitlines() if (home / "records.jsonl").exists() else []
        swept(home, engine, flags)
        found = (home / "records.jsonl").read_text().splitlines()
        assert found[: len(done)] == done, "a finished group was trained again"
        if engine != engines[-1]:
            (home / "records.jsonl").write_text("".join(f"{line}\n" for line in found[: len(done) + part]))


def main(flags: list[str] | None = None) -> int:
    """Run, compare, print, and keep the log."""
    flags = sys.argv[1:] if flags is None else flags
    lines = [
        f"load average before: {os.getloadavg()[0]:.2f}, {os.cpu_count()} cores",
        " ".join(["widthwise", SWEEP, *flags]),
        "",
    ]
    with tempfile.TemporaryDirectory() as folder, cluster() as address:
        home = Path(folder)
        engines = {
            "local": "local",
            "processes": "processes --workers 2",
            "ray": f"ray --address {address}",
            "slurm": "slurm --workers 2",
        }
        seconds = {name: swept(home / name, engine, flags) for name, engine in engines.items()}
        found = {name: comparable(home / name) for name in engines}
        equal = {name: records == found["local"] for name, records in found.items()}
        lines += [f"{'engine':12s}{'runs':>6s}{'seconds':>9s}  records equal local's but for times, host and engine"]
        lines += [f"{n:12s}{len(found[n]):6d}{seconds[n]:9.1f}  {'yes' if equal[n] else 'NO'}" for n in engines]
        shared(home / "shared", home / "local", [engines["processes"], engines["ray"], engines["slurm"]], flags)
        one = comparable(home / "shared") == found["local"]
        lines.append(f"one sweep, a group each by processes, ray and slurm: {'equal' if one else 'DIFFERENT'}")
    lines.append(f"load average after: {os.getloadavg()[0]:.2f}")
    print("\n".join(lines))
    path = RESULTS / f"engines_{datetime.datetime.now():%Y-%m-%d_%H%M}.log"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return 0 if one and all(equal.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
