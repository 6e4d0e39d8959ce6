"""The report's figures as Plotly draws them: the same lines, marks and words, a panel each, to zoom and to hover over.

Panels are plain data (Plotly's JSON), so that writing them needs no Plotly; the page brings its program along.
"""

import html
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from ._curves import AXES, Group, Payload, groups
from ._style import ACTIVITY_RATE, INK, LEVELS, RATE, RULE, SOFT, shades, times
from ._verdict import headline, headline_lines, sentence
from .figures import KINDS, Measure, drift_words, looks, loss_map, loss_range, marked, measured, surfaces

Json = dict[str, Any]
DASHES = {"-": "solid", "--": "dash", "-.": "dashdot", ":": "dot"}
SYMBOLS = {"o": "circle", "s": "square", "^": "triangle-up", "D": "diamond", "v": "triangle-down", "<": "triangle-left",
           ">": "triangle-right", "p": "pentagon"}  # fmt: skip


class Panel(NamedTuple):
    """One drawing: Plotly's `data` and `layout`, and its alternative text."""

    data: list[Json]
    layout: Json
    words: str


def drawings(payload: Payload) -> dict[str, list[Panel]]:
    """Every figure's panels, by the name of the figure."""
    found = groups(payload)
    drawn = {
        "transfer": _transfer(found),
        "map": [_map(group) for group in found],
        "activity": [_surface(group, size) for group, size in surfaces([g for g in found if g.surfaces])],
        "drift": _drift(found),
        "measured": [_measure(found, measure, rules) for measure, rules in measured(found)],
    }
    return {name: panels for name, panels in drawn.items() if panels}


def _transfer(found: Sequence[Group]) -> list[Panel]:
    """Loss against rate, one line per size."""
    colors = {axis: shades([s for g in found if g.axis == axis for s in g.sizes]) for axis in AXES}
    ends = loss_range(found)
    panels = []
    for group in found:
        shade = colors.get(group.axis) or shades(group.sizes)
        traces = [trace for size in group.lines for trace in _size_traces(group, size, _hex(shade[size]))]
        layout = _layout(group.title, headline_lines(group), RATE, "final loss, mean over seeds")
        if ends is not None and ends[0] > 0:
            layout["yaxis"] |= {"type": "log", "range": [math.log10(end) for end in ends], "tickformat": "~g"}
        panels.append(Panel(traces, layout, f"Final loss against base learning rate. {group.title}: {sentence(group)}"))
    return panels


def _size_traces(group: Group, size: int, color: str) -> list[Json]:
    """One size's line with its bars, its best rate and its largest stable one."""
    line, name = group.lines[size], f"{group.axis} {size}"
    if not line.rates:
        return []
    bars = {
        "type": "data", "symmetric": False, "thickness": 1, "width": 2,
        "array": [high - mean for mean, high in zip(line.mean, line.high, strict=True)],
        "arrayminus": [mean - low for mean, low in zip(line.mean, line.low, strict=True)],
    }  # fmt: skip
    traces: list[Json] = [
        _line(line.rates, line.mean, name, color, error_y=bars, legendgroup=name, marker={"size": 4, "color": color})
    ]
    for rate, kind, symbol in (
        (group.value("largest_stable_log2", size), "largest stable rate", "line-ns-open"),
        (group.value("optimum_log2", size), "best rate", "diamond-open" if group.bound(size) else "circle-open"),
    ):
        height = None if rate is None else line.at(rate)
        if rate is not None and height is not None:
            traces.append(_mark([rate], [height], f"{kind}, {name}", color, symbol, legendgroup=name))
    return traces


def _map(group: Group) -> Panel:
    """Loss over size and rate."""
    rates, rows = loss_map(group)
    sizes = list(group.lines)
    best = [(group.value("optimum_log2", size), str(size)) for size in sizes]
    known = [(rate, size) for rate, size in best if rate is not None]
    layout = _layout(group.title, headline_lines(group), RATE, group.axis)
    layout["yaxis"] |= {"type": "category"}
    words = f"Loss over each size's best, by size and base learning rate. {group.title}: {sentence(group)}"
    return Panel(_heat(rates, [str(size) for size in sizes], rows, known), layout, words)


def _surface(group: Group, size: int) -> Panel:
    """Loss over both rates, at one size."""
    surface = group.surfaces[size]
    lowest = min((loss for row in surface.losses for loss in row if loss is not None), default=0.0)
    rows = [[None if loss is None else times(loss, lowest) for loss in row] for row in surface.losses]
    best = marked(group, size)
    place = f"{group.axis} {size}" + (f", {group.place}" if group.place else "")
    layout = _layout(group.label, place, RATE, ACTIVITY_RATE)
    words = f"Loss over both rates at {place}. {group.title}: {sentence(group)}"
    return Panel(_heat(surface.rates, surface.activity_rates, rows, [] if best is None else [best]), layout, words)


def _heat(x: Sequence[Any], y: Sequence[Any], rows: list[list[float | None]], best: Sequence[tuple]) -> list[Json]:
    """A map of losses over the best one, its colours in steps of `LEVELS`, and rings around the best points."""
    # Colours by the number of the step: steps are uneven, and a continuous scale would hide the small ones.
    steps = [[None if cell is None else _step(cell) for cell in row] for row in rows]
    count = len(LEVELS) - 1
    colors = [_hex(color) for color in shades(range(count)).values()]
    scale = [[edge / count, colors[step]] for step in range(count) for edge in (step, step + 1)]
    heat = {
        "type": "heatmap", "x": list(x), "y": list(y), "z": steps, "customdata": rows, "zmin": 0, "zmax": count,
        "colorscale": scale, "hoverongaps": False, "xgap": 1, "ygap": 1,
        "hovertemplate": "%{x}, %{y}: %{customdata:.3g} times the best<extra></extra>",
        "colorbar": {"title": {"text": "× best"}, "tickvals": list(range(len(LEVELS))),
                     "ticktext": [f"{level:g}" for level in LEVELS], "thickness": 12},
    }  # fmt: skip
    ring = _mark([point[0] for point in best], [point[1] for point in best], "best rate", "#ffffff", "circle-open")
    return [heat, ring] if best else [heat]


def _step(cell: float) -> float:
    """The middle of the step that a loss falls into."""
    return sum(cell >= level for level in LEVELS[1:-1]) + 0.5


def _drift(found: Sequence[Group]) -> list[Panel]:
    """Best and largest stable rate against size, for each axis and each of the rates."""
    chosen, panels = looks(found), []
    for axis in AXES:
        for kind, rate in KINDS.items():
            members = [group for group in found if group.axis == axis and (kind == "" or group.surfaces)]
            for what, field in (
                (f"best {rate}", f"optimum_{kind}log2"),
                (f"largest stable {rate}", f"largest_stable_{kind}log2"),
            ):
                traces = [_drift_trace(group, field, kind, chosen[group.title]) for group in members]
                if any(trace["x"] for trace in traces):
                    layout = _layout(what, f"against {axis}", axis, ACTIVITY_RATE if kind else RATE)
                    sizes = sorted({size for group in members for size in group.sizes})
                    layout["xaxis"] |= {"type": "log", "tickvals": sizes, "ticktext": [str(size) for size in sizes]}
                    said = " ".join(f"{group.title}: {headline(group)}." for group in members)
                    panels.append(Panel(traces, layout, f"{what[0].upper()}{what[1:]} against {axis}. {said}"))
    return panels


def _drift_trace(group: Group, field: str, kind: str, look: Json) -> Json:
    values = {size: value for size in group.sizes if (value := group.value(field, size)) is not None}
    best = field.startswith("optimum")
    slope = best and kind == "" and group.scalar("drift_octaves_per_doubling") is not None
    errors = {"error_y": {"type": "data", "array": [group.value(f"optimum_{kind}se", size) or 0 for size in values],
                          "thickness": 1}} if best else {}  # fmt: skip
    hollow = [best and group.bound(size, kind) for size in values]
    symbol = SYMBOLS[look["marker"]]
    name = f"{group.title}: {drift_words(group)}" if slope else group.title
    return _line(
        list(values), list(values.values()), name, look["color"],
        dash=DASHES[look["linestyle"]], **errors,
        marker={"size": 8, "color": look["color"], "symbol": [symbol + "-open" if open else symbol for open in hollow]},
    )  # fmt: skip


def _measure(found: Sequence[Group], measure: Measure, rules: list[tuple[Group, dict[int, float]]]) -> Panel:
    """One measurement at the best rate against size."""
    chosen = looks(found)
    traces = [
        _line(list(values), list(values.values()), group.title, chosen[group.title]["color"],
              dash=DASHES[chosen[group.title]["linestyle"]],
              marker={"size": 7, "symbol": SYMBOLS[chosen[group.title]["marker"]]})
        for group, values in rules
    ]  # fmt: skip
    sizes = sorted({size for _, values in rules for size in values})
    axis = " or ".join(dict.fromkeys(group.axis for group, _ in rules))
    layout = _layout(measure.title, measure.place, axis, "")
    layout["xaxis"] |= {"type": "log", "tickvals": sizes, "ticktext": [str(size) for size in sizes]}
    layout["yaxis"] |= {"type": "log", "tickformat": "~g"}
    if measure.line is not None:
        line = {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": measure.line, "y1": measure.line}
        layout["shapes"] = [line | {"line": {"color": SOFT, "width": 1, "dash": "dot"}}]
    said = [
        f"{group.title}: " + ", ".join(f"{value:.2g} at {group.axis} {size}" for size, value in values.items()) + "."
        for group, values in rules
    ]
    return Panel(traces, layout, " ".join([f"{measure.title}, {measure.place}, against {axis}.", *said]))


def _line(x: Sequence[Any], y: Sequence[float], name: str, color: Any, dash: str = "solid", **more: Any) -> Json:
    line = {"color": _hex(color), "width": 1.8, "dash": dash}
    return {"type": "scatter", "mode": "lines+markers", "x": list(x), "y": list(y), "name": _text(name),
            "line": line} | more  # fmt: skip


def _mark(x: Sequence[Any], y: Sequence[Any], name: str, color: str, symbol: str, **more: Any) -> Json:
    marker = {"size": 11, "symbol": symbol, "color": color, "line": {"width": 2, "color": color}}
    return {"type": "scatter", "mode": "markers", "x": list(x), "y": list(y), "name": _text(name), "marker": marker,
            "showlegend": False, "cliponaxis": False} | more  # fmt: skip


def _layout(title: str, subtitle: str, x: str, y: str) -> Json:
    """The frame that all panels share."""
    axis = {"zeroline": False, "gridcolor": RULE, "linecolor": "#999999", "ticks": "outside", "automargin": True}
    small = {"text": _text(subtitle).replace("\n", "<br>"), "font": {"size": 12, "color": SOFT}}
    return {
        "title": {"text": _text(title), "subtitle": small, "x": 0, "xref": "paper", "xanchor": "left",
                  "font": {"size": 14}},
        "font": {"family": "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif", "size": 12, "color": INK},
        "xaxis": axis | {"title": {"text": x, "standoff": 6}}, "yaxis": axis | {"title": {"text": y}},
        "margin": {"l": 56, "r": 12, "t": 120, "b": 112}, "autosize": True, "hovermode": "closest",
        "paper_bgcolor": "#ffffff", "plot_bgcolor": "#ffffff",
        "legend": {"orientation": "h", "yref": "container", "yanchor": "bottom", "y": 0, "x": 0, "font": {"size": 11}},
    }  # fmt: skip


def _hex(color: Any) -> str:
    from matplotlib.colors import to_hex

    return to_hex(color)


def _text(words: str) -> str:
    """Words that Plotly does not read as markup."""
    return html.escape(words, quote=False)
