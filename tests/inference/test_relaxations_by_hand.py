"""Energies, gradients and relaxations against plain loops and `jax.grad` of a hand-written energy."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from science.oracles import (
    LOSSES,
    batch_of,
    build,
    distance,
    energy,
    error_energy,
    per_layer,
    stacked,
    unrolled,
    walk,
)

from widthwise.inference import ActivityDescent, ErrorDescent, Problem, SequentialSweep, relative_residual

# A dozen steps of a dozen sums each, float64.
CLOSE = 1e-12

CASES = {
    "mlp_pre": ({}, "mse"),
    "mlp_post": ({"state": "post"}, "ce"),
    "residual": ({"residual": True, "depth": 6, "activation": "silu"}, "ce"),
    "two_layers": ({"depth": 2}, "mse"),
}


def setup(name, *, fixed=False, per_example=False):
    """A problem with unequal precisions, its layers and their precisions one by one."""
    options, loss = CASES[name]
    network = build(**options).network
    x, y = batch_of(loss)
    gammas = [0.7, 1.9, 1.3][: len(network.segments) - 1]
    top = np.linspace(0.5, 2.5, len(x)) if per_example else 2.3
    precisions = tuple(jnp.asarray(gamma) for gamma in (*gammas, top))
    problem = Problem(network, precisions, x, y, LOSSES[loss][0], fixed)
    return problem, unrolled(network), per_layer(network, precisions), functools.partial(LOSSES[loss][1], y=y)


@pytest.mark.parametrize(("name", "per_example"), [*((name, False) for name in CASES), ("residual", True)])
def test_energy_and_gradient(name, per_example):
    problem, layers, gammas, loss = setup(name, per_example=per_example)
    draw = np.random.default_rng(0).normal
    shapes = [(len(problem.x), layer.matrix.shape[0]) for layer in layers[:-1]]
    plain = [draw(size=shape) for shape in shapes]
    depths = np.cumsum([segment.depth for segment in problem.network.segments[:-1]])[:-1]
    parts = np.split(np.arange(len(plain)), depths)
    errors = tuple(jnp.asarray(np.stack([plain[i] for i in part])) for part in parts)

    def total(e):
        return error_energy(layers, gammas, e, problem.x, problem.y, lambda f, y: loss(f))

    @jax.jit
    def compute():
        start = problem.start()
        point = problem.at(errors, start)
        again = problem.at_states(point.states, start)
        own = [jnp.asarray(e) for e in plain]
        grad = jax.grad(lambda e: jnp.sum(total(e)))(own)
        return [
            (problem.energy(point), total(own)),
            (stacked(problem.gradient(point)), grad),
            (problem.energy(again), total(own)),
            (stacked(problem.gradient(again)), grad),
            (problem.energy(start), gammas[-1] * loss(walk(layers, problem.x)[-1])),
        ]

    for found, expected in compute():
        assert distance(found, expected) < CLOSE


def hidden_gradient(problem, layers, gammas, loss):
    """dF/dh of every hidden layer, by automatic differentiation of the hand-written energy."""

    def total(hidden):
        return jnp.sum(energy(layers, gammas, hidden, problem.x, problem.y, lambda f, y: loss(f)))

    return jax.grad(total)


@pytest.mark.parametrize("name", CASES)
def test_activity_descent_is_gradient_descent_on_the_energy(name):
    problem, layers, gammas, loss = setup(name)
    gradient = hidden_gradient(problem, layers, gammas, loss)

    @jax.jit
    def compute():
        hidden = walk(layers, problem.x)[:-1]
        for _ in range(3):
            hidden = [h - 0.17 * g for h, g in zip(hidden, gradient(hidden), strict=True)]
        point, settled = ActivityDescent(iterations=3, rate=0.17)(problem, problem.start())
        plain = energy(layers, gammas, hidden, problem.x, problem.y, lambda f, y: loss(f))
        return (stacked(point.states), hidden), (settled.energy, plain)

    for found, expected in compute():
        assert distance(found, expected) < CLOSE


def test_activity_descent_with_momentum():
    problem, layers, gammas, loss = setup("mlp_pre")
    gradient = hidden_gradient(problem, layers, gammas, loss)

    @jax.jit
    def compute():
        hidden = walk(layers, problem.x)[:-1]
        velocity = [jnp.zeros_like(h) for h in hidden]
        for _ in range(4):
            velocity = [0.9 * v + g for v, g in zip(velocity, gradient(hidden), strict=True)]
            hidden = [h - 0.1 * v for h, v in zip(hidden, velocity, strict=True)]
        relaxation = ActivityDescent(iterations=4, rate=0.1, transform=optax.trace(0.9))
        return stacked(relaxation(problem, problem.start())[0].states), hidden

    assert distance(*compute()) < CLOSE


def test_activity_descent_does_not_reach_deeper_than_its_steps():
    # theory.md D3: T steps from the forward pass leave the layers l < L - T where they were. Up to a rounding
    # of the states, since their errors are differences.
    problem, *_ = setup("residual")
    for steps in (1, 3):
        relaxation = ActivityDescent(iterations=steps, rate=0.1)
        errors = stacked(jax.jit(lambda p, r=relaxation: r(p, p.start())[0].errors)(problem))
        reached = [float(jnp.abs(error).max()) > 1e-14 for error in errors]
        untouched = 6 - 1 - steps
        assert reached == [False] * untouched + [True] * (len(reached) - untouched)


def plain_sweep(layers, gammas, hidden, x, loss_gradient, steps, frozen=None):
    """theory.md B4: h_l <- h_l - s_l [gamma_l e_l - J^T gamma_{l+1} e_{l+1}], l = L-1 ... 1.

    e_{l+1} after h_{l+1} moved; with `frozen` (FPA) predictions and Jacobians are the forward pass's.
    """
    hidden = list(hidden)
    seen = [x, *(hidden if frozen is None else frozen)]
    count = len(hidden)
    prediction, pull = jax.vjp(layers[count], seen[count])
    back = pull(-gammas[count] * loss_gradient(prediction))[0]
    for index in range(count - 1, -1, -1):
        predicted, pull = jax.vjp(layers[index], seen[index])
        hidden[index] = hidden[index] - steps[index] * (gammas[index] * (hidden[index] - predicted) - back)
        back = pull(gammas[index] * (hidden[index] - predicted))[0]
    return hidden


@pytest.mark.parametrize(
    ("name", "step", "fixed"),
    [
        ("mlp_pre", None, False),
        ("mlp_pre", 0.4, True),
        ("mlp_post", 0.4, False),
        ("residual", None, True),
        ("residual", 0.4, False),
        ("two_layers", None, False),
    ],
)
def test_sequential_sweep_is_the_plain_layer_loop(name, step, fixed):
    problem, layers, gammas, loss = setup(name, fixed=fixed)

    def loss_gradient(f):
        return jax.grad(lambda f: jnp.sum(loss(f)))(f)

    @jax.jit
    def compute():
        frozen = walk(layers, problem.x)[:-1]
        steps = [1 / gamma if step is None else step for gamma in gammas]
        hidden = frozen
        for _ in range(2):
            hidden = plain_sweep(layers, gammas, hidden, problem.x, loss_gradient, steps, frozen if fixed else None)
        below = [problem.x, *(frozen if fixed else hidden)]
        errors = [h - layer(b) for h, layer, b in zip(hidden, layers[:-1], below[:-1], strict=True)]
        point, _ = SequentialSweep(sweeps=2, step=step)(problem, problem.start())
        return (stacked(point.errors), errors), (stacked(point.states), frozen if fixed else hidden)

    for found, expected in compute():
        assert distance(found, expected) < CLOSE


def test_activity_descent_with_fixed_predictions():
    problem, layers, gammas, loss = setup("mlp_pre", fixed=True)

    @jax.jit
    def compute():
        frozen = walk(layers, problem.x)[:-1]
        seen = [problem.x, *frozen]
        pulls = [jax.vjp(layer, below) for layer, below in zip(layers, seen, strict=True)]
        top = -jax.grad(lambda f: jnp.sum(loss(f)))(pulls[-1][0])
        hidden = frozen
        for _ in range(3):
            errors = [h - prediction for h, (prediction, _) in zip(hidden, pulls[:-1], strict=True)]
            weighted = [gamma * e for gamma, e in zip(gammas, [*errors, top], strict=True)]
            back = [pull(w)[0] for w, (_, pull) in zip(weighted[1:], pulls[1:], strict=True)]
            hidden = [h - 0.2 * (w - b) for h, w, b in zip(hidden, weighted[:-1], back, strict=True)]
        errors = [h - prediction for h, (prediction, _) in zip(hidden, pulls[:-1], strict=True)]
        point, _ = ActivityDescent(iterations=3, rate=0.2)(problem, problem.start())
        return stacked(point.errors), errors

    assert distance(*compute()) < CLOSE


@pytest.mark.parametrize("name", ["mlp_pre", "residual"])
def test_error_descent_is_preconditioned_descent_on_the_errors(name):
    problem, layers, gammas, loss = setup(name)

    def total(errors):
        return jnp.sum(error_energy(layers, gammas, errors, problem.x, problem.y, lambda f, y: loss(f)))

    @jax.jit
    def compute():
        errors = [jnp.zeros_like(h) for h in walk(layers, problem.x)[:-1]]
        for _ in range(3):
            gradient = jax.grad(total)(errors)
            errors = [e - 0.3 / gamma * g for e, gamma, g in zip(errors, gammas[:-1], gradient, strict=True)]
        relaxation = ErrorDescent(iterations=3, rate=0.3, tolerance=1e-12)
        point, settled = relaxation(problem, problem.start())
        return stacked(point.errors), errors, settled

    found, errors, settled = compute()
    assert distance(found, errors) < CLOSE
    assert settled.iterations.tolist() == [3] * 6


def test_residual_is_the_gradient_in_error_space_over_that_of_the_forward_pass():
    problem, layers, gammas, loss = setup("mlp_pre")

    def norms(errors):
        gradient = jax.grad(
            lambda e: jnp.sum(error_energy(layers, gammas, e, problem.x, problem.y, lambda f, y: loss(f)))
        )(errors)
        return jnp.sqrt(sum((g**2).sum(-1) for g in gradient))

    @jax.jit
    def compute():
        out = []
        zero = [jnp.zeros_like(h) for h in walk(layers, problem.x)[:-1]]
        for relaxation in (ActivityDescent(iterations=2), SequentialSweep(), ErrorDescent(iterations=2)):
            point, settled = relaxation(problem, problem.start())
            out.append((settled.residual, norms(stacked(point.errors)) / norms(zero)))
        return out

    for found, expected in compute():
        assert distance(found, expected) < CLOSE


def test_an_example_without_error_is_settled():
    problem, _layers, _, _ = setup("mlp_pre")
    # The first example's target is its prediction: 0/0 = 0, no update is made.
    y = problem.y.at[0].set(jax.jit(lambda p: p.start().prediction)(problem)[0])
    problem = Problem(problem.network, problem.precisions, problem.x, y, problem.loss)
    relaxations = (ErrorDescent(iterations=5), ActivityDescent(iterations=5), SequentialSweep())
    found = jax.jit(lambda p: [relaxation(p, p.start()) for relaxation in relaxations])(problem)
    for point, settled in found:
        # The states of the forward pass, up to a rounding where errors are differences of states.
        assert settled.residual[0] < 1e-14
        assert settled.converged[0]
        assert settled.energy[0] < 1e-28
        assert max(float(jnp.abs(error[0]).max()) for error in stacked(point.errors)) < 1e-14
        assert bool(jnp.all(settled.residual[1:] > 0))
    error_descent = found[0][1]
    assert error_descent.residual[0] == 0
    assert error_descent.iterations[0] == 0
    assert bool(jnp.all(error_descent.iterations[1:] > 0))


def test_one_rounding_of_the_prediction_is_no_distance():
    """Beside a gradient of exactly 0: a prediction computed twice may differ by a unit in its last place."""
    problem, *_ = setup("mlp_pre")
    problem = Problem(problem.network, problem.precisions, problem.x, problem.start().prediction, problem.loss)
    start = problem.start()
    assert float(jnp.abs(start.output_error).max()) == 0
    for move, expected in ((2.0**-52, 0.0), (1e-6, math.inf)):
        prediction = (1 + move) * start.prediction
        pulled = jax.tree.map(lambda leaf, move=move: leaf + move, start.pulled)
        point = start._replace(prediction=prediction, output_error=problem.y - prediction, pulled=pulled)
        assert relative_residual(problem, start, point).tolist() == [expected] * len(problem.x)


def test_iterations_stop_where_an_example_has_settled():
    problem, *_ = setup("mlp_pre", per_example=True)
    settle = jax.jit(
        lambda p, relaxation: relaxation(p, p.start())[1],
    )
    settled = settle(problem, ErrorDescent(iterations=200, tolerance=1e-3))
    counts = settled.iterations.tolist()
    assert bool(jnp.all(settled.converged))
    assert bool(jnp.all(settled.residual <= 1e-3))
    assert len(set(counts)) > 1
    assert max(counts) < 200
    # One update less is not enough for the slowest, and all that the others need.
    before = settle(problem, ErrorDescent(iterations=max(counts) - 1, tolerance=1e-3))
    assert before.converged.tolist() == [count < max(counts) for count in counts]
    assert before.iterations.tolist() == [min(count, max(counts) - 1) for count in counts]


def test_the_output_precision_of_every_example():
    problem, *_ = setup("mlp_pre", per_example=True)
    relaxation = ErrorDescent(iterations=30, tolerance=1e-3)
    together, settled = jax.jit(lambda p: relaxation(p, p.start()))(problem)

    @jax.jit
    def alone(top, x, y):
        own = Problem(problem.network, (*problem.precisions[:-1], top), x, y, problem.loss)
        return relaxation(own, own.start())

    for row in range(6):
        rows = slice(row, row + 1)
        point, own = alone(problem.precisions[-1][row], problem.x[rows], problem.y[rows])
        assert distance(stacked(point.errors), [e[rows] for e in stacked(together.errors)]) < CLOSE
        assert int(own.iterations[0]) == int(settled.iterations[row])
