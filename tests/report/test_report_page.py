import ast
import math
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from report_payloads import CASES, RATES, SPREAD, diverged, payload, rule

from widthwise import report
from widthwise.parameterizations import parameterization, to_json


class Page(HTMLParser):
    """The tags, attributes and text of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.text, self.open = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        self.open.append(tag)

    def handle_endtag(self, tag):
        while self.open and self.open.pop() != tag:
            pass

    def handle_data(self, data):
        if "style" not in self.open:
            self.text.append(data)


@pytest.fixture(scope="module")
def page():
    return report.render(payload(), "svg")


def words(page):
    return " ".join(" ".join(Page(page).text).split())


@pytest.mark.parametrize("case", CASES)
def test_every_payload_gives_a_page(case):
    page = report.render(CASES[case], "svg")
    assert page.lstrip().startswith("<!doctype html>")
    assert page.rstrip().endswith("</html>")
    assert page.count("<svg") == page.count('role="img"') == page.count("</title>") - 1
    assert not re.search(r"\b(None|nan|inf)\b", words(page))


def test_verdicts_say_how_far_and_at_what_cost():
    mup, sp = report.verdicts(payload())
    # 0.07 octave over three doublings; the loss grows by exp(0.12 · 0.21²).
    cost = 100 * (math.exp(0.12 * 0.21**2) - 1)
    assert mup.sentence == (
        f"the rate tuned at width 64 (−4.25 in log₂) costs {cost:.1f} ± 0.4 % at 512. It transfers. The best rate "
        "moves 0.2 octave up over width 64 to 512 (+0.07 ± 0.05 octave per doubling)."
    )
    assert sp.sentence == (
        "the rate tuned at width 64 (−4.25 in log₂) diverges in 3 of 3 seeds at 512. It does not transfer. The best "
        "rate moves 3.3 octaves down over width 64 to 512 (−1.10 ± 0.05 octave per doubling)."
    )
    assert (mup.transfers, sp.transfers) == (True, False)


def test_verdicts_name_their_limits():
    one = rule("mup", 0.0)
    one["summary"] |= {"at_edge": [True, True, False, False], "at_cliff": [False, False, False, True]}
    (verdict,) = report.verdicts(payload(one))
    assert "At 64 and 128 the best rate is the last that was run: run more rates." in verdict.sentence
    assert "At 512 a rate next to the best rate diverged." in verdict.sentence
    one["summary"] |= {"stable_open": [True, False, False, False]}
    (verdict,) = report.verdicts(payload(one))
    assert "At 64 stability ends beyond the rates that were run." in verdict.sentence


def test_what_plus_minus_and_cost_mean_stands_below_the_verdicts():
    text = words(report.render(payload(), "svg"))
    assert 0 < text.index("costs") < text.index("±: standard error over seeds") < text.index("Loss and rate")


def test_the_cost_that_is_worst_and_what_is_extrapolated_are_said():
    one = rule("mup", 0.0)
    beyond = [{"size": 4096, "octaves": 1.0, "cost": 0.123}, {"size": 32768, "octaves": 9.0, "cost": 1e9}]
    changes = {"cost": [None, 0.02, 0.2, 0.01], "transfers": False, "verdict": "does not transfer"}
    one["summary"] |= changes | {"transfers_from": 256, "extrapolated": beyond}
    (verdict,) = report.verdicts(payload(one))
    assert "costs 1.0 ± 0.4 % at 512 (costs 20.0 ± 0.4 % at 256)." in verdict.sentence
    assert "It does not transfer. From width 256 on it does." in verdict.sentence
    assert "Extrapolated, not run: 12 % at 4096 and more than 1000 % at 32768." in verdict.sentence
    assert "does not transfer:" in report.render(payload(one), "svg")


def test_an_optimum_that_rests_at_an_edge_is_not_called_moved():
    one = rule("mup", 0.0)
    undecided = {"verdict": "not decided", "why": ["edge"], "transfers": False, "decided": False}
    one["summary"] |= undecided | {"at_edge": [True] * 4}
    (verdict,) = report.verdicts(payload(one))
    assert "Whether it transfers is not decided: at 64, 128, 256 and 512 the best rate is the last" in verdict.sentence
    assert "does not transfer" not in report.render(payload(one), "svg")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"why": ["seeds"], "seeds_to_decide": 12}, "about 12 seeds would"),
        ({"why": ["seeds"], "seeds_to_decide": None}, "more than 1000 seeds would be needed"),
        ({"why": ["one seed"], "seeds": 1}, "with one seed the error is unknown, run at least 2"),
        ({"why": ["not known"]}, "what the tuned rate costs is not known at every larger size"),
    ],
)
def test_what_is_not_decided_says_what_would_decide(changes, said):
    one = rule("mup", 0.5)
    one["summary"] |= {"verdict": "not decided", "transfers": False, "decided": False} | changes
    (verdict,) = report.verdicts(payload(one))
    assert f"Whether it transfers is not decided: {said}." in verdict.sentence
    page = report.render(payload(one), "svg")
    assert f"not decided: {said}" in words(page)
    assert "run more rates" not in page


@pytest.mark.parametrize(
    ("one", "sentence"),
    [
        (
            diverged(rule("sp", 0.0)),
            "no best rate was found. Whether it transfers is not decided: every rate diverged at 64.",
        ),
        (rule("sp", 0.0, sizes=(64,)), "one width only (64): nothing to compare."),
    ],
)
def test_verdicts_without_an_answer(one, sentence):
    assert [verdict.sentence for verdict in report.verdicts(payload(one))] == [sentence]


def test_markup_in_names_is_only_text():
    evil = '<script>alert(1)</script>"><img src=x onerror=y>'
    text = report.render(
        payload(rule(evil, 0.0), command=evil, device=evil, versions={evil: evil}, settings={evil: evil}),
        "svg",
    )
    page = Page(text)
    assert "script" not in page.tags
    assert "img" not in page.tags
    assert "onerror" not in {key for key, _ in page.attributes}
    assert evil in " ".join(page.text)


def test_no_request_leaves_the_page(page):
    attributes = Page(page).attributes
    outside = [(k, v) for k, v in attributes if "//" in (v or "") and not k.startswith("xmlns")]
    assert not outside
    assert not re.search(r"@import|url\((?!#)", page)
    assert {v for k, v in attributes if k in ("src", "href")} == {"data:,"}
    assert "default-src 'none'" in page


def test_the_page_names_everything_needed_to_run_it_again(page):
    text = words(page)
    for part in (
        payload()["command"],
        "NVIDIA H100",
        "12 min 34 s",
        "0.10.0",
        "momentum",
        "0.9",
        "PC, muP, SGD",
    ):
        assert part in text
    assert 'name="viewport"' in page


def test_settled_table_compares_with_one_percent():
    table = report.settled_table(payload(rule("mup", 0.0)))
    assert [row[2:] for row in table.rows] == [
        ["3.0e-3", "yes"],
        ["6.0e-3", "yes"],
        ["1.2e-2", "no"],
        ["2.4e-2", "no"],
    ]
    without = rule("mup", 0.0, algorithm="bp")
    without["summary"]["residual_at_optimum"] = None
    assert not report.settled_table(payload(without)).rows


def test_scaling_table_shows_exact_exponents():
    table = report.scaling_table(payload()["tables"]["mup"])
    assert list(table.columns) == ["role", "a", "b", "c", "g", "d", "a (depth)"]
    assert list(table.rows[-1]) == ["hidden bias", "−1/2", "1/2", "0", "1/2", "0", "1/2"]


@pytest.mark.parametrize(("name", "depths"), [("mup", False), ("mupc", True)])
def test_scaling_table_of_a_written_table_has_letters_alone(name, depths):
    roles = to_json(parameterization(name, optimizer="adam"))
    table = report.scaling_table(roles)
    letters = ["role", "a", "b", "c", "g", "d"]
    assert list(table.columns)[:6] == letters
    assert any("depth" in column for column in table.columns) == depths
    assert set(table.columns) <= {*letters, *(f"{letter} (depth)" for letter in letters[1:])}
    assert max(len(cell) for row in table.rows for cell in row[1:]) <= len("−1/2")


def test_failures_are_counted_by_size():
    table = report.failures_table(payload(rule("sp", -1.1, sizes=(64, 128))))
    lost = {"64": [r for r in RATES if r > -3], "128": [r for r in RATES if r > -4]}
    assert [list(row[1:]) for row in table.rows] == [
        [
            f"width {size}, depth 4",
            str(len(SPREAD) * len(rates)),
            str(len(SPREAD) * len(RATES)),
            f"−{-min(rates):.2f}",
        ]
        for size, rates in lost.items()
    ]


def test_rows_are_as_long_as_their_columns():
    given = payload()
    tables = [report.summary_table(given), report.optima_table(given), report.settings_table(given)]
    assert all(len(row) == len(t.columns) == len(t.numeric) for t in tables for row in t.rows)
    assert report.summary_table(given).rows[1][3] == "−1.10 ± 0.05"


def test_write_replaces_the_whole_file(tmp_path, page):
    path = tmp_path / "report.html"
    path.write_text("old")
    assert report.write(payload(), path, "svg") == path
    assert path.read_text(encoding="utf-8") == page
    assert [entry.name for entry in tmp_path.iterdir()] == ["report.html"]


def test_the_folder_stands_alone():
    home = Path(report.__file__).parent
    for file in home.rglob("*.py"):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        nodes = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
        above = len(file.relative_to(home).parts) + 1
        assert all(node.module in ("_errors", "store") for node in nodes if node.level == above)
        top = {a.name for node in tree.body if isinstance(node, ast.Import) for a in node.names}
        top |= {str(node.module) for node in tree.body if isinstance(node, ast.ImportFrom) and not node.level}
        assert not top & {"jax", "matplotlib", "matplotlib.pyplot", "jinja2", "widthwise"}
