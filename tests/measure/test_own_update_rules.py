"""Optimizers that the library does not know, given by their row alone: checked, derived and swept."""

import functools

import jax
import optax
import pytest
from refusals import refused

import widthwise as ww
from widthwise.training import streams

# theory_open.md 2: sign descent scales as Adam; LARS, ||w|| g / ||g||, has degree 1 in the weight.
SIGN = ww.UpdateRule("sign", 0, 0, ("1/2", 1, "1/2"), transform=optax.scale_by_sign)
LARS = ww.UpdateRule("lars", 0, 1, ("1/2", "1/2", "-1/2"), transform=optax.scale_by_trust_ratio)
FACTS = {"sgd": (1, 0, ("-1/2", 0, "1/2")), "adam": (0, 0, ("1/2", 1, "1/2"))}


def posing(rule, as_one):
    """The same transformation under another optimizer's row."""
    return ww.UpdateRule(f"{rule.name}_as_{as_one}", *FACTS[as_one], transform=rule.transform)


def family(width, key, table):
    return ww.mlp(16, width, 3, depth=3, table=table, key=key)


def check(rule):
    table = ww.parameterization("mup", optimizer=rule)
    build = functools.partial(family, table=table)
    return ww.coordinate_check(build, ww.Backprop(), table, widths=(128, 512), seeds=8, steps=1)


def away(result):
    """How far each role's own movement is from what it should be."""
    return {
        line.quantity: abs(line.slope - line.expected) for line in result.lines if line.quantity.endswith("weights")
    }


@pytest.mark.parametrize("rule", [SIGN, LARS], ids=["sign", "lars"])
def test_a_row_of_ones_own_passes(rule):
    result = check(rule)
    assert result.passed, str(result)
    assert set(away(result)) == {"input weights", "hidden weights", "output weights"}


@pytest.mark.parametrize(
    ("rule", "as_one", "least"),
    [(SIGN, "sgd", 0.4), (LARS, "sgd", 0.3), (LARS, "adam", 0.3)],
    ids=["sign as sgd", "lars as sgd", "lars as adam"],
)
def test_another_optimizers_row_fails(rule, as_one, least):
    result = check(posing(rule, as_one))
    assert not result.passed
    assert max(away(result).values()) >= least


@pytest.mark.parametrize("rule", [SIGN, LARS], ids=["sign", "lars"])
def test_derive_finds_the_row(rule):
    found = ww.derive(family, ww.Backprop(), optimizer=rule, widths=(64, 256, 1024), seeds=6)
    right = ww.parameterization("mup", optimizer=rule)
    rates = {ww.Role(one.role): one.value for one in found.exponents if one.letter == "c"}
    assert rates == {role: right.scalings[role].letters(role)["c"] for role in rates}
    assert set(rates) == {ww.Role.INPUT, ww.Role.HIDDEN, ww.Role.OUTPUT}
    assert found.table is not None
    assert found.table.rule == rule


@pytest.mark.parametrize("rule", [SIGN, LARS], ids=["sign", "lars"])
def test_transfer_runs_it(rule):
    table = ww.parameterization("mup", optimizer=rule)
    settings = {"data": ww.data.digits().first(128), "widths": [16, 32], "seeds": 2, "steps": 8, "batch_size": 32}

    def build(width, key):
        return ww.mlp(64, width, 10, depth=3, table=table, key=key)

    result = ww.transfer(build, ww.Backprop(), table, log2_rates=(-8, -4, 1), **settings)
    by_hand = ww.train(
        build(32, streams(0).init),
        ww.Backprop(),
        settings["data"],
        rate=2.0**-5,
        steps=8,
        batch_size=32,
        optimizer=rule,
    )
    row = next(r for r in result.curves if (r["width"], r["log2_rate"], r["seed"]) == (32, -5, 0))
    assert row["optimizer"] == rule.name
    assert sum(not run["tuned"] for run in result.curves) == 20
    assert row["final_loss"] < by_hand.history["loss"][0]


def test_an_optimizer_without_a_row_says_how_to_give_one():
    built = ww.mlp(64, 8, 10, depth=2, table=ww.parameterization("mup"), key=jax.random.key(0))
    with refused("optimizer") as caught:
        ww.train(built, ww.Backprop(), ww.data.digits().first(64), rate=0.1, steps=1, optimizer=optax.sgd(0.1))
    assert "UpdateRule" in caught.value.remedy
