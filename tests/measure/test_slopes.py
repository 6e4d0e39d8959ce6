"""Fitted exponents against power laws and noise that are known."""

import math

import numpy as np
import pytest

from widthwise.measure import log_slope

SIZES = [64, 128, 512, 4096]


@pytest.mark.parametrize("power", [-1.5, 0.0, 0.5, 2.0])
def test_power_laws_are_found_exactly(power):
    sizes = np.asarray(SIZES, float)
    values = np.array([[3.0], [0.2], [1e-6]]) * sizes**power
    slope = log_slope(SIZES, values)
    assert slope.value == pytest.approx(power, abs=1e-11)
    assert slope.error == pytest.approx(0, abs=1e-11)


def test_the_error_is_that_of_the_mean_over_seeds():
    powers = np.array([-0.2, 0.1, 0.4, 0.5])
    values = np.asarray(SIZES, float)[None, :] ** powers[:, None]
    slope = log_slope(SIZES, values)
    assert slope.value == pytest.approx(0.2, abs=1e-11)
    # Deviations -.4, -.1, .2, .3: sum of squares .30, over 3, over 4 seeds.
    assert slope.error == pytest.approx(math.sqrt(0.30 / 3 / 4), abs=1e-11)


def test_it_is_the_least_squares_line():
    values = np.exp(np.random.default_rng(0).normal(size=(1, 4)))
    expected = np.polyfit(np.log(SIZES), np.log(values[0]), 1)[0]
    slope = log_slope(SIZES, values)
    assert slope.value == pytest.approx(expected, rel=1e-9)
    assert math.isnan(slope.error)


def test_noise_of_a_known_size():
    x, sigma, seeds = np.log(SIZES), 0.1, 400
    noise = np.random.default_rng(1).normal(size=(seeds, 4)) * sigma
    slope = log_slope(SIZES, np.exp(0.5 * x + noise))
    error = sigma / math.sqrt(((x - x.mean()) ** 2).sum() * seeds)
    # The sample's standard deviation of 400 is within 1/sqrt(800) = 3.5 % of the truth; four of these.
    assert slope.error == pytest.approx(error, rel=0.15)
    assert abs(slope.value - 0.5) < 4 * error


@pytest.mark.parametrize("bad", [0.0, -1.0, math.inf, math.nan])
def test_what_has_no_logarithm_has_no_slope(bad):
    values = np.ones((3, 4))
    values[1, 2] = bad
    assert all(math.isnan(value) for value in log_slope(SIZES, values))
