"""`widthwise gauge`: tables moved exactly, read back, placed, drawn, and proved by training."""

from fractions import Fraction

import jax
import pytest
from refusals import refused

import widthwise as ww
from widthwise.measure import GaugeProof, prove_gauge
from widthwise.parameterizations import NAMES, Role, from_json, load, parameterization
from widthwise.theory import place

SMALL = "--width 24 --base-width 6 --depth 3 --steps 2 "


@pytest.fixture
def wide():
    """64 bits are switched on by the command; the fixture of `cli` switches them off again."""
    yield
    jax.config.update("jax_enable_x64", True)


def test_a_table_in_a_named_gauge_is_a_parameterization(cli, loaded):
    line = (
        "gauge --algorithm pc --gamma-bar -1/2 --parameterization mup --optimizer adam --gauge rescaling --json t.json"
    )
    code, out, err = cli(line)
    assert (code, err) == (0, "")
    settings = {"algorithm": "pc", "gamma_bar": "-1/2", "optimizer": "adam"}
    expected = parameterization("mup", **settings, gauge="rescaling")
    assert from_json(loaded("t.json")) == expected
    # theory.md A1, rescaling gauge at r = 1/2 under Adam.
    letters = [expected.scalings[role].letters(role) for role in (Role.INPUT, Role.HIDDEN, Role.OUTPUT)]
    assert [[str(row[x]) for x in "abc"] for row in letters] == [["0", "0", "0"], ["1/2", "0", "1/2"], ["1", "0", "0"]]
    assert "richness 1/2, stable" in out
    # From its file back to where it came from.
    assert cli("gauge --parameterization t.json --gauge stp --json back.json")[0] == 0
    assert from_json(loaded("back.json")) == parameterization("mup", **settings, gauge="stp")


def test_moves_follow_the_gauge(cli, here):
    assert cli("gauge --parameterization ntp --gauge mup --moves hidden=-1/2 output=1/3,1/4 --json t.json")[0] == 0
    table = load(here / "t.json")
    row, output = (table.scalings[role].letters(role) for role in (Role.HIDDEN, Role.OUTPUT))
    # NTP in muP's gauge has a = 1/2, b = 0, c = 0 (theory.md A1); t = -1/2 brings a to 0.
    assert [row[x] for x in "abc"] == [0, Fraction(1, 2), 1]
    assert output["a"] == Fraction(1, 2) + Fraction(1, 3)
    assert output["a_depth"] == Fraction(1, 4)
    assert output["c_depth"] == -Fraction(1, 2)


@pytest.mark.parametrize(
    "flags",
    [
        "--network cnn --norm batch --gauge rescaling",
        "--optimizer adam --moves hidden=2/3 input=-1 output=1/4",
    ],
)
def test_proof(cli, wide, flags):
    code, out, err = cli(f"gauge --parameterization mup {SMALL} {flags} --prove")
    assert (code, err) == (0, ""), out
    assert "passed: the two train alike" in out


def test_proof_of_predictive_coding_over_width_and_depth(cli, wide):
    flags = "--network residual_mlp --algorithm pc --gamma-bar -1 --base-depth 2 --moves branch=1/2,-1 output=-1/2"
    code, out, _ = cli(f"gauge --parameterization mupc {SMALL} {flags} --prove")
    assert code == 0, out


def test_two_trainings_are_no_gauge(wide):
    def build(table, key):
        return ww.mlp(8, 24, 3, depth=2, table=table, key=key)

    lazy, rich = (parameterization(name, base_width=6) for name in ("ntp", "mup"))
    proof = prove_gauge(build, ww.Backprop(), lazy, rich, rate=0.05, steps=1)
    assert not proof.passed
    assert "FAILED: these are two trainings" in str(proof)


@pytest.mark.parametrize(
    ("proof", "words"),
    [
        (GaugeProof((0.0, 1e-16), 1e-3), "nothing was learned"),
        (GaugeProof((0.0, float("nan")), float("nan")), "diverged"),
        (GaugeProof((0.0, 2e-12, 0.0), 0.5), "two trainings"),
    ],
)
def test_what_is_no_proof(proof, words):
    assert not proof.passed
    assert words in str(proof)


@pytest.mark.parametrize(
    ("line", "setting", "value"),
    [
        ("--gauge stp --width 128", "--width", 128),
        ("--gauge stp --rate 0.1", "--rate", 0.1),
        ("--prove", "--prove", True),
        ("--gauge stp --prove --dtype float32", "--dtype", "float32"),
        ("--gauge stq", "gauge", "stq"),
        ("--moves hidden", "--moves", "hidden"),
        ("--moves hidden=1,2,3", "--moves", "hidden=1,2,3"),
        ("--moves hidden=x", "exponent", "x"),
        ("--moves hiden=1", "role", "hiden"),
        ("--moves hidden=1 hidden=2", "--moves", "hidden=2"),
        ("--out plane.txt", "--out", "plane.txt"),
        ("--gauge stp --prove --width 64", "width", 64),
        ("--gauge stp --prove --rate 0", "rate", 0.0),
    ],
)
def test_bad_input(refuse, wide, line, setting, value):
    refuse(f"gauge --parameterization mup {line}", setting, value)


def test_a_proof_needs_float64(float32):
    table = parameterization("mup")
    with refused("jax_enable_x64", False):
        prove_gauge(lambda table, key: None, ww.Backprop(), table, table, rate=0.1)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_places(name, optimizer):
    if name.startswith("mupc_") and optimizer == "sgd":
        return
    settings = {"optimizer": optimizer} | ({"richness": "1/4"} if name == "richness" else {})
    table = parameterization(name, **settings)
    found = place(table)
    if name == "sp":
        # theory.md A4, Adam: A2's counting.
        assert (found.verdict, found.reason) == (
            "unstable",
            f"the output changes as M^{'1' if optimizer == 'sgd' else '3/2'}",
        )
    elif name in ("ntp", "richness", "mup"):
        assert (found.verdict, found.richness) == ("stable", table.richness)
    moved = place(table.gauged({"hidden": "1/3", "output": -1}))
    # A gauge moves the place along the gauge axes alone.
    assert moved._replace(gauge=found.gauge) == found
    assert moved.gauge["hidden"] - found.gauge["hidden"] == Fraction(1, 3)
    assert moved.gauge["output"] - found.gauge["output"] == -1


def test_layers_left_behind():
    # theory.md A1: one rate of M^-1 for all layers is stable, and its first layer moves as M^-3/2.
    payload = {
        "schema_version": 1,
        "name": "own",
        "algorithm": "bp",
        "optimizer": "sgd",
        "base": {"width": 64, "depth": 8},
    }
    rows = {"input": {"c": "1"}, "hidden": {"b": "1/2", "c": "1"}, "output": {"b": "1/2", "c": "1"}}
    found = place(from_json(payload | {"roles": rows}))
    assert found.verdict == "left behind"
    assert "M^-3/2" in found.reason


def test_the_plane_is_drawn(cli, here):
    assert cli("gauge --parameterization sp --out plane.svg")[0] == 0
    drawn = (here / "plane.svg").read_text()
    assert "richness 1, unstable: the output changes as M^1" in drawn
    assert all(words in drawn for words in ("hidden weights", "output weights", "blow up", "muP", "NTP"))
