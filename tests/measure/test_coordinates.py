"""The coordinate check: verdicts on made-up movements, by hand on a small network, and on right and wrong tables."""

import dataclasses
import json
import math
from fractions import Fraction

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from refusals import refused

from widthwise.algorithms import Backprop, PredictiveCoding
from widthwise.inference import ErrorDescent, SequentialSweep
from widthwise.measure import CoordinateCheck, coordinate_check, probe
from widthwise.measure.check import _coordinate_check as _coordinates
from widthwise.measure.check import _expectations as _lines
from widthwise.network import mlp, residual_mlp
from widthwise.parameterizations import Power, Role, from_json, parameterization, to_json
from widthwise.sweep import jsonable
from widthwise.training import streams

HALF = Fraction(1, 2)
MUP, SP, NTP = (parameterization(name) for name in ("mup", "sp", "ntp"))


def family(table, dtype=jnp.float32, depth=3):
    """theory.md's probe: 8 inputs, 3 outputs."""
    return lambda width, key: mlp(8, width, 3, depth=depth, table=table, key=key, dtype=dtype)


def states_of(check):
    """The lines of states, without those of what one role's arrays do alone."""
    return [line for line in check.lines if line.quantity in ("movement", "output")]


# Verdicts, on movements made up.

WIDTHS = [8, 16, 32, 64]


@pytest.fixture
def verdict(monkeypatch):
    """The check's lines where the measured movements are exact power laws, seeds spread evenly around the slope."""

    def lines(slopes, *, moved=0.5, table=MUP, richness=None, spread=0.0, seeds=4):
        around = np.linspace(-1, 1, seeds)
        around = spread * around / around.std(ddof=1) * np.sqrt(seeds)  # `spread` is the standard error
        powers = (np.asarray(slopes)[None, :] + around[:, None])[:, None, :]
        now = []

        def measured(*_):
            relative = np.full((seeds, 1, len(slopes)), moved)
            return {"movement": jnp.asarray(float(now[-1]) ** powers), "relative": jnp.asarray(relative)}

        monkeypatch.setattr(_coordinates, "_measure", measured)
        settings = {"seeds": seeds, "richness": richness, "rate": 0.1, "on_width": now.append}
        return coordinate_check(family(table), Backprop(), table, widths=WIDTHS, **settings).lines

    return lines


@pytest.fixture
def passed(verdict):
    return lambda *arguments, **settings: [line.passed for line in verdict(*arguments, **settings)]


def test_a_slope_may_be_off_by_the_tolerance(verdict, passed):
    assert passed([0.049, -0.049, 0.0]) == [True, True, True]
    assert passed([0.051, 0.0, -0.051]) == [False, True, False]
    assert [line.layer for line in verdict([0, 0, 0])] == [1, 2, 3]
    assert [line.quantity for line in verdict([0, 0, 0])] == ["movement", "movement", "output"]


def test_or_by_two_standard_errors_which_must_be_small(passed):
    assert passed([0.055, 0.055, 0.055], spread=0.028) == [True] * 3
    assert passed([0.057, 0.057, 0.057], spread=0.028) == [False] * 3
    assert passed([0.0, 0.0, 0.0], spread=0.0299) == [True] * 3
    assert passed([0.0, 0.0, 0.0], spread=0.0301) == [False] * 3


def test_where_only_seeds_are_wanting_nothing_is_decided(verdict):
    def check(lines):
        return CoordinateCheck(lines, (8, 64), 4, 4, 0.1, None, None)

    vague = verdict([0.06, 0.0, 0.0], spread=0.0301)
    assert [line.uncertain for line in vague] == [True] * 3
    assert check(vague).verdicts["rates will not transfer"] is None
    assert not check(vague).passed
    assert "NOT DECIDED" in str(check(vague))
    assert "will not transfer" not in str(check(vague))
    # One that is wrong whatever its error, or stands still, decides.
    for other in (verdict([0.07, 0.0, 0.0], spread=0.0301), verdict([0.0, 0.0, 0.0], spread=0.0301, moved=0.0)):
        assert not other[0].uncertain
        assert check((other[0], *vague[1:])).verdicts["rates will not transfer"] is True
    assert not any(line.uncertain for line in verdict([0.0, 0.0, 0.0], spread=0.0299))


def test_a_network_that_does_not_move_passes_nothing(passed):
    assert passed([0, 0, 0], moved=0.0101) == [True] * 3
    assert passed([0, 0, 0], moved=0.0099) == [False] * 3
    assert passed([0, 0, 0], moved=np.nan) == [False] * 3


def test_a_network_that_moves_by_its_own_size_passes_nothing(verdict, passed):
    """theory.md C2: movements of 2 to 16 times the features scatter with either sign; a slope of them is no answer."""
    assert passed([0, 0, 0], moved=0.99) == [True] * 3
    assert passed([0, 0, 0], moved=1.0) == [False] * 3
    far = verdict([0, 0, 0], moved=339.76, spread=0.0301)
    assert not any(line.uncertain for line in far)
    told = str(CoordinateCheck(far, (8, 64), 4, 4, 500.0, None, None))
    assert "layers 1, 2, 3 move by their own size and more (layer 1 by 33976%)" in told
    assert "give a lower rate than 500" in told


def test_a_network_that_diverged_passes_nothing(passed):
    assert passed([np.nan, np.nan, np.nan]) == [False] * 3


@pytest.mark.parametrize(
    ("table", "richness", "expected"),
    [
        (MUP, None, 0.0),
        (SP, None, 0.0),
        (NTP, None, -0.5),
        (parameterization("richness", richness="1/4"), None, -0.25),
        (MUP, Fraction(1, 4), -0.25),
        (NTP, 0.5, 0.0),
    ],
)
def test_expectations_are_the_desiderata(verdict, table, richness, expected):
    lines = verdict([expected, expected, 0.0], table=table, richness=richness)
    assert [line.expected for line in lines] == [expected, expected, 0.0]
    assert all(line.passed for line in lines)


def test_predictions_come_from_the_table_and_decide_nothing(verdict, passed, monkeypatch):
    # theory.md A4: SP under SGD (-.48, .48, 1.0), which is (-1/2, 1/2, 1).
    lines = verdict([-0.5, 0.5, 1.0], table=SP)
    assert [line.predicted for line in lines] == [-0.5, 0.5, 1.0]
    assert not any(line.passed for line in lines)
    loaded = from_json(to_json(SP) | {"name": "mine"})
    assert [line.predicted for line in verdict([0, 0, 0], table=loaded)] == [-0.5, 0.5, 1.0]
    assert passed([0, 0, 0], table=SP) == [True] * 3
    nine = {name: Fraction(9) for name in ("first", "hidden", "output")}
    monkeypatch.setattr(_lines, "predicted_slopes", lambda *_, **__: nine)
    assert passed([0.0, 0.5, 0.0], table=SP) == [True, False, True]


def test_the_three_verdicts_by_name(verdict):
    names = ["rates will not transfer", "inference unstable", "kernel regime"]

    def given(slopes, table=MUP, errors=(), **settings):
        lines = verdict(slopes, table=table)
        lines += tuple(dataclasses.replace(lines[0], quantity="error", slope=slope) for slope in errors)
        found = CoordinateCheck(lines, (8, 64), 4, 4, 0.1, **({"output_precision": None, "curvature": None} | settings))
        assert list(found.verdicts) == names
        assert found.to_json()["verdicts"] == found.verdicts
        told = [name for name in names if name in str(found)]
        assert told == [name for name, value in found.verdicts.items() if value]
        return list(found.verdicts.values())

    assert given([0, 0, 0]) == [False, None, False]
    # A right table of richness 0 passes every line, and is in the kernel regime; one that learns nothing is not.
    assert given([-0.5, -0.5, 0], NTP) == [False, None, True]
    assert given([-1.5, -0.5, -0.5], SP) == [True, None, False]
    assert given([-0.25, -0.25, 0], parameterization("richness", richness="1/4")) == [False, None, False]
    # theory.md B2: ‖C‖ stays where gamma_bar is -1 (3.9 to 3.0) and grows under SP there (248 to 12440).
    assert given([0, 0, 0], curvature=(3.9, 3.0), output_precision=1.0, residual=0.01) == [False, False, False]
    assert given([0, 0, 0], curvature=(248.0, 12440.0), output_precision=1.0) == [False, True, False]
    assert given([0, 0, 0], curvature=(3.9, 3.0), output_precision=1.0, residual=math.nan) == [False, True, False]
    assert given([0, 0, 0], curvature=(3.9, 3.0), output_precision=1.0, residual=7.0) == [False, True, False]
    # Targets.
    assert given([0, 0, 0], errors=(0.05, 0.0)) == [False, False, False]
    assert given([0, 0, 0], errors=(0.0, 0.5)) == [False, True, False]
    assert given([0, 0, 0], errors=(0.0, math.nan)) == [False, True, False]


# One small check, by hand.


def test_movement_by_hand():
    steps, rate, sizes = 3, 0.5, (8, 24)
    check = coordinate_check(family(MUP, jnp.float64), Backprop(), MUP, widths=sizes, seeds=2, steps=steps, rate=rate)
    rates = {width: [rate * width / 64, rate, rate * 64 / width] for width in sizes}  # c = (-1, 0, 1)
    movement, relative = np.zeros((2, 2, 3)), np.zeros((2, 3))

    def states(matrices, x):
        z = [x @ matrices[0].T]
        for matrix in matrices[1:]:
            z.append(jnp.tanh(z[-1]) @ matrix.T)
        return z

    def rms(a):
        return np.sqrt(np.mean(np.asarray(a) ** 2))

    for column, width in enumerate(sizes):
        for seed in range(2):
            built = family(MUP, jnp.float64)(width, streams(seed).init)
            batch = probe(built, streams(seed).order, jnp.float64)
            assert batch.x.shape == (8, 8)
            first = matrices = [leaf[0] for leaf in jax.tree.leaves(eqx.filter(built.network, eqx.is_inexact_array))]
            for _ in range(steps):
                gradient = jax.grad(lambda m, b=batch: jnp.sum((states(m, b.x)[-1] - b.y) ** 2) / 2 / 8)(matrices)
                pairs = zip(matrices, rates[width], gradient, strict=True)
                matrices = [m - step * g for m, step, g in pairs]
            before, after = states(first, batch.x), states(matrices, batch.x)
            residual = rms(batch.y - before[-1])
            moved = np.array([rms(b - a) for a, b in zip(before, after, strict=True)])
            movement[seed, column] = moved / residual
            if column == 0:
                relative[seed] = moved / [rms(before[0]), rms(before[1]), residual]
    slopes = np.log(movement[:, 1] / movement[:, 0]) / np.log(3)
    assert [line.slope for line in states_of(check)] == pytest.approx(slopes.mean(axis=0).tolist(), abs=1e-9)
    error = np.abs(slopes[0] - slopes[1]) / 2
    assert [line.se for line in states_of(check)] == pytest.approx(error.tolist(), abs=1e-9)
    assert [line.movement_min for line in states_of(check)] == pytest.approx(relative.mean(axis=0).tolist(), rel=1e-9)


def test_adams_movement_is_not_divided_by_the_residual():
    """One step of Adam is the gradient's sign; c = (0, 1), two layers, by hand."""
    table, rate, sizes = parameterization("mup", optimizer="adam"), 0.01, (16, 48)
    build = family(table, jnp.float64, depth=2)
    check = coordinate_check(build, Backprop(), table, widths=sizes, seeds=2, steps=1, rate=rate, epsilon=1e-30)
    moved = np.zeros((2, 2, 2))
    for column, width in enumerate(sizes):
        for seed in range(2):
            built = build(width, streams(seed).init)
            x, y = probe(built, streams(seed).order, jnp.float64)
            v, w = (leaf[0] for leaf in jax.tree.leaves(eqx.filter(built.network, eqx.is_inexact_array)))
            dv, dw = jax.grad(lambda v, w, x=x, y=y: jnp.sum((jnp.tanh(x @ v.T) @ w.T - y) ** 2), (0, 1))(v, w)
            after = v - rate * jnp.sign(dv), w - rate * 64 / width * jnp.sign(dw)
            change = x @ (after[0] - v).T, jnp.tanh(x @ after[0].T) @ after[1].T - jnp.tanh(x @ v.T) @ w.T
            moved[seed, column] = [float(jnp.sqrt(jnp.mean(c**2))) for c in change]
    slopes = np.log(moved[:, 1] / moved[:, 0]) / np.log(3)
    assert [line.slope for line in states_of(check)] == pytest.approx(slopes.mean(axis=0).tolist(), abs=1e-9)


def test_the_chosen_rate_is_the_least_that_moves_every_layer():
    def least(rate):
        settings = {"widths": (16, 24), "seeds": 4, "steps": 2}
        check = coordinate_check(family(MUP), Backprop(), MUP, rate=rate, **settings)
        return check.rate, min(line.movement_min for line in states_of(check))

    rate, moved = least(None)
    assert moved >= _coordinates.AIMED_MOVEMENT
    assert np.log2(rate) * 2 == pytest.approx(round(np.log2(rate) * 2), abs=1e-12)
    assert least(rate / np.sqrt(2))[1] < _coordinates.AIMED_MOVEMENT


# Real checks.

REAL = {"widths": (64, 128, 256), "rate": 0.044}


def test_a_right_table_passes():
    check = coordinate_check(family(MUP), Backprop(), MUP, seeds=16, **REAL)
    assert check.passed, str(check)
    assert (check.rate, check.output_precision, check.curvature) == (0.044, None, None)
    payload = json.loads(json.dumps(jsonable(check.to_json()), allow_nan=False))
    assert payload["passed"] is True
    assert set(payload["verdicts"].values()) == {False, None}
    keys = {"quantity", "layer", "slope", "se", "expected", "predicted", "movement_min", "movement_max", "passed"} | {
        "uncertain"
    }
    # Two hidden layers and the output, and three roles of weights.
    assert [set(line) for line in payload["lines"]] == [keys] * 6
    assert {"lines", "rate", "output_precision", "passed"} <= set(payload)
    assert "passed" in str(check).splitlines()[-1]


def test_a_wrong_table_fails_by_far():
    check = coordinate_check(family(SP), Backprop(), SP, seeds=4, **(REAL | {"rate": 0.005}))
    assert not check.passed
    # theory.md A4: the first layer slows down as M^-1/2, the output runs away as M (until tanh saturates).
    assert check.lines[0].slope < -0.4
    assert check.lines[2].slope > 0.4
    assert not check.lines[0].passed
    assert not check.lines[2].passed
    assert "FAILED" in str(check)


def test_a_network_that_hardly_moves_fails_though_its_slopes_are_right():
    settings = {"widths": (16, 32), "seeds": 2, "rate": 1e-7}
    check = coordinate_check(family(MUP, jnp.float64), Backprop(), MUP, **settings)
    assert not any(line.passed for line in states_of(check))
    assert all(0 < line.movement_min < 1e-4 for line in states_of(check))


def test_predictive_coding_records_precision_and_curvature():
    table = parameterization("mup", algorithm="pc")
    rule = PredictiveCoding(ErrorDescent(iterations=2), output_precision=0.25)
    build = family(table, jnp.float64, depth=2)
    check = coordinate_check(build, rule, table, widths=(16, 32), seeds=2, steps=1, rate=0.1)
    assert check.output_precision == 0.25
    assert all(value > 0 for value in check.curvature)


def test_errors_and_biases_have_lines_of_their_own():
    """Hidden precisions ~ M^(1/2) and a hidden weight's rate for biases, which the movement of the layers hides.

    theory.md B1, B4: e_l = (γ_L/γ_l) W^T (y − f) under FPA, M^-1 at γ_l = 1; γ_l e_l, and so what learns, stays.
    """
    table = parameterization("mup", algorithm="pc")
    wrong = {
        Role.INPUT: {"precision": Power(width=HALF)},
        Role.HIDDEN: {"precision": Power(width=HALF)},
        Role.HIDDEN_BIAS: {"rate": Power()},
    }
    rows = tuple((role, dataclasses.replace(row, **wrong.get(role, {}))) for role, row in table.rows)
    table = dataclasses.replace(table, rows=rows)
    rule = PredictiveCoding(SequentialSweep(), fixed_prediction=True)

    def build(width, key):
        return mlp(8, width, 3, depth=3, bias=True, table=table, key=key)

    check = coordinate_check(build, rule, table, widths=(32, 256), seeds=8, steps=1, rate=0.05)
    lines = {(line.quantity, line.layer): line for line in check.lines}
    expected = {
        ("error", 1): (-1, -3 * HALF),
        ("error", 2): (-1, -3 * HALF),
        ("hidden_bias", 1): (0, -1),
        ("output_bias", 3): (0, 0),
        ("output", 3): (0, 0),
    }
    for name, (right, predicted) in expected.items():
        assert (lines[name].expected, lines[name].predicted) == (right, predicted)
        assert lines[name].slope == pytest.approx(float(predicted), abs=0.15), name
        assert right == predicted or not lines[name].passed
    # One step moves it by the rate times the mean residual, at every width and seed.
    assert (lines["output_bias", 3].slope, lines["output_bias", 3].se) == pytest.approx((0, 0), abs=1e-12)
    assert not check.passed


def test_over_depth_the_ends_have_lines():
    """Constant Adam: theory.md D2, first layer 0, last hidden .64, output .57 over 4 to 64 layers; 1/2 by exponents."""
    table = parameterization("mupc_constant", optimizer="adam")

    def build(depth, key):
        return residual_mlp(8, 32, 3, depth=depth, table=table, key=key, dtype=jnp.float32)

    check = coordinate_check(build, Backprop(), table, depths=(8, 32), seeds=4, rate=0.002)
    assert [(line.quantity, line.layer) for line in check.lines] == [("movement", 1), ("movement", 7), ("output", 8)]
    assert [line.predicted for line in check.lines] == [0, 0.5, 0.5]
    assert [line.expected for line in check.lines] == [0, 0, 0]
    assert [line.slope for line in check.lines] == pytest.approx([0, 0.55, 0.5], abs=0.2)
    assert (check.axis, check.verdicts["kernel regime"]) == ("depth", None)
    assert "rates will not transfer over depth" in str(check)


def test_networks_of_another_table_are_refused():
    with refused("table", "sp"):
        coordinate_check(family(MUP), Backprop(), SP, widths=(8, 16))
    other = MUP.in_gauge("rescaling")
    with refused("table", "mup") as error:
        coordinate_check(family(MUP), Backprop(), other, widths=(8, 16))
    assert "rescaling" in error.value.problem


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("widths", [64]),
        ("widths", []),
        ("widths", [128, 64]),
        ("widths", [64, 64]),
        ("widths", [0, 64]),
        ("depths", [8]),
        ("depths", [2, 8]),
        ("seeds", 1),
        ("steps", 0),
        ("rate", 0.0),
        ("rate", -1.0),
        ("rate", float("nan")),
        ("rate", float("inf")),
    ],
)
def test_refuses(setting, value):
    with refused(setting, value):
        coordinate_check(family(MUP), Backprop(), MUP, **({"widths": (8, 16), "seeds": 2} | {setting: value}))
