"""The output precision as a dial: accuracy, distance from backprop, conditioning and time against gamma_L.

Fashion-MNIST, one epoch, residual muPC network, width 128, depth 30, gamma_L = g N / L with g from
1/100 to 10, settled by `--relaxation auto`. One rate for all rows, 2^-5 unless given (accuracy_by_depth.py finds 2^-4
for silu and 2^-5 for tanh at depth 16). Writes results/precision_dial.json and docs/images/precision_dial.png.

    python recipes/mupc/precision_dial.py [--widthwise PATH] [--depth 30] [--seeds 2] [--activations silu tanh]
"""

import json
import statistics

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from training_runs import RUNS, parser_of, trained, written

IMAGE = RUNS / "precision_dial.png"
DIALS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
# g N / L = gamma' (N / 64) (8 / L) at base 64 and 8.
BASE = 64 / 8


def measured(results: list[dict], backprop: list[dict]) -> dict:
    """What one setting of the dial does, medians over seeds."""

    def median(value) -> float:
        return statistics.median(value(result) for result in results)

    seconds = statistics.median(result["train_seconds"] for result in backprop)
    return {
        "accuracy": 100 * statistics.mean(result["test_accuracy"] for result in results),
        "cosine": median(lambda r: r["cosine_to_backprop"]["all"]),
        "cosine_layer_min": median(lambda r: r["cosine_to_backprop"]["layer_min"]),
        "curvature": median(lambda r: r["settled"]["curvature"]),
        "residual": median(lambda r: r["settled"]["residual_median"]),
        "sweeps": median(lambda r: r["settled"]["iterations_median"]),
        "times_backprop": median(lambda r: r["train_seconds"]) / seconds,
    }


def draw(found: dict[str, dict[float, dict]], backprop: dict[str, float], depth: int) -> None:
    """Four panels against g: accuracy, cosine, curvature, time."""
    panels = {
        "accuracy": "test accuracy (%)",
        "cosine": "cosine to backprop",
        "curvature": "‖C‖ at the forward pass",
        "times_backprop": "time, in backprop's",
    }
    figure, axes = plt.subplots(1, 4, figsize=(13, 3.2), layout="constrained")
    for axis, (key, label) in zip(axes, panels.items(), strict=True):
        for activation, values in found.items():
            (drawn,) = axis.plot(list(values), [v[key] for v in values.values()], "o-", label=activation)
            if key == "accuracy":
                axis.axhline(backprop[activation], color=drawn.get_color(), ls=":", label=f"{activation}, backprop")
        axis.set(xscale="log", xlabel="g, output precision g N / L", title=label)
        if key in ("curvature", "times_backprop"):
            axis.set_yscale("log")
    axes[0].legend(fontsize=7)
    figure.suptitle(f"Residual muPC, width 128, depth {depth}, Fashion-MNIST, one epoch, settled inference")
    IMAGE.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(IMAGE, dpi=110)


def main() -> None:
    """Turn the dial, print the table, draw the figure."""
    parser = parser_of(__doc__.splitlines()[0])
    parser.add_argument("--depth", type=int, default=30)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--log2-rate", type=float, default=-5.0)
    parser.add_argument("--activations", nargs="+", default=["silu", "tanh"])
    values = parser.parse_args()
    found: dict[str, dict[float, dict]] = {}
    reference: dict[str, float] = {}
    for activation in values.activations:

        def runs(name: str, flags: str, activation: str = activation) -> list[dict]:
            shared = f"--activation {activation} --depth {values.depth} --rate {2**values.log2_rate} {flags}"
            return [
                trained(values, "precision_dial", f"{activation}_{name}_{seed}", f"{shared} --seed {seed}")
                for seed in range(values.seeds)
            ]

        plain = runs("backprop", "--algorithm bp")
        reference[activation] = 100 * statistics.mean(result["test_accuracy"] for result in plain)
        print(f"{plain[0]['source']}: {activation} backprop {reference[activation]:.2f} %", flush=True)
        found[activation] = {}
        for dial in DIALS:
            rule = f"--algorithm pc --gamma-bar -1 --output-precision {dial * BASE} --relaxation auto --iterations 60"
            found[activation][dial] = measured(runs(f"{dial}", rule), plain)
            shown = "  ".join(f"{k} {v:.3g}" for k, v in found[activation][dial].items())
            print(f"{plain[0]['source']}: {activation} g {dial:5}  {shown}", flush=True)
    if not values.stored:
        written("precision_dial.json", json.dumps({"backprop": reference, "dial": found}, indent=1))
    draw(found, reference, values.depth)


if __name__ == "__main__":
    main()
