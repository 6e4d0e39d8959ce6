"""Every row of theory.md's exponent table, as literal fractions, and what its powers are worth at a size."""

import dataclasses
import math
from fractions import Fraction

import pytest
from refusals import refused

from widthwise.parameterizations import NAMES, Power, Role, Size, parameterization

# Typed row by row from "Exponent table (single source of truth)" of theory.md:
# W = M^-a w, std M^-b, rate M^-c, epsilon M^-g, a = 0 (STP gauge).

B = {"0": ("0", "1/2", "1/2"), "1/4": ("0", "1/2", "3/4"), "1/2": ("0", "1/2", "1")}

# (richness, gamma_bar): c in, c hid, c out, c output bias, g in/hid, g out.
PC_SGD = {
    ("0", "0"): ("0", "1", "1", "0", "1/2", "0"),
    ("0", "-1/2"): ("0", "1", "1", "0", "1/2", "0"),
    ("0", "-1"): ("0", "1", "1", "0", "1/2", "0"),
    ("0", "-3/2"): ("0", "1", "1", "0", "1/2", "0"),
    ("1/4", "0"): ("-1/2", "1/2", "1", "0", "3/4", "0"),
    ("1/4", "-1/2"): ("0", "1", "3/2", "1/2", "1/4", "-1/2"),
    ("1/4", "-1"): ("0", "1", "3/2", "1/2", "1/4", "-1/2"),
    ("1/4", "-3/2"): ("0", "1", "3/2", "1/2", "1/4", "-1/2"),
    ("1/2", "0"): ("-1", "0", "1", "0", "1", "0"),
    ("1/2", "-1/2"): ("-1/2", "1/2", "3/2", "1/2", "1/2", "-1/2"),
    ("1/2", "-1"): ("0", "1", "2", "1", "0", "-1"),
    ("1/2", "-3/2"): ("0", "1", "2", "1", "0", "-1"),
}
# Not weighted by gamma_L, the readout's gradient grows by M^(k + gamma_bar): c out, c output bias, g out.
UNWEIGHTED = {
    ("0", "0"): ("1", "0", "0"),
    ("0", "-1/2"): ("1/2", "-1/2", "1/2"),
    ("0", "-1"): ("0", "-1", "1"),
    ("0", "-3/2"): ("-1/2", "-3/2", "3/2"),
    ("1/4", "0"): ("1", "0", "0"),
    ("1/4", "-1/2"): ("1", "0", "0"),
    ("1/4", "-1"): ("1/2", "-1/2", "1/2"),
    ("1/4", "-3/2"): ("0", "-1", "1"),
    ("1/2", "0"): ("1", "0", "0"),
    ("1/2", "-1/2"): ("1", "0", "0"),
    ("1/2", "-1"): ("1", "0", "0"),
    ("1/2", "-3/2"): ("1/2", "-1/2", "1/2"),
}
# Adam, any gamma_bar: c in, c hid, c out, c output bias.
ADAM = {
    "0": ("1/2", "3/2", "1", "0"),
    "1/4": ("1/4", "5/4", "1", "0"),
    "1/2": ("0", "1", "1", "0"),
}
WEIGHTS = (Role.INPUT, Role.HIDDEN, Role.OUTPUT)


FORWARD = [role for role in Role if not role.is_feedback]


def forward(table):
    """The rows of the network; feedback's have tests of their own."""
    return {role: scaling for role, scaling in table.scalings.items() if not role.is_feedback}


def letters(table, letter):
    return {role: scaling.letters(role)[letter] for role, scaling in forward(table).items()}


def assert_row(table, *, b, c, c_bias, g, g_output):
    """Compare all roles; a branch without powers of depth is a hidden layer, its vectors inputs."""

    def spread(values, bias, output_bias):
        inner, hidden, output = (Fraction(value) for value in values)
        return {
            Role.INPUT: inner,
            Role.HIDDEN: hidden,
            Role.BRANCH: hidden,
            Role.OUTPUT: output,
            Role.HIDDEN_BIAS: Fraction(bias),
            Role.BRANCH_BIAS: Fraction(bias),
            Role.OUTPUT_BIAS: Fraction(output_bias),
            # Gains and offsets of a normalization scale like biases.
            Role.NORM: Fraction(bias),
            Role.BRANCH_NORM: Fraction(bias),
        }

    assert letters(table, "a") == dict.fromkeys(FORWARD, Fraction(0))
    assert letters(table, "b") == spread(b, 0, 0)
    assert letters(table, "c") == spread(c, c[0], c_bias)
    assert letters(table, "g") == spread((g, g, g_output), g, g_output)
    for name in ("a_depth", "b_depth", "c_depth", "g_depth"):
        assert letters(table, name) == dict.fromkeys(FORWARD, Fraction(0))


@pytest.mark.parametrize(("r", "gamma_bar"), PC_SGD)
@pytest.mark.parametrize("output_loss", ["weighted", "unweighted"])
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_predictive_coding_rows(r, gamma_bar, output_loss, optimizer):
    table = parameterization(
        "richness",
        algorithm="pc",
        optimizer=optimizer,
        richness=r,
        gamma_bar=gamma_bar,
        output_loss=output_loss,
    )
    *c, c_bias, g, g_output = PC_SGD[r, gamma_bar]
    if output_loss == "unweighted":
        c[2], c_bias, g_output = UNWEIGHTED[r, gamma_bar]
    if optimizer == "adam":
        *c, c_bias = ADAM[r]
    assert_row(table, b=B[r], c=c, c_bias=c_bias, g=g, g_output=g_output)
    # gamma_L = gamma' M^-gamma_bar; all other precisions 1.
    precisions = {role: scaling.precision for role, scaling in forward(table).items()}
    assert precisions.pop(Role.OUTPUT) == Power(width=-Fraction(gamma_bar))
    assert set(precisions.values()) == {Power()}


@pytest.mark.parametrize("r", B)
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_backprop_rows(r, optimizer):
    table = parameterization("richness", algorithm="bp", optimizer=optimizer, richness=r)
    # PC at gamma_bar = 0 has backprop's exponents (the Theta(1) end).
    *c, c_bias, g, g_output = PC_SGD[r, "0"]
    if optimizer == "adam":
        *c, c_bias = ADAM[r]
    assert_row(table, b=B[r], c=c, c_bias=c_bias, g=g, g_output=g_output)


@pytest.mark.parametrize(("name", "r"), [("ntp", 0), ("mup", Fraction(1, 2))])
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_names_are_points_of_the_richness_scale(name, r, optimizer):
    named = parameterization(name, algorithm="pc", gamma_bar=-1, optimizer=optimizer)
    scale = parameterization("richness", algorithm="pc", gamma_bar=-1, optimizer=optimizer, richness=r)
    assert named.rows == scale.rows
    assert named.richness == r


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("algorithm", ["bp", "pc"])
def test_standard_parameterization(optimizer, algorithm):
    table = parameterization("sp", algorithm=algorithm, optimizer=optimizer)
    assert [letters(table, "b")[role] for role in WEIGHTS] == [0, Fraction(1, 2), Fraction(1, 2)]
    assert letters(table, "c") == letters(table, "a") == dict.fromkeys(FORWARD, Fraction(0))


def test_standard_parameterization_keeps_the_output_precision():
    table = parameterization("sp", algorithm="pc", gamma_bar="-1/2")
    assert table.scalings[Role.OUTPUT].precision == Power(width=Fraction(1, 2))


# Depth-muP / muPC. Rates, not exponents: powers of (N, L), typed from the last two rows of the table.
MUPC_MULTIPLIER = {
    Role.INPUT: ("0", "0"),
    Role.HIDDEN: ("-1/2", "0"),
    Role.BRANCH: ("-1/2", "-1/2"),
    Role.OUTPUT: ("-1", "0"),
    Role.HIDDEN_BIAS: ("0", "0"),
    Role.BRANCH_BIAS: ("0", "-1/2"),
    Role.OUTPUT_BIAS: ("0", "0"),
    # It acts before the branch's multiplier, and its gradient meets it all the same.
    Role.NORM: ("0", "0"),
    Role.BRANCH_NORM: ("0", "0"),
}
MUPC_ADAM = {
    Role.INPUT: ("0", "0"),
    Role.HIDDEN: ("-1/2", "0"),
    Role.BRANCH: ("-1/2", "-1/2"),
    Role.OUTPUT: ("0", "0"),
    Role.HIDDEN_BIAS: ("0", "0"),
    Role.BRANCH_BIAS: ("0", "-1/2"),
    Role.OUTPUT_BIAS: ("0", "0"),
    Role.NORM: ("0", "0"),
    Role.BRANCH_NORM: ("0", "-1/2"),
}
MUPC_EPSILON = {
    Role.INPUT: ("-1", "0"),
    Role.HIDDEN: ("-3/2", "0"),
    Role.BRANCH: ("-3/2", "-1/2"),
    Role.OUTPUT: ("-1", "0"),
    # Biases: the entries N^-1 of dL/dh times the bias multiplier; the readout's are Theta(1).
    Role.HIDDEN_BIAS: ("-1", "0"),
    Role.BRANCH_BIAS: ("-1", "-1/2"),
    Role.OUTPUT_BIAS: ("0", "0"),
    Role.NORM: ("-1", "0"),
    Role.BRANCH_NORM: ("-1", "-1/2"),
}


def shapes(table, field):
    """Exponents of N and L for every role."""
    letter = {"multiplier": "a", "rate": "c", "epsilon": "g"}[field]
    rows = {role: scaling.letters(role) for role, scaling in forward(table).items()}
    return {role: (-row[letter], -row[f"{letter}_depth"]) for role, row in rows.items()}


def shifted(rows, shift):
    return {
        role: tuple(Fraction(x) + Fraction(y) for x, y in zip(row, shift, strict=True)) for role, row in rows.items()
    }


@pytest.mark.parametrize("name", ["mupc", "depth_mup"])
@pytest.mark.parametrize(
    ("algorithm", "gamma_bar", "kappa"),
    # Energy gradients exceed backprop's by (N/L)^k.
    [
        ("bp", "0", ("0", "0")),
        ("pc", "0", ("0", "0")),
        ("pc", "-1/2", ("1/2", "-1/2")),
        ("pc", "-1", ("1", "-1")),
        ("pc", "-3/2", ("1", "-1")),
    ],
)
def test_depth_rows(name, algorithm, gamma_bar, kappa):
    make = {"algorithm": algorithm, "gamma_bar": gamma_bar}
    sgd, adam = (parameterization(name, optimizer=optimizer, **make) for optimizer in ("sgd", "adam"))
    undone = [-Fraction(x) for x in kappa]
    rates = dict.fromkeys(FORWARD, ("1", "0")) | {Role.OUTPUT_BIAS: ("0", "0")}
    for table in (sgd, adam):
        assert shapes(table, "multiplier") == shifted(MUPC_MULTIPLIER, (0, 0))
        assert {scaling.init for scaling in forward(table).values()} == {Power()}
        assert shapes(table, "epsilon") == shifted(MUPC_EPSILON, kappa)
        growth = Fraction(gamma_bar)
        assert table.scalings[Role.OUTPUT].precision == Power(width=-growth, depth=growth)
    assert shapes(sgd, "rate") == shifted(rates, undone)
    assert shapes(adam, "rate") == shifted(MUPC_ADAM, (0, 0))


def test_depth_rows_of_an_unweighted_readout():
    # At gamma_bar = -1 without gamma_L in its own loss the readout's gradient is backprop's: rate N, epsilon N^-1.
    table = parameterization("mupc", algorithm="pc", gamma_bar=-1, output_loss="unweighted")
    assert shapes(table, "rate")[Role.OUTPUT] == (1, 0)
    assert shapes(table, "epsilon")[Role.OUTPUT] == (-1, 0)
    assert shapes(table, "rate")[Role.OUTPUT_BIAS] == (0, 0)
    # Below it nothing changes: N / gamma_L = L.
    assert shapes(table, "rate")[Role.BRANCH] == (0, 1)


# theory.md D2: the muPC paper's constant Adam rate and the limits paper's eta / sqrt(N L), in every role.
PUBLISHED = {"mupc_constant": ("0", "0"), "mupc_uniform": ("-1/2", "-1/2")}


@pytest.mark.parametrize("name", PUBLISHED)
@pytest.mark.parametrize(("algorithm", "gamma_bar"), [("bp", "0"), ("pc", "-1")])
def test_published_adam_rules(name, algorithm, gamma_bar):
    table = parameterization(name, algorithm=algorithm, gamma_bar=gamma_bar, optimizer="adam")
    rate = tuple(Fraction(x) for x in PUBLISHED[name])
    assert shapes(table, "rate") == dict.fromkeys(FORWARD, rate)
    assert shapes(table, "epsilon") == dict.fromkeys(FORWARD, (0, 0))
    assert shapes(table, "multiplier") == shifted(MUPC_MULTIPLIER, (0, 0))
    assert {scaling.init for scaling in forward(table).values()} == {Power()}
    growth = Fraction(gamma_bar)
    assert table.scalings[Role.OUTPUT].precision == Power(width=-growth, depth=growth)
    # Away from its own rates, epsilon and the decay that follows the rates it is muPC.
    mupc = parameterization("mupc", algorithm=algorithm, gamma_bar=gamma_bar, optimizer="adam")
    for role, scaling in forward(table).items():
        changed = {"rate": Power(), "epsilon": Power(), "decay": Power()}
        assert dataclasses.replace(scaling, **changed) == dataclasses.replace(mupc.scalings[role], **changed)


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_rules_keep_the_effect_of_weight_decay(name):
    def exponents(kind):
        table = parameterization(name, optimizer="adam", weight_decay_kind=kind)
        return {role: scaling.decay.exponents for role, scaling in forward(table).items()}

    # Times the rate: its inverse. In the gradient: as the gradient's entries, which are muPC's.
    width, depth = (-Fraction(x) for x in PUBLISHED[name])
    assert exponents("lr") == dict.fromkeys(FORWARD, Power(width=width, depth=depth).exponents)
    mupc = parameterization("mupc", optimizer="adam", weight_decay_kind="coupled")
    assert exponents("coupled") == {role: scaling.decay.exponents for role, scaling in forward(mupc).items()}
    assert exponents("independent") == dict.fromkeys(FORWARD, Power().exponents)


def test_published_rates_are_relative_to_the_base():
    table = parameterization("mupc_uniform", optimizer="adam", base_width=32, base_depth=4)
    size = table.size(fan_in=128, fan_out=10, width=128, depth=16)
    # sqrt(N_0 L_0 / (N L)) = sqrt(1 / 16), and 1 at the base.
    assert {scaling.rate.at(size) for scaling in forward(table).values()} == {0.25}
    base = table.size(fan_in=32, fan_out=10, width=32, depth=4)
    assert {scaling.rate.at(base) for scaling in forward(table).values()} == {1.0}


def test_depth_multipliers_are_the_papers_absolute_ones():
    table = parameterization("mupc")
    n, layers, d = 96, 24, 12

    def value(role, fan_in, fan_out):
        return table.scalings[role].multiplier.at(table.size(fan_in=fan_in, fan_out=fan_out, width=n, depth=layers))

    # Relative 1e-15: two roundings of each power.
    assert value(Role.INPUT, d, n) == pytest.approx(1 / math.sqrt(d), rel=1e-15)
    assert value(Role.HIDDEN, n, n) == pytest.approx(1 / math.sqrt(n), rel=1e-15)
    assert value(Role.BRANCH, n, n) == pytest.approx(1 / math.sqrt(n * layers), rel=1e-15)
    assert value(Role.OUTPUT, n, 10) == pytest.approx(1 / n, rel=1e-15)
    assert value(Role.BRANCH_BIAS, n, n) == pytest.approx(1 / math.sqrt(layers), rel=1e-15)
    assert value(Role.HIDDEN_BIAS, n, n) == value(Role.OUTPUT_BIAS, n, 10) == 1.0


def test_depth_rates_are_relative_to_the_base():
    sgd = parameterization("mupc", algorithm="pc", gamma_bar=-1, base_width=32, base_depth=4)
    adam = parameterization("mupc", algorithm="pc", optimizer="adam", base_width=32, base_depth=4)
    size = sgd.size(fan_in=128, fan_out=128, width=128, depth=16)
    # SGD: N/N_0 over gamma_L = (N/N_0)/(L/L_0), so L/L_0; Adam: sqrt(N_0 L_0 / (N L)).
    assert sgd.scalings[Role.BRANCH].rate.at(size) == 4.0
    assert sgd.scalings[Role.OUTPUT].precision.at(size) == 1.0
    assert adam.scalings[Role.BRANCH].rate.at(size) == 0.25


@pytest.mark.parametrize("name", [name for name in NAMES if "mupc" not in name and name != "depth_mup"])
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_all_tables_coincide_at_the_base(name, optimizer):
    richness = "1/4" if name == "richness" else None
    table = parameterization(name, algorithm="pc", gamma_bar=-1, optimizer=optimizer, richness=richness, base_width=48)
    for role, scaling in forward(table).items():
        fan_in = 48 if role.grows_with_fan_in else 12
        size = table.size(fan_in=fan_in, fan_out=48, width=48, depth=5)
        std = 1.0 if role.is_bias or role.is_norm else 1 / math.sqrt(fan_in)
        assert scaling.init.at(size) == pytest.approx(std, rel=1e-15)
        others = (scaling.multiplier, scaling.rate, scaling.precision, scaling.epsilon, scaling.decay)
        assert [power.at(size) for power in others] == [1.0] * 5


# theory.md A1: (a, b, c) by gauge, for input, hidden, output, as functions of r typed for r = 0, 1/4, 1/2.
A1_A = {
    ("mup", "0"): ("0", "1/2", "1/2"),
    ("mup", "1/4"): ("-1/4", "1/4", "1/2"),
    ("mup", "1/2"): ("-1/2", "0", "1/2"),
    ("rescaling", "0"): ("0", "1/2", "1/2"),
    ("rescaling", "1/4"): ("0", "1/2", "3/4"),
    ("rescaling", "1/2"): ("0", "1/2", "1"),
    ("stp", "0"): ("0", "0", "0"),
    ("stp", "1/4"): ("0", "0", "0"),
    ("stp", "1/2"): ("0", "0", "0"),
}
A1_B = {
    ("mup", "0"): ("0", "0", "0"),
    ("mup", "1/4"): ("1/4", "1/4", "1/4"),
    ("mup", "1/2"): ("1/2", "1/2", "1/2"),
    ("rescaling", "0"): ("0", "0", "0"),
    ("rescaling", "1/4"): ("0", "0", "0"),
    ("rescaling", "1/2"): ("0", "0", "0"),
    ("stp", "0"): ("0", "1/2", "1/2"),
    ("stp", "1/4"): ("0", "1/2", "3/4"),
    ("stp", "1/2"): ("0", "1/2", "1"),
}
A1_C = {
    ("sgd", "mup", "0"): ("0", "0", "0"),
    ("sgd", "mup", "1/4"): ("0", "0", "0"),
    ("sgd", "mup", "1/2"): ("0", "0", "0"),
    ("sgd", "rescaling", "0"): ("0", "0", "0"),
    ("sgd", "rescaling", "1/4"): ("-1/2", "-1/2", "-1/2"),
    ("sgd", "rescaling", "1/2"): ("-1", "-1", "-1"),
    ("sgd", "stp", "0"): ("0", "1", "1"),
    ("sgd", "stp", "1/4"): ("-1/2", "1/2", "1"),
    ("sgd", "stp", "1/2"): ("-1", "0", "1"),
    ("adam", "mup", "0"): ("1/2", "1", "1/2"),
    ("adam", "mup", "1/4"): ("1/2", "1", "1/2"),
    ("adam", "mup", "1/2"): ("1/2", "1", "1/2"),
    ("adam", "rescaling", "0"): ("1/2", "1", "1/2"),
    ("adam", "rescaling", "1/4"): ("1/4", "3/4", "1/4"),
    ("adam", "rescaling", "1/2"): ("0", "1/2", "0"),
    ("adam", "stp", "0"): ("1/2", "3/2", "1"),
    ("adam", "stp", "1/4"): ("1/4", "5/4", "1"),
    ("adam", "stp", "1/2"): ("0", "1", "1"),
}


@pytest.mark.parametrize(("optimizer", "gauge", "r"), A1_C)
def test_named_gauges(optimizer, gauge, r):
    table = parameterization("richness", optimizer=optimizer, richness=r, gauge=gauge)
    assert table.gauge == gauge
    for letter, row in (("a", A1_A[gauge, r]), ("b", A1_B[gauge, r]), ("c", A1_C[optimizer, gauge, r])):
        assert [letters(table, letter)[role] for role in WEIGHTS] == [Fraction(value) for value in row]


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_mup_package_gauge(optimizer):
    # MuReadout: the output multiplier 1/M, unit-variance readout (A1).
    table = parameterization("mup", optimizer=optimizer).gauged({"output": 1})
    rates = (-1, 0, -1) if optimizer == "sgd" else (0, 1, 0)
    for letter, row in (("a", (0, 0, 1)), ("b", (0, Fraction(1, 2), 0)), ("c", rates)):
        assert tuple(letters(table, letter)[role] for role in WEIGHTS) == row


def test_mupc_without_depth_is_mup_in_the_rescaling_gauge():
    mup = parameterization("mup", gauge="rescaling")
    mupc = parameterization("mupc")
    for role in (Role.INPUT, Role.HIDDEN, Role.OUTPUT, Role.HIDDEN_BIAS, Role.OUTPUT_BIAS):
        for letter in "abcg":
            assert mup.scalings[role].letters(role)[letter] == mupc.scalings[role].letters(role)[letter]


# theory.md A3 and A5: decay across widths. Coupled under Adam: M^(b-g), so d = g - b; times the rate: d = -c.
@pytest.mark.parametrize(
    ("optimizer", "kind", "expected"),
    [
        ("sgd", "lr", ("1", "0", "-1")),
        ("sgd", "coupled", ("1", "0", "-1")),
        ("sgd", "independent", ("0", "0", "0")),
        ("adam", "lr", ("0", "-1", "-1")),
        ("adam", "coupled", ("1", "1/2", "-1")),
        ("adam", "independent", ("0", "0", "0")),
    ],
)
def test_weight_decay_of_mup(optimizer, kind, expected):
    table = parameterization("mup", optimizer=optimizer, weight_decay_kind=kind)
    assert [letters(table, "d")[role] for role in WEIGHTS] == [Fraction(value) for value in expected]


def test_power_arithmetic():
    half = Fraction(1, 2)
    one = Fraction(1)
    p = Power(fan_in=half, width=-half, depth=one)
    q = Power(fan_out=Fraction(1, 3), width=2 * one, base_depth=one)
    size = Size(fan_in=49, fan_out=27, width=128, depth=16, base_width=32, base_depth=4)
    # 7 * 4^-1/2 * 4 and 3 * 16 * 4, by hand.
    assert p.at(size) == pytest.approx(14.0, rel=1e-15)
    assert q.at(size) == pytest.approx(192.0, rel=1e-15)
    assert (p * q).at(size) == pytest.approx(14.0 * 192.0, rel=1e-15)
    assert (p / q) * q == p
    assert p**2 == p * p
    assert p ** Fraction(1, 2) * p**half == p
    assert p**0 == Power()
    assert all(isinstance(value, Fraction) for value in (p * q).exponents)
    with pytest.raises(dataclasses.FrozenInstanceError):
        p.width = half


# theory.md, exponent table: TP and DTP forward, and feedback Q, the same for SGD and Adam; biases C1.
TARGET_ROWS = {
    Role.INPUT: (0, 0),
    Role.HIDDEN: ("1/2", 1),
    Role.OUTPUT: ("1/2", 1),
    Role.HIDDEN_BIAS: (0, 0),
    Role.OUTPUT_BIAS: (0, 0),
    Role.FEEDBACK: ("1/2", 1),
    Role.FEEDBACK_OUTPUT: (0, 0),
}


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("algorithm", ["tp", "dtp"])
def test_target_propagation_rows(algorithm, optimizer):
    table = parameterization("mup", algorithm=algorithm, optimizer=optimizer)
    for role, (b, c) in TARGET_ROWS.items():
        row = table.scalings[role].letters(role)
        assert (row["a"], row["b"], row["c"], row["g"]) == (0, Fraction(b), Fraction(c), 0)
    # The ridge is mu' B times the fan-in of Q; std is 1 over its root.
    size = table.size(fan_in=256, fan_out=32, width=256, depth=4)
    for role in (Role.FEEDBACK, Role.FEEDBACK_OUTPUT):
        assert table.scalings[role].ridge.at(size) == 256.0
        assert table.scalings[role].init.at(size) == 1 / 16


def test_standard_feedback_has_one_rate():
    table = parameterization("sp", algorithm="dtp")
    assert {table.scalings[role].letters(role)["c"] for role in Role} == {0}


@pytest.mark.parametrize("name", ["ntp", "mupc", "depth_mup", "mupc_constant"])
def test_target_propagation_has_no_other_names(name):
    with refused("parameterization", name):
        parameterization(name, algorithm="dtp", optimizer="adam")
    with refused("gamma_bar", -1):
        parameterization("mup", algorithm="tp", gamma_bar=-1)
