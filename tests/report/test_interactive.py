"""The interactive figures: Plotly's data hold the known losses and optima, and the page no markup but its own."""

import html
import json
import math
import re
import sys

import pytest
from refusals import refused
from report_payloads import CASES, FLOOR, RATES, SPREAD, loss, payload, rule

from widthwise import report
from widthwise.report import drawings

COSTS = [
    {"algorithm": "pc", "parameterization": name, "optimizer": "sgd", "width": width, "depth": 4, "seconds": width / 64}
    for name in ("mup", "sp")
    for width in (64, 128, 256, 512)
]


def traces(panel, start):
    return [trace for trace in panel.data if html.unescape(trace.get("name", "")).startswith(start)]


@pytest.mark.parametrize("drift", [0.0, 0.07, -1.1])
def test_rings_mark_the_known_optima(drift):
    (panel,) = drawings(payload(rule("mup", drift)))["transfer"]
    marks = {trace["name"].split()[-1]: trace for trace in traces(panel, "best rate")}
    expected = {str(size): -4.25 + drift * math.log2(size / 64) for size in (64, 128, 256, 512)}
    assert {size: trace["x"][0] for size, trace in marks.items()} == pytest.approx(expected)
    highest = FLOOR * math.exp(0.12 * 0.25**2)
    assert all(FLOOR <= trace["y"][0] <= highest * (1 + 1e-9) for trace in marks.values())


def test_lines_are_seed_means_and_bars_reach_the_extreme_seeds():
    (panel,) = drawings(payload(rule("mup", 0.0, sizes=(64,))))["transfer"]
    (line,) = traces(panel, "width 64")
    stable = [rate for rate in RATES if rate <= -4.25 + 1.6]
    means = [loss(rate, -4.25) for rate in stable]
    assert line["x"] == stable
    assert line["y"] == pytest.approx(means)
    assert line["error_y"]["array"] == pytest.approx([mean * (SPREAD[-1] - 1) for mean in means])
    assert line["error_y"]["arrayminus"] == pytest.approx([mean * (1 - SPREAD[0]) for mean in means])


def test_a_bound_is_a_diamond():
    one = rule("mup", 0.0, sizes=(64, 128))
    one["summary"]["at_edge"] = [True, False]
    (panel,) = drawings(payload(one))["transfer"]
    assert [trace["marker"]["symbol"] for trace in traces(panel, "best rate")] == ["diamond-open", "circle-open"]


def test_the_map_shows_what_a_rate_costs():
    (panel,) = drawings(payload(rule("sp", -1.0, start=-4.0, sizes=(64, 128))))["map"]
    heat, rings = panel.data
    assert heat["y"] == ["64", "128"]
    # Optima on the grid: an octave from each the loss is exp(0.12) of the best, 1.13, between the steps 1.1 and 1.2.
    for row, best in zip((0, 1), (-4.0, -5.0), strict=True):
        at = heat["x"].index(best - 1)
        assert heat["customdata"][row][heat["x"].index(best)] == pytest.approx(1.0)
        assert heat["customdata"][row][at] == pytest.approx(math.exp(0.12))
        assert heat["z"][row][at] == 3.5
    # Beyond each size's largest stable rate there is nothing.
    assert heat["customdata"][1][-1] is None
    assert list(zip(rings["x"], rings["y"], strict=True)) == [(-4.0, "64"), (-5.0, "128")]
    colors = [color for _, color in heat["colorscale"]]
    assert len(set(colors)) == 9


def test_a_rate_beside_the_grid_leaves_no_hole_in_the_map():
    """A tuned rate was run at the larger size alone: it is a point of its curve, and no column of the map."""
    one = rule("sp", -1.0, start=-4.0, sizes=(64, 128))
    beside = next(run for run in one["curves"] if run["width"] == 128) | {"log2_rate": -6.2, "tuned": True}
    one["curves"] += [beside | {"seed": seed} for seed in range(3)]
    drawn = drawings(payload(one))
    assert -6.2 not in drawn["map"][0].data[0]["x"]
    assert any(-6.2 in trace["x"] for trace in drawn["transfer"][0].data)


def test_drift_tells_its_error():
    panels = drawings(payload())["drift"]
    assert [panel.layout["title"]["text"] for panel in panels] == ["best rate", "largest stable rate"]
    names = [html.unescape(trace["name"]) for trace in panels[0].data]
    assert names == [
        "PC, muP, SGD: +0.07 ± 0.05 octave per doubling",
        "PC, SP, SGD: −1.10 ± 0.05 octave per doubling",
    ]
    assert panels[0].data[1]["error_y"]["array"] == [0.1] * 4


def test_settledness_curvature_and_cost_are_drawn():
    panels = drawings(payload(costs=COSTS))["measured"]
    assert [panel.layout["title"]["text"] for panel in panels] == [
        "median residual of inference", "curvature ‖C‖", "seconds per run",
    ]  # fmt: skip
    assert panels[0].data[0]["y"] == [3e-3, 6e-3, 12e-3, 24e-3]
    assert panels[0].layout["shapes"][0]["y0"] == 1e-2
    assert panels[2].data[1]["y"] == [1, 2, 4, 8]
    # Without inference there is nothing to settle; unmeasured is not drawn.
    assert len(drawings(payload())["measured"]) == 2


def test_the_drawn_map_and_measures_say_the_same():
    axes = report.map_figure(payload()).axes[0]
    rings = {line.get_label(): float(line.get_xdata()[0]) for line in axes.get_lines()}
    assert rings == {f"_best {size}": pytest.approx(-4.25 + 0.07 * i) for i, size in enumerate((64, 128, 256, 512))}
    figure = report.measured_figure(payload(costs=COSTS))
    assert [list(axes.get_lines()[0].get_ydata()) for axes in figure.axes][::2] == [
        [3e-3, 6e-3, 12e-3, 24e-3],
        [1, 2, 4, 8],
    ]
    assert report.measured_figure({}) is None
    assert "mathdefault" not in report.svg(figure)
    assert "Seconds per run, median of all rates, of PC, SP, SGD: 1 at width 64, 8 at width 512." in figure.get_label()


def parts(page):
    """The page without Plotly's program, and the data that is drawn."""
    data = re.search(r'<script type="application/json" id="panels">(.*?)</script>', page, re.DOTALL)[1]
    scripts = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    for script in scripts:
        page = page.replace(script, "")
    return page, json.loads(data), scripts


@pytest.mark.parametrize("case", CASES)
def test_every_payload_gives_an_interactive_page(case):
    pytest.importorskip("plotly")
    page, data, scripts = parts(report.render(CASES[case], "plotly"))
    assert len(scripts) == 2
    places = re.findall(r'<div class="plot" id="([^"]+)" role="img" aria-label="([^"]+)">', page)
    assert [name for name, _ in places] == list(data)
    assert all(words.strip() for _, words in places)


def test_only_our_scripts_may_run():
    pytest.importorskip("plotly")
    evil = "</script><script>alert(1)</script><img src=x onerror=y>"
    page, data, scripts = parts(report.render(payload(rule(evil, 0.0), command=evil), "plotly"))
    assert "<script>alert" not in page
    assert "<img" not in page
    # Plotly reads <a> and <b> in names as markup: ours come escaped, but for our own line breaks.
    assert "<" not in json.dumps(data).replace("<br>", "").replace("<extra></extra>", "")
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', page)[1].replace("&#39;", "'")
    assert "default-src 'none'" in policy
    assert policy.count("'sha256-") == len(scripts) == 2
    assert "unsafe-inline" not in policy.split("script-src")[1]


def test_plotly_missing_is_svg_or_says_what_to_install(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setitem(sys.modules, "plotly", None)
    assert "<svg" in report.render(payload())
    with refused("figures", "plotly") as error:
        report.render(payload(), "plotly")
    assert "widthwise[report]" in error.value.remedy
    with refused("figures", "svgg"):
        report.render(payload(), "svgg")
