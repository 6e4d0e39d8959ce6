import math
import re
from xml.etree import ElementTree

import pytest
from refusals import refused
from report_payloads import CASES, FLOOR, RATES, SPREAD, loss, payload, rule

from widthwise import report


def marks(axes, kind):
    lines = {line.get_label(): line for line in axes.get_lines()}
    return {
        int(label.split()[-1]): (float(line.get_xdata()[0]), float(line.get_ydata()[0]))
        for label, line in lines.items()
        if label.startswith(f"_{kind} ")
    }


@pytest.mark.parametrize("drift", [0.0, 0.07, -1.1])
def test_circles_mark_the_known_optima(drift):
    axes = report.transfer_figure(payload(rule("mup", drift))).axes[0]
    expected = {size: -4.25 + drift * math.log2(size / 64) for size in (64, 128, 256, 512)}
    found = marks(axes, "optimum")
    assert {size: x for size, (x, _) in found.items()} == pytest.approx(expected)
    # The grid of rates is half an octave wide, so the drawn line lies at most this far above the parabola.
    highest = FLOOR * math.exp(0.12 * 0.25**2)
    assert all(FLOOR <= y <= highest * (1 + 1e-9) for _, y in found.values())


def test_points_are_seed_means_and_bars_reach_the_extreme_seeds():
    axes = report.transfer_figure(payload(rule("mup", 0.0, sizes=(64,)))).axes[0]
    (container,) = axes.containers
    line, _, (bars,) = container
    stable = [rate for rate in RATES if rate <= -4.25 + 1.6]
    assert list(line.get_xdata()) == stable
    for rate, mean, bar in zip(stable, line.get_ydata(), bars.get_segments(), strict=True):
        exact = loss(rate, -4.25)
        assert mean == pytest.approx(exact)
        assert list(bar[:, 1]) == pytest.approx([exact * SPREAD[0], exact * SPREAD[-1]])


def test_a_rate_with_one_diverged_seed_is_left_out():
    one = rule("mup", 0.0, sizes=(64,))
    next(run for run in one["curves"] if run["log2_rate"] == -6)["diverged"] = True
    line = report.transfer_figure(payload(one)).axes[0].containers[0][0]
    assert -6 not in line.get_xdata()
    assert -6.5 in line.get_xdata()


def test_ticks_mark_the_largest_stable_rates():
    axes = report.transfer_figure(payload(rule("sp", -1.1))).axes[0]
    assert {s: x for s, (x, _) in marks(axes, "stable").items()} == {
        64: -3.0,
        128: -4.0,
        256: -5.0,
        512: -6.0,
    }


def test_titles_say_the_verdict_and_losses_share_an_axis():
    left, right = report.transfer_figure(payload()).axes
    assert [left.get_title("left"), right.get_title("left")] == ["PC, muP, SGD", "PC, SP, SGD"]
    (text,) = (text.get_text() for text in left.texts)
    assert text == "transfers:\ncosts 0.5 ± 0.4 % at 512,\ndrift +0.07 ± 0.05 octave per doubling"
    (text,) = (text.get_text() for text in right.texts)
    assert text.startswith("does not transfer:\ndiverges in 3 of 3 seeds at ")
    assert text.endswith("drift −1.10 ± 0.05 octave per doubling")
    assert left.get_ylim() == right.get_ylim()
    assert left.get_yscale() == "log"


def test_drift_figure_shows_optima_with_their_errors():
    best, stable = report.drift_figure(payload(rule("sp", -1.1))).axes
    line, _, (bars,) = best.containers[0]
    assert list(line.get_ydata()) == pytest.approx([-4.25, -5.35, -6.45, -7.55])
    assert [segment[1, 1] - segment[0, 1] for segment in bars.get_segments()] == pytest.approx([0.2] * 4)
    assert list(stable.get_lines()[0].get_ydata()) == [-3.0, -4.0, -5.0, -6.0]
    assert best.get_xscale() == "log"


@pytest.mark.parametrize("draw", [report.transfer_figure, report.drift_figure])
def test_every_drawing_has_an_alternative_text(draw):
    text = report.svg(draw(payload()))
    root = ElementTree.fromstring(text)
    assert text.startswith("<svg")
    assert root.get("role") == "img"
    assert "PC, SP, SGD, width: " in root.get("aria-label")
    assert "oes not transfer" in root.get("aria-label")
    assert root.find("{http://www.w3.org/2000/svg}title").text == root.get("aria-label")


def test_ids_are_unique_and_every_reference_is_met():
    page = "".join(report.svg(draw(CASES["two axes"])) for draw in (report.transfer_figure, report.drift_figure))
    ids = re.findall(r'\bid="([^"]+)"', page)
    used = set(re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', page))
    assert len(ids) == len(set(ids))
    assert {one or other for one, other in used} <= set(ids)
    assert used


def test_the_same_payload_gives_the_same_drawing():
    first, second = (report.svg(report.transfer_figure(payload())) for _ in range(2))
    assert first == second
    assert "<text" in first


def test_names_are_never_read_as_mathematics_or_markup():
    text = report.svg(report.transfer_figure(payload(rule('$<script>"x', 0.0))))
    ElementTree.fromstring(text)
    assert "<script" not in text


@pytest.mark.parametrize(("suffix", "start"), [(".png", b"\x89PNG"), (".svg", b"<?xml"), (".pdf", b"%PDF")])
def test_save_by_suffix(tmp_path, suffix, start):
    path = report.save(report.drift_figure(payload()), tmp_path / "new" / f"drift{suffix}")
    assert path.read_bytes().startswith(start)
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("file", ["drift.jpg", "drift"])
def test_save_refuses_other_suffixes(tmp_path, file):
    with refused("path", file):
        report.save(report.drift_figure({}), tmp_path / file)
    assert not list(tmp_path.iterdir())


def test_the_style_stays_inside():
    from matplotlib import rcParams

    before = dict(rcParams)
    report.svg(report.transfer_figure(payload()))
    assert dict(rcParams) == before
