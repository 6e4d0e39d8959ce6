"""Payloads whose best rates are known: the loss is a parabola in log2 of the rate."""

import math
from typing import Any

RATES = tuple(-8 + 0.5 * i for i in range(15))
SPREAD = (0.97, 1.0, 1.03)
FLOOR = 0.05


def loss(rate: float, optimum: float) -> float:
    return FLOOR * math.exp(0.12 * (rate - optimum) ** 2)


def rule(
    parameterization: str,
    drift: float,
    *,
    algorithm: str = "pc",
    sizes: tuple[int, ...] = (64, 128, 256, 512),
    axis: str = "width",
    start: float = -4.25,
    margin: float = 1.6,
) -> dict[str, Any]:
    """One summary row and its runs: the optimum moves by `drift` per doubling."""
    name = {"algorithm": algorithm, "parameterization": parameterization, "optimizer": "sgd"}
    held = {"depth": 4} if axis == "width" else {"width": 64}
    optima = [start + drift * math.log2(size / sizes[0]) for size in sizes]
    stable = [max((r for r in RATES if r <= best + margin), default=None) for best in optima]
    curves = []
    for size, best, last in zip(sizes, optima, stable, strict=True):
        for rate in RATES:
            lost = last is None or rate > last
            curves += [
                name
                | held
                | {axis: size, "log2_rate": rate, "seed": seed, "diverged": lost}
                | {"final_loss": None if lost else loss(rate, best) * spread, "residual_median": 3e-3}
                for seed, spread in enumerate(SPREAD)
            ]
    many, tuned = len(sizes), optima[0]
    lost = [last is None or tuned > last for last in stable]
    cost = [None if dead else loss(tuned, best) / FLOOR - 1 for best, dead in zip(optima, lost, strict=True)]
    holds = not any(lost) and all(one is not None and one <= 0.05 for one in cost)
    summary = name | {
        "axis": axis, "sizes": [*sizes], "optimum_log2": optima, "optimum_se": [0.1] * many,
        "at_cliff": [False] * many, "at_edge": [False] * many, "largest_stable_log2": stable,
        "best_loss": [FLOOR] * many, "residual_at_optimum": [3e-3 * 2**i for i in range(many)],
        "curvature_at_optimum": [12.5] * many, "cosine_to_backprop_at_optimum": [0.98] * many,
        "drift_octaves_per_doubling": drift, "drift_se": 0.05, "stable_drift": drift,
        "stable_open": [False] * many, "tuned_log2": tuned, "tuned_on_grid": False, "cost": [None, *cost[1:]],
        "cost_se": [None, *([0.004] * (many - 1))], "cost_diverged": [None, *(3 * dead for dead in lost[1:])],
        "cost_of": "loss", "seeds": 3, "seeds_to_decide": None, "transfers_from": sizes[0] if holds else None,
        "extrapolated": [], "why": [], "decided": True, "transfers": holds and many > 1,
        "verdict": "nothing to compare" if many < 2 else "transfers" if holds else "does not transfer",
    }  # fmt: skip
    return {"summary": summary, "curves": curves}


def payload(*rules: dict[str, Any], **changes: Any) -> dict[str, Any]:
    rules = rules or (rule("mup", 0.07), rule("sp", -1.1))
    names = [r["summary"]["parameterization"] for r in rules]
    return {
        "schema_version": 1,
        "command": "widthwise transfer --algorithm pc --parameterizations mup sp --widths 64 128 256 512",
        "created": "2025-11-23T10:00:00+00:00",
        "versions": {"widthwise": "0.1.0", "jax": "0.10.0", "python": "3.11.2"},
        "device": "NVIDIA H100",
        "settings": {
            "widths": [64, 128, 256, 512],
            "steps": 400,
            "momentum": 0.9,
            "tied": False,
            "gauge": None,
        },
        "tables": {name: table(name) for name in names},
        "wall_seconds": 754.2,
        "runs": sum(len(r["curves"]) for r in rules),
        "curves": [run for r in rules for run in r["curves"]],
        "summary": [r["summary"] for r in rules],
    } | changes


def table(name: str) -> dict[str, Any]:
    letters = {"a": -0.5, "b": "1/2", "c": 0, "g": 0.5, "d": 0, "a_depth": 0.5}
    return {
        "name": name, "algorithm": "pc", "optimizer": "sgd", "richness": 0.5, "gamma_bar": 1.0,
        "gauge": "mup", "base": {"width": 64, "depth": 4}, "output_loss": "squared",
        "roles": dict.fromkeys(("input", "hidden", "output", "hidden_bias"), letters),
    }  # fmt: skip


def diverged(rule: dict[str, Any]) -> dict[str, Any]:
    """The same rule where every run diverged."""
    many = len(rule["summary"]["sizes"])
    nothing = dict.fromkeys(("drift_octaves_per_doubling", "drift_se", "stable_drift", "tuned_log2"))
    per_size = ("optimum_log2", "optimum_se", "largest_stable_log2", "best_loss", "residual_at_optimum", "cost")
    undecided = {"transfers": False, "decided": False, "verdict": "not decided", "why": ["no optimum"]}
    return {
        "summary": rule["summary"] | nothing | {key: [None] * many for key in per_size} | undecided,
        "curves": [run | {"diverged": True, "final_loss": None} for run in rule["curves"]],
    }


CASES = {
    "two rules": payload(),
    "one size": payload(rule("mup", 0.0, sizes=(64,))),
    "many sizes": payload(rule("mup", 0.01, sizes=tuple(2**i for i in range(3, 17)))),
    "two axes": payload(rule("mup", 0.0), rule("mup", -0.6, axis="depth", sizes=(4, 8, 16))),
    "one diverged": payload(rule("mup", 0.0), diverged(rule("sp", 0.0))),
    "all diverged": payload(diverged(rule("mup", 0.0)), diverged(rule("sp", 0.0))),
    "no runs": payload(curves=[]),
    "no summary": payload(summary=None),
    "nothing": {},
    "nulls": dict.fromkeys(payload()),
}
