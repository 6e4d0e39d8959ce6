"""Grids of widths and depths: each line of the grid is summarized as if it had been swept alone, and shown."""

import math
import random

import pytest

from widthwise import report
from widthwise.sweep import summarize

RATES = [-4 + 0.5 * i for i in range(11)]
WIDTHS, DEPTHS = (64, 128, 256), (4, 16)
BEND, DRIFT, DEEPER = 0.05, 0.25, -0.5


def best(width, depth):
    """Octaves: DRIFT per doubling of the width, DEEPER per doubling of the depth."""
    return -2 + DRIFT * math.log2(width / 64) + DEEPER * math.log2(depth / 4)


def rows(names=("mup",), activity=(None,)):
    found = []
    for name in names:
        for width in WIDTHS:
            for depth in DEPTHS:
                for other in activity:
                    for rate in RATES:
                        loss = math.exp(BEND * (rate - best(width, depth)) ** 2 + 0.1 * abs(other or 0))
                        found.append(
                            {
                                "algorithm": "bp", "parameterization": name, "optimizer": "sgd", "width": width,
                                "depth": depth, "log2_rate": rate, "log2_activity_rate": other, "seed": 0,
                                "final_loss": loss, "diverged": rate > 0, "residual_median": None,
                            }
                        )  # fmt: skip
    return found


def test_every_line_has_its_summary():
    found = summarize(random.Random(0).sample(rows(), len(rows())), "grid")
    assert [(row["axis"], row["at"]) for row in found] == [
        *(("width", {"depth": depth}) for depth in DEPTHS),
        *(("depth", {"width": width}) for width in WIDTHS),
    ]
    for row in found:
        at = row["at"]
        sizes = WIDTHS if row["axis"] == "width" else DEPTHS
        assert row["sizes"] == list(sizes)
        expected = [best(**({row["axis"]: size} | at)) for size in sizes]
        assert row["optimum_log2"] == pytest.approx(expected, abs=1e-9)
        drift = DRIFT if row["axis"] == "width" else DEEPER
        assert row["drift_octaves_per_doubling"] == pytest.approx(drift, abs=1e-9)
        assert row["largest_stable_log2"] == [0.0] * len(sizes)


def test_rules_are_kept_apart_and_lines_of_one_size_left_out():
    found = summarize(rows(("mup", "sp")), "grid")
    assert [row["parameterization"] for row in found] == ["mup", "sp"] * (len(DEPTHS) + len(WIDTHS))
    shallow = [row for row in rows() if row["depth"] == 4]
    assert [(row["axis"], row["at"]) for row in summarize(shallow, "grid")] == [("width", {"depth": 4})]
    one = [row for row in shallow if row["width"] == 64]
    assert [(row["axis"], row["sizes"]) for row in summarize(one, "grid")] == [("width", [64])]


def test_a_sweep_of_one_axis_tells_the_other_size_where_it_is_fixed():
    shallow = [row for row in rows() if row["depth"] == 4]
    (found,) = summarize(shallow, "width")
    assert found["at"] == {"depth": 4}
    # Both grow together, as where the ratio of depth and width is fixed.
    both = [row for row in rows() if (row["width"], row["depth"]) in ((64, 4), (128, 16))]
    (found,) = summarize(both, "width")
    assert found["at"] is None
    assert len(report.transfer_figure({"curves": both, "summary": [found]}).axes) == 1


def payload(**settings):
    curves = rows(**settings)
    return {"curves": curves, "summary": summarize(curves, "grid")}


def test_the_report_has_a_panel_for_every_line():
    axes = report.transfer_figure(payload()).axes
    titles = [one.get_title("left").replace("\n", " ") for one in axes]
    places = [*(f"depth {d}, over width" for d in DEPTHS), *(f"width {w}, over depth" for w in WIDTHS)]
    assert titles == [f"BP, muP, SGD, {place}" for place in places]
    for panel, depth in zip(axes, DEPTHS, strict=False):
        lines = {line.get_label(): line for line in panel.get_lines()}
        for width in WIDTHS:
            (x,) = lines[f"_optimum {width}"].get_xdata()
            assert x == pytest.approx(best(width, depth), abs=1e-9)
    verdicts = report.verdicts(payload())
    assert [verdict.label for verdict in verdicts] == [f"BP, muP, SGD, {place.split(', ')[0]}" for place in places]
    assert "moves 0.5 octave up over width 64 to 256" in verdicts[0].sentence
    assert "moves 1.0 octave down over depth 4 to 16" in verdicts[-1].sentence


def test_two_rules_of_a_grid_stand_side_by_side():
    titles = [axes.get_title("left") for axes in report.transfer_figure(payload(names=("mup", "sp"))).axes]
    assert [title.replace("\n", " ") for title in titles[:3]] == [
        "BP, muP, SGD, depth 4, over width",
        "BP, SP, SGD, depth 4, over width",
        "BP, muP, SGD, depth 16, over width",
    ]


def test_the_drift_figure_draws_every_line_of_an_axis_in_one_panel():
    panel = report.drift_figure(payload()).axes[0]
    lines = [list(container[0].get_ydata()) for container in panel.containers]
    assert lines == [pytest.approx([best(width, depth) for width in WIDTHS], abs=1e-9) for depth in DEPTHS]


def test_a_heatmap_shows_every_pair_of_sizes_once():
    figure = report.activity_figure(payload(activity=(-1.0, 0.0, 1.0)))
    titles = [axes.get_title("left").split("\n")[1] for axes in figure.axes if axes.get_title("left")]
    assert sorted(titles) == sorted(f"width {width}, depth {depth}" for width in WIDTHS for depth in DEPTHS)
