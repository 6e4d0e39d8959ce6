"""The tables of the report, as rows of strings."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from ._curves import Group, Payload, Row, failed, finite, groups
from ._formatting import NONE, decimal, exponent, label, name, number, power, with_error
from ._verdict import cost_words, transfers, undecided

SETTLED = 1e-2
FIRST = 10


@dataclasses.dataclass(frozen=True)
class Table:
    """A table of strings; a column is `numeric` where its numbers should line up on the right."""

    columns: Sequence[str]
    numeric: Sequence[bool]
    rows: Sequence[Sequence[str]]


def summary_table(payload: Payload) -> Table:
    """One row per rule and axis: how far the best rate drifts and what that costs."""
    found = groups(payload)
    both = any(group.surfaces for group in found)
    drifts = [f"drift of the {which} (octave per doubling)" for which in (
        "best rate", "largest stable rate",
        *(["best activity rate", "largest stable activity rate"] if both else []))]  # fmt: skip
    columns = ["rule", "axis", "sizes", *drifts, "cost of the smallest size's rate at the largest", "transfers"]
    rows = [_summary_row(group, both) for group in found]
    return Table(columns, _numeric(columns, 3, len(columns) - 1), rows)


def _summary_row(group: Group, both: bool) -> list[str]:
    answer = transfers(group)
    sizes = group.sizes
    kinds = ("", "activity_") if both else ("",)
    drifts = [
        text
        for kind in kinds
        for text in (
            with_error(group.scalar(f"{kind}drift_octaves_per_doubling"), group.scalar(f"{kind}drift_se"), sign=True),
            decimal(group.scalar(f"{kind}stable_drift"), sign=True),
        )
    ]
    return [
        group.title,
        group.axis,
        f"{sizes[0]} to {sizes[-1]}" if len(sizes) > 1 else "".join(map(str, sizes)) or NONE,
        *drifts,
        cost_words(group, sizes[-1]).removeprefix("costs ") if len(sizes) > 1 else NONE,
        NONE if answer is None else "yes" if answer else "not decided" if undecided(group) else "no",
    ]


def optima_table(payload: Payload) -> Table:
    """One row per rule and size: the best rate, its loss and what was measured there."""
    found = groups(payload)
    both = any(group.surfaces for group in found)
    activity = ["best activity rate (log₂)", "largest stable activity rate (log₂)"] if both else []
    columns = ["rule", "size", "best rate (log₂)", "largest stable rate (log₂)", *activity, "best loss", "curvature",
               "cosine to backprop", "note"]  # fmt: skip
    rows = [_optimum_row(group, size, both) for group in found for size in group.sizes]
    return Table(columns, _numeric(columns, 2, len(columns) - 1), rows)


def _optimum_row(group: Group, size: int, both: bool) -> list[str]:
    notes = [
        *(["edge of the rates"] if group.flag("at_edge", size) else []),
        *(["next to divergence"] if group.flag("at_cliff", size) else []),
        *(["edge of the activity rates"] if group.flag("activity_at_edge", size) else []),
        *(["activity rate next to divergence"] if group.flag("activity_at_cliff", size) else []),
    ]
    rates = [
        text
        for kind in (("", "activity_") if both else ("",))
        for text in (
            with_error(group.value(f"optimum_{kind}log2", size), group.value(f"optimum_{kind}se", size)),
            decimal(group.value(f"largest_stable_{kind}log2", size)),
        )
    ]
    return [
        group.title,
        f"{group.axis} {size}",
        *rates,
        number(group.value("best_loss", size)),
        number(group.value("curvature_at_optimum", size)),
        decimal(group.value("cosine_to_backprop_at_optimum", size), 3),
        ", ".join(notes),
    ]


def settled_table(payload: Payload) -> Table:
    """One row per rule and size: the median residual of inference at the best rate, and whether it settled.

    Rules without inference, like backpropagation, have no residual and no row.
    """
    rows = [
        [group.title, f"{group.axis} {size}", power(residual), "yes" if residual <= SETTLED else "no"]
        for group in groups(payload)
        for size in group.sizes
        if (residual := group.value("residual_at_optimum", size)) is not None
    ]
    return Table(["rule", "size", "median residual", "settled"], [False, False, True, False], rows)


def scaling_table(table: Row) -> Table:
    """The exponents of one parameterization: a row per role, a column per letter, of depth where it is not 0 for all.

    **Arguments:** `table`: one value of the payload's `tables`.
    """
    roles: dict[str, Row] = table.get("roles") or {}
    letters = list(dict.fromkeys(letter for row in roles.values() for letter in row if _shown(letter, roles)))
    rows = [[role.replace("_", " "), *(exponent(row.get(letter)) for letter in letters)] for role, row in roles.items()]
    heads = [letter.replace("_depth", " (depth)") for letter in letters]
    return Table(["role", *heads], [False, *(True for _ in letters)], rows)


def _shown(letter: str, roles: dict[str, Row]) -> bool:
    """Whether a letter has a column: powers, which the letters are made from, are for programs."""
    values = [row.get(letter) for row in roles.values()]
    powers = any(isinstance(value, dict) for value in values)
    return not powers and (not letter.endswith("_depth") or any(value not in (None, 0, "0") for value in values))


def settings_table(payload: Payload) -> Table:
    """The flags of the sweep."""
    settings = payload.get("settings") or {}
    return Table(["setting", "value"], [False, False], [[str(k), _plain(v)] for k, v in settings.items()])


def failures_table(payload: Payload) -> Table:
    """Diverged runs by rule and size, with the smallest rate that diverged and the first runs as examples."""
    runs: dict[tuple[str, str], list[Row]] = {}
    for run in payload.get("curves") or []:
        size = f"width {run.get('width', NONE)}, depth {run.get('depth', NONE)}"
        rule = label(*(run.get(k) or "?" for k in ("algorithm", "parameterization", "optimizer")))
        runs.setdefault((rule, size), []).append(run)
    rows = [_failure_row(*at, of) for at, of in runs.items() if any(map(failed, of))]
    return Table(
        ["rule", "size", "diverged", "runs", "smallest such rate (log₂)"],
        [False, False, True, True, True],
        rows,
    )


def first_failures(payload: Payload) -> Table:
    """The first runs that diverged, in the order in which they were recorded."""
    columns: dict[str, Callable[[Row], str]] = {
        "rule": lambda run: label(*(run.get(k) or "?" for k in ("algorithm", "parameterization", "optimizer"))),
        "width": lambda run: _plain(run.get("width")),
        "depth": lambda run: _plain(run.get("depth")),
        "rate (log₂)": lambda run: decimal(finite(run.get("log2_rate"))),
        "seed": lambda run: _plain(run.get("seed")),
    }
    lost = [run for run in payload.get("curves") or [] if failed(run)][:FIRST]
    if any(finite(run.get("log2_activity_rate")) is not None for run in lost):
        columns["activity rate (log₂)"] = lambda run: decimal(finite(run.get("log2_activity_rate")))
    rows = [[say(run) for say in columns.values()] for run in lost]
    return Table([*columns], _numeric([*columns], 1, len(columns)), rows)


def _failure_row(rule: str, size: str, runs: Sequence[Row]) -> list[str]:
    lost = [run for run in runs if failed(run)]
    rates = [rate for run in lost if (rate := finite(run.get("log2_rate"))) is not None]
    return [rule, size, str(len(lost)), str(len(runs)), decimal(min(rates, default=None))]


def _numeric(columns: Sequence[str], start: int, stop: int) -> list[bool]:
    return [start <= i < stop for i in range(len(columns))]


def _plain(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(_plain, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    return NONE if value is None else name(value)
