"""Measured slopes of a coordinate check beside the expected and the predicted ones, one panel a check."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .._style import COLORS, INK, SOFT, key, legend, panels, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Line = dict[str, Any]
STATES = {"passed": COLORS[0], "failed": COLORS[1], "uncertain": SOFT}


def slopes_figure(checks: Mapping[str, dict[str, Any]]) -> "Figure":
    """Every line's slope with two standard errors, coloured by its verdict, beside what is expected and predicted.

    **Arguments:** `checks`: by their titles what `CoordinateCheck.to_json` gives.
    """
    most = max(len(check["lines"]) for check in checks.values())
    with styled():
        figure, grid = panels(len(checks), min(len(checks), 2), height=1.2 + 0.28 * most)
        for axes, (title, check) in zip(grid, checks.items(), strict=False):
            _draw(axes, title, check)
            axes.set_xlim(*_span(checks))
        entries = [key(name, color=color, marker="o", linestyle="none") for name, color in STATES.items()]
        entries += [
            key("expected", color=INK, marker="|", markersize=11, linestyle="none"),
            key("predicted by its exponents", color=INK, marker="D", markerfacecolor="none", linestyle="none"),
        ]
        legend(figure, entries, "outside lower left", 3)
        figure.set_label("Slopes of a coordinate check. " + " ".join(_words(*one) for one in checks.items()))
    return figure


def _draw(axes: "Axes", title: str, check: dict[str, Any]) -> None:
    lines = check["lines"]
    for place, line in enumerate(lines):
        axes.plot(line["expected"], place, marker="|", color=INK, markersize=15, linestyle="none")
        if _finite(line["predicted"]):
            axes.plot(line["predicted"], place, marker="D", color=INK, markerfacecolor="none", markersize=7)
        if _finite(line["slope"]) and _finite(line["se"]):
            color = STATES[_state(line)]
            axes.errorbar(line["slope"], place, xerr=2 * line["se"], fmt="o", color=color, markersize=5, capsize=2)
    axes.set_yticks(range(len(lines)), [f"{line['quantity']} {line['layer']}" for line in lines])
    axes.set_ylim(len(lines) - 0.4, -0.6)
    axes.set_xlabel(f"slope in log {check['axis']}")
    axes.set_title(f"{title}: {_verdict(check)}", loc="left", fontsize=10, fontweight="bold")


def _span(checks: Mapping[str, dict[str, Any]]) -> tuple[float, float]:
    """The same axis for all panels, wide enough for the noise around a right slope to look small."""
    values = [
        value
        for check in checks.values()
        for line in check["lines"]
        for value in (line["expected"], line["predicted"], line["slope"])
        if _finite(value)
    ]
    return min(values) - 0.3, max(values) + 0.3


def _verdict(check: dict[str, Any]) -> str:
    if check["passed"]:
        return "passes"
    return "fails" if any(_state(line) == "failed" for line in check["lines"]) else "not decided"


def _state(line: Line) -> str:
    return "passed" if line["passed"] else "uncertain" if line.get("uncertain") else "failed"


def _finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _words(title: str, check: dict[str, Any]) -> str:
    failed = [f"{line['quantity']} {line['layer']}" for line in check["lines"] if _state(line) == "failed"]
    return f"{title}: {_verdict(check)}{' in ' if failed else ''}{', '.join(failed)}."
