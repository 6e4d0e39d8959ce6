"""Richness, measured: features, kernel and the linearized model's prediction against width, at r = 0, 1/4 and 1/2.

Backprop, three layers, tanh, 8 inputs, 3 outputs, 8 examples, plain SGD, float32, rates relative to width 64, where all
r are one network. Movement of the features is M^(r - 1/2); the distance on fresh inputs to the kernel's prediction
after as many steps falls with width at r = 0 and not at r = 1/2. Then r = 0 trained to the end, backprop and
predictive coding at gamma_bar 0, gamma' = 1 and settled to a residual of 1e-3: both against the end of the kernel's
training, which they share, and predictive coding against the kernel's flow at equal time, which it does not follow.

Exit code 1 where a movement slope is away from r - 1/2 by more than max(0.05, 2 se), a distance that should fall has a
slope above -0.4, or one that should not has one below -0.2. Writes results/richness.json, results/richness.log and
docs/images/richness.png.

    python recipes/richness/richness.py [--seeds 16] [--widths 128 256 512 1024] [--end-widths 64 128 256 512]
        [--steps 60] [--end-steps 800] [--r 0 1/4 1/2] [--ends NAME ...]
"""

import argparse
import json
import sys
from fractions import Fraction
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

import widthwise as ww

RESULTS = Path(__file__).parent / "results"
IMAGE = Path(__file__).parents[2] / "docs" / "images" / "richness.png"
WIDTHS, END_WIDTHS = (128, 256, 512, 1024), (64, 128, 256, 512)
# Below 2 / (largest eigenvalue of the kernel over the batch), at every width.
RATE, STEPS = 0.012, 60
END_RATE, END_STEPS, END_SEEDS = 0.015, 800, 6
FALLS, STAYS = -0.4, -0.2
PC = ww.PredictiveCoding(ww.ErrorDescent(iterations=8, tolerance=1e-3))
# Rule, rate, trained to the end or for as many steps as backprop's, bounds of the distance's slope; all at r = 0.
ENDS = {
    "backprop, end": (ww.Backprop(), END_RATE, True, (-np.inf, FALLS)),
    "predictive coding, end": (PC, 2 * END_RATE, True, (-np.inf, FALLS)),
    "predictive coding, equal time": (PC, RATE, False, (STAYS, np.inf)),
}
LABELS = {
    "movement": "movement of the features",
    "kernel": "movement of the kernel",
    "distance": "distance from the kernel's prediction",
}


def measured(r, algorithm, widths, **settings):
    """One family of networks."""
    table = ww.parameterization("richness", richness=r, algorithm=algorithm.name)

    def build(width, key):
        return ww.mlp(8, width, 3, depth=3, activation="tanh", table=table, key=key)

    return ww.richness(build, algorithm, table, widths=widths, **settings)


def verdict(found, quantity, low, high):
    """Whether a slope is between two bounds, and the line that says so."""
    slope, error = found.slope(quantity)
    good = bool(low <= slope <= high)
    bounds = f"at most {high:g}" if np.isinf(low) else f"at least {low:g}" if np.isinf(high) else f"{low:g} to {high:g}"
    return good, f"{quantity} slope {slope:.3f} ± {error:.3f}, expected {bounds}: {'passed' if good else 'FAILED'}"


def equal_time(values, say):
    """All r against the kernel's flow at equal time."""
    found, good = {}, True
    for r in values.r:
        found[f"r = {r}"] = one = measured(
            r, ww.Backprop(), values.widths, rate=RATE, steps=values.steps, seeds=values.seeds
        )
        say(f"backprop, r = {r}, {values.steps} steps\n{one}")
        expected, error = float(r) - 0.5, one.slope("movement")[1]
        room = max(0.05, 2 * error)
        checks = [("movement", expected - room, expected + room)]
        checks += [("distance", -np.inf, FALLS)] if r == 0 else [("distance", STAYS, np.inf)] if r == 0.5 else []
        for check in checks:
            passed, line = verdict(one, *check)
            say(line)
            good &= passed
    return found, good


def ends(values, say):
    """r = 0 trained to the end."""
    found, good = {}, True
    for name in values.ends:
        rule, rate, to_convergence, bounds = ENDS[name]
        steps, seeds = values.end_steps if to_convergence else values.steps, min(values.seeds, END_SEEDS)
        settings = {"rate": rate, "steps": steps, "to_convergence": to_convergence, "seeds": seeds}
        found[name] = measured(0, rule, values.end_widths, **settings)
        say(f"{name}, r = 0, {steps} steps\n{found[name]}")
        passed, line = verdict(found[name], "distance", *bounds)
        say(line)
        good &= passed
    return found, good


def draw(scale, final):
    """Three quantities over width for each r, and the ends."""
    figure, axes = plt.subplots(1, 4, figsize=(14, 3.6), layout="constrained")
    panels = [(axis, quantity, scale) for axis, quantity in zip(axes, LABELS, strict=False)]
    for axis, quantity, families in [*panels, (axes[3], "distance", final)]:
        for name, found in families.items():
            slope, _ = found.slope(quantity)
            axis.plot(found.widths, np.median(found.values[quantity], axis=1), "o-", label=f"{name} ({slope:+.2f})")
        widths = next(iter(families.values())).widths
        axis.set(xscale="log", yscale="log", xlabel="width", title=LABELS[quantity])
        axis.set_xticks(widths, map(str, widths))
        axis.xaxis.minorticks_off()
        axis.margins(y=0.35)
        axis.legend(fontsize=7.5, title="slope in brackets", title_fontsize=7.5)
    axes[3].set_title("the same, r = 0")
    figure.savefig(IMAGE, dpi=110)


def main():
    """Measure, print, draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=16)
    parser.add_argument("--widths", type=int, nargs="+", default=list(WIDTHS))
    parser.add_argument("--end-widths", type=int, nargs="+", default=list(END_WIDTHS))
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--end-steps", type=int, default=END_STEPS)
    parser.add_argument("--r", type=Fraction, nargs="+", default=[Fraction(0), Fraction(1, 4), Fraction(1, 2)])
    parser.add_argument("--ends", nargs="+", choices=ENDS, default=list(ENDS))
    values = parser.parse_args()
    lines = []

    def say(line):
        print(line, flush=True)
        lines.append(line)

    scale, right = equal_time(values, say)
    final, good = ends(values, say)
    draw(scale, final)
    stored = {
        name: {"widths": one.widths, "learned": one.learned.tolist()} | {k: v.tolist() for k, v in one.values.items()}
        for name, one in (scale | final).items()
    }
    (RESULTS / "richness.json").write_text(json.dumps(stored) + "\n")
    (RESULTS / "richness.log").write_text("\n".join(lines) + "\n")
    return int(not (right and good))


if __name__ == "__main__":
    sys.exit(main())
