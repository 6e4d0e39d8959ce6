"""What a tuned rate costs at a large size, against losses written down by hand."""

import math

import pytest

from widthwise.sweep import around, verify

RULE = {"algorithm": "pc", "parameterization": "mup", "optimizer": "adam", "depth": 3}


def runs(losses, tuned=-9.1, width=1024):
    """Rows of a verification: `losses[seed][rate]`, None where a run diverged."""
    return [
        RULE | {"width": width, "log2_rate": rate, "seed": seed, "diverged": loss is None, "final_loss": loss}
        for seed, row in enumerate(losses)
        for rate, loss in zip(around(tuned), row, strict=True)
    ]


def test_regret_and_its_error():
    # Means 3, 2, 1.05, 1, 2: the tuned rate costs 5 %; the seeds' own costs are 0 and 1/9.
    (row,) = verify(runs([[3, 2, 1.1, 1.1, 2], [3, 2, 1.0, 0.9, 2]]), -9.1)
    assert row["regret"] == pytest.approx(0.05)
    assert row["regret_se"] == pytest.approx((1 / 9) / math.sqrt(2) / math.sqrt(2))
    assert (row["best_log2_rate"], row["loss"], row["best_loss"]) == (-8.6, pytest.approx(1.05), pytest.approx(1.0))
    assert not row["at_edge"]


@pytest.mark.parametrize(("tuned_loss", "passes"), [(1.049, True), (1.051, False)])
def test_five_percent_pass(tuned_loss, passes):
    (row,) = verify(runs([[3, 1.0, tuned_loss, 2, 2]]), -9.1)
    assert row["passes"] is passes
    assert row["regret_se"] is None


def test_the_best_rate_itself_costs_nothing():
    (row,) = verify(runs([[3, 2, 1, 2, 3]]), -9.1)
    assert (row["regret"], row["passes"]) == (0.0, True)


@pytest.mark.parametrize("losses", [[0.99, 1, 1, 1, 1], [1, 1, 1, 1, 0.99]])
def test_a_best_rate_at_the_edge_proves_nothing(losses):
    (row,) = verify(runs([losses]), -9.1)
    assert row["regret"] == pytest.approx(1 / 0.99 - 1)
    assert (row["at_edge"], row["passes"]) == (True, False)


def test_a_diverged_seed_at_the_tuned_rate_costs_everything():
    (row,) = verify(runs([[3, 2, None, None, None], [3, 2, 1, None, None]]), -9.1)
    assert (row["regret"], row["regret_se"], row["passes"]) == (math.inf, None, False)
    (row,) = verify(runs([[None] * 5]), -9.1)
    assert (row["regret"], row["passes"]) == (math.inf, False)


def test_every_size_has_its_row():
    found = verify([*runs([[3, 2, 1, 2, 3]], width=512), *runs([[3, 2, 1, 0.5, 3]])], -9.1)
    assert [(row["width"], row["passes"]) for row in found] == [(512, True), (1024, False)]
