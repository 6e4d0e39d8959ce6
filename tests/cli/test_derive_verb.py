"""`widthwise derive`: a table that other verbs read, exit codes, and flags that would be ignored refused."""

import json

import pytest
from refusals import refused, refused_line

from widthwise.cli import main, run
from widthwise.parameterizations import Role, load, parameterization

RULE = """
from widthwise.algorithms import AbstractAlgorithm, Backprop

class Mine(AbstractAlgorithm):
    @property
    def name(self):
        return "mine"

    def infer(self, learner, batch, loss, *, key):
        return Backprop().infer(learner, batch, loss, key=key)

nothing = 3
"""
SMALL = ["--depth", "2", "--widths", "32", "128", "512", "--seeds", "6"]


def test_a_rule_of_ones_own_from_a_file(tmp_path, capsys):
    """Backprop under another name: its two layers' exponents are muP's, c = (-1, 1), b = (0, 1)."""
    (tmp_path / "mine.py").write_text(RULE)
    target = tmp_path / "t.json"
    assert main(["derive", "--rule", f"{tmp_path}/mine.py:Mine", *SMALL, "--json", str(target)]) == 0
    assert "table derived" in capsys.readouterr().out
    table, mup = load(target), parameterization("mup")
    assert table.algorithm == "own"
    for role in (Role.INPUT, Role.OUTPUT):
        ours, theirs = (held.scalings[role].letters(role) for held in (table, mup))
        assert {letter: ours[letter] for letter in "abcg"} == {letter: theirs[letter] for letter in "abcg"}
    assert json.loads(target.read_text())["derivation"]["reasons"] == []


def test_no_table_where_nothing_is_sure(tmp_path, capsys):
    target = tmp_path / "t.json"
    assert main(["derive", "--depth", "2", "--widths", "16", "32", "--seeds", "2", "--json", str(target)]) == 1
    out = capsys.readouterr().out
    assert "2 widths cannot show whether slopes have settled" in out
    assert "no table" in out
    assert {one["value"] for one in json.loads(target.read_text())["derivation"]["exponents"]} == {None}
    with refused("table", f"table file {target}"):
        run(["check", "--parameterization", str(target)])


@pytest.mark.parametrize(
    ("flags", "setting", "value"),
    [
        ("--rule mine.py", "--rule", "mine.py"),
        ("--rule absent.py:Mine", "--rule", "absent.py:Mine"),
        ("--rule {path}:nothing", "--rule", "{path}:nothing"),
        ("--rule {path}:Mine --algorithm pc", "--rule", "{path}:Mine"),
        ("--rule {path}:Mine --gamma-bar -1", "--gamma-bar", "-1"),
        ("--start {start} --optimizer adam", "--optimizer", "adam"),
        ("--start {start} --base-width 32", "--base-width", 32),
        ("--depth 3 --depths 8 16", "--depth", 3),
        ("--momentum 0.9", "argument", "--momentum"),
        ("--algorithm bp --gamma-bar -1", "--gamma-bar", "-1"),
        ("--widths 64", "widths", [64]),
        ("--widths 64 32", "widths", [64, 32]),
        ("--denominator 0", "denominator", 0),
        ("--network cnn --norm batch --depth 3 --widths 8 16", "norm", "batch"),
    ],
)
def test_refuses(flags, setting, value, tmp_path):
    path, start = tmp_path / "mine.py", tmp_path / "t.json"
    path.write_text(RULE)
    main(["table", "--json", str(start)])
    value = value.format(path=path) if isinstance(value, str) else value
    refused_line("derive " + flags.format(path=path, start=start), setting, value)
