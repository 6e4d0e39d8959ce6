"""`transfer` from Python: both axes, what it returns and writes, and what it refuses."""

import json
import math
import warnings

import jax
import jax.numpy as jnp
import pytest
from refusals import refused
from training.toys import from_table, gap, toy, weights

import widthwise as ww
from widthwise.algorithms import Backprop, PredictiveCoding, TargetPropagation, TrainedFeedback
from widthwise.inference import ActivityDescent, Automatic, ErrorDescent
from widthwise.network import mlp, residual_mlp
from widthwise.parameterizations import parameterization
from widthwise.sweep import Group, RunStore, Training, grid, run_sweep, transfer, warn_unsettled
from widthwise.training import UnsettledWarning, evaluated, examples, streams, train

TABLE = parameterization("mup", base_width=8)
DEEP = parameterization("depth_mup", base_width=8, base_depth=4)
SHORT = {"log2_rates": (-3, -1, 1), "seeds": 2, "steps": 3, "batch_size": 8}
CURVE = {
    "algorithm",
    "parameterization",
    "optimizer",
    "width",
    "depth",
    "gamma_bar",
    "output_precision",
    "log2_rate",
    "log2_activity_rate",
    "tuned",
    "seed",
    "first_loss",
    "final_loss",
    "train_accuracy",
    "test_loss",
    "test_accuracy",
    "diverged",
    "residual_median",
    "iterations_median",
}
SUMMARY = {
    "algorithm",
    "parameterization",
    "optimizer",
    "axis",
    "sizes",
    "optimum_log2",
    "optimum_se",
    "at_cliff",
    "at_edge",
    "largest_stable_log2",
    "drift_octaves_per_doubling",
    "drift_se",
    "stable_drift",
    "stable_open",
    "tuned_log2",
    "cost",
    "cost_se",
    "cost_diverged",
    "extrapolated",
    "verdict",
    "why",
    "seeds_to_decide",
    "transfers_from",
    "transfers",
}


def wide(width, key):
    return from_table(TABLE, width=width, depth=2, seed=int(jax.random.key_data(key)[-1]), bias=False)


def deep(depth, key):
    return residual_mlp(6, 8, 3, depth=depth, table=DEEP, key=key)


def refuse_constant(name):
    raise AssertionError(f"{name} is not JSON")


def test_over_widths(tmp_path):
    told = []
    result = transfer(wide, Backprop(), TABLE, data=toy(), widths=[12, 8], on_runs=told.extend, **SHORT)
    assert [(row["width"], row["seed"], row["log2_rate"]) for row in result.curves] == [
        (width, seed, rate) for width in (8, 12) for seed in (0, 1) for rate in (-3.0, -2.0, -1.0)
    ]
    assert [row["final_loss"] for row in told] == [row["final_loss"] for row in result.curves]
    page = result.write(tmp_path / "out")
    assert page == tmp_path / "out" / "report.html"
    stored = json.loads((tmp_path / "out" / "transfer.json").read_text(), parse_constant=refuse_constant)
    assert stored["curves"] == result.curves
    assert [set(row) for row in stored["curves"]] == [CURVE] * 12
    (summary,) = stored["summary"]
    assert set(summary) >= SUMMARY
    assert (summary["axis"], summary["sizes"]) == ("width", [8, 12])
    # Of three rates the largest is the best at the smallest size: the grid's end.
    assert summary["at_edge"][0]
    assert result.transfers is False
    assert summary["decided"] is False
    assert stored["tables"]["bp mup sgd"]["name"] == "mup"
    text = result.summary()
    assert "bp, mup, sgd, by width" in text
    assert "Whether it transfers is not decided: at 8" in text
    result.plot(tmp_path / "figure.svg")
    assert (tmp_path / "figure.svg").read_text().startswith("<?xml")


def test_over_depths():
    result = transfer(deep, Backprop(), DEEP, data=toy(), depths=(3, 5), **(SHORT | {"seeds": 1}))
    assert [(row["depth"], row["width"]) for row in result.curves] == [(3, 8)] * 3 + [(5, 8)] * 3
    assert result.payload["summary"][0]["axis"] == "depth"
    assert result.payload["summary"][0]["sizes"] == [3, 5]


@pytest.mark.parametrize(
    ("settings", "setting", "value"),
    [
        ({"widths": [8], "depths": [3]}, "build", "(width, key)"),
        ({}, "widths", None),
        ({"widths": []}, "sizes", 0),
        ({"widths": [0]}, "widths", 0),
        ({"widths": [8], "log2_rates": [0, 1, 3]}, "log2 rates", [0, 1, 3]),
        ({"widths": [8], "log2_rates": "wide"}, "log2 rates", "wide"),
        ({"widths": [8], "log2_rates": 0.5}, "log2 rates", 0.5),
        ({"widths": [8], "log2_rates": [-126.5, -125.5]}, "log2 rates", (-126.5, -125.5, 1.0)),
        ({"widths": [8], "seeds": 0}, "seeds", 0),
        ({"widths": [8], "seeds": -1}, "seeds", -1),
        ({"widths": [8], "steps": 0}, "steps", 0),
        ({"widths": [8], "log2_rates": (1, -1, 1)}, "log2 rates", (1, -1, 1)),
        ({"widths": [8], "log2_rates": (math.nan, 1, 1)}, "log2 rates", (math.nan, 1, 1)),
        ({"widths": [8], "log2_rates": (0, 1, 0)}, "log2 rates", (0, 1, 0)),
        ({"widths": [8], "batch_size": 41}, "batch_size", 41),
        ({"widths": [8], "decay": "lineal"}, "schedule", "lineal"),
    ],
)
def test_refuses(settings, setting, value):
    with refused(setting, value):
        transfer(wide, Backprop(), TABLE, data=toy(), **(SHORT | settings))


def test_finished_groups_are_read_back(tmp_path):
    labels = {"algorithm": "bp", "parameterization": "mup", "optimizer": "sgd", "depth": 2}
    built = []

    def group(width):
        def build(key):
            built.append(width)
            return wide(width, key)

        return Group(build, Backprop(), TABLE, labels | {"width": width})

    def sweep(widths, home):
        with RunStore.open(home, kind="transfer", spec={"any": 1}) as store:
            groups, training = [group(width) for width in widths], Training(steps=3, batch_size=8)
            return run_sweep(groups, toy(), training, [-2.0, -1.0], 2, axis="width", settings={}, store=store).curves

    whole = sweep([8, 12], tmp_path / "whole")
    part = sweep([8], tmp_path / "part")
    records = (tmp_path / "part" / "records.jsonl").read_bytes()
    built.clear()
    resumed = sweep([8, 12], tmp_path / "part")
    assert set(built) == {12}
    assert (tmp_path / "part" / "records.jsonl").read_bytes().startswith(records)
    assert resumed == whole
    assert resumed[:4] == part


def test_feedback_learns_in_a_sweep_as_it_does_alone():
    table = parameterization("mup", algorithm="dtp", base_width=8)

    def build(width, key):
        return mlp(6, width, 3, depth=3, table=table, key=key, state="post")

    rule = TargetPropagation(TrainedFeedback(optimizer="adam", rate=0.01, pretrain=1))
    result = transfer(build, rule, table, data=toy(), widths=[8, 12], **SHORT)
    row = next(row for row in result.curves if (row["width"], row["seed"], row["log2_rate"]) == (12, 1, -2.0))
    alone = train(build(12, streams(1).init), rule, toy(), rate=0.25, steps=3, batch_size=8, seed=1)
    loss, _ = evaluated(alone.network, examples(toy(), "train", jnp.float64), ww.mse)
    assert row["final_loss"] == pytest.approx(loss, rel=1e-12)
    # Its first step is the feedback's alone: three steps train the network twice.
    other = train(build(12, streams(1).init), rule, toy(), rate=0.25, steps=2, batch_size=8, seed=1)
    start = weights(build(12, streams(1).init).network)
    assert gap(weights(other.network), start) > 0
    lone = TargetPropagation(TrainedFeedback(pretrain=3))
    with refused("steps", 3):
        transfer(build, lone, table, data=toy(), widths=[8, 12], **SHORT)


@pytest.mark.parametrize("ends", [(-2000, -1999), (2000, 2001)])
def test_rates_that_no_float_holds_are_refused(ends):
    with refused("log2 rates", (*ends, 1)):
        grid(*ends, 1)


def test_a_few_unsettled_runs_are_named_by_auto_alone():
    group = Group(wide, PredictiveCoding(ErrorDescent()), TABLE, {})
    auto = Group(wide, PredictiveCoding(Automatic()), TABLE, {})
    # One run in forty, then three.
    settled, left = {"diverged": False, "residual_median": 1e-3, "settled": 1.0}, {"diverged": False, "settled": 0.5}
    for groups, count, warned in (([group], 1, 0), ([group], 3, 1), ([auto], 1, 1)):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            warn_unsettled(groups, [settled] * (40 - count) + [left] * count)
        assert len(caught) == warned


@pytest.mark.parametrize("relaxation", [Automatic, ErrorDescent])
def test_one_warning_where_inference_left_examples_unsettled(relaxation):
    table = parameterization("mup", algorithm="pc", base_width=8)

    def build(depth, key):
        return mlp(6, 8, 3, depth=depth, table=table, key=key)

    # At this precision one step leaves every example far from equilibrium, at both depths.
    pc = PredictiveCoding(relaxation(iterations=1), output_precision=1000.0)
    with pytest.warns(UnsettledWarning, match="more than 5% of examples above the tolerance in 6 of 6 runs") as caught:
        transfer(build, pc, table, data=toy(), depths=[3, 4], **(SHORT | {"log2_rates": (-20, -18, 1), "seeds": 1}))
    assert len(caught) == 1


def test_one_warning_where_a_given_activity_rate_leaves_equilibrium_and_none_where_it_is_swept():
    table = parameterization("mup", algorithm="pc", base_width=8)
    settings = {"data": toy(), "depths": [3, 4], **SHORT, "log2_rates": (-20, -18, 1), "seeds": 1}

    def build(depth, key):
        return mlp(6, 8, 3, depth=depth, table=table, activation="tanh", key=key)

    # Above 2 over the largest curvature, at least 1 + |W|^2.
    with pytest.warns(UnsettledWarning, match="farther from equilibrium than it began in 6 of 6 runs") as caught:
        transfer(build, PredictiveCoding(ActivityDescent(iterations=9, rate=3.0)), table, **settings)
    assert len(caught) == 1
    swept = transfer(
        build, PredictiveCoding(ActivityDescent(iterations=9)), table, **settings, log2_activity_rates=(1, 2, 1)
    )
    assert min(row["residual_median"] for row in swept.payload["curves"]) > 1
