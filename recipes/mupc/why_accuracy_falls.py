"""Why accuracy falls at a large output precision: predictive coding with and without what raises its curvature.

Fashion-MNIST, one epoch, residual silu muPC network of width 128 and depth 30, gamma_L = N / L, every row settled
(`auto`). Rows: backprop; predictive coding; its errors at the forward pass's inputs; backprop of its output error
(energy_parts.py says what each leaves out). Every row at each rate; every run is one `widthwise train`, its JSON in
results/why_accuracy_falls/, and a run that is there is not repeated. Writes results/why_accuracy_falls.log.

    python recipes/mupc/why_accuracy_falls.py [--widthwise PATH] [--log2-rates -4] [--seeds 1]
"""

import os
import shlex
import statistics
import subprocess
from pathlib import Path

from training_runs import MUPC, RUNS, parser_of, trained, written

TABLE = RUNS / "why_accuracy_falls" / "mupc_pc.json"
# Relative, for every run's JSON repeats its flags.
OURS = f"--parameterization {os.path.relpath(TABLE)}"
RULES = f"--rule {os.path.relpath(Path(__file__).with_name('energy_parts.py'))}"
ROWS = {
    "backprop": (MUPC, "--algorithm bp"),
    "predictive coding": (OURS, f"{RULES}:Whole"),
    "forward inputs": (OURS, f"{RULES}:ForwardInputs"),
    "output error": (OURS, f"{RULES}:OutputError"),
}


def main() -> None:
    """Every row at every rate."""
    parser = parser_of(__doc__.splitlines()[0])
    parser.add_argument("--log2-rates", type=float, nargs="+", default=[-4.0])
    parser.add_argument("--seeds", type=int, default=1)
    values = parser.parse_args()
    if not values.stored:
        TABLE.parent.mkdir(parents=True, exist_ok=True)
        command = f"{values.widthwise} table --algorithm pc {MUPC} --gamma-bar -1 --json {TABLE}"
        subprocess.run(shlex.split(command), check=True, stdout=subprocess.DEVNULL)
    lines = []
    for rate in values.log2_rates:
        for row, (table, flags) in ROWS.items():
            results = []
            for seed in range(values.seeds):
                name = f"{row.replace(' ', '_')}_{rate:g}_{seed}"
                words = f"{flags} --activation silu --depth 30 --rate {2**rate} --seed {seed}"
                results.append(trained(values, "why_accuracy_falls", name, words, table))
            accuracy = statistics.mean(100 * result["test_accuracy"] for result in results)
            loss = statistics.mean(result["test_loss"] for result in results)
            text = f"{results[0]['source']}  2^{rate:g}  {row:18s} accuracy {accuracy:5.2f} %  loss {loss:.4f}"
            if results[0]["settled"]:
                settled = [result["settled"] for result in results]
                cosine = statistics.median(result["cosine_to_backprop"]["all"] for result in results)
                text += f"  cosine {cosine:.3f}  |C| {statistics.median(one['curvature'] for one in settled):.3g}"
                text += f"  residual {statistics.median(one['residual_median'] for one in settled):.1e}"
            print(text, flush=True)
            lines.append(text)
    if not values.stored:
        written("why_accuracy_falls.log", "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
