"""Fashion-MNIST, one epoch, batch 64, width 128: residual muPC networks against backprop, at depth 30 and 128.

Rates are tuned at depth 16 on a validation split, the same grid for every row, and transferred; the final runs alone
read the test split. Rows: backprop; predictive coding at gamma_L = 1; predictive coding with gamma_L by rule
(gamma_bar -1, and a cap on the curvature that each example meets). Three activations, `--seeds` seeds. Every run is one
`widthwise train`; its JSON goes to runs/recipes/, and a run that is there is not repeated. `--stored` trains nothing
and prints the committed results, every row marked.

    python recipes/mupc/accuracy_by_depth.py [--widthwise PATH] [--depths 30 128] [--rows bp rule one] [--seeds 1]
"""

import argparse
import statistics

from training_runs import parser_of, trained

# gamma_L = 0.1 N / L at base 64 and 8; at most 0.03 of curvature for each example.
RULE = "--gamma-bar -1 --output-precision 0.8 --precision-cap 0.03"
ROWS = {
    "bp": "--algorithm bp",
    "rule": f"--algorithm pc {RULE} --relaxation error --iterations 3",
    "one": "--algorithm pc --relaxation auto --iterations 60",
}
ACTIVATIONS = ("silu", "tanh", "relu")
LOG2_RATES = (-7.0, -6.0, -5.0, -4.0, -3.0, -2.0)
TUNED_AT = 16


def tuned(values: argparse.Namespace, row: str, activation: str) -> float:
    """The log2 rate of the best validation accuracy at depth 16, one seed."""
    found = {}
    for rate in LOG2_RATES:
        flags = f"{ROWS[row]} --activation {activation} --depth {TUNED_AT} --rate {2**rate} --validation 10000"
        result = trained(values, "accuracy_by_depth", f"tune_{row}_{activation}_{rate:g}", flags)
        found[rate] = result["validation_accuracy"]
    shown = {k: round(v, 4) for k, v in found.items()}
    print(f"{row:5s} {activation:5s} tuned at depth {TUNED_AT} ({result['source']}):", shown, flush=True)
    return max(found, key=found.get)


def line(name: str, results: list[dict]) -> str:
    """One row of the table: mean and spread over seeds."""
    accuracy = [100 * result["test_accuracy"] for result in results]
    spread = f" ± {statistics.stdev(accuracy):.2f}" if len(accuracy) > 1 else ""
    seconds = statistics.median(result["train_seconds"] for result in results)
    text = f"{results[0]['source']:6s} {name:22s} {statistics.mean(accuracy):6.2f}{spread}  {seconds:7.1f} s"
    if results[0]["settled"] is None:
        return text

    def median(key: str) -> float:
        return statistics.median(result["settled"][key] for result in results)

    cosines = [result["cosine_to_backprop"] for result in results]
    return (
        f"{text}  residual {median('residual_median'):.1e}  batches {100 * median('fraction_converged'):5.1f} %  "
        f"examples {100 * median('examples_settled'):5.1f} %  sweeps {median('iterations_median'):4.1f}  "
        f"|C| {median('curvature'):.3g}  cosine {statistics.median(c['all'] for c in cosines):.3f} / "
        f"{statistics.median(c['layer_min'] for c in cosines):.3f}"
    )


def main() -> None:
    """Tune, transfer, and print the table."""
    parser = parser_of(__doc__.splitlines()[0])
    parser.add_argument("--depths", type=int, nargs="+", default=[30, 128])
    parser.add_argument("--rows", nargs="+", default=list(ROWS), choices=ROWS)
    parser.add_argument("--activations", nargs="+", default=list(ACTIVATIONS), choices=ACTIVATIONS)
    parser.add_argument("--seeds", type=int, default=1)
    values = parser.parse_args()
    rates = {(row, a): tuned(values, row, a) for a in values.activations for row in values.rows}
    for depth in values.depths:
        for activation in values.activations:
            for row in values.rows:
                rate = rates[row, activation]
                results = []
                for seed in range(values.seeds):
                    flags = f"{ROWS[row]} --activation {activation} --depth {depth} --rate {2**rate} --seed {seed}"
                    results.append(trained(values, "accuracy_by_depth", f"{row}_{activation}_{depth}_{seed}", flags))
                print(line(f"{depth:4d} {activation:5s} {row} 2^{rate:g}", results), flush=True)


if __name__ == "__main__":
    main()
