"""The transfer summary on curves whose optimum, cliff, drift and cost are known in closed form."""

import math

import numpy as np
import pytest
from refusals import refused

from widthwise.sweep import grid, jsonable, summarize

RATES = np.arange(-5, 2.25, 0.5)
SIZES = (64, 128, 256, 512)
BEND = 0.05  # log loss is BEND (x - x_0)^2 + a constant


def curves(optima, *, cliff=None, shifts=(0.0, 0.0), rates=RATES, axis="width", name="mup", holes=()):
    """Rows of runs: a parabola in log loss at every size, seeds shifted sideways, diverged above the cliff."""
    rows = []
    for size, optimum in optima.items():
        for seed, shift in enumerate(shifts):
            for rate in rates:
                dead = (cliff is not None and rate > cliff.get(size, math.inf)) or (size, seed, rate) in holes
                loss = math.exp(BEND * (rate - optimum - shift) ** 2 - 1)
                rows.append(
                    {
                        "algorithm": "bp",
                        "parameterization": name,
                        "optimizer": "sgd",
                        "width": 64,
                        "depth": 3,
                        axis: size,
                        "log2_rate": float(rate),
                        "seed": seed,
                        "final_loss": None if dead else loss,
                        "diverged": dead,
                        "residual_median": 0.25 * abs(rate),
                    }
                )
    return rows


def summary(*arguments, axis="width", **settings):
    (found,) = summarize(curves(*arguments, axis=axis, **settings), axis)
    return found


def same(optimum):
    return dict.fromkeys(SIZES, optimum)


@pytest.mark.parametrize("optimum", [-2.0, -1.9, -1.63, -2.24])
def test_the_optimum_of_a_parabola_is_its_vertex(optimum):
    found = summary(same(optimum), cliff=same(0.0))
    assert found["sizes"] == list(SIZES)
    assert found["optimum_log2"] == pytest.approx([optimum] * 4, abs=1e-9)
    assert found["largest_stable_log2"] == [0.0] * 4
    assert found["drift_octaves_per_doubling"] == pytest.approx(0, abs=1e-9)
    assert found["stable_drift"] == pytest.approx(0, abs=1e-9)
    assert found["at_cliff"] == [False] * 4
    assert found["at_edge"] == [False] * 4
    assert found["transfers"] is True
    nearest = RATES[np.argmin(abs(RATES - optimum))]
    assert found["residual_at_optimum"] == pytest.approx([0.25 * abs(nearest)] * 4)


@pytest.mark.parametrize("drift", [-1.0, -0.5, 0.5])
def test_drift_and_cost_of_a_moving_optimum(drift):
    optima = {size: -2 + drift * index for index, size in enumerate(SIZES)}
    cliff = {size: optimum + 1 for size, optimum in optima.items()}
    found = summary(optima, cliff=cliff)
    assert found["optimum_log2"] == pytest.approx(list(optima.values()), abs=1e-9)
    assert found["drift_octaves_per_doubling"] == pytest.approx(drift, abs=1e-9)
    assert found["stable_drift"] == pytest.approx(drift, abs=1e-9)
    assert found["transfers"] is False
    # The smallest size's optimum -2 is 3 drift away at the largest: above its cliff where drift < 0 by more than 1/3.
    if drift < 0:
        assert found["cost_diverged"][-1] == 2
        assert found["regret"] == math.inf
    else:
        assert found["cost"][-1] == pytest.approx(math.expm1(BEND * (3 * drift) ** 2), rel=1e-9)


def test_next_to_the_cliff_the_grid_point_is_the_answer():
    found = summary(same(-2.0), cliff=same(-2.0))
    assert found["optimum_log2"] == [-2.0] * 4
    assert found["at_cliff"] == [True] * 4
    assert found["at_edge"] == [False] * 4
    below = summary(same(-1.8), cliff=same(-2.5))
    assert below["optimum_log2"] == [-2.5] * 4
    assert below["largest_stable_log2"] == [-2.5] * 4


def test_the_ends_of_the_grid_are_edges():
    for optimum in (-7.0, -5.0, 2.0, 4.0):
        found = summary(same(optimum))
        assert found["at_edge"] == [True] * 4
        assert found["optimum_log2"] == [min(max(optimum, -5.0), 2.0)] * 4
        assert found["transfers"] is False
        # Every optimum is the same; what lies beyond the grid nobody knows.
        assert (found["decided"], found["why"]) == (False, ["edge"])
    # An inner optimum, but nothing ever diverged: where stability ends is not known, and the optimum is.
    inner = summary(same(-2.0))
    assert (inner["at_edge"], inner["stable_open"]) == ([False] * 4, [True] * 4)
    assert inner["largest_stable_log2"] == [2.0] * 4


def test_stable_means_up_to_the_first_divergence_of_any_seed():
    hole = [(64, 1, -3.0)]
    found = summary(same(-2.0), cliff=same(0.0), holes=hole)
    assert found["largest_stable_log2"] == [-3.5, 0.0, 0.0, 0.0]
    first = summary(same(-2.0), cliff=same(0.0), holes=[(64, 0, -5.0)])
    assert first["largest_stable_log2"] == [None, 0.0, 0.0, 0.0]
    assert first["stable_open"] == [True, False, False, False]


def test_a_rate_counts_as_diverged_where_any_seed_did():
    # The best point itself is lost to one seed: the better of its neighbours answers, beside a cliff.
    found = summary(same(-2.0), cliff=same(0.0), holes=[(64, 1, -2.0)], shifts=(0.01, 0.01))
    assert found["optimum_log2"][0] == -1.5
    assert found["at_cliff"] == [True, False, False, False]


def test_the_error_vanishes_where_seeds_agree():
    found = summary(same(-1.9), cliff=same(0.0), shifts=(0.0, 0.0, 0.0))
    assert found["optimum_se"] == pytest.approx([0.0] * 4, abs=1e-9)
    assert found["drift_se"] == pytest.approx(0.0, abs=1e-9)


def test_the_error_of_two_seeds_by_hand():
    # Draws of two seeds shifted by -d and d: (-d, 0, 0, d), of standard deviation d / sqrt(2); the mixed ones by
    # symmetry. Seeds are shared between sizes, so all optima move together and the drift does not.
    shift = 0.2
    found = summary(same(-2.0), cliff=same(0.0), shifts=(-shift, shift))
    assert found["optimum_se"] == pytest.approx([shift / math.sqrt(2)] * 4, rel=1e-6)
    assert found["optimum_log2"] == pytest.approx([-2.0] * 4, abs=1e-9)
    assert found["drift_se"] == pytest.approx(0.0, abs=1e-9)


def test_many_seeds_are_resampled_reproducibly():
    shifts = tuple(np.linspace(-0.3, 0.3, 7))
    first, second = (summary(same(-2.0), cliff=same(0.0), shifts=shifts) for _ in range(2))
    assert first == second
    # For small shifts the optimum of a mean is near the mean of optima: s / sqrt(7), and 200 resamples know it to 5 %.
    expected = np.std(shifts) / math.sqrt(7)
    assert first["optimum_se"] == pytest.approx([expected] * 4, rel=0.2)


def test_rates_as_good_as_the_best_by_hand():
    # A valley of 0.05 x^2 at steps of one octave, seeds scattered by hand: d of the two is 0.05 x^2 -+ e, of variance
    # 2 e^2 at all near rates of all sizes (x^2 <= 8: a factor 1.5), so that 2 sigma / sqrt(2) is 2 e.
    def valley(e, size):
        rates = np.arange(-5.0, 2.0)
        rows = curves({size: -2.0}, rates=rates, cliff={size: 0.0})
        return [
            row | {"final_loss": row["final_loss"] * math.exp((1 - 2 * row["seed"]) * e * (row["log2_rate"] != -2))}
            for row in rows
            if not row["diverged"]
        ]

    def found(e):
        return summarize(valley(e, 64) + valley(e, 128), "width")[0]

    # 2 e reaches one octave (0.05) from e = 0.025, two octaves (0.2) from 0.1.
    for e, reach in ((0.0, 0.0), (0.024, 0.0), (0.026, 1.0), (0.099, 1.0), (0.101, 2.0)):
        one = found(e)
        assert (one["as_good_from_log2"], one["as_good_to_log2"]) == ([-2 - reach] * 2, [-2 + reach] * 2)


def test_one_seed_has_no_error():
    found = summary(same(-2.0), cliff=same(0.0), shifts=(0.0,))
    assert found["as_good_from_log2"] == [None] * 4
    assert found["optimum_se"] == [None] * 4
    assert found["drift_se"] is None


@pytest.mark.parametrize("seeds", [1, 3])
def test_where_everything_diverged_nothing_is_made_up(seeds):
    found = summary({64: -2.0, 128: -2.0}, cliff={64: 0.0, 128: -9.0}, shifts=(0.0,) * seeds)
    assert math.isnan(found["optimum_log2"][1])
    assert found["largest_stable_log2"] == [0.0, None]
    assert found["at_edge"] == [False, True]
    assert found["drift_octaves_per_doubling"] is None
    assert found["stable_drift"] is None
    assert found["transfers"] is False
    assert jsonable(found)["optimum_log2"] == [pytest.approx(-2.0), None]
    assert jsonable(found)["regret"] is None
    nothing = summary(same(-2.0), cliff=same(-9.0), shifts=(0.0,) * seeds)
    assert jsonable(nothing)["optimum_log2"] == [None] * 4
    assert nothing["transfers"] is False


def test_one_rate_and_one_size():
    found = summary({64: -2.0}, rates=[-2.0])
    assert found["optimum_log2"] == [-2.0]
    assert found["at_edge"] == [True]
    assert found["verdict"] == summary(same(-2.0), rates=[-2.0])["verdict"] == "nothing to compare"
    assert (found["cost"], found["transfers"]) == ([None], False)


def test_rules_and_axes_are_kept_apart():
    rows = curves(same(-2.0), cliff=same(0.0)) + curves(same(-1.0), cliff=same(0.5), name="sp")
    first, second = summarize(rows[::-1], "width")
    assert [(one["parameterization"], one["axis"]) for one in (first, second)] == [("sp", "width"), ("mup", "width")]
    assert first["optimum_log2"] == pytest.approx([-1.0] * 4, abs=1e-9)
    assert second["optimum_log2"] == pytest.approx([-2.0] * 4, abs=1e-9)
    deep = {4: -2.0, 8: -2.5, 16: -3.0}
    found = summary(deep, cliff=dict.fromkeys(deep, 0.0), axis="depth")
    assert (found["axis"], found["sizes"]) == ("depth", [4, 8, 16])
    assert found["drift_octaves_per_doubling"] == pytest.approx(-0.5, abs=1e-9)


def test_grid():
    assert grid(-5, 2, 0.5) == RATES.tolist()
    assert grid(0, 0.3, 0.1) == [0.0, 0.1, 0.2, 0.3]
    assert grid(-1, 0.9, 1) == [-1.0, 0.0]
    assert grid(3, 3, 1) == [3.0]


@pytest.mark.parametrize(
    "bad", [(2, -5, 0.5), (-5, 2, 0), (-5, 2, -1), (math.nan, 2, 1), (-5, math.inf, 1), (-5, 2, math.nan), (0, 1, 1e-9)]
)
def test_grid_refuses(bad):
    with refused("log2 rates", bad):
        grid(*bad)
