"""The feedback's rows of a derived table: measured where the algorithm uses them, named and refused where not."""

import dataclasses
import json
from fractions import Fraction

import equinox as eqx
import jax
import jax.numpy as jnp
from refusals import refused

from widthwise.algorithms import AbstractFeedback, RidgeFeedback, TargetPropagation, TrainedFeedback
from widthwise.measure import derive, start_table
from widthwise.measure.derive import completed, exponent, with_exponents
from widthwise.network import feedback, mlp, trained_feedback
from widthwise.parameterizations import Role, from_json, parameterization, to_json

FEW = (64, 192, 512)
KEY = jax.random.key(0)
HALF = Fraction(1, 2)


def family(width, key, table, depth=3):
    return mlp(8, width, 3, depth=depth, state="post", table=table, key=key, dtype=jnp.float32)


def shallow(width, key, table):
    return family(width, key, table, depth=2)


def test_feedback_that_learns_is_measured():
    """theory.md, exponent table: hidden Q b = 1/2, c = 1, Q_L b = c = 0, g = 0, and the ridge ~ fan-in of Q."""
    rule = TargetPropagation(TrainedFeedback())
    found = derive(family, rule, widths=FEW, seeds=8)
    values = {(one.role, one.letter): one.value for one in found.exponents if "feedback" in one.role}
    hidden = {("feedback", "b"): HALF, ("feedback", "c"): 1, ("feedback", "g"): 0, ("feedback", "ridge"): 1}
    readout = {("feedback_output", letter): 0 for letter in ("b", "c", "g", "ridge")}
    assert values == hidden | readout, str(found)
    assert found.unmeasured == ()


def test_the_ridge_derived_is_the_known_one_not_only_in_its_exponent():
    table = with_exponents(start_table("dtp", "sgd"), {(Role.FEEDBACK, "ridge"): Fraction(1)})
    known = parameterization("mup", algorithm="dtp")
    for role in (Role.FEEDBACK, Role.FEEDBACK_OUTPUT):
        assert table.scalings[role].ridge == known.scalings[role].ridge


def test_a_ridge_is_measured_and_weights_that_nothing_used_are_refused():
    found = derive(shallow, TargetPropagation(RidgeFeedback()), widths=FEW, seeds=8)
    # The prediction has as many entries at every width.
    values = {(one.role, one.letter): one.value for one in found.exponents if "feedback" in one.role}
    assert values == {("feedback_output", "ridge"): 0}, str(found)
    names = ("feedback.weights", "feedback.ridge", "feedback_output.weights")
    assert found.unmeasured == names
    assert "not measured, and refused where it is asked for: feedback.weights" in str(found)
    table = completed(
        start_table("dtp", "sgd"), {(Role.FEEDBACK_OUTPUT, "ridge"), (Role.INPUT, "c"), (Role.OUTPUT, "c")}, HALF
    )
    assert table.unmeasured == names
    loaded = from_json(json.loads(json.dumps(to_json(table))))
    assert loaded == table
    assert TargetPropagation(RidgeFeedback()).init(shallow(64, KEY, loaded), key=KEY).feedback is not None
    with refused("table", "derived") as error:
        trained_feedback(shallow(64, KEY, loaded), key=KEY)
    assert "the weights of feedback_output" in error.value.problem
    assert "'trained'" in error.value.remedy
    # A deeper network has maps between hidden layers, which two layers have not.
    with refused("table", "derived") as error:
        feedback(family(64, KEY, loaded))
    assert error.value.problem.endswith("the ridge of feedback")


def test_a_table_by_hand_says_what_was_measured():
    start = start_table("bp", "sgd")
    table = completed(
        with_exponents(start, {(Role.FEEDBACK, "ridge"): Fraction(1)}),
        {(Role.FEEDBACK, "ridge"), (Role.INPUT, "c"), (Role.OUTPUT, "c")},
        HALF,
    )
    assert table.unmeasured == ("feedback.weights", "feedback_output.weights", "feedback_output.ridge")
    assert exponent(table, Role.FEEDBACK, "ridge") == 1
    assert exponent(start, Role.FEEDBACK, "ridge") == 0
    payload = to_json(table)
    for names, setting, value in (
        (["feedback.rate"], "entry of unmeasured", "feedback.rate"),
        ("feedback.ridge", "unmeasured", "feedback.ridge"),
    ):
        with refused(setting, value):
            from_json(payload | {"unmeasured": names})
    assert "unmeasured" not in to_json(dataclasses.replace(table, unmeasured=()))


class Mine(AbstractFeedback):
    """Weights that learn by another rule than ours."""

    inner: TrainedFeedback = eqx.field(default_factory=TrainedFeedback)

    @property
    def is_linear(self):
        return True

    def init(self, built, *, key):
        return self.inner.init(built, key=key)

    def rows(self, learner, low, high):
        return self.inner.rows(learner, low, high)

    def down(self, stage, row, value, like):
        return self.inner.down(stage, row, value, like)


def test_feedback_that_learns_unseen_gives_no_table():
    found = derive(shallow, TargetPropagation(Mine()), widths=(16, 32, 64), seeds=2)
    assert found.table is None
    assert any("the feedback of 'dtp' learns by a rule of its own" in reason for reason in found.reasons)
