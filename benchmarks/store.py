"""Ten thousand runs in one store, and a thousand: how long it takes to open, list and report them, in how much memory.

    python -m benchmarks.store [--seeds 2 20] [--log2-rates -10 -0.1 0.1]

The runs are real, and tiny: 5 widths, 100 rates, 2 or 20 seeds, 3 steps each. Every reading is taken in a process of
its own; peak memory is the process's, less that of a process which only imports the same modules.
"""

import argparse
import datetime
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SWEEP = (
    "transfer --data mlp_teacher --examples 64 --batch-size 16 --steps 3 --depth 2 --base-width 4 --widths 4 6 8 10 12"
)
RESULTS = Path(__file__).parent / "results"

IMPORTS = (
    "import resource, sys, time; import widthwise.report, widthwise.sweep, matplotlib.pyplot; "
    "from widthwise.cli import main"
)
# What is measured, as Python: `home` is the run directory.
READINGS = {
    "nothing": "pass",
    "open": (
        "import json, pathlib; from widthwise.sweep import RunStore\n"
        "spec = json.loads(pathlib.Path(home, 'spec.json').read_text())\n"
        "with RunStore.open(home, kind='transfer', spec=spec['spec']) as store: print(len(store), 'runs')"
    ),
    "read one by one": "print(sum(1 for record in widthwise.sweep.stream(home)), 'runs')",
    "runs --sort --limit": "main(['runs', home, '--sort', 'final_loss', '--limit', '10'])",
    "report": "main(['report', home])",
}
MEASURED = """
home = sys.argv[1]
began, used = time.perf_counter(), time.process_time()
{}
print(time.perf_counter() - began, time.process_time() - used, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def reading(home: Path, code: str) -> tuple[float, float, float]:
    """Seconds, seconds of the processor, and peak MB."""
    text = IMPORTS + MEASURED.format(code)
    done = subprocess.run([sys.executable, "-c", text, str(home)], check=True, capture_output=True, text=True)
    wall, processor, peak = map(float, done.stdout.splitlines()[-1].split())
    return wall, processor, peak / 1024


def main(words: list[str] | None = None) -> int:
    """Make the stores, read them, print, and keep the log."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[2, 20], help="of each store's sweep")
    parser.add_argument("--log2-rates", nargs=3, default=["-10", "-0.1", "0.1"], help="from, to, step")
    options = parser.parse_args(words)
    sweep = f"{SWEEP} --log2-rates {' '.join(options.log2_rates)}"
    lines = [
        f"load average: {os.getloadavg()[0]:.2f}, {os.cpu_count()} cores",
        f"widthwise {sweep} --seeds {' and '.join(map(str, options.seeds))}",
        "",
    ]
    lines.append(f"{'':22s}{'runs':>7s}{'seconds':>9s}{'of the processor':>18s}{'MB more than importing':>24s}")
    with tempfile.TemporaryDirectory() as folder:
        for seeds in options.seeds:
            home = Path(folder) / str(seeds)
            began = time.perf_counter()
            command = [sys.executable, "-m", "widthwise", *sweep.split(), "--seeds", str(seeds), "--out", str(home)]
            subprocess.run(command, check=True, capture_output=True)
            taken, runs = time.perf_counter() - began, len((home / "records.jsonl").read_text().splitlines())
            lines.append(f"{'sweep, whole command':22s}{runs:7d}{taken:9.1f}")
            base = reading(home, READINGS["nothing"])[2]
            for name, code in READINGS.items():
                if name != "nothing":
                    wall, processor, peak = reading(home, code)
                    lines.append(f"{name:22s}{runs:7d}{wall:9.2f}{processor:18.2f}{peak - base:24.1f}")
            size = (home / "records.jsonl").stat().st_size / 1e6
            lines.append(f"{'records.jsonl':22s}{runs:7d}{size:9.1f} MB")
    print("\n".join(lines))
    path = RESULTS / f"store_{datetime.datetime.now():%Y-%m-%d_%H%M}.log"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
