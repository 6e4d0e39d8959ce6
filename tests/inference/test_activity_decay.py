"""Activity decay, α/2 |h_l|² of every hidden layer: its gradient, its equilibrium, and who may be asked for it."""

import jax
import jax.numpy as jnp
import pytest
from jax.flatten_util import ravel_pytree
from refusals import refused
from science.oracles import LOSSES, batch_of, build, distance

from widthwise.algorithms import Batch, Learner, PredictiveCoding
from widthwise.inference import (
    ActivityDescent,
    Anderson,
    Automatic,
    ErrorDescent,
    GaussNewton,
    OdeFlow,
    OutputSpaceSolve,
    Problem,
    QuasiNewton,
    SequentialSweep,
)
from widthwise.theory import gauss_newton_product, hessian_product

DECAY = 0.3


def problem_of(loss="mse", decay=DECAY, **options):
    network = build(**({"depth": 4} | options)).network
    precisions = tuple(jnp.asarray(gamma) for gamma in (0.8, 1.4, 1.5))
    decay = None if decay is None else jnp.asarray(decay)
    return Problem(network, precisions, *batch_of(loss), LOSSES[loss][0], activity_decay=decay)


def energy_of_states(problem, start):
    """F as a function of the hidden states, from its definition."""

    def energy(states):
        errors, prediction = problem.errors(states, start)
        terms = [
            0.5 * precision * jnp.sum(error**2) + 0.5 * DECAY * jnp.sum(state**2)
            for precision, error, state in zip(problem.precisions[:-1], errors, states, strict=True)
        ]
        return sum(terms) + problem.precisions[-1] * jnp.sum(problem.loss(prediction, problem.y))

    return energy


@pytest.mark.parametrize(("loss", "residual"), [("mse", True), ("ce", False)])
def test_gradient_and_hessian_are_the_energys(loss, residual):
    problem = problem_of(loss, residual=residual)
    start = problem.start()
    draw = iter(jax.random.split(jax.random.key(1), 20))
    errors = jax.tree.map(lambda leaf: 0.1 * jax.random.normal(next(draw), leaf.shape), start.errors)
    point = problem.at(errors, start)
    expected = jax.grad(lambda e: jnp.sum(problem.energy(problem.at(e, start))))(errors)
    assert distance(problem.gradient(point), expected) < 1e-13
    energy = energy_of_states(problem, start)
    assert float(energy(point.states)) == pytest.approx(float(jnp.sum(problem.energy(point))), rel=1e-13)
    expected = jax.jvp(jax.grad(energy), (point.states,), (errors,))[1]
    assert distance(hessian_product(problem, point, errors), expected) < 1e-12


@pytest.mark.parametrize("residual", [True, False])
def test_linear_equilibrium_is_the_dense_solution(residual):
    problem = problem_of(activation="linear", residual=residual)
    start = problem.start()
    flat, unflat = ravel_pytree(start.states)
    energy = energy_of_states(problem, start)
    # F is quadratic: one Newton step from anywhere.
    gradient = jax.jit(jax.grad(lambda v: energy(unflat(v))))(flat)
    hessian = jax.jit(jax.hessian(lambda v: energy(unflat(v))))(flat)
    expected = unflat(flat - jnp.linalg.solve(hessian, gradient))
    without = problem_of(activation="linear", residual=residual, decay=None)
    undecayed, _ = OutputSpaceSolve()(without, without.start())
    assert distance(undecayed.states, expected) > 1e-2
    relaxations = [
        QuasiNewton(iterations=400, tolerance=1e-11),
        Anderson(iterations=400, tolerance=1e-11),
        Automatic(iterations=400, tolerance=1e-11),
        ErrorDescent(iterations=2000, tolerance=1e-11, rate=0.1),
        ActivityDescent(iterations=2000, rate=0.1),
    ]
    found = jax.jit(lambda p: [relaxation(p, p.start())[0].states for relaxation in relaxations])(problem)
    for relaxation, states in zip(relaxations, found, strict=True):
        assert distance(states, expected) < 1e-9, relaxation
    point, settled = jax.jit(lambda p: OdeFlow(tolerance=1e-4)(p, p.start()))(problem)
    assert bool(jnp.all(settled.converged))
    assert distance(point.states, expected) < 1e-3


@pytest.mark.parametrize("relaxation", [ErrorDescent(), GaussNewton(), SequentialSweep(), OutputSpaceSolve()])
def test_relaxations_without_a_term_for_it_say_so(relaxation):
    problem = problem_of(activation="linear")
    with refused("activity_decay", DECAY) as error:
        relaxation(problem, problem.start())
    assert "quasi_newton" in error.value.remedy


def test_gauss_newton_conditioning_says_so():
    problem = problem_of(activation="linear")
    point = problem.start()
    with refused("activity_decay", DECAY):
        gauss_newton_product(problem, point, point.states)


@pytest.mark.parametrize("other", [{"fixed_prediction": True}, {"precision_cap": 0.1}])
def test_what_does_not_go_together_is_refused(other):
    with refused("activity_decay", 0.1) as error:
        PredictiveCoding(activity_decay=0.1, **other)
    assert next(iter(other)) in error.value.problem
    with refused("activity_decay", -1):
        PredictiveCoding(activity_decay=-1)


def test_the_rule_hands_it_to_the_energy():
    x, y = batch_of("mse")
    rule = PredictiveCoding(QuasiNewton(), activity_decay=DECAY)
    problem = rule.problem(Learner(build(depth=4).network), Batch(x, y), LOSSES["mse"][0])
    assert float(problem.activity_decay) == DECAY
