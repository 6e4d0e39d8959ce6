"""Why target propagation has no kernel regime: alignment of the readout, movement of features, and what they pass on.

Four steps of SGD on the coordinate check's probe, 4 layers, tanh, post-activations, 16 seeds. Rules: backprop under
muP and NTP; TP and DTP with ridge feedback under their muP; DTP with hidden rates slowed by M^-1/2, which makes the
features stand still, and the hidden layers' part in the output with them; DTP with tied feedback, aligned as backprop.
Writes results/alignment.json, results/alignment.log and docs/images/alignment.png.

    python recipes/local_losses/alignment.py [--seeds 16] [--widths 128 256 512 1024] [RULE ...]
"""

import argparse
import dataclasses
import json
from fractions import Fraction
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

import widthwise as ww
from widthwise.parameterizations import Parameterization, Power, Role

RESULTS = Path(__file__).parent / "results"
IMAGE = Path(__file__).parents[2] / "docs" / "images" / "alignment.png"
WIDTHS = (128, 256, 512, 1024)
RIDGE = 1e-2
LABELS = {
    "alignment": "alignment of $W_L$ with $\\Delta z_{L-1}$",
    "movement": "movement of $z_{L-1}$",
    "passed_on": "$W_L \\Delta z_{L-1}$ over the residual",
}


def slowed(table: Parameterization) -> Parameterization:
    """The table with the rates of the first and the hidden layers times M^-1/2."""
    rows = tuple(
        (
            role,
            dataclasses.replace(row, rate=row.rate * Power(width=Fraction(-1, 2)))
            if role in (Role.INPUT, Role.HIDDEN)
            else row,
        )
        for role, row in table.rows
    )
    return dataclasses.replace(table, rows=rows)


def rules() -> dict[str, tuple]:
    """Algorithm, table, base rate: small, and the same for all of one kind."""
    own = ww.parameterization("mup", algorithm="dtp")
    ridge = ww.RidgeFeedback(RIDGE)
    return {
        "BP, muP": (ww.Backprop(), ww.parameterization("mup"), 0.1),
        "BP, NTP": (ww.Backprop(), ww.parameterization("ntp"), 0.05),
        "DTP": (ww.TargetPropagation(ridge), own, 0.01),
        "TP": (ww.TargetPropagation(ridge, difference=False), own, 0.01),
        "DTP, hidden rates slowed": (ww.TargetPropagation(ridge), slowed(own), 0.01),
        "DTP, tied feedback": (ww.TargetPropagation(ww.TiedFeedback()), own, 0.01),
    }


def main() -> None:
    """Measure, print, draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rules", nargs="*", help="names, as in the log; none is all")
    parser.add_argument("--seeds", type=int, default=16)
    parser.add_argument("--widths", type=int, nargs="+", default=list(WIDTHS))
    values = parser.parse_args()
    widths = values.widths
    figure, axes = plt.subplots(1, 3, figsize=(12, 4.4), layout="constrained")
    lines, found = [], {}
    everything = rules()
    for name in values.rules or everything:
        rule, table, rate = everything[name]

        def build(width, key, table=table):
            return ww.mlp(8, width, 3, depth=4, activation="tanh", table=table, key=key, state="post")

        measured = ww.alignment(build, rule, table, rate=rate, widths=widths, seeds=values.seeds)
        lines.append(f"{name:26s} {measured}")
        print(lines[-1], flush=True)
        found[name] = {quantity: rows.tolist() for quantity, rows in measured.values.items()}
        for axis, (quantity, label) in zip(axes, LABELS.items(), strict=True):
            slope, _ = measured.slope(quantity)
            axis.plot(widths, np.median(measured.values[quantity], axis=1), "o-", label=f"{name} ({slope:+.2f})")
            axis.set(xscale="log", yscale="log", xlabel="width", title=label)
            axis.set_xticks(widths, map(str, widths), minor=False)
            axis.minorticks_off()
    for axis in axes:
        axis.legend(
            fontsize=7,
            title="slope in brackets",
            title_fontsize=7,
            ncols=2,
            loc="upper center",
            bbox_to_anchor=(0.5, -0.18),
        )
    IMAGE.parent.mkdir(exist_ok=True)
    figure.savefig(IMAGE, dpi=130)
    (RESULTS / "alignment.json").write_text(json.dumps({"widths": widths, "found": found}) + "\n")
    (RESULTS / "alignment.log").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
