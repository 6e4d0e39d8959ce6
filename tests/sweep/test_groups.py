"""Groups of runs in one program: the same numbers as single runs, one compilation, divergence kept apart."""

import contextlib
import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from refusals import refused
from training.toys import from_table, one_hot, toy

from widthwise.algorithms import Backprop, PredictiveCoding
from widthwise.inference import ActivityDescent, ErrorDescent
from widthwise.parameterizations import parameterization
from widthwise.sweep import Group, Training, members, run_group, with_divergence
from widthwise.sweep import _train_group as _run
from widthwise.training import streams, train

TABLE = parameterization("mup", base_width=8)
LABELS = {"algorithm": "bp", "parameterization": "mup", "optimizer": "sgd", "depth": 2}
SHORT = Training(steps=7, batch_size=8)
# Below and above the width at which runs share a chunk.
WIDTHS = (16, _run.VMAP_BELOW)


def group(width=16, algorithm=None, table=TABLE, built_from=TABLE, depth=2):
    def build(key):
        return from_table(built_from, width=width, depth=depth, seed=int(jax.random.key_data(key)[-1]), bias=False)

    return Group(build, algorithm or Backprop(), table, LABELS | {"width": width})


def losses(rows):
    return {(row["seed"], row["log2_rate"]): row["final_loss"] for row in rows}


@pytest.mark.parametrize("width", WIDTHS)
def test_every_run_is_the_single_run(width):
    data = toy(43)
    rates, seeds = [-4.0, -1.5], [0, 3]
    rows = run_group(group(width), data, SHORT, rates, seeds)
    order = [(0, -4.0), (0, -1.5), (3, -4.0), (3, -1.5)]
    assert [(row["seed"], row["log2_rate"]) for row in rows] == order == [one[:2] for one in members(rates, seeds)]
    x, y = jnp.asarray((data.x_train - 128.0) / 75.0), one_hot(data.y_train)
    for row in (rows[0], rows[3]):
        built = group(width).build(streams(row["seed"]).init)
        rate = 2 ** row["log2_rate"]
        alone = train(built, Backprop(), data, rate=rate, steps=7, batch_size=8, seed=row["seed"])
        final = float(jnp.mean(jnp.sum((alone.network(x) - y) ** 2, axis=1)) / 2)
        # float64, and the products of a chunk are summed in another order.
        assert row["final_loss"] == pytest.approx(final, rel=1e-11)
        assert row["curve"] == pytest.approx(alone.history["loss"], rel=1e-11)
    for row in rows:
        assert not row["diverged"]
        assert row["residual_median"] is None
        assert row["cosine_to_backprop"] is None
        assert {name: row[name] for name in LABELS} == LABELS
        assert row["width"] == width
    # After the last step, on the whole training set: not the last batch's loss.
    assert all(row["final_loss"] != pytest.approx(row["curve"][-1], rel=1e-3) for row in rows)


def test_chunk_mates_change_nothing_but_rounding_and_one_may_diverge():
    alone = losses(run_group(group(), toy(), SHORT, [-3.0], [1]))
    rows = run_group(group(), toy(), SHORT, [-4.0, -3.0, 20.0], [0, 1])
    assert losses(rows)[1, -3.0] == pytest.approx(alone[1, -3.0], rel=1e-12)
    assert [row["diverged"] for row in with_divergence(rows)] == [False, False, True] * 2


def test_a_loss_that_is_not_finite_diverged():
    def row(final, curve=(0.5, 0.5)):
        names = ("final_loss", "train_accuracy", "test_loss", "test_accuracy")
        return _run._row({**dict.fromkeys(names, np.asarray(final)), "loss": np.asarray(curve)}, 0.5, 0.0, True)

    assert not row(1e9)["diverged"]
    for bad in (np.nan, np.inf):
        assert row(bad)["diverged"]
        assert row(bad)["final_loss"] is row(bad)["test_accuracy"] is None
        assert row(0.2, (0.5, bad))["diverged"]


def test_the_first_loss_is_that_before_training():
    built = group().build(streams(1).init)
    data = toy()
    x = (jnp.asarray(data.x_train, jnp.float64) - float(data.shift)) / float(data.scale)
    first = jnp.mean(SHORT.loss(built.network(x), jnp.asarray(data.targets("train"), jnp.float64)))
    (row,) = run_group(group(), toy(), SHORT, [-30.0], [1])
    assert row["first_loss"] == pytest.approx(float(first), rel=1e-6)
    assert row["final_loss"] == pytest.approx(float(first), rel=1e-4)


class Counter(threading.local):
    inside = False


@contextlib.contextmanager
def compilations(monkeypatch):
    """Compilations by XLA while a group's program is called, told by JAX's own monitoring."""
    here, found = Counter(), []
    made = _run._program_of
    # Groups of one shape share their program, those of other tests too.
    _run._shared_program.cache_clear()

    def watched(*arguments):
        program = made(*arguments)

        def call(*inputs):
            here.inside = True
            try:
                return program(*inputs)
            finally:
                here.inside = False

        return call

    def listen(event, duration, **_):
        if here.inside and event == "/jax/core/compile/backend_compile_duration":
            found.append(duration)

    monkeypatch.setattr(_run, "_program_of", watched)
    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        yield found
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)


@pytest.mark.parametrize("width", WIDTHS)
def test_one_compilation_for_all_rates_and_seeds(monkeypatch, width):
    ended = []
    with compilations(monkeypatch) as found:
        rates, seeds = [-5.0, -4.0, -3.0, -2.0, -1.0], [0, 1, 2]
        run_group(group(width), toy(), SHORT, rates, seeds, on_runs=ended.extend)
    assert len(found) == 1
    assert [row["log2_rate"] for row in ended] == rates * 3


@pytest.mark.parametrize("width", WIDTHS)
def test_one_compilation_for_all_activity_rates_too(monkeypatch, width):
    table = parameterization("mup", algorithm="pc", base_width=8)
    joint = group(width, PredictiveCoding(ActivityDescent(iterations=2)), table, table)
    joint = joint._replace(log2_activity_rates=[-3.0, -2.0, -1.0])
    ended = []
    with compilations(monkeypatch) as found:
        run_group(joint, toy(), Training(steps=2, batch_size=8), [-5.0, -4.0], [0, 1], on_runs=ended.extend)
    assert len(found) == 1
    assert len(ended) == 12


def test_predictive_coding_tells_how_settled_it_was():
    table = parameterization("mup", algorithm="pc", base_width=8)
    rule = PredictiveCoding(ErrorDescent(iterations=3, tolerance=1e-9), output_precision=0.5)
    (row,) = run_group(group(8, rule, table, table), toy(), Training(steps=2, batch_size=8), [-4.0], [0])
    assert 0 < row["residual_median"] < 1
    assert row["iterations_median"] == 3
    assert -1 <= row["cosine_layer_min"] <= row["cosine_to_backprop"] <= 1
    assert row["curvature"] > 0


class Built(Exception):
    """Enough was seen of how a network is built."""


def test_networks_start_from_the_init_stream_alone():
    seen = []

    def build(key):
        seen.append(np.asarray(jax.random.key_data(key)).tolist())
        raise Built

    with pytest.raises(Built):
        run_group(Group(build, Backprop(), TABLE, LABELS), toy(), SHORT, [0.0], [4])
    assert seen == [np.asarray(jax.random.key_data(streams(4).init)).tolist()]


def test_networks_of_another_table_are_refused():
    with refused("table", "mup"):
        run_group(group(built_from=parameterization("sp", base_width=8)), toy(), SHORT, [0.0], [0])


@pytest.mark.parametrize(
    ("training", "setting", "value"),
    [
        (Training(0, batch_size=8), "steps", 0),
        (Training(None, 0, batch_size=8), "epochs", 0),
        (Training(None, batch_size=8), "steps", None),
        (Training(3, 1, batch_size=8), "steps", 3),
        (Training(batch_size=41), "batch_size", 41),
    ],
)
def test_refuses(training, setting, value):
    with refused(setting, value):
        training.total(40)


def test_epochs_count_whole_batches():
    assert Training(steps=None, epochs=3, batch_size=8).total(43) == 15
