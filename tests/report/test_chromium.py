"""The page as a browser shows it: nothing is asked of the network, everything is drawn, nothing is complained about."""

import shutil

import pytest
from report_payloads import payload
from test_interactive import COSTS

from widthwise import report

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")
# Only where the machine has a browser; playwright brings none.
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no chromium on this machine")


@pytest.fixture(scope="module")
def browser():
    pytest.importorskip("plotly")
    api = pytest.importorskip("playwright.sync_api")
    with api.sync_playwright() as running:
        found = running.chromium.launch(executable_path=BROWSER, args=["--no-sandbox", "--disable-gpu"])
        yield found
        found.close()


@pytest.fixture(scope="module", params=["plotly", "svg"])
def shown(request, browser, tmp_path_factory):
    """The page of a known sweep in a window as wide as a phone: its requests, its complaints, itself."""
    file = report.write(payload(costs=COSTS), tmp_path_factory.mktemp("page") / "report.html", request.param)
    page = browser.new_page(viewport={"width": 390, "height": 800})
    asked, said = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    # Four megabytes of program, on a machine that may be busy.
    page.goto(file.as_uri(), timeout=180_000)
    yield request.param, file, page, asked, said
    page.close()


def test_no_request_leaves_the_file(shown):
    _, file, _, asked, said = shown
    assert asked == [file.as_uri()]
    assert said == []


def test_every_figure_is_drawn_and_its_minima_are_marked(shown):
    kind, _, page, _, _ = shown
    figures = page.evaluate("[...document.querySelectorAll('figure')].map(f => f.querySelectorAll('svg').length)")
    assert len(figures) == 4
    assert min(figures) > 0
    if kind == "svg":
        names = page.evaluate("[...document.querySelectorAll('[id*=\"optimum-\"]')].map(mark => mark.id)")
        # A prefix of the drawing, then the panel and the width.
        assert sorted(name.split("-", 1)[1] for name in names) == sorted(
            f"{where}optimum-{rule}-{width}"
            for where in ("", "map-")
            for rule in (0, 1)
            for width in (64, 128, 256, 512)
        )
        return
    plots = page.evaluate(
        """[...document.querySelectorAll('.plot')].map(plot => [plot.id, plot.querySelectorAll('.main-svg').length,
           plot.data.filter(trace => (trace.name || '').startsWith('best rate')).length,
           plot.querySelectorAll('.scatterlayer .trace').length, plot.data.filter(t => t.type === 'scatter').length])"""
    )
    assert [name for name, *_ in plots] == [
        "transfer-0", "transfer-1", "map-0", "map-1", "drift-0", "drift-1", "measured-0", "measured-1", "measured-2",
    ]  # fmt: skip
    for name, layers, rings, drawn, given in plots:
        assert layers > 0
        assert drawn == given, name
        assert rings == {"transfer": 4, "map": 1}.get(name.split("-")[0], 0), name


def test_a_phone_shows_it_without_scrolling_sideways(shown):
    _, _, page, _, _ = shown
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.evaluate("Math.max(0, ...[...document.querySelectorAll('.plot')].map(p => p.scrollWidth))") <= 390


def test_every_figure_has_its_words(shown):
    _, _, page, _, _ = shown
    words = page.evaluate("[...document.querySelectorAll('figure [role=img]')].map(f => f.getAttribute('aria-label'))")
    assert words
    assert all(len(text) > 20 for text in words)
