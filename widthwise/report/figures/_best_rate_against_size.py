"""Best and largest stable rate against size: what the sizes do to the rate."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .._curves import AXES, Group, Payload, groups
from .._style import ACTIVITY_RATE, COLORS, RATE, Look, key, leftmost, legend, panels, rate_ticks, size_ticks, styled
from .._verdict import drift_words, headline

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DASHES = ("-", "--", "-.", ":")
MARKERS = "os^Dv<>p"
# Both rates, by what a summary's names of their fields have in them.
KINDS = {"": "rate", "activity_": "activity rate"}
HOLLOW: Look = {"linestyle": "none", "markerfacecolor": "white", "markeredgewidth": 1.3, "zorder": 4}


def drift_figure(payload: Payload) -> "Figure":
    """Best rate and largest stable rate against size, a row per axis, a colour per parameterization.

    A rule that transfers is flat; bars are standard errors, hollow points only bound the best rate. Where activity
    rates were swept, a row below shows the same of them.
    """
    found = groups(payload)
    rows = [(kind, members) for axis in AXES for kind in KINDS if (members := _members(found, axis, kind))]
    chosen = looks(found)
    with styled():
        figure, grid = panels(
            2 * len(rows), 2, height=2.7, share="row" if len({kind for kind, _ in rows}) > 1 else "all"
        )
        for row, (kind, members) in enumerate(rows):
            _draw_best(grid[2 * row], members, chosen, kind)
            _draw_stable(grid[2 * row + 1], members, chosen, kind)
        legend(figure, [key(_slope(found, rule), **look) for rule, look in chosen.items()], "outside upper left", 2)
        words = [f"{group.title}, {group.axis}: {headline(group)}." for group in found]
        figure.set_label(" ".join(["Best and largest stable base learning rate against size.", *words]))
    return figure


def _slope(found: Sequence[Group], rule: str) -> str:
    """A rule with how far its best rate drifts, and the standard error of that."""
    group = next(group for group in found if group.title == rule)
    drift = group.scalar("drift_octaves_per_doubling")
    return rule if drift is None else f"{rule}: {drift_words(group)}"


def _members(found: Sequence[Group], axis: str, kind: str) -> list[Group]:
    """The rules along an axis that have a rate of a kind."""
    return [group for group in found if group.axis == axis and (kind == "" or group.surfaces)]


def looks(found: Sequence[Group]) -> dict[str, Look]:
    """The look of each rule: its parameterization's colour, its algorithm's dashes and marker, or its place's."""
    names = list(dict.fromkeys(group.parameterization for group in found))
    algorithms = list(dict.fromkeys(group.algorithm for group in found))
    others = list(dict.fromkeys((group.algorithm, group.optimizer) for group in found))
    places = list(dict.fromkeys(group.place for group in found if group.place))

    def marker(group: Group) -> str:
        index = places.index(group.place) if group.place else others.index((group.algorithm, group.optimizer))
        return MARKERS[index % len(MARKERS)]

    return {
        group.title: {
            "color": COLORS[names.index(group.parameterization) % len(COLORS)],
            "marker": marker(group),
            "linestyle": DASHES[algorithms.index(group.algorithm) % len(DASHES)],
            "markersize": 5,
            "linewidth": 1.5,
        }
        for group in found
    }


def _draw_best(axes: "Axes", members: Sequence[Group], chosen: dict[str, Look], kind: str) -> None:
    for group in members:
        sizes, rates = _points(group, f"optimum_{kind}log2")
        errors = [group.value(f"optimum_{kind}se", size) or 0.0 for size in sizes]
        axes.errorbar(sizes, rates, yerr=errors, capsize=2.5, **chosen[group.title])
        bounds = [(s, y) for s, y in zip(sizes, rates, strict=True) if group.bound(s, kind)]
        axes.plot([s for s, _ in bounds], [y for _, y in bounds], **chosen[group.title] | HOLLOW)
    _frame(axes, members, f"best {KINDS[kind]}", kind)


def _draw_stable(axes: "Axes", members: Sequence[Group], chosen: dict[str, Look], kind: str) -> None:
    for group in members:
        axes.plot(*_points(group, f"largest_stable_{kind}log2"), **chosen[group.title])
    _frame(axes, members, f"largest stable {KINDS[kind]}", kind)


def _points(group: Group, field: str) -> tuple[list[int], list[float]]:
    values = {size: value for size in group.sizes if (value := group.value(field, size)) is not None}
    return list(values), list(values.values())


def _frame(axes: "Axes", members: Sequence[Group], title: str, kind: str) -> None:
    size_ticks(axes, sorted({size for group in members for size in group.sizes}))
    rate_ticks(axes.yaxis)
    axes.set_xlabel(members[0].axis)
    axes.set_title(title, loc="left", fontsize=10, fontweight="bold")
    if leftmost(axes):
        axes.set_ylabel(ACTIVITY_RATE if kind else RATE)
