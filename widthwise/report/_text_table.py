"""A sweep's summary as text."""

import math
from collections.abc import Callable
from typing import Any

from ..store import jsonable
from ._verdict import PLUS_MINUS, verdicts, verifications

Row = dict[str, Any]
KEY = (
    f"{PLUS_MINUS} cliff: a rate next to the best one diverged. residual: of inference, 1 where it "
    "began, 0 at its end. settled: examples whose residual is below the tolerance."
)


def summary_text(payload: dict[str, Any]) -> str:
    """The optimum at every size and the verdict of every rule, as text."""
    lines = []
    for row in payload["summary"]:
        rule = ", ".join(row[name] for name in ("algorithm", "parameterization", "optimizer"))
        place = "".join(f", {name} {size}" for name, size in (row.get("at") or {}).items())
        lines.append(f"{rule}, by {row['axis']}{place}:")
        columns = _columns(row)
        lines.append("".join(name for name, _ in columns))
        lines += ["".join(cell(index) for _, cell in columns) for index in range(len(row["sizes"]))]
    if lines:
        lines.append(KEY)
    lines += [f"{verdict.label}: {verdict.sentence}" for verdict in verdicts(jsonable(payload))]
    lines += [f"{verdict.label}: {verdict.sentence}" for verdict in verifications(jsonable(payload))]
    return "\n".join(lines)


def _columns(row: Row) -> list[tuple[str, Callable[[int], str]]]:
    """The heads of a summary's columns, and what each shows of a size."""
    columns = [
        (f"  {row['axis']:>8s}", lambda i: f"  {row['sizes'][i]:8d}"),
        *_rate_columns(row, "best log2 rate", "optimum_log2", "optimum_se", "at_cliff", "largest_stable_log2"),
    ]
    if "optimum_activity_log2" in row:
        names = ("optimum_activity_log2", "optimum_activity_se", "activity_at_cliff", "largest_stable_activity_log2")
        columns += _rate_columns(row, "best activity rate", *names)
    return [
        *columns,
        (f"  {_selected(row):>13s}", lambda i: f"  {_number(row['best_loss'][i], 13.4)}"),
        ("  cost of the first", lambda i: f"  {_cost(row, i):>17s}"),
        ("   residual", lambda i: f"   {_number(row['residual_at_optimum'][i], 8.1, 'e')}"),
        ("  settled", lambda i: f"  {_number(row['settled_at_optimum'][i], 7.0, '%')}"),
    ]


def _rate_columns(
    row: Row, head: str, best: str, error: str, cliff: str, stable: str
) -> list[tuple[str, Callable[[int], str]]]:
    """The best and the largest stable value of one of the rates."""

    def shown(i: int) -> str:
        spread = _number(row[error][i], 4.2)
        return f"  {_number(row[best][i], 7.2)} ± {spread}{' cliff' if row[cliff][i] else '      '}"

    return [(f"  {head:20s}", shown), ("  largest stable", lambda i: f"  {_number(row[stable][i], 14.2)}")]


def _selected(row: Row) -> str:
    """What is best at the best rate, as in `final loss`; sweeps that do not say it went by that."""
    return str(row.get("select") or "final_loss").replace("_", " ")


def _cost(row: Row, index: int) -> str:
    """What the smallest size's tuned rate costs at a size."""
    cost, error = (row.get(name, [None])[index] if row.get(name) else None for name in ("cost", "cost_se"))
    lost = (row.get("cost_diverged") or [None] * (index + 1))[index]
    if lost:
        return f"diverges in {lost}"
    if cost is None or not math.isfinite(cost):
        return "-"
    return f"{100 * cost:.1f}" + ("" if error is None else f" ± {100 * error:.1f}") + " %"


def _number(value: float | None, form: float, kind: str = "f") -> str:
    width = int(form)
    return f"{'-':>{width}s}" if value is None or not math.isfinite(value) else f"{value:{form}{kind}}"
