"""Richness, measured: features, kernel and the linearized model's prediction against width, at r = 0, 1/4 and 1/2.

Backprop, three layers, tanh, 8 inputs, 3 outputs, 8 examples, plain SGD, float32, rates relative to width 64, where all
r are one network. Movement of the features is M^(r - 1/2); the distance on fresh inputs to the kernel's prediction
after as many steps falls with width at r = 0 and not at r = 1/2. Then r = 0 trained to the end, backprop and
predictive coding at gamma_bar 0, gamma' = 1 and settled to a residual of 1e-3: both against the end of the kernel's
training, which they share, and predictive coding against the kernel's flow at equal time, which it does not follow.

Exit code 1 where a movement slope is away from r - 1/2 by more than max(0.05, 2 se), a distance that should fall has a
slope above -0.4, or one that should not has one below -0.2. Writes results/richness.json, results/richness.log and
docs/images/richness.png.

    python recipes/richness/richness.py [--seeds 16]
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


def equal_time(seeds, say):
    """All r against the kernel's flow at equal time."""
    found, good = {}, True
    for r in (Fraction(0), Fraction(1, 4), Fraction(1, 2)):
        found[f"r = {r}"] = one = measured(r, ww.Backprop(), WIDTHS, rate=RATE, steps=STEPS, seeds=seeds)
        say(f"backprop, r = {r}, {STEPS} steps\n{one}")
        expected, error = float(r) - 0.5, one.slope("movement")[1]
        room = max(0.05, 2 * error)
        checks = [("movement", expected - room, expected + room)]
        checks += [("distance", -np.inf, FALLS)] if r == 0 else [("distance", STAYS, np.inf)] if r == 0.5 else []
        for check in checks:
            passed, line = verdict(one, *check)
            say(line)
            good &= passed
    return found, good


def ends(seeds, say):
    """r = 0 trained to the end."""
    cases = {
        "backprop, end": (ww.Backprop(), END_RATE, True, (-np.inf, FALLS)),
        "predictive coding, end": (PC, 2 * END_RATE, True, (-np.inf, FALLS)),
        "predictive coding, equal time": (PC, RATE, False, (STAYS, np.inf)),
    }
    found, good = {}, True
    for name, (rule, rate, to_convergence, bounds) in cases.items():
        settings = {"rate": rate, "steps": END_STEPS if to_convergence else STEPS, "to_convergence": to_convergence}
        found[name] = measured(0, rule, END_WIDTHS, seeds=seeds, **settings)
        say(f"{name}, r = 0, {settings['steps']} steps\n{found[name]}")
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
    seeds = parser.parse_args().seeds
    lines = []

    def say(line):
        print(line, flush=True)
        lines.append(line)

    scale, right = equal_time(seeds, say)
    final, good = ends(min(seeds, END_SEEDS), say)
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
