"""The coordinate check of every algorithm, optimizer and network that has a table, and of twelve tables that are wrong.

Right rows pass: {backprop, PC at γ̄ = 0, −1/2, −1, PC by sequential sweeps with and without the fixed prediction
assumption, TP, DTP} x {SGD, Adam} x {mlp, residual_mlp}, and backprop and PC on convolutions, all with biases. One
sweep is enough but for residual stages without that assumption: there a move of h_l takes its error from the layer
above, inference ends farther from equilibrium than it began, and the direction is backprop's at no width; five sweeps
settle it, one stands beside. PC at γ̄ = 0 and −1/2 has γ' = 1/64, so that ‖C‖ <= 0.05 at the smallest width; γ' = 1
stands beside it. TP and DTP have no known table on residual stages: theirs is derived first, by measurement. Wrong rows
are written as files, read again, and must fail by at least 0.3 in the line that is named (r = −1/4 and 3/4: by 0.2
against the nearest legal r).

    python recipes/checks/matrix.py mlp | residual_mlp | images | wrong [ROW ...] [--widths 128 256 512] [--seeds 16]

Writes results/PART.log; `matrix.sh` runs all parts, two at a time.
"""

import argparse
import dataclasses
import math
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path

import jax
import jax.numpy as jnp

import widthwise as ww
from widthwise.measure import probe, start_table
from widthwise.parameterizations import Power, Role, from_json, load, save, to_json
from widthwise.training import streams

RESULTS = Path(__file__).parent / "results"
WIDTHS = (128, 256, 512)
CHANNELS = (64, 128, 256)
WIDER = (128, 256, 512, 1024)
LEAST = 0.3
SWEEP = ww.SequentialSweep(sweeps=1)
SMALL = 1 / 64
FIVE_SWEEPS = ww.PredictiveCoding(ww.SequentialSweep(sweeps=5), output_precision=SMALL)
HALF = Fraction(1, 2)


def predictive_coding(precision=1.0, **settings):
    """Settled."""
    return ww.PredictiveCoding(ww.ErrorDescent(iterations=30), output_precision=precision, **settings)


# Algorithm's name in the table, its rule, gamma_bar.
RULES = {
    "bp": ("bp", ww.Backprop(), 0),
    "pc_0": ("pc", predictive_coding(SMALL), 0),
    "pc_-1_2": ("pc", predictive_coding(SMALL), "-1/2"),
    "pc_-1": ("pc", predictive_coding(), -1),
    "pc_sweep": ("pc", ww.PredictiveCoding(SWEEP, output_precision=SMALL), 0),
    "pc_sweep_fpa": ("pc", ww.PredictiveCoding(SWEEP, output_precision=SMALL, fixed_prediction=True), 0),
    "tp": ("tp", ww.TargetPropagation(ww.RidgeFeedback(1e-2), difference=False), 0),
    "dtp": ("dtp", ww.TargetPropagation(ww.RidgeFeedback(1e-2)), 0),
}


def tell(text, log):
    """To the screen and into the log."""
    print(text, flush=True)
    with log.open("a", encoding="utf-8") as file:
        file.write(text + "\n")


def checked(name, build, rule, table, log, **settings):
    """One check, its lines told."""
    began, cpu = time.perf_counter(), time.process_time()
    check = ww.coordinate_check(
        lambda size, key: build(size, key, table), rule, table, **({"widths": WIDTHS, "seeds": 16} | settings)
    )
    took = f"{time.perf_counter() - began:.0f} s, {time.process_time() - cpu:.0f} s of CPU"
    tell(f"## {name}\n{check}\n{took}\n", log)
    return check


def asked_for(settings, values):
    """A row's settings, beneath the widths and seeds of the command line; a row over depth keeps its depths."""
    given = {"seeds": values.seeds, "widths": None if "depths" in settings else values.widths}
    return settings | {name: value for name, value in given.items() if value is not None}


def mlp(rule):
    """theory.md's probe, four layers; targets are post-activations."""
    state = "post" if isinstance(rule, ww.TargetPropagation) else "pre"
    return lambda width, key, table: ww.mlp(8, width, 3, depth=4, bias=True, state=state, table=table, key=key)


def residual_mlp(_):
    """Four blocks."""
    return lambda width, key, table: ww.residual_mlp(8, width, 3, depth=6, bias=True, table=table, key=key)


def convolutions(**settings):
    """Two convolutions and a readout of 8 x 8 images."""
    return lambda width, key, table: ww.cnn((8, 8, 1), width, 3, depth=3, table=table, key=key, **settings)


# What does not pass, and why is known.
BESIDE = {
    "mlp": {
        "pc_0_sgd_precision_1": (predictive_coding(), mlp, "sgd", 0),
        "pc_-1_2_sgd_precision_1": (predictive_coding(), mlp, "sgd", "-1/2"),
    },
    "residual_mlp": {"pc_one_sweep_adam": (RULES["pc_sweep"][1], residual_mlp, "adam", 0)},
}


def right(part, log, values):
    """All rows of one network; the number that failed."""
    failed = 0
    for name, (algorithm, rule, gamma_bar) in RULES.items():
        if part == "images" and name not in ("bp", "pc_0", "pc_-1"):
            continue
        for optimizer in ("sgd", "adam"):
            row = f"{part}_{name}_{optimizer}"
            if values.rows and row not in values.rows:
                continue
            settings = {"algorithm": algorithm, "optimizer": optimizer, "gamma_bar": gamma_bar}
            table = ww.parameterization("mup", **settings)
            rule = FIVE_SWEEPS if (part, name) == ("residual_mlp", "pc_sweep") else rule
            widths = CHANNELS if part == "images" else WIDTHS
            build = {"mlp": mlp, "residual_mlp": residual_mlp}.get(part, lambda _: convolutions(bias=True))(rule)
            if part == "residual_mlp" and algorithm in ("tp", "dtp"):
                start = start_table(algorithm, optimizer)
                found = ww.derive(build, rule, optimizer=optimizer, start=start, **asked_for({"seeds": 32}, values))
                tell(f"## {row}: derived\n{found}", log)
                if found.table is None:
                    failed += 1
                    continue
                table = found.table
            asked = {"widths": widths} | wider(part, algorithm in ("tp", "dtp"), optimizer)
            failed += not checked(row, build, rule, table, log, **asked_for(asked, values)).passed
    for row, (rule, family, optimizer, gamma_bar) in BESIDE.get(part, {}).items():
        if not values.rows or row in values.rows:
            table = ww.parameterization("mup", algorithm="pc", gamma_bar=gamma_bar, optimizer=optimizer)
            checked(f"{part}_{row}, beside", family(rule), rule, table, log, **asked_for({}, values))
    return failed


def wider(part, targets, optimizer):
    """More widths and seeds where f_0, of order one, makes seeds differ; Adam's steps do not see its size."""
    if part == "residual_mlp":
        return {"widths": WIDER, "seeds": (96 if targets else 32) if optimizer == "sgd" else (32 if targets else 16)}
    return {"widths": WIDER, "seeds": 48} if targets else {}


def edited(table, **rows):
    """A table, some powers of some roles replaced."""
    changes = {Role(name): change for name, change in rows.items()}
    scalings = tuple((role, dataclasses.replace(row, **changes.get(role, {}))) for role, row in table.rows)
    return dataclasses.replace(table, name="wrong", rows=scalings)


def rich(r):
    """theory.md A1 for any r: b = (0, 1/2, 1/2 + r), c = (−2r, 1 − 2r, 1)."""
    b, c = (Fraction(0), HALF, HALF + r), (-2 * r, 1 - 2 * r, Fraction(1))
    payload = to_json(ww.parameterization("mup"))
    names = ("input", "hidden", "output")
    rows = {name: {"b": str(b[i]), "c": str(c[i])} for i, name in enumerate(names)}
    return from_json(
        {key: payload[key] for key in ("schema_version", "algorithm", "optimizer", "base")}
        | {"name": "rich", "roles": rows}
    )


def gradient_size():
    """RMS of all entries of the probe's gradient at width 64."""
    table = ww.parameterization("mup", optimizer="adam")
    built = mlp(None)(64, streams(0).init, table)
    batch = probe(built, streams(0).order, jnp.float32)
    gradient, _ = ww.Backprop().grads(ww.Learner(built.network), batch, ww.mse, key=streams(0).order)
    leaves = [leaf.ravel() for leaf in jax.tree.leaves(gradient)]
    return float(jnp.sqrt(jnp.mean(jnp.concatenate(leaves) ** 2)))


def wrong_rows():
    """Name: table, rule, network, settings of the check, quantity whose line must fail."""
    one = Power()
    mup, adam, dtp = (ww.parameterization("mup", **s) for s in ({}, {"optimizer": "adam"}, {"algorithm": "dtp"}))
    settled = ww.parameterization("mup", algorithm="pc", gamma_bar=-1)
    plain = ww.parameterization("mup", algorithm="pc")
    deep = ww.parameterization("mupc")
    rates = {str(role): {"rate": row.rate} for role, row in mup.rows}
    fixed = {str(role): {"epsilon": one} for role, _ in adam.rows}
    inside = {"branch_bias": {"multiplier": deep.scalings[Role.BRANCH].multiplier}}
    # 40 in all, a large part of the states' Gram matrix at the smallest width (docs/theory.md C2a).
    ridge = {name: {"ridge": one} for name in ("feedback", "feedback_output")}
    found = {
        "sp": (ww.parameterization("sp"), ww.Backprop(), mlp, {}, "output"),
        "bp_rates_at_gamma_bar_-1": (edited(settled, **rates), predictive_coding(), mlp, {}, "movement"),
        "dtp_b_L_1": (
            edited(dtp, output={"init": mup.scalings[Role.OUTPUT].init}),
            ww.TargetPropagation(ww.RidgeFeedback(1e-8)), mlp, {}, "movement",
        ),
        "constant_adam_over_depth": (
            ww.parameterization("mupc_constant", optimizer="adam"), ww.Backprop(),
            lambda _: lambda depth, key, table: ww.residual_mlp(8, 64, 3, depth=depth, table=table, key=key),
            {"depths": (16, 32, 64), "seeds": 8}, "movement",
        ),
        "bias_inside_the_multiplier": (edited(deep, **inside), ww.Backprop(), residual_mlp, {}, "branch_bias"),
        "norm_gain_with_hidden_rate": (
            edited(mup, norm={"rate": one}), ww.Backprop(),
            lambda _: convolutions(norm="layer"), {"widths": CHANNELS}, "norm",
        ),
        "epsilon_fixed": (edited(adam, **fixed), ww.Backprop(), mlp, {"epsilon": 10 * gradient_size()}, "movement"),
        "ridge_unscaled": (
            edited(dtp, **ridge), ww.TargetPropagation(ww.RidgeFeedback(5.0)), mlp, {}, "movement",
        ),
    }  # fmt: skip
    for sign in (1, -1):
        power = Power(width=sign * HALF)
        table = edited(plain, input={"precision": power}, hidden={"precision": power})
        found[f"hidden_precisions_{sign}_2"] = (table, predictive_coding(SMALL), mlp, {}, "error")
    for r, nearest in ((Fraction(-1, 4), 0), (Fraction(3, 4), HALF)):
        settings = {"richness": nearest}
        found[f"r_{r}".replace("/", "_")] = (rich(r), ww.Backprop(), mlp, settings, "movement")
    return found


def wrong(log, values):
    """All wrong tables, as files; the number that did not fail by enough in the line that is named."""
    missed = 0
    for name, (table, rule, family, settings, quantity) in wrong_rows().items():
        if values.rows and name not in values.rows:
            continue
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "wrong.json"
            save(table, path)
            table = load(path)
        check = checked(name, family(rule), rule, table, log, **asked_for(settings, values))
        off = [abs(line.slope - line.expected) for line in check.lines if line.quantity == quantity and not line.passed]
        # A slope that is not finite fails, but by nothing that could be told.
        most, least = max((o for o in off if math.isfinite(o)), default=0.0), 0.2 if name.startswith("r_") else LEAST
        good = most >= least and not check.passed
        tell(f"{name}: {quantity} off by {most:.2f}, {'FAILS AS IT SHOULD' if good else 'MISSED'}\n", log)
        missed += not good
    return missed


def main():
    """One part."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", choices=("mlp", "residual_mlp", "images", "wrong"))
    parser.add_argument("rows", nargs="*", help="names; none is all")
    parser.add_argument("--widths", type=int, nargs="+", help="of all rows over width; else each row's own")
    parser.add_argument("--seeds", type=int, help="of all rows; else each row's own")
    values = parser.parse_args()
    RESULTS.mkdir(exist_ok=True)
    log = RESULTS / f"{values.part}.log"
    began = time.perf_counter()
    bad = wrong(log, values) if values.part == "wrong" else right(values.part, log, values)
    tell(f"{values.part}: {bad} rows are not as they should be, {time.perf_counter() - began:.0f} s\n", log)
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())
