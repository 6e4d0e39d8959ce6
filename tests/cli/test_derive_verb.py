"""`widthwise derive`: a table that other verbs read, exit codes, and flags that would be ignored refused."""

import json

import pytest

from widthwise.cli import main
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
    assert main(["check", "--parameterization", str(target)]) == 2
    assert "is of a derivation that found no table" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ("--widths 64", "at least two widths"),
        ("--widths 64 32", "increasing"),
        ("--rule mine.py", "expected a file and a class"),
        ("--rule absent.py:Mine", "expected a file and a class"),
        ("--rule {path}:nothing", "no algorithm nothing"),
        ("--rule {path}:Mine --algorithm pc", "give one of them"),
        ("--rule {path}:Mine --gamma-bar -1", "--gamma-bar is of our algorithms"),
        ("--start {start} --optimizer adam", "fixes the table: --optimizer"),
        ("--start {start} --base-width 32", "fixes the table: --base-width"),
        ("--depth 3 --depths 8 16", "give one of them"),
        ("--momentum 0.9", "unknown argument '--momentum'"),
        ("--denominator 0", "denominator is 0"),
        ("--network cnn --norm batch --depth 3 --widths 8 16", "normalizes by the batch"),
        ("--algorithm bp --gamma-bar -1", "of predictive coding (--algorithm pc), not of bp"),
    ],
)
def test_refuses(flags, words, tmp_path, capsys):
    path, start = tmp_path / "mine.py", tmp_path / "t.json"
    path.write_text(RULE)
    main(["table", "--json", str(start)])
    assert main(["derive", *flags.format(path=path, start=start).split()]) == 2
    assert words in capsys.readouterr().err
