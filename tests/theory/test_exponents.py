"""Predicted slopes: against the tables' own promises, hand counts, symmetries and first-order movement."""

import dataclasses
import functools
import itertools
import random
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from refusals import refused

from widthwise import theory
from widthwise.parameterizations import GAUGES, OPTIMIZERS, Role, parameterization
from widthwise.theory import predicted_depth_slopes, predicted_errors, predicted_slopes, predicted_vectors

HALF = Fraction(1, 2)
# Backprop has no output precision to leave out of its output loss, and says so.
RULES = [
    ("bp", 0, "weighted"),
    *itertools.product(["pc"], (0, "-1/2", -1, "-3/2"), ("weighted", "unweighted")),
]
NAMED = {"ntp": 0, "mup": "1/2", "mupc": "1/2", "depth_mup": "1/2"}
SHAPES = [{"residual": residual, "bias": bias} for residual in (False, True) for bias in (False, True)]


def slopes(table, **options):
    return tuple(predicted_slopes(table, **options).values())


def with_rates(table, shifts, exponent="rate"):
    """The table with powers of width added to the given roles' rates (or another power)."""
    rows = []
    for role, row in table.rows:
        power = getattr(row, exponent)
        shifted = dataclasses.replace(power, width=power.width + Fraction(shifts.get(role, 0)))
        rows.append((role, dataclasses.replace(row, **{exponent: shifted})))
    return dataclasses.replace(table, rows=tuple(rows))


def shifted_everywhere(table, exponent):
    """SGD rates times M^exponent in every role."""
    return with_rates(table, dict.fromkeys(Role, exponent))


def with_precision_of(table, other):
    """The rates of one table at the precisions, and under the rule, of another."""
    precisions = other.scalings
    rows = tuple((r, dataclasses.replace(s, precision=precisions[r].precision)) for r, s in table.rows)
    return dataclasses.replace(table, algorithm=other.algorithm, gamma_bar=other.gamma_bar, rows=rows)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("algorithm", "gamma_bar", "output_loss"), RULES)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_legal_tables_move_as_their_richness_says(optimizer, algorithm, gamma_bar, output_loss, shape):
    common = {
        "algorithm": algorithm, "optimizer": optimizer, "gamma_bar": gamma_bar, "output_loss": output_loss
    }  # fmt: skip
    tables = [(parameterization(name, **common), Fraction(r)) for name, r in NAMED.items()]
    for r in map(Fraction, ("0", "1/8", "1/4")):
        tables.append((parameterization("richness", richness=r, **common), r))
    for (table, r), depth in itertools.product(tables, (2, 3, 9)):
        hidden = (r - HALF,) * min(depth - 1, 2)
        assert slopes(table, depth=depth, **shape) == (*hidden, 0), (table.name, r, depth)


@pytest.mark.parametrize(
    ("optimizer", "shift", "expected"),
    [
        ("sgd", 0, (-HALF, HALF, 1)),
        ("sgd", -1, (-3 * HALF, -HALF, 0)),
        ("adam", 0, (0, 1, 3 * HALF)),
        ("adam", -1, (-1, 0, HALF)),
    ],
)
def test_standard_parameterization(optimizer, shift, expected):
    table = shifted_everywhere(parameterization("sp", optimizer=optimizer), shift)
    assert slopes(table) == slopes(table, residual=True) == expected
    for gamma_bar in (0, -1):
        # SP's readout saturates the growth at every γ̄ up to 0: k = 0.
        pc = parameterization("sp", optimizer=optimizer, algorithm="pc", gamma_bar=gamma_bar)
        assert slopes(with_precision_of(table, pc)) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    # By hand, in the rescaling gauge: Adam moves entries by the rate, a = (0, 1/2, 1). A constant rate: h_1 by 1; a
    # hidden layer by N^-1/2 times a fan-in of N; the readout carries that on. eta N^-1/2: h_1 by N^-1/2; a hidden
    # layer by 1, which the readout carries on. Measured in theory.md D2: (0, .37, .35) and (-.50, -.13, -.15).
    [("mupc_constant", (0, HALF, HALF)), ("mupc_uniform", (-HALF, 0, 0))],
)
@pytest.mark.parametrize(("algorithm", "gamma_bar", "output_loss"), RULES)
def test_published_adam_rules(name, expected, algorithm, gamma_bar, output_loss):
    settings = {"algorithm": algorithm, "gamma_bar": gamma_bar, "output_loss": output_loss, "optimizer": "adam"}
    table = parameterization(name, **settings)
    for shape in SHAPES:
        assert slopes(table, **shape) == expected, shape


@pytest.mark.parametrize("output_loss", ["weighted", "unweighted"])
def test_rates_of_the_wrong_end(output_loss):
    ends = {
        gamma_bar: parameterization("mup", algorithm="pc", gamma_bar=gamma_bar, output_loss=output_loss)
        for gamma_bar in (0, -1)
    }
    too_fast = with_precision_of(ends[0], ends[-1])
    too_slow = with_precision_of(ends[-1], ends[0])
    assert slopes(too_fast) == (1, 1, 1)
    assert slopes(too_slow) == (-1, -1, -1 if output_loss == "weighted" else 0)


def test_unweighted_output_loss_changes_only_the_readout():
    table = parameterization("mup", algorithm="pc", gamma_bar="-3/2")
    unweighted = dataclasses.replace(table, output_loss="unweighted")
    alone = dict.fromkeys((Role.INPUT, Role.HIDDEN), -5)
    # λ ~ M^1, its readout share λ / γ_L ~ M^-1/2, at a rate of M^-2 and a fan-in of M.
    assert slopes(with_rates(unweighted, alone))[2] == -3 * HALF
    assert slopes(with_rates(table, alone))[2] == 0


def test_fixed_prediction_does_not_saturate():
    table = parameterization("mup", algorithm="pc", gamma_bar="-3/2")
    assert slopes(table) == (0, 0, 0)
    assert slopes(table, fixed_prediction=True) == (HALF, HALF, HALF)
    same = parameterization("mup", algorithm="pc", gamma_bar=-1)
    assert slopes(same) == slopes(same, fixed_prediction=True)


@pytest.mark.parametrize("residual", [False, True])
def test_biases_that_learn_too_fast_or_too_slowly(residual):
    table = parameterization("mup")
    # Rate 0 of a hidden bias instead of M: its share vanishes, and weights still carry the movement.
    biases = (Role.HIDDEN_BIAS, Role.BRANCH_BIAS)
    slow = with_rates(table, dict.fromkeys(biases, -1))
    fast = with_rates(table, dict.fromkeys(biases, 1))
    assert slopes(slow, bias=True, residual=residual) == (0, 0, 0)
    assert slopes(fast, bias=True, residual=residual) == (1, 1, 1)
    assert slopes(fast, residual=residual) == (0, 0, 0)
    alone = with_rates(slow, dict.fromkeys((Role.INPUT, Role.HIDDEN, Role.BRANCH, Role.OUTPUT), -5))
    alone = with_rates(alone, {Role.OUTPUT_BIAS: -5})
    assert slopes(alone, bias=True, residual=residual) == (-1, -1, -1)
    assert slopes(with_rates(table, {Role.OUTPUT_BIAS: 1}), bias=True) == (0, 0, 1)


@pytest.mark.parametrize(("algorithm", "gamma_bar", "output_loss"), RULES)
# Lion and RMSprop have Adam's facts.
@pytest.mark.parametrize("optimizer", ["sgd", "adam", "muon"])
def test_gauges_predict_the_same(optimizer, algorithm, gamma_bar, output_loss):
    def predictions(table):
        return [slopes(table, **shape) for shape in SHAPES]

    draw = random.Random(0)
    for name in ("sp", "ntp", "mup", "mupc"):
        table = parameterization(
            name, algorithm=algorithm, optimizer=optimizer, gamma_bar=gamma_bar, output_loss=output_loss
        )
        shifts = {role: Fraction(draw.randint(-6, 6), 4) for role in Role}
        wrong = with_rates(with_rates(table, shifts), {Role.OUTPUT: shifts[Role.INPUT]}, "init")
        for start in (table, wrong):
            expected = predictions(start)
            for gauge in GAUGES:
                assert predictions(start.in_gauge(gauge)) == expected
            moves = {role: Fraction(draw.randint(-8, 8), 5) for role in Role}
            assert predictions(start.gauged(moves)) == expected


def test_hidden_precisions_count_too():
    table = parameterization("mup", algorithm="pc", gamma_bar=-1)
    # Scaling every γ by M scales every gradient by M, and moves no activity.
    everywhere = dict.fromkeys((Role.INPUT, Role.HIDDEN, Role.OUTPUT), 1)
    assert slopes(with_rates(table, everywhere, "precision")) == (1, 1, 1)


def test_refusals():
    table = parameterization("mup")
    for depth in (1, True):
        with refused("depth", depth):
            predicted_slopes(table, depth=depth)


WIDTHS, SEEDS, DEPTH = (128, 512), 8, 4


@jax.jit
def first_order(normals, x, y, std, multiplier, rate, precision, switches):
    """log2 RMS of h_1, h_{L-1} and f's change by one step of a linear chain, to first order in the rate."""
    skip, is_pc, is_adam, unweighted = switches
    raw = [m * s * z for m, s, z in zip(multiplier, std, normals, strict=True)]
    matrices = [raw[0], *[A + skip * jnp.eye(A.shape[0]) for A in raw[1:-1]], raw[-1]]

    def states(matrices):
        seen = [x]
        for A in matrices:
            seen.append(seen[-1] @ A.T)
        return seen[1], seen[-2], seen[-1]

    backprop = jax.grad(lambda m: 0.5 * jnp.sum((y - states(m)[-1]) ** 2) / len(x))(matrices)
    coding = theory.equilibrium_weight_gradients(matrices, precision, x, y)
    coding[-1] = coding[-1] / jnp.where(unweighted == 1, precision[-1], 1.0)
    steps = []
    for m, eta, bp, pc in zip(multiplier, rate, backprop, coding, strict=True):
        gradient = m * jnp.where(is_pc == 1, pc, bp)
        steps.append(-m * eta * jnp.where(is_adam == 1, jnp.sign(gradient), gradient))
    changes = jax.jvp(states, (matrices,), (steps,))[1]
    return jnp.stack([jnp.log2(jnp.mean(d**2)) / 2 for d in changes])


def measured_slopes(table, residual):
    """The slopes that finite networks show, means over seeds that widths share nothing of."""
    inner = Role.BRANCH if residual else Role.HIDDEN
    roles = [Role.INPUT, *[inner] * (DEPTH - 2), Role.OUTPUT]
    switches = jnp.array(
        [residual, table.algorithm == "pc", table.optimizer == "adam", table.output_loss == "unweighted"],
        float,
    )
    points = []
    for width in WIDTHS:
        sizes = [table.size(fan_in=i, fan_out=o, width=width, depth=DEPTH) for i, o in fans(width)]
        factors = [
            jnp.array([getattr(table.scalings[r], kind).at(s) for r, s in zip(roles, sizes, strict=True)])
            for kind in ("init", "multiplier", "rate", "precision")
        ]
        points.append(np.mean([first_order(*draws(width, seed), *factors, switches) for seed in range(SEEDS)], 0))
    return np.polyfit(np.log2(WIDTHS), points, 1)[0]


def fans(width):
    return list(itertools.pairwise([8, *[width] * (DEPTH - 1), 4]))


@functools.cache
def draws(width, seed):
    draw = np.random.default_rng([width, seed])
    normals = [draw.normal(size=(fan_out, fan_in)) for fan_in, fan_out in fans(width)]
    # Large targets: that f at the start is random adds little to the seeds' scatter.
    x, y = draw.normal(size=(16, 8)), 3 * draw.normal(size=(16, 4))
    return jax.tree.map(jnp.asarray, (normals, x, y))


def cases():
    """Right and wrong tables at base width 1, where the leading power is far above the others."""
    common = {"base_width": 1}
    # Lion and RMSprop have Adam's row; the norm of Muon's update is measured in test_update_rules.
    for optimizer, residual in itertools.product(("sgd", "adam"), (False, True)):
        for name in ("mup", "ntp", "sp"):
            yield parameterization(name, optimizer=optimizer, **common), residual
        for gamma_bar in (0, -1, "-3/2"):
            pc = parameterization("mup", algorithm="pc", optimizer=optimizer, gamma_bar=gamma_bar, **common)
            yield pc, residual
            yield shifted_everywhere(with_rates(pc, {Role.OUTPUT: "1/2"}, "init"), "-1/2"), residual
        yield with_rates(parameterization("mup", optimizer=optimizer, **common), {Role.INPUT: 1}), residual
        narrow = {Role.HIDDEN: "-1/2", Role.BRANCH: "-1/2"}
        table = parameterization("ntp", optimizer=optimizer, **common)
        yield with_rates(table, narrow, "init"), residual
        if not residual:
            yield with_rates(table, {Role.HIDDEN: "1/2"}, "init"), residual
    for name in ("mupc_constant", "mupc_uniform"):
        yield parameterization(name, optimizer="adam", base_depth=1, **common), True
    pc = parameterization("mup", algorithm="pc", gamma_bar=-1, output_loss="unweighted", **common)
    yield with_precision_of(pc, parameterization("mup", algorithm="pc", **common)), False


@pytest.mark.parametrize(("table", "residual"), list(cases()))
def test_first_order_movement_of_linear_networks(table, residual):
    expected = [float(slope) for slope in predicted_slopes(table, depth=DEPTH, residual=residual).values()]
    # Exponents are multiples of 1/2, so that a miscount is off by twice the tolerance at least.
    np.testing.assert_allclose(measured_slopes(table, residual), expected, atol=0.25)


# Target propagation: theory.md C2, C2a.
DTP = {"algorithm": "dtp"}


def test_targets_of_the_batch_move_every_layer():
    for optimizer in OPTIMIZERS:
        assert slopes(parameterization("mup", optimizer=optimizer, **DTP)) == (0, 0, 0)
    # theory.md C2, SP: (-.05, .88, .90, .97).
    assert slopes(parameterization("sp", **DTP)) == (0, 1, 1)


def test_backprops_mup_grows_under_targets():
    # theory.md C2, BP muP on DTP: .57, .55, .54, .07, where the ridge is what is left of a vanishing output.
    assert slopes(parameterization("mup"), feedback="batch") == (HALF, HALF, 0)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_tied_feedback_is_backprop(optimizer):
    for name in ("mup", "ntp", "sp"):
        table = parameterization(name, optimizer=optimizer)
        assert slopes(table, feedback="tied") == slopes(table)
    # theory.md C2a: movement -.51, W_L dz -.03 at TP's table, which is NTP's for SGD.
    sgd = parameterization("mup", optimizer="sgd", **DTP)
    assert slopes(sgd, feedback="tied") == (-HALF, -HALF, 0)


def test_slowed_hidden_layers_stop_contributing():
    # theory.md C2: hidden rates times M^-1/2: movement -.46; the readout alone still moves the output.
    table = parameterization("mup", **DTP)
    slowed = with_rates(table, {Role.INPUT: "-1/2", Role.HIDDEN: "-1/2"})
    assert slopes(slowed) == (-HALF, -HALF, 0)


def test_an_unknown_feedback_is_refused():
    with refused("feedback", "tide"):
        predicted_slopes(parameterization("mup", **DTP), feedback="tide")


# Errors, biases, depth.


@pytest.mark.parametrize("gamma_bar", [0, "-1/2", -1, "-3/2"])
@pytest.mark.parametrize("r", ["0", "1/4", "1/2"])
def test_errors_of_predictive_coding(gamma_bar, r):
    """theory.md B1, B2: e_l = (γ_L/γ_l) W^T (I + C)^-1 (y − f), k − 1/2 − r with k = min(−γ̄, 2 r), under FPA −γ̄."""
    table = parameterization("richness", richness=r, algorithm="pc", gamma_bar=gamma_bar)
    growth = min(-Fraction(gamma_bar), 2 * Fraction(r))
    assert predicted_errors(table, depth=4) == (growth - HALF - Fraction(r),) * 3
    frozen = -Fraction(gamma_bar) - HALF - Fraction(r)
    assert predicted_errors(table, depth=3, fixed_prediction=True) == (frozen,) * 2
    halved = with_rates(table, {Role.INPUT: HALF, Role.HIDDEN: HALF}, "precision")
    assert predicted_errors(halved, depth=3, fixed_prediction=True) == (frozen - HALF,) * 2


def test_errors_of_targets_do_not_depend_on_the_width():
    """theory.md C1: z − zhat is of order one; under tied feedback it is backprop's gradient, W_L^T δ."""
    for name in ("tp", "dtp"):
        table = parameterization("mup", algorithm=name)
        assert predicted_errors(table, depth=4) == (0, 0, 0)
        assert predicted_errors(table, depth=4, feedback="tied") == (-HALF,) * 3


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_vectors_of_legal_tables_move_as_their_richness_says(optimizer):
    """theory.md A1: hidden biases c = −2r (SGD), 1/2 − r (Adam); F: gains the same. At a hidden weight's rate, −1."""
    for r in map(Fraction, ("0", "1/4", "1/2")):
        table = parameterization("richness", richness=r, optimizer=optimizer)
        moves = predicted_vectors(table)
        assert moves.pop(Role.OUTPUT_BIAS) == 0
        assert set(moves.values()) == {r - HALF}
        slow = with_rates(table, {Role.HIDDEN_BIAS: -1, Role.NORM: -1})
        assert predicted_vectors(slow)[Role.HIDDEN_BIAS] == predicted_vectors(slow)[Role.NORM] == r - 3 * HALF


@pytest.mark.parametrize(
    ("name", "optimizer", "expected"),
    [
        ("depth_mup", "sgd", (0, 0, 0)),
        ("depth_mup", "adam", (0, 0, 0)),
        ("mupc", "sgd", (0, 0, 0)),
        ("mupc_constant", "adam", (0, HALF, HALF)),
        ("mupc_uniform", "adam", (-HALF, 0, 0)),
    ],
)
def test_slopes_over_depth(name, optimizer, expected):
    """theory.md D2 measured constant Adam (0, .64, .57), uniform 1/sqrt(NL) (−.51, .14, .07), the others within .1."""
    for bias in (False, True):
        assert (
            tuple(predicted_depth_slopes(parameterization(name, optimizer=optimizer), bias=bias).values()) == expected
        )


@pytest.mark.parametrize("gamma_bar", [0, "-1/2", -1])
def test_precisions_that_follow_depth_keep_slopes(gamma_bar):
    """theory.md D3: γ_L ~ (N/L)^-γ̄ with rates divided by it."""
    table = parameterization("depth_mup", algorithm="pc", gamma_bar=gamma_bar)
    assert tuple(predicted_depth_slopes(table).values()) == (0, 0, 0)
    assert predicted_errors(table, residual=True) == (-1 - Fraction(gamma_bar),) * 3
