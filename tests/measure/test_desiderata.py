"""The desiderata: signal flow by hand, the stable family, and neighbours that fail where counting says."""

import dataclasses
from fractions import Fraction

import jax
import numpy as np
import pytest
from refusals import refused

import widthwise as ww
from widthwise.measure import probe
from widthwise.network import calibrated, forward
from widthwise.parameterizations import Power, Role, parameterization
from widthwise.training import streams

# Far from the base, every exponent shows.
SETTINGS = {"widths": [64, 512], "seeds": 8}


def family(table, activation="tanh", depth=3):
    return lambda width, key: ww.mlp(8, width, 3, depth=depth, activation=activation, table=table, key=key)


def measured(table, rule=None, **settings):
    rule = ww.Backprop() if rule is None else rule
    return ww.desiderata(family(table), rule, table, **SETTINGS | settings)


def spoiled(table, role, **powers):
    """A table with one role's entries times powers of width."""
    rows = dict(table.rows)
    changes = {name: getattr(rows[role], name) * Power(width=Fraction(power)) for name, power in powers.items()}
    rows[role] = dataclasses.replace(rows[role], **changes)
    return dataclasses.replace(table, rows=tuple(rows.items()))


def rms(array):
    return np.sqrt(np.mean(np.square(array)))


def check_slopes(found, by_hand, widths):
    """Every line's slope and its error are those of `by_hand(width, seed)`, a list a quantity."""
    values = [[by_hand(width, seed) for seed in range(2)] for width in widths]
    for quantity in values[0][0]:
        logs = np.log([[one[quantity] for one in seeds] for seeds in values])
        slopes = (logs[1] - logs[0]) / np.log(widths[1] / widths[0])
        lines = [line for line in found.lines if line.quantity == quantity]
        np.testing.assert_allclose([line.slope for line in lines], slopes.mean(axis=0), atol=1e-9, err_msg=quantity)
        errors = np.abs(slopes[0] - slopes[1]) / 2
        np.testing.assert_allclose([line.se for line in lines], errors, atol=1e-9, err_msg=quantity)
    return set(values[0][0])


def test_signal_flow_by_hand():
    # Three linear layers: gradients, their first update and every part of what it does, written out.
    table, widths = parameterization("mup", base_width=4), [16, 48]

    def by_hand(width, seed):
        built = family(table, "linear")(width, streams(seed).init)
        x, y = map(np.asarray, probe(built, streams(seed).order, np.dtype(float)))
        stages = [segment.stages.linear for segment in built.network.segments]
        A, B, C = (stage.multiplier * np.asarray(stage.weight)[0] for stage in stages)
        h1, h2 = x @ A.T, x @ A.T @ B.T
        f = h2 @ C.T
        r = (y - f) / len(x)
        rates = [row.rate for row in jax.tree.leaves(built.scalings)]
        dA, dB, dC = (
            rate * step for rate, step in zip(rates, ((r @ C @ B).T @ x, (r @ C).T @ h1, r.T @ h2), strict=True)
        )
        m1 = x @ dA.T
        m2 = h1 @ dB.T + m1 @ B.T
        mf = h2 @ dC.T + m2 @ C.T
        return {
            "start": [rms(h1), rms(h2)],
            "start, output": [rms(f)],
            "movement": [rms(m1) / rms(y - f), rms(m2) / rms(y - f)],
            "own": [rms(h1 @ dB.T) / rms(m2), rms(h2 @ dC.T) / rms(mf)],
            "passed on": [rms(m1 @ B.T @ C.T) / rms(mf), rms(m2 @ C.T) / rms(mf)],
            "output": [rms(mf) / rms(y - f)],
        }

    found = ww.desiderata(family(table, "linear"), ww.Backprop(), table, widths=widths, seeds=2)
    assert check_slopes(found, by_hand, widths) == {line.quantity for line in found.lines}


def test_batch_normalization_has_the_statistics_of_the_probe():
    table, widths = parameterization("mup", base_width=2), [4, 12]

    def build(width, key):
        return ww.cnn((4, 4, 1), width, 3, depth=2, norm="batch", table=table, key=key)

    def by_hand(width, seed):
        built = build(width, streams(seed).init)
        x = probe(built, streams(seed).order, np.dtype(float)).x
        *hidden, (out,) = forward(calibrated(built.network, x), x)
        assert rms(out) != pytest.approx(rms(built.network(x)), rel=0.01), "the statistics matter here"
        return {"start": [rms(h) for h in hidden], "start, output": [rms(out)]}

    check_slopes(ww.desiderata(build, ww.Backprop(), table, widths=widths, seeds=2), by_hand, widths)


@pytest.mark.parametrize(("r", "optimizer"), [("0", "sgd"), ("1/4", "sgd"), ("1/2", "sgd"), ("1/2", "adam")])
def test_the_family_passes(r, optimizer):
    table = parameterization("richness", richness=r, base_width=1, optimizer=optimizer)
    found = measured(table)
    assert found.passed, str(found)
    assert found.richness == pytest.approx(float(Fraction(r)), abs=0.1)
    assert "passed: a stable table" in str(found)


# theory.md A2 by one exponent: which lines a wrong one reaches, and by how much.
WRONG = [
    (Role.INPUT, {"rate": "-1/4"}, "passed on", 1, -0.25),
    (Role.INPUT, {"rate": "1/4"}, "output", 3, 0.25),
    (Role.HIDDEN, {"rate": "-1/4"}, "own", 2, -0.25),
    (Role.OUTPUT, {"rate": "-1/4"}, "own", 3, -0.25),
    (Role.OUTPUT, {"init": "1/2"}, "start, output", 3, 0.25),
    (Role.INPUT, {"init": "1/4"}, "start", 1, 0.25),
]


@pytest.mark.parametrize(("role", "powers", "quantity", "layer", "slope"), WRONG)
def test_one_wrong_exponent_fails_its_line(role, powers, quantity, layer, slope):
    table = spoiled(parameterization("richness", richness="1/4", base_width=1), role, **powers)
    found = measured(table)
    (line,) = [line for line in found.lines if (line.quantity, line.layer) == (quantity, layer)]
    assert not line.passed
    # Parts of a sum reach their power from inside: by half at least.
    assert np.sign(line.slope) == np.sign(slope)
    assert abs(slope) / 2 <= abs(line.slope) <= abs(slope) + 0.1
    assert not found.passed


def test_beyond_the_rich_end_representations_blow_up():
    table = parameterization("mup", base_width=1)
    for role, powers in (
        (Role.INPUT, {"rate": "1/2"}),
        (Role.HIDDEN, {"rate": "1/2"}),
        (Role.OUTPUT, {"init": "-1/4"}),
    ):
        table = spoiled(table, role, **powers)
    # r = 3/4: b_L = 5/4, c = (-3/2, -1/2, 1).
    found = measured(table)
    moved = [line for line in found.lines if line.quantity == "movement"]
    assert not any(line.passed for line in moved)
    assert [line.slope for line in moved] == pytest.approx([0.25, 0.25], abs=0.1)


@pytest.mark.parametrize(
    ("setting", "value"),
    [("widths", [8]), ("widths", [8, 4]), ("seeds", 1)],
)
def test_bad_settings(setting, value):
    with refused(setting, value):
        measured(parameterization("mup"), **{setting: value})


def test_another_table_is_refused():
    with refused("table", "mup"):
        ww.desiderata(family(parameterization("ntp")), ww.Backprop(), parameterization("mup"), **SETTINGS)


def test_pretraining_is_refused():
    table = parameterization("mup", algorithm="dtp")
    rule = ww.TargetPropagation(ww.TrainedFeedback(pretrain=2))
    with refused("pretraining", 2):
        measured(table, rule)
