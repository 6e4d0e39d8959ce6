"""The verdict on sweeps whose answer is known: it speaks of rates that were run, each cost with its error."""

import math

import numpy as np
import pytest
from refusals import refused

from widthwise.sweep import summarize, to_run

RULE = {"algorithm": "bp", "parameterization": "mup", "optimizer": "sgd", "depth": 3}
RATES = np.arange(-5, 1.25, 0.5).tolist()
SIZES = (64, 128, 256, 512)


def run(size, rate, seed, loss, **more):
    """A run's row; a loss of None is a run that diverged."""
    return RULE | {
        "width": size, "log2_rate": rate, "seed": seed, "final_loss": loss, "diverged": loss is None,
    } | more  # fmt: skip


def swept(loss_of, sizes=SIZES, seeds=2, rates=RATES, select="final_loss"):
    """A sweep of losses `loss_of(size, rate, seed)`, with every run that its verdict asks for."""
    rows = [
        run(size, rate, seed, loss_of(size, rate, seed)) for size in sizes for seed in range(seeds) for rate in rates
    ]
    asked = []
    while wanted := to_run(rows, "width", select):
        for labels, (rate,) in wanted:
            asked.append((labels["width"], rate))
            rows += [
                run(labels["width"], rate, seed, loss_of(labels["width"], rate, seed), tuned=True)
                for seed in range(seeds)
            ]
    (found,) = summarize(rows, "width", select)
    return found, asked


def valley(optima, bend=0.1, level=-1.0):
    """Losses exp(bend (x - optimum)^2 + level), without noise."""
    return lambda size, rate, seed: math.exp(bend * (rate - optima[size]) ** 2 + level)


def test_nothing_diverges_and_the_cost_is_a_thousandth():
    # The optimum moves by 0.1 octave, which costs expm1(.1 * .1^2) = 0.1 %; where stability ends is not known.
    found, asked = swept(valley({64: -2.2, 128: -2.2, 256: -2.2, 512: -2.3}))
    assert asked == [(128, -2.2), (256, -2.2), (512, -2.2)]
    assert (found["verdict"], found["tuned_log2"], found["tuned_on_grid"]) == ("transfers", -2.2, False)
    assert found["stable_open"] == [True] * 4
    best = min(RATES, key=lambda rate: abs(rate + 2.3))
    assert found["cost"][-1] == pytest.approx(math.expm1(0.1 * (0.1**2 - (best + 2.3) ** 2)), abs=1e-9)


def test_an_optimum_that_wanders_on_a_flat_floor_transfers():
    # 1.5 octaves away and back, at half a percent of cost: bend * 1.5^2 = log 1.005.
    bend = math.log(1.005) / 1.5**2
    found, _ = swept(valley({64: -2.0, 128: -3.5, 256: -2.0, 512: -2.0}, bend))
    assert found["cost"][1] == pytest.approx(0.005, rel=1e-6)
    assert found["verdict"] == "transfers"


def test_a_neighbour_that_diverged_is_no_news_of_the_tuned_rate():
    # Everything above the tuned rate diverges at the largest size; the tuned rate is run, and costs what it does.
    smooth = valley({64: -2.2, 128: -2.2, 256: -2.2, 512: -2.6}, 0.3)

    def loss(size, rate, seed):
        return None if size == 512 and rate > -2.2 else smooth(size, rate, seed)

    found, _ = swept(loss)
    assert found["cost"][-1] == pytest.approx(math.expm1(0.3 * (0.4**2 - 0.1**2)), rel=1e-9)
    assert (found["cost_diverged"][-1], found["verdict"]) == (0, "transfers")


def test_a_tuned_rate_that_diverges_in_one_seed_does_not_transfer():
    smooth = valley(dict.fromkeys(SIZES, -2.2))
    found, _ = swept(lambda s, r, seed: None if s == 256 and r == -2.2 and seed else smooth(s, r, seed))
    assert (found["verdict"], found["cost_diverged"], found["cost"][2]) == (
        "does not transfer", [None, 0, 1, 0], math.inf)  # fmt: skip
    # What the next size's rate does was then run too; the same rate, so nothing more was asked of 512.
    assert found["transfers_from"] == 256


@pytest.mark.parametrize(("bend", "word"), [(0.004, "transfers"), (0.08, "does not transfer")])
def test_four_and_six_widths_say_the_same(bend, word):
    """0.3 octave per doubling: the same verdict, drift and costs, and what four extrapolate is what six measure."""
    widths = [64 * 2**index for index in range(6)]
    optima = {width: -2.0 - 0.3 * index for index, width in enumerate(widths)}
    four, six = (swept(valley(optima, bend), widths[:count])[0] for count in (4, 6))
    assert four["verdict"] == six["verdict"] == word
    assert four["drift_octaves_per_doubling"] == pytest.approx(-0.3, abs=1e-9)
    assert six["drift_octaves_per_doubling"] == pytest.approx(-0.3, abs=1e-9)
    assert four["cost"] == six["cost"][:4]
    # Three doublings beyond 512 and beyond 2048: the vertex is 1.8 and 2.4 octaves from the tuned rate.
    for found, away in ((four, 1.8), (six, 2.4)):
        first = found["extrapolated"][0]
        assert (first["size"], first["octaves"]) == (8 * found["sizes"][-1], pytest.approx(away, abs=1e-6))
        assert first["cost"] == pytest.approx(math.expm1(bend * away**2), rel=1e-6)


def noisy(noise, optima=None, seed=0):
    """Losses with a scatter of `noise` at every run, from a seed."""
    smooth = valley(optima or dict.fromkeys(SIZES, -2.2))
    known = {}

    def loss(size, rate, run_seed):
        key = (size, rate, run_seed)
        if key not in known:
            draw = np.random.default_rng([seed, size, int(1000 * (rate + 50)), run_seed]).normal()
            known[key] = smooth(size, rate, run_seed) * math.exp(noise * draw)
        return known[key]

    return loss


def test_noise_of_four_percent_and_two_seeds_decide_nothing():
    words = [swept(noisy(0.04, seed=seed))[0] for seed in range(20)]
    assert [found["verdict"] for found in words].count("not decided") >= 17
    undecided = [found for found in words if found["verdict"] == "not decided"]
    assert all(found["why"] == ["seeds"] for found in undecided)
    wanted = [found["seeds_to_decide"] for found in undecided if found["seeds_to_decide"]]
    assert wanted
    assert all(count > 2 for count in wanted)


def test_enough_seeds_decide_what_two_do_not():
    """The cost is nothing: 64 seeds see it through 4 % of noise, of which each comparison then has 0.7 %."""
    assert swept(noisy(0.04), seeds=64)[0]["verdict"] == "transfers"
    far = swept(noisy(0.04, {64: -1.0, 128: -1.5, 256: -2.0, 512: -2.5}), seeds=64)[0]
    assert far["verdict"] == "does not transfer"


def test_the_error_is_paired_and_pooled():
    # The two rates that do nearly as well as the best differ from the tuned one by -+e, of variance 2 e^2 each.
    e = 0.02
    shift = {-2.5: 1, -1.5: -1}

    def loss(size, rate, seed):
        level = {-2.0: 0.0, -2.5: 0.01, -1.5: 0.01}.get(rate, 2.0)
        return math.exp(level + (1 - 2 * seed) * e * shift.get(rate, 0))

    found, _ = swept(loss, (64, 128))
    assert found["tuned_log2"] == -2.0
    assert found["cost"][1] == pytest.approx(math.expm1(-0.01), rel=1e-9)
    assert found["cost_se"][1] == pytest.approx(math.sqrt(2 * e**2 / 2) * math.exp(-0.01), rel=1e-9)


def test_one_seed_has_no_error_and_decides_nothing():
    found, _ = swept(valley(dict.fromkeys(SIZES, -2.2)), seeds=1)
    assert (found["verdict"], found["why"], found["seeds_to_decide"]) == ("not decided", ["one seed"], 2)
    assert found["cost_se"] == [None] * 4


def test_transfers_from_the_size_from_which_it_holds():
    # 64 is another world; from 128 on nothing moves. Only then are the rates of 128 run at 256 and 512.
    found, asked = swept(valley({64: -0.2, 128: -2.2, 256: -2.2, 512: -2.2}))
    assert (found["verdict"], found["transfers_from"]) == ("does not transfer", 128)
    assert asked == [(128, -0.2), (256, -0.2), (512, -0.2), (256, -2.2), (512, -2.2)]


def test_a_tuned_rate_at_the_edge_is_not_tuned():
    found, _ = swept(valley(dict.fromkeys(SIZES, 3.0)))
    assert (found["verdict"], found["why"], found["at_edge"]) == ("not decided", ["edge"], [True] * 4)
    # The best of a larger size beyond the grid: the cost is at least what is seen.
    at_least, _ = swept(valley({64: -2.0, 128: -2.0, 256: -2.0, 512: -6.0}, 0.001))
    assert (at_least["verdict"], at_least["why"]) == ("not decided", ["edge"])
    assert swept(valley({64: -2.0, 128: -2.0, 256: -2.0, 512: -6.0}))[0]["verdict"] == "does not transfer"


def test_a_sweep_without_its_tuned_runs_speaks_of_a_grid_rate():
    rows = [
        run(size, rate, seed, valley(dict.fromkeys(SIZES, -2.2))(size, rate, seed))
        for size in SIZES for seed in (0, 1) for rate in RATES
    ]  # fmt: skip
    (found,) = summarize(rows, "width")
    assert (found["tuned_on_grid"], found["tuned_log2"], found["verdict"]) == (True, -2.0, "transfers")


@pytest.mark.parametrize("sign", [-1, 0])
def test_losses_that_are_not_positive_cost_a_share_of_their_fall(sign):
    """A log-likelihood falls from 4 to about -6: the cost is a share of 10, and no logarithm is taken."""
    optima = {64: -2.0, 128: -2.0, 256: -2.0, 512: -2.5}

    def loss(size, rate, seed):
        return sign * 6.0 + (rate - optima[size]) ** 2

    rows = [
        run(size, rate, seed, loss(size, rate, seed), first_loss=4.0)
        for size in SIZES for seed in (0, 1) for rate in RATES
    ]  # fmt: skip
    (found,) = summarize(rows, "width")
    assert found["cost"][-1] == pytest.approx(0.25 / (4 - 6 * sign), rel=1e-9)
    assert (found["cost_of"], found["verdict"]) == ("fall", "transfers" if sign else "does not transfer")


def test_a_cost_that_nothing_scales_is_not_known():
    """Negative losses without the loss before training: neither a ratio nor a share of a fall."""
    smooth = valley(dict.fromkeys(SIZES, -2.0))
    rows = [run(size, rate, seed, smooth(size, rate, seed) - 2) for size in SIZES for seed in (0, 1) for rate in RATES]
    (found,) = summarize(rows, "width")
    assert (found["verdict"], found["why"], found["cost"]) == ("not decided", ["not known"], [None] * 4)


def test_a_seed_that_is_missing_did_not_diverge():
    smooth = valley(dict.fromkeys(SIZES, -2.0))
    rows = [run(size, rate, seed, smooth(size, rate, seed)) for size in SIZES for seed in (0, 1) for rate in RATES]
    rows.remove(next(row for row in rows if (row["width"], row["log2_rate"], row["seed"]) == (512, -2.0, 1)))
    (found,) = summarize(rows, "width")
    assert (found["verdict"], found["cost"][-1], found["cost_diverged"][-1]) == ("not decided", None, 0)


def test_an_optimum_on_the_grid_is_the_grids_rate():
    rates = [-4.125, -3.125, -2.125, -1.125, -0.125]
    found, asked = swept(valley(dict.fromkeys(SIZES, -2.125)), rates=rates)
    assert (asked, found["tuned_log2"], found["tuned_on_grid"]) == ([], -2.125, False)


def test_what_is_best_can_be_chosen():
    """The loss is best at -2 everywhere; accuracy at -2 or, of the largest size, at -3, where the loss is not."""
    rows = []
    for size in SIZES:
        for seed in (0, 1):
            for rate in RATES:
                best = -3.0 if size == 512 else -2.0
                rows.append(
                    run(size, rate, seed, math.exp(0.1 * (rate + 2) ** 2), test_loss=2 + (rate + 2) ** 2,
                        test_accuracy=1 - 0.1 * math.exp(0.1 * (rate - best) ** 2))
                )  # fmt: skip
    chosen = {"final_loss": ("transfers", -2.0), "test_loss": ("transfers", -2.0)}
    for select, (word, best) in (chosen | {"test_accuracy": ("does not transfer", -3.0)}).items():
        (found,) = summarize(rows, "width", select)
        assert (found["verdict"], found["optimum_log2"][-1]) == (word, pytest.approx(best, abs=1e-9))
    assert found["best_loss"] == pytest.approx([0.9] * 4)
    # The error rate at -2 against that at -3: a tenth more.
    assert found["cost"][-1] == pytest.approx(math.expm1(0.1), rel=1e-9)
    with refused("select", "loss"):
        summarize(rows, "width", "loss")
    with refused("select", "test_loss"):
        summarize([{**row, "test_loss": None} for row in rows], "width", "test_loss")
