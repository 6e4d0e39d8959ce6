"""Measured richness by oracles: models whose features cannot move, exponents, and what no kernel describes."""

import dataclasses
from fractions import Fraction

import numpy as np
import pytest
from refusals import refused

import widthwise as ww
from widthwise.parameterizations import Power, parameterization

SMALL = {"widths": [16, 64], "seeds": 2, "steps": 4, "rate": 0.01}


def family(table, depth=3):
    return lambda width, key: ww.mlp(8, width, 3, depth=depth, activation="tanh", table=table, key=key)


def measured(table, rule=None, **settings):
    return ww.richness(family(table), ww.Backprop() if rule is None else rule, table, **SMALL | settings)


def test_a_readout_alone_is_its_own_linearization():
    # Hidden rates of 1e-40 leave a model linear in its weights: nothing but the readout moves, the kernel not at all.
    table = parameterization("ntp")
    still = Power(fan_out=Fraction(-40))
    rows = tuple((role, row if role.is_output else dataclasses.replace(row, rate=still)) for role, row in table.rows)
    found = measured(dataclasses.replace(table, rows=rows), steps=9)
    assert found.values["movement"].max() < 1e-12
    assert found.values["kernel"].max() < 1e-12
    assert found.values["distance"].max() < 1e-12
    assert found.learned.min() > 0.05


def test_richness_is_measured():
    # All r are one network at the base width; past it features move as M^(r − 1/2).
    settings = {"widths": [64, 256], "seeds": 3, "rate": 0.005}
    lazy, rich = (measured(parameterization(name), **settings) for name in ("ntp", "mup"))
    for name in lazy.values:
        np.testing.assert_allclose(lazy.values[name][0], rich.values[name][0], rtol=1e-9)
    assert lazy.richness[0] == pytest.approx(0, abs=0.1)
    assert rich.richness[0] == pytest.approx(0.5, abs=0.1)
    assert lazy.slope("distance")[0] < -0.4
    assert lazy.slope("kernel")[0] < rich.slope("kernel")[0] - 0.3
    assert "measured richness" in str(lazy)


def test_no_kernel_describes_adam():
    table = parameterization("mup", optimizer="adam")
    with refused("optimizer", "adam"):
        measured(table)


def test_no_kernel_describes_batch_normalization():
    table = parameterization("mup")
    with refused("norm", "batch"):
        ww.richness(
            lambda width, key: ww.cnn((4, 4, 1), width, 3, depth=2, norm="batch", table=table, key=key),
            ww.Backprop(), table, **SMALL,
        )  # fmt: skip


def test_widths_increase():
    with refused("widths", [64]):
        measured(parameterization("mup"), widths=[64])
