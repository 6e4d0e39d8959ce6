"""Searches over losses whose best rate is known: what they ask for, and where they say the best rate lies."""

import math
import sys

import pytest
from refusals import refused

from widthwise.sweep import LEAST_STEP, SEARCHES, refined, search_of

RATES = [-12.0, -11.0, -10.0, -9.0, -8.0, -7.0, -6.0, -5.0]
ACTIVITY = [-3.0, -2.0, -1.0, 0.0]


def bowl(*best, cliff=math.inf):
    """Log loss is a parabola along each axis; beyond the cliff the rate diverges."""

    def loss(point):
        squares = sum((value - at) ** 2 for value, at in zip(point, best, strict=True))
        return math.inf if point[0] > cliff else 0.1 * math.exp(0.2 * squares)

    return loss


def asked(name, axes, points, loss):
    """Every point that a search asks for, in order, round by round."""
    search, rounds = search_of(name, axes, points), []
    wanted = next(search)
    while True:
        rounds.append(wanted)
        try:
            wanted = search.send([loss(point) for point in wanted])
        except StopIteration:
            return rounds


@pytest.mark.parametrize("best", [-11.9, -9.3, -8.0, -5.2])
def test_halving_closes_in_on_the_best_rate(best):
    rounds = asked("halving", [RATES], 40, bowl(best))
    points = [point for one in rounds for point in one]
    assert len(points) == len(set(points))
    assert all(RATES[0] <= rate <= RATES[-1] for (rate,) in points)
    nearest = min(points, key=lambda point: abs(point[0] - best))
    # Steps of 1/2, 1/4, 1/8: in the end a point lies within half of the last.
    assert abs(nearest[0] - best) <= LEAST_STEP / 2
    # Eight, then at most two a round.
    assert len(points) <= len(RATES) + 2 * 3


def test_halving_knows_two_rates():
    best = (-9.3, -1.2)
    points = [point for one in asked("halving", [RATES, ACTIVITY], 80, bowl(*best)) for point in one]
    assert len(points) == len(set(points))
    found = min(points, key=bowl(*best))
    assert max(abs(value - at) for value, at in zip(found, best, strict=True)) <= LEAST_STEP


@pytest.mark.parametrize("budget", [8, 9, 11])
def test_halving_keeps_to_its_budget(budget):
    points = [point for one in asked("halving", [RATES], budget, bowl(-9.3)) for point in one]
    assert len(points) == budget


def test_halving_ends_where_all_diverge():
    assert asked("halving", [RATES], 40, bowl(-9.0, cliff=-20)) == [[(rate,) for rate in RATES]]


def test_grid_asks_for_the_grid():
    (points,) = asked("grid", [RATES, ACTIVITY], 32, bowl(-9, -1))
    assert sorted(points) == sorted((rate, activity) for rate in RATES for activity in ACTIVITY)
    # Runs of one activity rate stand together.
    assert [activity for _, activity in points] == sorted(activity for _, activity in points)


@pytest.mark.parametrize("name", ["grid", "halving"])
def test_a_grid_beyond_the_budget_is_refused(name):
    with refused("budget", 31):
        search_of(name, [RATES, ACTIVITY], 31)


def test_optuna_keeps_to_range_and_budget_and_repeats_itself():
    pytest.importorskip("optuna")
    loss = bowl(-9.0, -1.0, cliff=-6)
    first, second = (asked("optuna", [RATES, ACTIVITY], 25, loss) for _ in range(2))
    assert first == second
    assert len(first) == 25
    assert all(RATES[0] <= rate <= RATES[-1] and ACTIVITY[0] <= other <= ACTIVITY[-1] for ((rate, other),) in first)
    # Uniform draws of 7 octaves lie 1.8 from -9 in the mean; what was told must draw the later ones nearer.
    late = [abs(rate + 9) for ((rate, _),) in first[12:]]
    assert sum(late) / len(late) < 1.8


def test_optuna_missing_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with refused("--search", "optuna") as error:
        search_of("optuna", [RATES], 5)
    assert "widthwise[hpo]" in error.value.remedy


def test_unknown_searches_name_the_nearest():
    with refused("search", "halvin") as error:
        search_of("halvin", [RATES], 40)
    assert "'halving'" in error.value.remedy
    assert set(SEARCHES) == {"halving", "grid", "optuna"}


@pytest.mark.parametrize("best", [-9.2, -8.75, -8.5])
def test_the_vertex_of_a_parabola_is_found_exactly(best):
    loss = bowl(best, -1.2)
    losses = {(rate, other): loss((rate, other)) for rate in RATES for other in ACTIVITY}
    point, cliff = refined(losses)
    assert point == pytest.approx((best, -1.2))
    assert not cliff


def test_beside_divergence_the_point_stays():
    loss = bowl(-7.2, cliff=-7.0)
    assert refined({(rate,): loss((rate,)) for rate in RATES}) == ((-7.0,), True)
    assert refined({(rate,): math.inf for rate in RATES}) == (None, False)


def test_off_a_grid_the_point_stays():
    loss = bowl(-9.0)
    assert refined({(rate,): loss((rate,)) for rate in (-10.0, -9.1, -6.0)}) == ((-9.1,), False)
