"""Optimizers as rows: exponents by the spectral condition, worked out by hand or measured on matrices with numpy."""

from fractions import Fraction

import numpy as np
import pytest
from refusals import refused

from widthwise import UpdateRule, parameterization
from widthwise.parameterizations import OPTIMIZERS, UPDATE_RULES, Role, from_json, to_json, update_rule

HALF = Fraction(1, 2)
# theory_open.md 2, the table: facts, and c of (input, hidden, output) under muP and backprop.
ROWS = {
    "sgd": ((1, 0, (-HALF, 0, HALF)), (-1, 0, 1)),
    "adam": ((0, 0, (HALF, 1, HALF)), (0, 1, 1)),
    "lion": ((0, 0, (HALF, 1, HALF)), (0, 1, 1)),
    "rmsprop": ((0, 0, (HALF, 1, HALF)), (0, 1, 1)),
    "muon": ((0, 0, (0, 0, 0)), (-HALF, 0, HALF)),
}
OWN = {
    "lars": ((0, 1, (HALF, HALF, -HALF)), (0, HALF, 0)),
    "one_sided": ((HALF, 0, ("-1/4", 0, "1/4")), (Fraction(-3, 4), 0, Fraction(3, 4))),
    "kfac": ((-1, 0, (HALF, 0, -HALF)), (0, 0, 0)),
}
WEIGHTS = (Role.INPUT, Role.HIDDEN, Role.OUTPUT)


def rule_of(name):
    return UPDATE_RULES[name] if name in UPDATE_RULES else UpdateRule(name, *OWN[name][0])


def rates(table, roles=WEIGHTS):
    return tuple(table.scalings[role].letters(role)["c"] for role in roles)


def test_the_rows_are_the_theorys():
    assert {
        name: (rule.gradient_degree, rule.weight_degree, rule.aligned_norm) for name, rule in UPDATE_RULES.items()
    } == {name: facts for name, (facts, _) in ROWS.items()}
    assert set(OPTIMIZERS) == set(ROWS)


@pytest.mark.parametrize("name", [*ROWS, *OWN])
@pytest.mark.parametrize("gamma_bar", [0, "-1/2", -1])
def test_rates_under_backprop_and_predictive_coding(name, gamma_bar):
    facts, right = (ROWS | OWN)[name]
    # theory.md B2: PC's gradients are M^k of backprop's, k = min(-gamma_bar, 2 r); an update of degree q grows by q k.
    k = min(-Fraction(gamma_bar), Fraction(1))
    table = parameterization("mup", algorithm="pc", gamma_bar=gamma_bar, optimizer=rule_of(name))
    assert rates(table) == tuple(c + Fraction(facts[0]) * k for c in right)


@pytest.mark.parametrize("name", [*ROWS, *OWN])
@pytest.mark.parametrize("role", ["input", "hidden", "output"])
def test_gauge_moves_follow_the_degrees(name, role):
    # W = m w: a factor moved from m to w makes gradients smaller and weights larger, so c moves by 1 + q - p.
    q, p, _ = (ROWS | OWN)[name][0]
    table = parameterization("mup", optimizer=rule_of(name))
    before, after = (
        held.scalings[Role(role)].letters(Role(role))["c"] for held in (table, table.gauged({role: "1/3"}))
    )
    assert after - before == -(1 + Fraction(q) - Fraction(p)) * Fraction(1, 3)


def test_vectors_of_muon_are_adams():
    vectors = [role for role in Role if role.is_bias or role.is_norm]
    for name in ("mup", "mupc"):
        muon, adam = (parameterization(name, optimizer=optimizer) for optimizer in ("muon", "adam"))
        assert all(muon.scalings[role] == adam.scalings[role] for role in vectors)


def test_muon_over_depth_scales_as_adam():
    # theory_open.md 2: rate also times 1/(a L) / a^q, a = L^(-1/2) in a branch, so L^(-1/2) where q = 0.
    for name in ("muon", "adam", "lion"):
        row = parameterization("mupc", optimizer=name).scalings[Role.BRANCH]
        assert row.rate.depth == -HALF


def direction(name, gradient, weight):
    """The update of each optimizer by its definition."""
    if name == "sgd":
        return gradient
    if name == "sign":
        return np.sign(gradient)
    if name == "muon":
        left, values, right = np.linalg.svd(gradient, full_matrices=False)
        return left @ np.diag((values > 1e-9 * values.max()).astype(float)) @ right
    return gradient * np.linalg.norm(weight) / np.linalg.norm(gradient)


@pytest.mark.parametrize("name", ["sgd", "sign", "muon", "lars"])
@pytest.mark.parametrize("targets", [False, True])
def test_layers_of_any_two_widths_move_as_their_states(name, targets):
    # Rate times spectral norm is sqrt(fan_out / fan_in), whatever the two widths: measured on matrices of rank one.
    rule = {"sign": UPDATE_RULES["adam"], "lars": UpdateRule("lars", *OWN["lars"][0])}.get(name) or UPDATE_RULES[name]
    algorithm = "tp" if targets else "bp"
    row = parameterization("mup", algorithm=algorithm, optimizer=rule).scalings[Role.HIDDEN]
    found = []
    for fan_in, fan_out in ((64, 64), (256, 64), (64, 256), (512, 1024)):
        draw = np.random.default_rng(0)
        # Entries of the states' gradient: 1/fan_out under backprop, of order one where targets come down.
        delta = draw.choice([-1.0, 1.0], fan_out) / (1 if targets else fan_out)
        gradient = np.outer(delta, draw.choice([-1.0, 1.0], fan_in))
        weight = draw.normal(size=(fan_out, fan_in)) / np.sqrt(fan_in)
        size = parameterization("mup").size(fan_in=fan_in, fan_out=fan_out, width=fan_in, depth=3)
        norm = np.linalg.norm(direction(name, gradient, weight), 2)
        found.append(row.rate.at(size) * norm / np.sqrt(fan_out / fan_in))
    np.testing.assert_allclose(found, found[0], rtol=0.03)


def test_an_own_row_survives_its_file():
    rule = UpdateRule("lars", *OWN["lars"][0], vectors=UpdateRule("plain", 1, 0, (-HALF, 0, HALF)))
    table = parameterization("mup", optimizer=rule)
    read = from_json(to_json(table))
    assert read == table
    assert read.rule.of(Role.HIDDEN_BIAS).name == "plain"
    assert "update_rule" not in to_json(parameterization("mup", optimizer="muon"))


def test_rows_that_cannot_be():
    with refused("aligned_norm", ("1/2", 1)):
        UpdateRule("mine", 0, 0, ("1/2", 1))
    with refused("optimizer", "mine"):
        parameterization("mup", optimizer="mine")
    with refused("optimizer"):
        update_rule(UpdateRule("adam", 1, 0, ("1/2", 1, "1/2")))
    with refused("optimizer", "adam"):
        update_rule(UpdateRule("adam", 0, 0, ("1/2", 1, "1/2"), transform=lambda: None))
    with refused("name", ""):
        UpdateRule("", 0, 0, (0, 0, 0))
    payload = to_json(parameterization("mup", optimizer=UpdateRule("lars", *OWN["lars"][0])))
    with refused("update_rule", "lars"):
        from_json(payload | {"optimizer": "other"})
