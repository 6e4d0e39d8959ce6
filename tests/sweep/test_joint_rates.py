"""Weight and activity rates together: closed-form surfaces, single runs, stores and refusals."""

import math
import re

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from refusals import refused
from training.toys import from_table, toy

from widthwise import report
from widthwise.algorithms import Backprop, PredictiveCoding
from widthwise.inference import ActivityDescent, ErrorDescent, OutputSpaceSolve, SequentialSweep
from widthwise.parameterizations import parameterization
from widthwise.sweep import (
    Group,
    RunStore,
    Training,
    content_hash,
    run_group,
    run_sweep,
    summarize,
    to_run,
    transfer,
    with_activity_rate,
)
from widthwise.training import streams, train

TABLE = parameterization("mup", algorithm="pc", gamma_bar="-1/2", base_width=8)
LABELS = {"algorithm": "pc", "parameterization": "mup", "optimizer": "sgd", "depth": 2}
SHORT = Training(steps=5, batch_size=8)
SIZES = (64, 128, 256)
RATES, ACTIVITY = np.arange(-4, 1.5, 0.5), np.arange(-3, 2.5, 0.5)
BEND, OTHER, TWIST = 0.05, 0.03, 0.02


def surface(optima, *, cliff=math.inf, other_cliff=math.inf, shifts=(0.0, 0.0), twist=0.0):
    """Rows whose log loss is a paraboloid at every size; seeds shift the activity rate's optimum sideways."""
    rows = []
    for size, (best, other) in optima.items():
        for seed, shift in enumerate(shifts):
            for rate in RATES:
                for activity in ACTIVITY:
                    x, y = rate - best, activity - other - shift
                    dead = rate > cliff or activity > other_cliff
                    rows.append(
                        {
                            "algorithm": "pc", "parameterization": "mup", "optimizer": "sgd", "width": size, "depth": 3,
                            "log2_rate": float(rate), "log2_activity_rate": float(activity), "seed": seed,
                            "final_loss": None if dead else math.exp(BEND * x**2 + OTHER * y**2 + twist * x * y),
                            "diverged": dead, "residual_median": 0.1 * abs(rate) + 0.01 * abs(activity),
                        }
                    )  # fmt: skip
    return rows


def summary(optima, **settings):
    (found,) = summarize(surface(optima, **settings), "width")
    return found


def same(best, other):
    return dict.fromkeys(SIZES, (best, other))


STABLE = {"cliff": 0.5, "other_cliff": 1.0}


def test_the_optimum_of_a_paraboloid_is_its_vertex():
    found = summary(same(-1.9, -0.8), **STABLE)
    assert found["optimum_log2"] == pytest.approx([-1.9] * 3, abs=1e-9)
    assert found["optimum_activity_log2"] == pytest.approx([-0.8] * 3, abs=1e-9)
    assert found["largest_stable_log2"] == [0.5] * 3
    assert found["largest_stable_activity_log2"] == [1.0] * 3
    for name in ("at_cliff", "at_edge", "activity_at_cliff", "activity_at_edge"):
        assert found[name] == [False] * 3, name
    assert found["activity_drift_octaves_per_doubling"] == pytest.approx(0, abs=1e-9)
    # Measured at the nearest grid point, (-2, -1).
    assert found["residual_at_optimum"] == pytest.approx([0.21] * 3)
    assert found["transfers"] is True


def test_each_rate_is_taken_at_the_others_best():
    # Along the line through the best grid point (-2, -1) the twist moves a vertex by twist (offset) / (2 bend):
    # the offsets are -2 + 1.9 = -0.1 and -1 + 0.8 = -0.2.
    found = summary(same(-1.9, -0.8), twist=TWIST, **STABLE)
    assert found["optimum_log2"] == pytest.approx([-1.9 + TWIST * 0.2 / (2 * BEND)] * 3, abs=1e-9)
    assert found["optimum_activity_log2"] == pytest.approx([-0.8 + TWIST * 0.1 / (2 * OTHER)] * 3, abs=1e-9)


@pytest.mark.parametrize(("drift", "other_drift"), [(0.5, 0.0), (0.0, 0.5), (-0.5, -0.25)])
def test_drift_and_cost_of_both_rates(drift, other_drift):
    optima = {size: (-2 + drift * i, -1 + other_drift * i) for i, size in enumerate(SIZES)}
    found = summary(optima, **STABLE)
    assert found["drift_octaves_per_doubling"] == pytest.approx(drift, abs=1e-9)
    assert found["activity_drift_octaves_per_doubling"] == pytest.approx(other_drift, abs=1e-9)
    # The smallest size's rates are a grid point of the largest one's surface.
    cost = math.expm1(BEND * (2 * drift) ** 2 + OTHER * (2 * other_drift) ** 2)
    assert found["cost"][-1] == pytest.approx(cost, rel=1e-9)


def test_the_cost_is_that_of_both_rates():
    # Two octaves of one rate alone, at a cost of 12 % and more, at the largest size and at the one between.
    assert summary({64: (-2, -1), 128: (-2, -1), 256: (-2, 1.0)}, cliff=0.5)["verdict"] == "does not transfer"
    wanders = summary({64: (-2.0, -1.0), 128: (-2.0, -3.0), 256: (-2.0, -1.0)}, **STABLE)
    assert wanders["cost"][1] == pytest.approx(math.expm1(OTHER * 2**2))
    # The best of 128 is the grid's end: a better one beyond would only cost more.
    assert wanders["activity_at_edge"] == [False, True, False]
    assert wanders["verdict"] == "does not transfer"
    assert summary({64: (-2.0, -1.0), 128: (-2.0, -1.5), 256: (-2.0, -1.0)}, **STABLE)["verdict"] == "transfers"
    # Where the activities stop being stable is not known, which says nothing of the optimum.
    open_ended = summary(same(-2, -1), cliff=0.5)
    assert (open_ended["activity_at_edge"], open_ended["activity_stable_open"]) == ([False] * 3, [True] * 3)
    assert open_ended["stable_open"] == [False] * 3
    assert open_ended["verdict"] == "transfers"
    # A cliff at the best activity rate: the grid point is the answer.
    beside = summary(same(-2, -0.7), cliff=0.5, other_cliff=-0.5)
    assert beside["activity_at_cliff"] == [True] * 3
    assert beside["optimum_activity_log2"] == [-0.5] * 3


def test_both_tuned_rates_are_run_together():
    rows = surface({64: (-1.9, -0.8), 128: (-1.9, -0.8)}, **STABLE)
    ((labels, point),) = to_run(rows, "width")
    assert (labels["width"], point) == (128, (-1.9, -0.8))
    run = {row["seed"]: row for row in rows if row["width"] == 128}
    rates = dict(zip(("log2_rate", "log2_activity_rate"), point, strict=True))
    rows += [row | rates | {"final_loss": 1.0, "diverged": False, "tuned": True} for row in run.values()]
    (found,) = summarize(rows, "width")
    assert (found["tuned_log2"], found["tuned_activity_log2"], found["tuned_on_grid"]) == (-1.9, -0.8, False)
    # Against the nearest point of the grid, (-2, -1).
    assert found["cost"][1] == pytest.approx(math.expm1(-BEND * 0.1**2 - OTHER * 0.2**2), rel=1e-9)
    # The tuned run is no point of the grid.
    assert found["optimum_log2"] == pytest.approx([-1.9] * 2)
    assert report.activity_figure({"curves": rows, "summary": [found]}) is not None


def test_inference_that_leaves_equilibrium_is_beyond_stability():
    # Its loss is finite, and here even the least; a sweep of weight rates alone is left as it is.
    def lured(row):
        beyond = row["log2_activity_rate"] > 0.5
        return row | ({"residual_median": 1.5, "final_loss": 1e-3} if beyond else {})

    rows = [lured(row) for row in surface(same(-2, -1))]
    (found,) = summarize(rows, "width")
    assert found["largest_stable_activity_log2"] == [0.5] * 3
    assert found["optimum_activity_log2"] == pytest.approx([-1.0] * 3)
    single = [row | {"log2_activity_rate": None} for row in rows if row["log2_activity_rate"] == 1]
    assert summarize(single, "width")[0]["best_loss"] == [1e-3] * 3


def test_the_error_of_two_seeds_by_hand():
    # As for weights: draws (-d, 0, 0, d) of standard deviation d / sqrt(2); the weight rate does not move.
    found = summary(same(-2.0, -1.0), shifts=(-0.1, 0.1), **STABLE)
    assert found["optimum_activity_se"] == pytest.approx([0.1 / math.sqrt(2)] * 3, rel=1e-3)
    assert found["optimum_se"] == pytest.approx([0.0] * 3, abs=1e-9)
    assert found["activity_drift_se"] == pytest.approx(0.0, abs=1e-9)


def test_where_everything_diverged_nothing_is_made_up():
    found = summary(same(-2.0, -1.0), cliff=-9.0)
    assert np.isnan(found["optimum_activity_log2"]).all()
    assert found["largest_stable_activity_log2"] == [None] * 3
    assert found["residual_at_optimum"] == [None] * 3
    assert found["transfers"] is False


def test_without_activity_rates_nothing_is_said_of_them():
    rows = [row | {"log2_activity_rate": None} for row in surface(same(-2, -1)) if row["log2_activity_rate"] == -1]
    assert not [name for name in summarize(rows, "width")[0] if "activity" in name]


@pytest.fixture(autouse=True, scope="module")
def quickly_compiled(quick_compilation):
    """Small programs that run once."""
    jax.config.update("jax_disable_most_optimizations", True)


def build(key, width=8):
    return from_table(TABLE, width=width, depth=2, seed=int(jax.random.key_data(key)[-1]), bias=False)


def group(relaxation, activity, width=8, build=build):
    return Group(build, PredictiveCoding(relaxation), TABLE, LABELS | {"width": width}, activity)


@pytest.mark.parametrize("relaxation", [ErrorDescent(), ErrorDescent(rate=0.5), ActivityDescent()])
def test_the_activity_rate_replaces_the_relaxations_own_and_nothing_else(relaxation):
    rule = with_activity_rate(PredictiveCoding(relaxation, output_precision=3.0), jnp.asarray(0.125))
    assert float(rule.relaxation.rate) == 0.125
    expected = PredictiveCoding(type(relaxation)(rate=0.125), output_precision=3.0)
    assert eqx.tree_equal(rule, expected)


@pytest.mark.filterwarnings("ignore::widthwise.UnsettledWarning")
def test_every_run_is_the_single_run():
    data = toy(43)
    rows = run_group(group(ErrorDescent(iterations=3), [-2.0, -0.5]), data, SHORT, [-4.0, -2.0], [0, 3])
    order = [(a, s, r) for a in (-2.0, -0.5) for s in (0, 3) for r in (-4.0, -2.0)]
    assert [(row["log2_activity_rate"], row["seed"], row["log2_rate"]) for row in rows] == order
    row = rows[6]
    rule = PredictiveCoding(ErrorDescent(iterations=3, rate=2**-0.5))
    alone = train(build(streams(3).init), rule, data, rate=2**-4.0, steps=5, batch_size=8, seed=3)
    # float64, and the products of a chunk are summed in another order.
    assert row["curve"] == pytest.approx(alone.history["loss"], rel=1e-11)
    assert row["residual_median"] == pytest.approx(np.median(alone.history["residual_median"]), rel=1e-9)
    assert rows[2]["residual_median"] != pytest.approx(row["residual_median"], rel=1e-3)
    # gamma_bar and gamma' of the group.
    assert {(one["gamma_bar"], one["output_precision"]) for one in rows} == {("-1/2", 1.0)}


def test_precisions_are_told_in_short_decimals_and_not_of_backprop():
    rule = PredictiveCoding(output_precision=0.1)
    described = Group(build, rule, TABLE, LABELS).described()
    assert described == LABELS | {"gamma_bar": "-1/2", "output_precision": 0.1}
    assert Group(build, Backprop(), TABLE, LABELS).described() == LABELS | {"gamma_bar": None, "output_precision": None}


def test_a_finished_group_is_read_back_and_names_tell_activity_rates_apart(tmp_path):
    built = []

    def counted(key):
        built.append(key)
        return build(key)

    def sweep():
        with RunStore.open(tmp_path / "run", kind="transfer", spec={"any": 1}) as store:
            groups = [group(ErrorDescent(iterations=1), [-2.0, -1.0], build=counted)]
            found = run_sweep(groups, toy(), SHORT, [-3.0], 2, axis="width", settings={}, store=store).curves
            return found, list(store.records().values())

    first, stored = sweep()
    assert built
    built.clear()
    assert sweep() == (first, stored)
    assert not built
    runs = [(one["run"]["seed"], one["run"]["log2_activity_rate"]) for one in stored]
    assert runs == [(0, -2.0), (1, -2.0), (0, -1.0), (1, -1.0)]
    assert [one["hash"] for one in stored] == [
        content_hash(LABELS | {"width": 8, "seed": seed, "log2_rate": -3.0, "log2_activity_rate": other})
        for seed, other in runs
    ]


@pytest.mark.filterwarnings("ignore::widthwise.UnsettledWarning")
def test_names_of_runs_without_activity_rates_are_as_they_were(tmp_path):
    with RunStore.open(tmp_path / "run", kind="transfer", spec={}) as store:
        groups = [group(ErrorDescent(iterations=1), None)]
        curves = run_sweep(groups, toy(), SHORT, [-3.0], 1, axis="width", settings={}, store=store).curves
        assert list(store.records()) == [content_hash(LABELS | {"width": 8, "seed": 0, "log2_rate": -3.0})]
        # What an earlier version stored lacks the new fields, and resumes all the same.
        old = dict(next(iter(store.records().values())))
        old["run"] = {k: v for k, v in old["run"].items() if k not in ("log2_activity_rate", "gamma_bar")}
        store.append([old])
        assert run_sweep(groups, toy(), SHORT, [-3.0], 1, axis="width", settings={}, store=store).curves == curves


@pytest.mark.parametrize(
    ("algorithm", "setting", "value"),
    [
        (Backprop(), "algorithm", "bp"),
        (PredictiveCoding(SequentialSweep()), "relaxation", "SequentialSweep"),
        (PredictiveCoding(OutputSpaceSolve()), "relaxation", "OutputSpaceSolve"),
    ],
)
def test_refuses_before_anything_is_built(algorithm, setting, value):
    def never(size, key):
        raise AssertionError("built")

    group = Group(lambda key: never(8, key), algorithm, TABLE, LABELS | {"width": 8}, [0.0])
    with refused(setting, value):
        run_sweep([group], toy(), SHORT, [0.0], 1, axis="width", settings={})


def test_bad_ranges_are_refused_by_name():
    settings = {"data": toy(), "widths": [8], "log2_activity_rates": (1, 0, 1)}
    with refused("log2 activity rates", (1, 0, 1)):
        transfer(lambda width, key: build(key, width), PredictiveCoding(), TABLE, **settings)


def payload(**settings):
    rows = surface({64: (-2.0, -1.0), 128: (-2.0, 0.0)}, **settings)
    return {"curves": rows, "summary": summarize(rows, "width")}


def test_the_report_shows_the_lines_at_each_sizes_best_activity_rate(tmp_path):
    given = payload(**STABLE)
    axes = report.transfer_figure(given).axes[0]
    assert len(axes.containers) == 2
    for container in axes.containers:
        rates, losses = container[0].get_data()
        assert list(rates) == [rate for rate in RATES if rate <= 0.5]
        assert list(losses) == pytest.approx([math.exp(BEND * (rate + 2) ** 2) for rate in rates])
    page = report.render(given, "svg")
    assert "best activity rate (log₂)" in page
    assert "The best activity rate moves 1.0 octave up." in page
    # Loss over the rate, its map, both rates, drift, and what was measured.
    assert page.count("<svg") == 5


def test_the_heatmap_shows_every_size_and_leaves_out_what_diverged():
    figure = report.activity_figure(payload(**STABLE))
    panels = [axes for axes in figure.axes if axes.get_title("left")]
    assert [axes.get_title("left").split("\n")[1] for axes in panels] == ["width 64", "width 128"]
    for axes, other in zip(panels, (-1.0, 0.0), strict=True):
        (mesh,) = axes.collections
        values = np.ma.filled(np.ma.masked_invalid(mesh.get_array()), np.nan).reshape(len(ACTIVITY), len(RATES))
        for i, activity in enumerate(ACTIVITY):
            for j, rate in enumerate(RATES):
                if rate > 0.5 or activity > 1.0:
                    assert np.isnan(values[i, j])
                else:
                    over = math.exp(BEND * (rate + 2) ** 2 + OTHER * (activity - other) ** 2)
                    assert values[i, j] == pytest.approx(min(over, 10.0))
        (circle,) = [line for line in axes.get_lines() if line.get_label().startswith("_best")]
        assert circle.get_xdata() == pytest.approx([-2.0], abs=1e-9)
        assert circle.get_ydata() == pytest.approx([other], abs=1e-9)
    assert report.activity_figure({"curves": [], "summary": []}) is None


def test_everything_diverged_still_gives_a_page():
    page = report.render(payload(cliff=-9.0), "svg")
    assert "every run diverged" in page
    assert not re.search(r"\b(None|nan|inf)\b", re.sub(r"<[^>]*>", " ", page))


def test_drift_of_both_rates_has_a_row_each():
    axes = report.drift_figure(payload(**STABLE)).axes
    titles = ["best rate", "largest stable rate", "best activity rate", "largest stable activity rate"]
    assert [one.get_title("left") for one in axes] == titles
    assert list(axes[2].containers[0][0].get_ydata()) == pytest.approx([-1.0, 0.0], abs=1e-9)
