"""Divergence is a run's own affair: the same whatever is added to the loss, and whatever it is measured in."""

import numpy as np
import pytest

from widthwise.sweep import with_divergence

RULE = {"algorithm": "bp", "parameterization": "mup", "optimizer": "sgd", "width": 64, "depth": 3}


def rows(first, finals, seeds=1):
    """Runs of one size: one first loss, final losses by rate, None where it is not finite."""
    return [
        RULE | {"log2_rate": float(rate), "seed": seed, "first_loss": first, "final_loss": final,
                "diverged": final is None}
        for rate, final in enumerate(finals) for seed in range(seeds)
    ]  # fmt: skip


def judged(found):
    return [row["diverged"] for row in with_divergence(found)]


def test_a_rise_larger_than_the_largest_fall():
    # The largest fall is 0.9: up to 1.9 is training that went badly, above it is none.
    assert judged(rows(1.0, [0.5, 0.1, 1.2, 1.89, 1.91, None])) == [False, False, False, False, True, True]


@pytest.mark.parametrize("scale", [1e-6, 1e-3, 1.0, 1e6])
@pytest.mark.parametrize("shift", [-100.0, 0.0, 3.0])
def test_the_same_under_affine_maps_of_the_loss(scale, shift):
    generator = np.random.default_rng(0)
    for _ in range(50):
        finals = generator.normal(0, 2, 8)
        plain = rows(1.0, finals)
        # In units of the loss's own fall, so that rounding decides nothing.
        moved = rows(scale * 1.0 + scale * shift, scale * finals + scale * shift)
        assert judged(plain) == judged(moved)


def test_a_likelihood_that_reaches_its_minimum():
    """Minus log-likelihood of a Gaussian with a small known scale: from positive to far below zero, all improving."""
    assert not any(judged(rows(0.7, [-0.1, -1.5, -3.2])))


def test_each_run_against_its_own_first_loss():
    low, high = rows(1.0, [0.5, 1.6])[1], rows(10.0, [9.5, 10.4])[1]
    # 0.6 above its own beginning where the largest fall is 0.5; 0.4 above another's.
    assert judged([*rows(1.0, [0.5]), low, high]) == [False, True, False]


def test_where_nothing_falls_a_rise_beyond_two_errors_diverged():
    # Three seeds rise by .1, .2, .3: mean .2, error .1 / sqrt(3) = .058, twice that .115.
    runs = [
        RULE | {"log2_rate": 0.0, "seed": seed, "first_loss": 1.0, "final_loss": 1 + rise, "diverged": False}
        for seed, rise in enumerate((0.1, 0.2, 0.3))
    ]
    assert judged(runs) == [False, True, True]
    assert judged(rows(1.0, [1.0, 1.01])) == [False, True]


def test_sizes_and_rules_are_judged_apart():
    small, large = rows(1.0, [0.9, 1.5]), [row | {"width": 128} for row in rows(1.0, [0.1, 1.5])]
    assert judged([*small, *large]) == [False, True, False, False]


def test_runs_that_did_not_record_their_beginning_keep_what_they_say():
    old = [{name: value for name, value in row.items() if name != "first_loss"} for row in rows(1.0, [0.5, 99.0])]
    assert judged([old[0], old[1] | {"diverged": True}]) == [False, True]
    assert judged([row | {"first_loss": None} for row in old]) == [False, False]
