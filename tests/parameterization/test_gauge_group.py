"""Gauge moves: a group acting on tables, exactly, in Fractions."""

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from widthwise.parameterizations import GAUGES, OPTIMIZERS, WEIGHT_DECAY_KINDS, Move, Role, parameterization

SHIFTS = st.fractions(-3, 3, max_denominator=12)
MOVES = st.dictionaries(st.sampled_from(list(Role)), st.tuples(SHIFTS, SHIFTS), max_size=len(Role))


# Arguments, not tables: run-time type checks draw random numbers, which Hypothesis forbids in strategies.
ARGUMENTS = st.fixed_dictionaries(
    {
        "name": st.sampled_from(["sp", "ntp", "mup", "mupc"]) | st.fractions(0, Fraction(1, 2), max_denominator=8),
        "algorithm": st.just("pc"),
        "optimizer": st.sampled_from(OPTIMIZERS),
        "gamma_bar": st.sampled_from(["0", "-1/2", "-1", "-3/2"]),
        "weight_decay_kind": st.sampled_from(WEIGHT_DECAY_KINDS),
        "output_loss": st.sampled_from(["weighted", "unweighted"]),
    }
)


def made(arguments):
    """The table; a fraction in place of a name is a richness."""
    name = arguments["name"]
    richness = {} if isinstance(name, str) else {"name": "richness", "richness": name}
    return parameterization(**(arguments | richness))


def total(one, two):
    zero = (Fraction(0), Fraction(0))
    return {role: tuple(x + y for x, y in zip(one.get(role, zero), two.get(role, zero), strict=True)) for role in Role}


@settings(max_examples=50, deadline=None)
@given(ARGUMENTS, MOVES, MOVES)
def test_moves_compose_by_adding(arguments, one, two):
    table = made(arguments)
    assert table.gauged(one).gauged(two).rows == table.gauged(total(one, two)).rows
    assert table.gauged(one).gauged(two) == table.gauged(two).gauged(one)


@settings(max_examples=50, deadline=None)
@given(ARGUMENTS, MOVES)
def test_moves_have_inverses_and_an_identity(arguments, moves):
    table = made(arguments)
    back = {role: (-width, -depth) for role, (width, depth) in moves.items()}
    assert table.gauged(moves).gauged(back).rows == table.rows
    assert table.gauged({}).rows == table.rows


@settings(max_examples=50, deadline=None)
@given(ARGUMENTS, st.sampled_from(list(Role)), SHIFTS, SHIFTS)
def test_letters_move_as_the_theory_says(arguments, role, t, t_depth):
    table = made(arguments)
    # A3: (a + t, b - t, c - 2t) for SGD, (a + t, b - t, c - t) and eps M^-t for Adam; decay by kind.
    after = table.gauged({role: (t, t_depth)})
    sgd = table.optimizer == "sgd"
    d = {"coupled": 2, "lr": 2 if sgd else 1, "independent": 0}[table.weight_decay_kind]
    factors = {"a": 1, "b": -1, "c": -2 if sgd else -1, "g": 1, "d": d}
    before, moved = table.scalings[role].letters(role), after.scalings[role].letters(role)
    for letter, factor in factors.items():
        assert moved[letter] - before[letter] == factor * t
        assert moved[f"{letter}_depth"] - before[f"{letter}_depth"] == factor * t_depth
    others = [other for other in Role if other is not role]
    assert [after.scalings[other] for other in others] == [table.scalings[other] for other in others]
    assert after.scalings[role].precision == table.scalings[role].precision


@settings(max_examples=50, deadline=None)
@given(ARGUMENTS, MOVES)
def test_invariants(arguments, moves):
    table = made(arguments)
    # Section 0: A = a + b, and C = c + 2a under SGD, c + a under Adam.
    factor = 2 if table.optimizer == "sgd" else 1
    after = table.gauged(moves)
    for role in Role:
        one, two = table.scalings[role].letters(role), after.scalings[role].letters(role)
        for suffix in ("", "_depth"):
            assert one["a" + suffix] + one["b" + suffix] == two["a" + suffix] + two["b" + suffix]
            assert one["c" + suffix] + factor * one["a" + suffix] == two["c" + suffix] + factor * two["a" + suffix]


@settings(max_examples=50, deadline=None)
@given(ARGUMENTS, MOVES)
def test_decay_derived_after_a_move_is_the_moved_decay(arguments, moves):
    table = made(arguments)
    # The rule across widths (fixed rate times decay; coupled Adam lam ~ M^(b-g)), applied in either gauge.
    after = table.gauged(moves)
    for role in (role for role in Role if not role.is_feedback):
        row = after.scalings[role].letters(role)
        for suffix in ("", "_depth"):
            if table.weight_decay_kind == "independent":
                expected = Fraction(0)
            elif table.weight_decay_kind == "coupled" and table.rule.gradient_degree == 0:
                expected = row["g" + suffix] - row["b" + suffix]
            elif table.weight_decay_kind == "coupled":
                # In the gradient of SGD: lam lr is what shrinks the weight.
                expected = -row["c" + suffix]
            else:
                expected = -row["c" + suffix]
            assert row["d" + suffix] == expected


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("first", GAUGES)
@pytest.mark.parametrize("second", GAUGES)
def test_named_gauges_are_reached_from_each_other(optimizer, first, second):
    table = parameterization("richness", richness="1/4", optimizer=optimizer)
    assert table.in_gauge(first).in_gauge(second).rows == table.in_gauge(second).rows
    assert table.in_gauge("stp").rows == table.rows


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_mupc_in_stp_has_no_growing_multiplier(optimizer):
    table = parameterization("mupc", optimizer=optimizer, gauge="stp")
    for role, scaling in table.scalings.items():
        assert (scaling.letters(role)["a"], scaling.letters(role)["a_depth"]) == (0, 0)
    assert (
        parameterization("mupc", optimizer=optimizer, gauge="rescaling").rows
        == parameterization("mupc", optimizer=optimizer).rows
    )


def test_ways_to_write_a_move():
    table = parameterization("mup")
    spelled = [
        table.gauged({role: move})
        for role in ("hidden", Role.HIDDEN)
        for move in ("1/2", 0.5, Fraction(1, 2), ("0.5", 0), Move(Fraction(1, 2)))
    ]
    assert len(set(spelled)) == 1
    assert spelled[0].gauge == "moved"
    assert hash(spelled[0]) == hash(spelled[1])
