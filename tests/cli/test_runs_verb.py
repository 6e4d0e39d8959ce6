"""`widthwise runs`: what it lists, filters, shows and compares, on records written by hand; nothing is changed."""

import pytest

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


def test_a_name_of_digits_is_no_number(cli, here):
    # As floats of 53 bits the two would be one.
    names = ("9007199254740992", "9007199254740993")
    with RunStore.open(here / "digits", kind="transfer", spec={}) as store:
        store.append([record(name, 64, 0.5) for name in names])
    for name, other in (names, names[::-1]):
        _, out, _ = cli(f"runs digits --where hash={name}")
        assert (name in out, other in out) == (True, False)


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
    ("flags", "setting", "value"),
    [
        ("--sort final_los", "field", "final_los"),
        ("--where wdth=3", "field", "wdth"),
        ("--columns spec.settings.activatoin", "field", "spec.settings.activatoin"),
        ("--where width", "--where", "width"),
        ("--where width=true", "--where", "width=true"),
        ("--where width!=wide", "--where", "width!=wide"),
        ("--where diverged=0", "--where", "diverged=0"),
        ("--show a", "run", "a"),
        ("--show zz", "run", "zz"),
        ("--compare aa", "--compare", [FIRST]),
        ("--show aa --compare aa ab", "--show", ["aa"]),
        ("--limit 0", "--limit", 0),
    ],
)
def test_refuses(refuse, stored, flags, setting, value):
    assert len(str(refuse(f"runs run {flags}", setting, value))) < 600


def test_no_run_directory(refuse):
    refuse("runs nowhere", "run directory", "nowhere")


def test_what_a_terminal_would_obey_is_shown_instead(cli, here):
    with RunStore.open(here / "run", kind="transfer", spec={}) as store:
        store.append([record("d1", 64, 0.5, parameterization="\x1b]0;owned\x07\x1b[2J\nmup\u202e")])
    for flags in ("", "--show d1"):
        _, out, _ = cli(f"runs run {flags}")
        assert "\\x1b]0;owned\\x07\\x1b[2J\\nmup\\u202e" in out
        assert not set("\x1b\x07\u202e") & set(out)


def test_a_record_nested_too_deeply(refuse, here, monkeypatch):
    with RunStore.open(here / "run", kind="transfer", spec={}) as store:
        store.append([record("d1", 64, 0.5)])

    def stack_exhausted(value, prefix=""):
        raise RecursionError

    monkeypatch.setattr("widthwise.cli._runs._paths", stack_exhausted)
    refuse("runs run --show d1", "run directory", "run")
