"""The step that costs no sweep: the next iteration's errors, at the last one's states."""

import jax
import jax.numpy as jnp
import pytest
from refusals import refused
from science.oracles import LOSSES, batch_of, build, distance

from widthwise.algorithms import Backprop, Batch, Learner, PredictiveCoding
from widthwise.inference import ErrorDescent, Problem

KEY = jax.random.key(0)
# So small that no example rests.
NEVER = 1e-14


def problem_of(loss, **options):
    network = build(**({"depth": 4} | options)).network
    precisions = tuple(jnp.asarray(gamma) for gamma in (0.8, 1.4, 1.5))
    return Problem(network, precisions, *batch_of(loss), LOSSES[loss][0])


def settle(problem, *relaxations):
    return jax.jit(lambda p: [relaxation(p, p.start()) for relaxation in relaxations])(problem)


@pytest.mark.parametrize("loss", ["mse", "ce"])
@pytest.mark.parametrize("iterations", [0, 1, 3])
def test_errors_of_the_next_iteration_at_the_states_of_this(loss, iterations):
    problem = problem_of(loss)
    ahead = ErrorDescent(iterations=iterations, tolerance=NEVER, look_ahead=True)
    following = ErrorDescent(iterations=iterations + 1, tolerance=NEVER)
    found, after = settle(problem, ahead, following)
    assert distance(found[0].errors, after[0].errors) < 1e-12
    if iterations == 0:
        here = (problem.start(), None)
    else:
        [here] = settle(problem, ErrorDescent(iterations=iterations, tolerance=NEVER))
        assert distance(found[0].errors, here[0].errors) > 1e-3
        for mine, plain in zip(found[1], here[1], strict=True):
            assert jnp.array_equal(mine, plain)
    assert distance(found[0].states, here[0].states) < 1e-12
    assert distance(found[0].prediction, here[0].prediction) < 1e-12


def test_without_a_sweep_hidden_layers_learn_a_part_of_backprops_update():
    built = build(depth=4)
    batch = Batch(*batch_of("mse"))
    learner = Learner(built.network)
    rule = PredictiveCoding(ErrorDescent(iterations=0, rate=0.25, look_ahead=True))
    found, _ = rule.grads(learner, batch, LOSSES["mse"][0], key=KEY)
    backprop, _ = Backprop().grads(learner, batch, LOSSES["mse"][0], key=KEY)
    for mine, theirs in zip(found.segments[:-1], backprop.segments[:-1], strict=True):
        expected = 0.25 * theirs.stages.linear.weight
        assert distance(mine.stages.linear.weight, expected) < 1e-12


def test_the_weights_update_comes_nearer_to_equilibriums():
    learner, batch = Learner(build(depth=4).network), Batch(*batch_of("mse"))

    def update(**settings):
        rule = PredictiveCoding(ErrorDescent(tolerance=NEVER, **settings))
        return rule.grads(learner, batch, LOSSES["mse"][0], key=KEY)[0]

    equilibrium = update(iterations=1000)
    for iterations in (1, 2, 3):
        plain, ahead = update(iterations=iterations), update(iterations=iterations, look_ahead=True)
        assert distance(ahead, equilibrium) < distance(plain, equilibrium)


def test_no_inference_at_all_is_refused():
    with refused("iterations", 0):
        ErrorDescent(iterations=0)
    for looking in (False, True):
        with refused("iterations", -1):
            ErrorDescent(iterations=-1, look_ahead=looking)
