"""Tables as JSON: saved and loaded, written by hand, and refused where they contradict themselves."""

import copy
import json
from fractions import Fraction

import pytest
from hypothesis import given, settings
from parameterization.test_gauge_group import ARGUMENTS, MOVES, made
from refusals import refused

from widthwise.parameterizations import Power, Role, from_json, load, parameterization, save, to_json


@settings(max_examples=50, deadline=None)
@given(ARGUMENTS, MOVES)
def test_round_trip(arguments, moves):
    table = made(arguments)
    for one in (table, table.gauged(moves)):
        assert from_json(json.loads(json.dumps(to_json(one)))) == one


def test_round_trip_of_a_file(tmp_path):
    table = parameterization("mupc", algorithm="pc", gamma_bar=-1, optimizer="adam", gauge="mup", base_width=128)
    save(table, tmp_path / "t.json")
    assert load(tmp_path / "t.json") == table
    assert load(str(tmp_path / "t.json")) == table


def by_hand():
    """What a person writes: letters alone."""
    return {
        "schema_version": 1,
        "name": "mine",
        "algorithm": "pc",
        "optimizer": "sgd",
        "gamma_bar": "-1",
        "base": {"width": 64, "depth": 8},
        "precision": {"output": {"width": 1}},
        "roles": {
            "input": {"b": 0, "c": 0, "g": 0, "d": 0},
            "hidden": {"b": "1/2", "c": 1, "g": 0, "d": -1},
            "output": {"b": 1, "c": "2", "g": "-1", "d": -2},
            "output_bias": {"c": 1, "g": -1, "d": -1},
        },
    }


def test_written_by_hand_equals_the_named_table():
    # theory.md: PC muP gamma_bar = -1: b = (0, 1/2, 1), c = (0, 1, 2), output bias 1, g = 0 / -1; decay times
    # the rate moves against it, d = -c.
    table = from_json(by_hand())
    named = parameterization("mup", algorithm="pc", gamma_bar=-1)
    assert table.rows == named.rows


def test_written_by_hand_without_biases_scales_them_as_the_layer_beside_them():
    payload = by_hand()
    payload["roles"]["input"]["c"] = "-1/2"
    table = from_json(payload)
    for role, like in (
        (Role.HIDDEN_BIAS, Role.INPUT),
        (Role.BRANCH_BIAS, Role.INPUT),
        (Role.BRANCH, Role.HIDDEN),
    ):
        assert table.scalings[role].rate == table.scalings[like].rate


def test_biases_left_out_of_a_file_stay_outside_their_layers_multiplier():
    named = parameterization("mupc")
    payload = to_json(named)
    for role in ("hidden_bias", "branch_bias"):
        del payload["roles"][role], payload["precision"][role]
    # The input layer's multiplier 1/sqrt(D) is its own; a bias has no fan-in.
    assert from_json(payload).scalings[Role.HIDDEN_BIAS] == named.scalings[Role.HIDDEN_BIAS]


def test_written_by_hand_with_depth():
    payload = by_hand()
    payload["roles"]["branch"] = {"a": "1/2", "a_depth": "1/2", "b": 0, "c": -1}
    scaling = from_json(payload).scalings[Role.BRANCH]
    assert scaling.multiplier == Power(width=Fraction(-1, 2), depth=Fraction(-1, 2))
    assert scaling.rate == Power(width=Fraction(1))
    # std is 1/sqrt(fan_in) at the base and does not follow the width.
    size = from_json(payload).size(fan_in=256, fan_out=256, width=256, depth=8)
    assert scaling.init.at(size) == pytest.approx(1 / 8, rel=1e-15)


def test_letters_and_powers_may_not_contradict():
    payload = to_json(parameterization("mup"))
    for letter, value in (("c", "1/2"), ("b_depth", "1"), ("d", "7")):
        wrong = copy.deepcopy(payload)
        wrong["roles"]["hidden"][letter] = value
        with refused(letter, Fraction(value)):
            from_json(wrong)
        # As the message advises.
        del wrong["roles"]["hidden"]["powers"]
        assert from_json(wrong).scalings[Role.HIDDEN].letters(Role.HIDDEN)[letter] == Fraction(value)


def test_precision_and_powers_may_not_contradict():
    payload = to_json(parameterization("mup", algorithm="pc", gamma_bar=-1))
    payload["precision"]["output"]["width"] = "0"
    with refused("precision", "output"):
        from_json(payload)


def without(payload, *path):
    payload = copy.deepcopy(payload)
    inner = payload
    for key in path[:-1]:
        inner = inner[key]
    del inner[path[-1]]
    return payload


def replaced(payload, value, *path):
    payload = copy.deepcopy(payload)
    inner = payload
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return payload


@pytest.mark.parametrize(
    ("payload", "setting", "value"),
    [
        (without(by_hand(), "schema_version"), "schema_version", "table file {path}"),
        (without(by_hand(), "roles"), "roles", "table file {path}"),
        (without(by_hand(), "name"), "name", "table file {path}"),
        (without(by_hand(), "base"), "base", "table file {path}"),
        (without(by_hand(), "base", "width"), "width", "table file {path}"),
        (without(by_hand(), "roles", "hidden"), "role", "hidden"),
        (replaced(by_hand(), 2, "schema_version"), "schema version", 2),
        (replaced(by_hand(), "ff", "algorithm"), "algorithm", "ff"),
        (replaced(by_hand(), "lions", "optimizer"), "optimizer", "lions"),
        (replaced(by_hand(), "half", "output_loss"), "output_loss", "half"),
        (replaced(by_hand(), "l1", "weight_decay_kind"), "weight_decay_kind", "l1"),
        (replaced(by_hand(), 0, "base", "width"), "base size", 0),
        (replaced(by_hand(), "64", "base", "width"), "base size", "64"),
        (replaced(by_hand(), 1.5, "base", "depth"), "base size", 1.5),
        (replaced(by_hand(), True, "base", "width"), "base size", True),
        (replaced(by_hand(), "one half", "roles", "hidden", "b"), "exponent", "one half"),
        (replaced(by_hand(), "1/0", "roles", "hidden", "b"), "exponent", "1/0"),
        (replaced(by_hand(), {"widht": 1}, "precision", "output"), "power", "widht"),
        (replaced(by_hand(), [], "roles"), "table", "table file {path}"),
        (replaced(by_hand(), 3, "roles", "input"), "table", "table file {path}"),
        (replaced(by_hand(), 3, "base"), "table", "table file {path}"),
        (replaced(by_hand(), {"c": "1"}, "roles", "hiden"), "role", "hiden"),
        (replaced(by_hand(), "1", "roles", "hidden", "rate"), "entry of role 'hidden'", "rate"),
        (replaced(by_hand(), {"width": 1}, "precision", "outptu"), "role of a precision", "outptu"),
        ([], "table file", "{path}"),
        (None, "table file", "{path}"),
    ],
)
def test_bad_tables(tmp_path, payload, setting, value):
    path = tmp_path / "bad.json"
    path.write_text(json.dumps(payload))
    with refused(setting, value.format(path=path) if isinstance(value, str) else value):
        load(path)


def test_bad_files(tmp_path):
    for path in (tmp_path / "none.json", tmp_path):
        with refused("table file", path):
            load(path)
    for content in (b"{", b"", b"\xff\xfe\x00"):
        (tmp_path / "bad.json").write_bytes(content)
        with refused("table file", tmp_path / "bad.json"):
            load(tmp_path / "bad.json")


def test_json_is_strings_of_fractions():
    payload = to_json(parameterization("mup", algorithm="pc", gamma_bar=-1))
    assert payload["gamma_bar"] == "-1"
    assert payload["richness"] == "1/2"
    assert {payload["roles"]["output"][letter] for letter in "bc"} == {"1", "2"}
    assert payload["roles"]["output"]["powers"]["precision"]["width"] == "1"
    # The contract: every power also split, and each letter with its depth.
    for row in payload["roles"].values():
        assert {letter + suffix for letter in "abcgd" for suffix in ("", "_depth")} < set(row)
        for power in row["powers"].values():
            assert {"fan_in", "fan_out", "width", "depth"} <= set(power)


def test_feedback_written_by_letters_keeps_its_ridge():
    payload = to_json(parameterization("mup", algorithm="dtp"))
    for row in payload["roles"].values():
        del row["powers"]
    table = from_json(payload)
    assert table.rows == parameterization("mup", algorithm="dtp").rows
