"""The plane of parameterizations: richness along one axis, gauge along the other, the unstable rest around them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .._style import COLORS, INK, SOFT, Look, key, legend, panels, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Point = dict[str, Any]
ROLES = ("hidden", "output")
NAMES = {"stp": "no multipliers (STP)", "mup": "one rate for all (muP's)", "rescaling": "unit Gaussians (rescaling)"}
MARKS = {"stable": "o", "unstable": "X", "left behind": "v"}
OWN: Look = {"color": INK, "markersize": 11, "markerfacecolor": "none", "markeredgewidth": 1.6, "linestyle": "none"}


def plane_figure(payload: dict[str, Any]) -> "Figure":
    """Tables by their richness (how representations move) and by their gauge (the multiplier's power of width).

    **Arguments:** `payload`: `points`, each with `label`, `kind` (`"family"`, `"known"` or `"own"`), `richness`,
    `gauge` (a of each role), `verdict` and `reason`; `algorithm`, `optimizer`.
    """
    points: Sequence[Point] = payload["points"]
    own = next(point for point in points if point["kind"] == "own")
    with styled():
        figure, grid = panels(len(ROLES), len(ROLES), height=3.4)
        for axes, role in zip(grid, ROLES, strict=True):
            _draw(axes, points, role)
        gauges = list(dict.fromkeys(point["label"] for point in points if point["kind"] == "family"))
        entries = [key(NAMES[g], color=c, linewidth=2.0) for g, c in zip(gauges, COLORS, strict=False)]
        entries += [key(f"{own['label']}: {own['verdict']}", marker=MARKS[own["verdict"]], **OWN)]
        legend(figure, entries, "outside lower left", 2)
        figure.set_label(
            f"Plane of parameterizations for {payload['algorithm']}, {payload['optimizer']}: richness against gauge "
            f"of hidden and output weights; {own['label']} at richness {own['richness']:g}, {own['verdict']}: "
            f"{own['reason']}."
        )
    return figure


def _draw(axes: "Axes", points: Sequence[Point], role: str) -> None:
    """One role's gauge axis."""
    xs = [point["richness"] for point in points]
    ys = [point["gauge"][each] for point in points for each in ROLES]
    left, right = min(-0.35, min(xs) - 0.25), max(0.85, max(xs) + 0.45)
    # The panels share the axis.
    bottom, top = min(ys) - 0.25, max(ys) + 0.45
    axes.axvspan(0.5, right, color=COLORS[1], alpha=0.12, linewidth=0)
    axes.axvspan(left, 0.0, color=SOFT, alpha=0.12, linewidth=0)
    for x, words in (((0.5 + right) / 2, "representations\nblow up"), (left / 2, "layers left\nbehind")):
        axes.text(x, top - 0.06, words, ha="center", va="top", fontsize=7.5, color=SOFT)
    family = [point for point in points if point["kind"] == "family"]
    for gauge, color in zip(dict.fromkeys(point["label"] for point in family), COLORS, strict=False):
        line = [(point["richness"], point["gauge"][role]) for point in family if point["label"] == gauge]
        axes.plot(*zip(*line, strict=True), color=color, linewidth=2.0, marker="o", markersize=3.5)
    for point in points:
        x, y, mark = point["richness"], point["gauge"][role], MARKS[point["verdict"]]
        if point["kind"] == "known":
            axes.plot(x, y, marker=mark, color=INK, markersize=6, linestyle="none")
            words = "" if point["verdict"] == "stable" else f":\n{point['reason']}"
            look: Look = {"ha": "center", "fontsize": 7.5, "textcoords": "offset points"}
            axes.annotate(point["label"] + words, (x, y), xytext=(0, 7), **look)
        elif point["kind"] == "own":
            axes.plot(x, y, marker=mark, **OWN)
    axes.set_xlim(left, right)
    axes.set_ylim(bottom, top)
    axes.set_xticks([0, 0.25, 0.5], ["0\nlazy", "1/4", "1/2\nrich"])
    axes.set_xlabel("richness r: representations move as M^(r − 1/2)")
    axes.set_title(f"{role} weights", loc="left", fontsize=10, fontweight="bold")
    axes.set_ylabel("gauge: a of W = M^−a w")
