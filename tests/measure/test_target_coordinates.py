"""The coordinate check of target propagation: its own table passes, others do not, and only it sees wrong feedback."""

import dataclasses
import functools
from fractions import Fraction

import jax
import jax.numpy as jnp
import pytest

from widthwise.algorithms import Backprop, RidgeFeedback, TargetPropagation, TiedFeedback, TrainedFeedback
from widthwise.measure import alignment, coordinate_check
from widthwise.network import mlp
from widthwise.parameterizations import Power, Role, parameterization

MUP = parameterization("mup", algorithm="dtp")
WIDTHS = (64, 256)


def check(table, rule, rate, **settings):
    def family(width, key):
        return mlp(8, width, 3, depth=4, table=table, key=key, dtype=jnp.float32, state="post")

    return coordinate_check(family, rule, table, widths=WIDTHS, rate=rate, seeds=8, **settings)


@functools.cache
def slopes(name):
    # Tied feedback aligns targets with the readout: backprop's kernel regime, theory.md C2a.
    ridge = TargetPropagation(RidgeFeedback(1e-2))
    rule = {"right": ridge, "tied": TargetPropagation(TiedFeedback())}.get(name, ridge)
    table, rate = (parameterization("sp", algorithm="dtp"), 0.001) if name == "sp" else (MUP, 0.01)
    return [line.slope for line in check(table, rule, rate).lines if not line.quantity.endswith("weights")]


def test_its_own_table_keeps_every_layer_moving():
    # Eight seeds and a smallest width of 64 leave slopes uncertain by about 0.05.
    assert slopes("right") == pytest.approx([0.0] * 7, abs=0.15)


def test_standard_parameterization_does_not():
    # The first targets are right: its inits are.
    assert slopes("sp") == pytest.approx([0.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0], abs=0.25)


def test_tied_feedback_brings_the_kernel_regime_back():
    assert slopes("tied") == pytest.approx([-0.5, -0.5, -0.5, 0.0], abs=0.15)


@pytest.mark.parametrize(
    ("role", "exponent", "expected"),
    [(None, 0, (0, 0, 0)), (Role.FEEDBACK, 0, (1, 1, 0)), (Role.FEEDBACK_OUTPUT, -1, (0, 0, -1))],
    ids=["right", "hidden", "output"],
)
def test_wrong_feedback_rates_show_in_the_feedbacks_own_movement(role, exponent, expected):
    """theory.md C2: 0 for (c_hid, c_out) = (1, 0), +1 for c_hid = 0, −1 for c_out = 1; after a few small steps."""
    rows = tuple(
        (held, dataclasses.replace(row, rate=Power(width=Fraction(exponent))) if held is role else row)
        for held, row in MUP.rows
    )
    table = dataclasses.replace(MUP, rows=rows)
    rule = TargetPropagation(TrainedFeedback(rate=1e-4, noise=0.0))
    lines = [line for line in check(table, rule, 1e-3).lines if line.quantity == "feedback"]
    assert [line.layer for line in lines] == [2, 3, 4]
    assert [line.slope for line in lines] == pytest.approx(expected, abs=0.1)
    assert [line.predicted for line in lines] == pytest.approx(expected)
    assert not any(line.passed for line in lines if line.predicted)


@pytest.mark.parametrize(
    ("rule", "table", "rate", "expected"),
    [
        (TargetPropagation(RidgeFeedback(1e-2)), MUP, 0.01, (0.5, 0.0, 0.0)),
        (TargetPropagation(TiedFeedback()), MUP, 0.01, (1.0, -0.5, 0.0)),
        (Backprop(), parameterization("ntp"), 0.05, (1.0, -0.5, 0.0)),
        (Backprop(), parameterization("mup"), 0.1, (1.0, 0.0, 0.0)),
    ],
    ids=["dtp", "tied", "bp-ntp", "bp-mup"],
)
def test_alignment_of_the_readout(rule, table, rate, expected):
    """theory.md C2, C2a: α, movement, W_L dz of DTP (.51, .02, 0), tied (.99, -.51, -.03), BP NTP (.98, -.52, -.05)."""

    def family(width, key):
        return mlp(8, width, 3, depth=4, table=table, key=key, dtype=jnp.float32, state="post")

    found = alignment(family, rule, table, rate=rate, widths=WIDTHS, seeds=8)
    quantities = ("alignment", "movement", "passed_on")
    assert [found.slope(name)[0] for name in quantities] == pytest.approx(expected, abs=0.15)
    assert str(found).startswith("widths 64 to 256: slopes of alignment")


def test_learning_feedback_takes_no_part_where_there_is_none():
    assert {line.quantity for line in check(MUP, TargetPropagation(), 0.01, steps=1).lines} == {
        "movement",
        "output",
        "error",
        "input weights",
        "hidden weights",
        "output weights",
    }
    assert jax.tree.leaves(TiedFeedback()) == []
