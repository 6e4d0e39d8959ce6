"""Rules, relaxations and feedback of a user's: a class here, nothing else anywhere, and all of training serves it."""

import warnings

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from refusals import refused

import widthwise as ww
from widthwise.algorithms import AbstractFeedback
from widthwise.network import trained_feedback
from widthwise.training import first_gradients, init_learner, make_step, optimizer, start

KEY = jax.random.key(0)
MUP = ww.parameterization("mup", base_width=8)
DRAW = np.random.default_rng(0).normal


def linear(optimizer="sgd", algorithm="bp", depth=2):
    """At its base width, where the table's factors are 1."""
    table = ww.parameterization("mup", algorithm=algorithm, optimizer=optimizer, base_width=8)
    return ww.mlp(5, 8, 3, depth=depth, activation="linear", table=table, key=KEY)


def batches(count, size=6):
    return [ww.Batch(jnp.asarray(DRAW(size=(size, 5))), jnp.asarray(DRAW(size=(size, 3)))) for _ in range(count)]


def stepped(rule, built, seen, rate=0.05, **settings):
    """The states before and after every step."""
    transform = optimizer(built, **settings)
    step = eqx.filter_jit(make_step(rule, transform, ww.mse))
    states = [start(init_learner(rule, built, key=KEY), transform, jnp.asarray(rate))]
    for number, batch in enumerate(seen):
        states.append(step(states[-1], batch, jax.random.key(number))[0])
    return states


def weights(network):
    return [np.asarray(row) for segment in network.segments for row in segment.stages.linear.weight]


class TwoPhases(ww.AbstractAlgorithm):
    """Backprop that moves its weights twice a batch: the second phase sees what the first has moved."""

    name = "two_phases"

    def infer(self, learner, batch, loss, *, key):
        return ww.Backprop().infer(learner, batch, loss, key=key)

    def step(self, learner, memory, batch, loss, update, *, key):
        first, metrics = self.grads(learner, batch, loss, key=key)
        network, memory = update(first, memory, learner.network)
        learner = eqx.tree_at(lambda held: held.network, learner, network)
        second, _ = self.grads(learner, batch, loss, key=key)
        network, memory = update(second, memory, network)
        learner = eqx.tree_at(lambda held: held.network, learner, network)
        return ww.Stepped(learner, memory, jax.tree.map(jnp.add, first, second), metrics)


def slopes(matrices, x, y):
    """∂/∂W of the mean of 1/2 |W_2 W_1 x − y|²."""
    low, high = matrices
    error = (x @ low.T @ high.T - y) / len(x)
    return [(error @ high).T @ x, error.T @ (x @ low.T)]


def test_weights_move_between_two_phases():
    """Against two updates a batch by hand, heavy-ball momentum from one to the next."""
    built, seen = linear(), batches(3)
    assert [segment.stages.linear.multiplier.value for segment in built.network.segments] == [1, 1]
    found = weights(stepped(TwoPhases(), built, seen, momentum=0.9)[-1].learner.network)
    expected, memory = weights(built.network), [0.0, 0.0]
    for x, y in (map(np.asarray, batch) for batch in seen):
        for _ in range(2):
            memory = [0.9 * m + g for m, g in zip(memory, slopes(expected, x, y), strict=True)]
            expected = [w - 0.05 * m for w, m in zip(expected, memory, strict=True)]
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-13)


def test_measurements_follow_a_rules_own_step():
    """At weights that have not moved both phases are backprop's: the first direction is twice its gradient."""
    built, (batch,) = linear(), batches(1)
    learner = init_learner(TwoPhases(), built, key=KEY)
    found = first_gradients(TwoPhases(), learner, batch, ww.mse, key=KEY)
    for one, other in zip(weights(found), slopes(weights(built.network), *map(np.asarray, batch)), strict=True):
        np.testing.assert_allclose(one, 2 * other, rtol=1e-10, atol=1e-13)


class Silent(TwoPhases):
    """It names no gradients."""

    def step(self, learner, memory, batch, loss, update, *, key):
        return super().step(learner, memory, batch, loss, update, key=key)._replace(gradients=None)


def test_a_step_without_gradients_trains_and_cannot_be_measured():
    built, (batch,) = linear(), batches(1)
    one, other = (stepped(rule, built, [batch])[-1].learner.network for rule in (Silent(), TwoPhases()))
    assert all((a == b).all() for a, b in zip(weights(one), weights(other), strict=True))
    with refused("gradients", None) as error:
        first_gradients(Silent(), init_learner(Silent(), built, key=KEY), batch, ww.mse, key=KEY)
    assert "'two_phases'" in error.value.problem


class OneNewtonStep(ww.AbstractRelaxation):
    """e = −Γ^-1 ∇F of the forward pass: the equilibrium, where predictions are fixed."""

    tolerance: jax.Array = eqx.field(default=1e-2, converter=jnp.asarray)

    def __call__(self, problem, start):
        errors = tuple(
            jax.tree.map(lambda leaf, p=precision: -leaf / p, pulled)
            for precision, pulled in zip(problem.precisions[:-1], start.pulled, strict=True)
        )
        point = problem.at(errors, start)
        return point, self.settled(problem, start, point, jnp.ones(len(problem.y), jnp.int32))


def test_an_own_relaxation_trains():
    """With fixed predictions and γ_L = 1 the equilibrium's update is backprop's (docs/theory.md B)."""
    data = ww.data.digits()
    found = {}
    for name, rule in (
        ("pc", ww.PredictiveCoding(OneNewtonStep(), fixed_prediction=True)),
        ("bp", ww.Backprop()),
    ):
        table = ww.parameterization("mup", algorithm=name, base_width=16)
        built = ww.mlp(64, 16, 10, depth=3, table=table, key=KEY)
        found[name] = ww.train(built, rule, data, rate=0.1, steps=5, batch_size=16)
    assert found["pc"].history["settled"] == [1.0] * 5
    assert np.ptp(found["pc"].history["loss"]) > 0
    for one, other in zip(*(weights(found[name].network) for name in ("pc", "bp")), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-8, atol=1e-12)


class Idle(ww.AbstractRelaxation):
    """It leaves the activities where the forward pass put them."""

    tolerance: jax.Array = eqx.field(default=1e-2, converter=jnp.asarray)
    iterations: int = eqx.field(static=True, default=7)
    promises: bool = eqx.field(static=True, default=False)

    def __call__(self, problem, start):
        return start, self.settled(problem, start, start, jnp.zeros(len(problem.y), jnp.int32))


@pytest.mark.parametrize("promises", [True, False])
def test_a_relaxation_that_promises_is_not_told_to_be_another(promises):
    table = ww.parameterization("mup", algorithm="pc", base_width=8)
    built = ww.mlp(64, 8, 10, depth=2, table=table, key=KEY)
    rule = ww.PredictiveCoding(Idle(promises=promises))
    assert rule.passes == 7
    with pytest.warns(ww.UnsettledWarning, match="100% of examples.*more iterations than 7") as told:
        ww.train(built, rule, ww.data.digits(), rate=0.1, steps=1)
    assert ("--relaxation auto" in str(told[0].message)) is not promises


class LateByAttribute(ww.Backprop):
    """Backprop that waits."""

    pretraining = 2


class LateByField(ww.Backprop):
    """Backprop that waits."""

    pretraining: int = eqx.field(static=True, default=2)


class LateByFactory(ww.Backprop):
    """Backprop that waits."""

    pretraining: int = eqx.field(static=True, default_factory=lambda: 2)


class LateByProperty(ww.Backprop):
    """Backprop that waits."""

    @property
    def pretraining(self):
        return 2


@pytest.mark.parametrize("kind", [LateByAttribute, LateByField, LateByFactory, LateByProperty])
def test_facts_are_heeded(kind):
    """Two steps leave network and momentum as they are; then all is as if training began there."""
    built, seen = linear(), batches(4)
    states = stepped(kind(), built, seen, momentum=0.9)
    for state in states[:3]:
        assert all((a == b).all() for a, b in zip(*map(weights, (built.network, state.learner.network)), strict=True))
    expected = stepped(ww.Backprop(), built, seen[2:], momentum=0.9)[-1].learner.network
    for one, other in zip(weights(states[-1].learner.network), weights(expected), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-15)
    with refused("steps", 2):
        ww.train(ww.mlp(64, 8, 10, depth=2, table=MUP, key=KEY), kind(), ww.data.digits(), rate=0.1, steps=2)


def test_facts_have_no_leaves():
    """What a rule says of itself is no part of its programs."""
    assert jax.tree.leaves(ww.Backprop()) == []
    assert jax.tree.leaves(LateByField()) == []
    assert len(jax.tree.leaves(ww.PredictiveCoding(ww.ErrorDescent()))) == 2


class Before(ww.Backprop):
    """A rule as it was written for 0.1."""

    def tried(self, learner, batch):
        raise ww.InputError(f"{len(batch.y)} examples", setting="examples", value=len(batch.y), remedy="not these")


def test_what_was_called_tried_is_still_asked():
    with refused("examples", 64):
        ww.train(ww.mlp(64, 8, 10, depth=2, table=MUP, key=KEY), Before(), ww.data.digits(), rate=0.1, steps=1)


class Mine(AbstractFeedback):
    """Feedback weights that learn to reconstruct, without noise: the loss is mine, the rest is the base class's."""

    optimizer: str = eqx.field(static=True)
    rate: float = 0.02
    steps = 2
    is_linear = True

    def init(self, built, *, key):
        return ww.Learner(built.network, trained_feedback(built, key=key))

    def loss(self, network, feedback, low, high, *, key):
        pairs = zip(feedback, low, high, strict=True)
        missed = [x - jax.vmap(lambda g, z: g(z))(way.stages, z) for way, x, z in pairs]
        return sum(0.5 * jnp.sum(part**2) / part.shape[1] for part in missed)

    def rows(self, learner, low, high):
        return tuple(segment.stages for segment in learner.feedback.segments)

    def down(self, stage, row, value, like):
        return row(value)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_own_feedback_learns_as_ours(optimizer):
    """The same loss as `TrainedFeedback` without noise: the same weights, through the one optimizer."""
    built, seen = linear(algorithm="dtp", depth=3), batches(3)
    ours = ww.TrainedFeedback(optimizer=optimizer, rate=0.02, steps=2, noise=0.0)
    one, other = (
        stepped(ww.TargetPropagation(way), built, seen)[-1].learner for way in (Mine(optimizer=optimizer), ours)
    )
    for a, b in zip(jax.tree.leaves(one.feedback.segments), jax.tree.leaves(other.feedback.segments), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)
    assert any((a != b).any() for a, b in zip(*map(weights, (one.network, built.network)), strict=True))


def test_mistakes_of_own_feedback_are_told():
    built, seen = linear(algorithm="dtp", depth=3), batches(1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for way, setting, value in (
            (Mine(optimizer="sgdd"), "feedback optimizer", "sgdd"),
            (Mine(optimizer="sgd", rate=None), "rate", None),
        ):
            with refused(setting, value):
                stepped(ww.TargetPropagation(way), built, seen)
        rule = ww.TargetPropagation(ww.TrainedFeedback(optimizer="adam"))
        transform = optimizer(built)
        state = start(rule.init(built, key=KEY), transform, jnp.asarray(0.1))
        with refused("memory", None) as error:
            make_step(rule, transform, ww.mse)(state, seen[0], KEY)
        assert "init_learner(algorithm, built" in error.value.remedy
