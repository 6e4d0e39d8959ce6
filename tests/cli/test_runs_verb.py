"""`widthwise runs`: what it lists, filters, shows and compares, on records written by hand; nothing is changed."""

import pytest

from widthwise.cli import _runs
from widthwise.sweep import RunStore

FIRST = "aa" + "0" * 14
OTHERS = ("ab" + "0" * 14, "b1" + "0" * 14, "c1" + "0" * 14)


def record(name, width, loss, **run):
    measured = {"algorithm": "bp", "width": width, "final_loss": loss, "diverged": loss is None, "curve": [1.0, 0.5]}
    spec = {"settings": {"activation": "tanh"}, "table": {"roles": {"hidden": {"c": "1"}}}}
    return {"hash": name, "group": 0, "spec": spec, "run": measured | run, "engine": "local", "host": "one"}


@pytest.fixture
def stored(here):
    with RunStore.open(here / "run", kind="transfer", spec={}) as store:
        rows = [(64, 0.5), (128, 0.25), (128, None), (256, 0.75)]
        store.append([record(name, *row) for name, row in zip((FIRST, *OTHERS), rows, strict=True)])
    return {path.name: path.read_bytes() for path in (here / "run").iterdir()}


@pytest.fixture
def listed(cli, loaded, stored, here):
    """Hashes that a line of flags selects, in order, told by the table and by the JSON file alike."""

    def call(flags):
        code, out, err = cli(f"runs run {flags} --json out.json")
        assert (code, err) == (0, "")
        found = [row["hash"] for row in loaded("out.json")]
        assert [line.split()[0] for line in out.splitlines()[1:-1]] == found
        assert out.splitlines()[-1] == (f"{len(found)} runs" if found else "no runs")
        assert {path.name: path.read_bytes() for path in (here / "run").iterdir()} == stored
        return found

    return call


def test_lists_in_the_order_stored(listed):
    assert listed("") == [FIRST, *OTHERS]


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("width=128", OTHERS[:2]),
        ("width!=128", (FIRST, OTHERS[2])),
        ("width>=128", OTHERS),
        ("final_loss<0.6", (FIRST, OTHERS[0])),
        ("final_loss=none", OTHERS[1:2]),
        ("diverged=true", OTHERS[1:2]),
        ("diverged=false width=128", OTHERS[:1]),
        ("width>64 width<256", OTHERS[:2]),
        ("spec.settings.activation=tanh", (FIRST, *OTHERS)),
        ("algorithm=pc", ()),
        ("algorithm<3", ()),
    ],
)
def test_filters(listed, condition, expected):
    assert listed(f"--where {condition}") == list(expected)


def test_a_name_of_digits_is_no_number():
    name, holds = _runs._condition("hash=1200000000000034")
    assert (name, holds("1200000000000034"), holds("1200000000000035")) == ("hash", True, False)


def test_sorts_with_what_is_missing_last(listed):
    assert listed("--sort final_loss") == [OTHERS[0], FIRST, OTHERS[2], OTHERS[1]]
    assert listed("--sort final_loss --limit 2") == [OTHERS[0], FIRST]


def test_shows_everything_but_long_lists(cli, stored):
    code, out, _ = cli("runs run --show aa")
    assert code == 0
    shown = dict(line.split(maxsplit=1) for line in out.splitlines() if line)
    assert (shown["hash"], shown["run.width"], shown["spec.settings.activation"]) == (FIRST, "64", "tanh")
    assert shown["run.curve"] == "2 values, 1 to 0.5"


def test_compares_what_differs(cli, stored):
    code, out, _ = cli("runs run --compare aa b1")
    assert code == 0
    lines = [line.split() for line in out.splitlines()]
    assert lines == [["hash", FIRST, OTHERS[1]], ["run.width", "64", "128"],
                     ["run.final_loss", "0.5", "-"], ["run.diverged", "false", "true"]]  # fmt: skip


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ("--sort final_los", "did you mean 'final_loss'"),
        ("--where wdth=3", "did you mean 'width'"),
        ("--columns spec.settings.activatoin", "did you mean 'spec.settings.activation'"),
        ("--where width", "expected NAME"),
        ("--where width=true", "width is a number, as 64;"),
        ("--where width!=wide", "width is a number, as 64;"),
        ("--where diverged=0", "diverged is true or false, as false;"),
        ("--show a", "2 runs begin so"),
        ("--show zz", "no run begins so"),
        ("--compare aa", "two runs"),
        ("--show aa --compare aa ab", "one of them"),
        ("--limit 0", "--limit is 0"),
    ],
)
def test_refuses_in_one_line(cli, stored, flags, words):
    code, out, err = cli(f"runs run {flags}")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert words in err
    assert len(err) < 600


def test_no_run_directory(cli):
    code, _, err = cli("runs nowhere")
    assert code == 2
    assert "nowhere is not a run directory" in err


def test_what_a_terminal_would_obey_is_shown_instead(cli, here):
    with RunStore.open(here / "run", kind="transfer", spec={}) as store:
        store.append([record("d1", 64, 0.5, parameterization="\x1b]0;owned\x07\x1b[2J\nmup\u202e")])
    for flags in ("", "--show d1"):
        _, out, _ = cli(f"runs run {flags}")
        assert "\\x1b]0;owned\\x07\\x1b[2J\\nmup\\u202e" in out
        assert not set("\x1b\x07\u202e") & set(out)


def test_a_record_nested_too_deeply(cli, here, monkeypatch):
    with RunStore.open(here / "run", kind="transfer", spec={}) as store:
        store.append([record("d1", 64, 0.5)])

    def stack_exhausted(value, prefix=""):
        raise RecursionError

    monkeypatch.setattr(_runs, "_paths", stack_exhausted)
    code, out, err = cli("runs run --show d1")
    assert (code, out) == (2, "")
    assert "run: a record is nested deeper than any that this program writes" in err
