"""The relaxations above plain descent: against the equilibrium others find, linear algebra, and their own promises."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from refusals import refused
from science.oracles import (
    LOSSES,
    batch_of,
    build,
    distance,
    error_energy,
    half_square,
    per_layer,
    stacked,
    unrolled,
    walk,
)
from science.pairs import pair_network

from widthwise.algorithms import Backprop, PredictiveCoding
from widthwise.config import RELAXATIONS, found
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
)
from widthwise.inference._quasi_newton import Memory, _direction
from widthwise.network import Segment

KEY = jax.random.key(0)
SEARCHES = {
    "quasi_newton": QuasiNewton(iterations=400, tolerance=1e-10),
    "anderson": Anderson(iterations=400, tolerance=1e-10),
    # Its rate is that of the second-order terms which it leaves out.
    "gauss_newton": GaussNewton(iterations=200, products=3, tolerance=1e-6),
    "auto": Automatic(iterations=400, tolerance=1e-10),
}


def problem_of(loss="mse", *, top=1.5, fixed=False, **options):
    network = build(**({"depth": 4} | options)).network
    precisions = tuple(jnp.asarray(gamma) for gamma in (0.8, 1.4, top))
    return Problem(network, precisions, *batch_of(loss), LOSSES[loss][0], fixed)


def settle(problem, *relaxations):
    return jax.jit(lambda p: [relaxation(p, p.start()) for relaxation in relaxations])(problem)


@pytest.mark.parametrize(("loss", "residual"), [("mse", True), ("ce", False)])
def test_all_find_the_equilibrium_of_plain_descent(loss, residual):
    problem = problem_of(loss, residual=residual)
    plain, *found = settle(problem, ErrorDescent(iterations=1000, tolerance=1e-10), *SEARCHES.values())
    assert float(jnp.abs(plain[0].errors[0]).max()) > 1e-3
    for name, (point, settled) in zip(SEARCHES, found, strict=True):
        assert bool(jnp.all(settled.converged)), name
        # The residual times a condition number of order 10.
        close = 100 * float(SEARCHES[name].tolerance)
        assert distance(point.errors, plain[0].errors) < close, name
        assert distance(point.states, plain[0].states) < close, name


def test_the_flow_finds_it_too():
    problem = problem_of()
    plain, flow = settle(problem, ErrorDescent(iterations=1000, tolerance=1e-10), OdeFlow(tolerance=1e-4))
    assert bool(jnp.all(flow[1].converged))
    assert 1 < int(flow[1].iterations.min()) < 200
    # Its residual, times the condition number of order 10.
    assert distance(flow[0].errors, plain[0].errors) < 1e-3


def test_linear_networks():
    problem = problem_of(activation="linear")
    quadratic = GaussNewton(iterations=1, products=3)
    exact, *found = settle(problem, OutputSpaceSolve(), Automatic(), quadratic, SEARCHES["quasi_newton"])
    # The output space has 3 dimensions: 3 products solve it, and one step is the equilibrium.
    for point, settled in found:
        assert float(settled.residual.max()) < 1e-9
        assert distance(point.errors, exact[0].errors) < 1e-9
    assert found[1][1].iterations.tolist() == [1] * 6


@pytest.mark.parametrize("kind", [QuasiNewton, Anderson, GaussNewton, Automatic])
def test_fixed_predictions_need_one_step(kind):
    # Their Hessian is Gamma: every method's first step is the equilibrium gamma_L J^T delta / gamma_l.
    problem = problem_of("ce", fixed=True)
    ((point, settled),) = settle(problem, kind())
    assert settled.iterations.tolist() == [1] * 6
    assert float(settled.residual.max()) < 1e-14
    layers = unrolled(problem.network)
    states = [problem.x, *walk(layers, problem.x)]
    weighted = -jax.grad(lambda f: jnp.sum(LOSSES["ce"][1](f, problem.y)))(states[-1]) * problem.precisions[-1]
    gammas = per_layer(problem.network, problem.precisions)
    for index in range(len(layers) - 1, 0, -1):
        weighted = jax.vjp(layers[index], states[index])[1](weighted)[0]
        assert distance(stacked(point.errors)[index - 1], weighted / gammas[index - 1]) < 1e-13


@pytest.mark.parametrize("kind", [QuasiNewton, Anderson, GaussNewton, Automatic])
def test_the_energy_never_rises(kind):
    # At this precision descent with a step of 1 raises it.
    problem = problem_of(top=60.0)
    unguarded, few, more = settle(problem, ErrorDescent(iterations=5, rate=1.0), kind(iterations=4), kind(iterations=7))
    start = jax.jit(lambda p: p.energy(p.start()))(problem)
    assert bool(jnp.any(unguarded[1].energy > start))
    assert bool(jnp.all(few[1].energy < start))
    assert bool(jnp.all(more[1].energy <= few[1].energy * (1 + 1e-12)))


def test_quasi_newton_direction():
    """B is symmetric, positive, and maps the newest change to the newest move (the secant condition)."""
    problem = problem_of()
    draw = np.random.default_rng(0).normal
    like = jax.jit(lambda p: p.start().errors)(problem)

    def states(*lead):
        # All hidden layers have one width: one array.
        return (jnp.asarray(draw(size=(*lead, 3, *like[0].shape[1:]))),)

    def dots(a, b):
        return sum((x * y).sum(axis=(0, 2)) for x, y in zip(a, b, strict=True))

    moves = states(3)
    # Changes of a quadratic with Hessian 2: ⟨s, y⟩ > 0.
    changes = tuple(2.0 * move + 0.1 * other for move, other in zip(moves, states(3), strict=True))
    pairs = [[tuple(leaf[i] for leaf in part) for part in (moves, changes)] for i in range(3)]
    inverse = jnp.stack([1 / dots(*pair) for pair in pairs]).at[1, 2].set(0.0)  # the third example has one pair less
    memory = Memory(moves, changes, inverse)
    newest = 5  # in slot 2

    def applied(gradient):
        return tuple(-leaf for leaf in _direction(problem, like, memory, gradient, jnp.asarray(newest), 3))

    u, v = states(), states()
    by_u, by_v, by_change = jax.jit(lambda *a: [applied(one) for one in a])(u, v, pairs[2][1])
    assert distance(by_change, pairs[2][0]) < 1e-12
    assert distance(dots(u, by_v), dots(v, by_u)) < 1e-12
    assert bool(jnp.all(dots(u, by_u) > 0))


def in_two(problem, first):
    """The same problem, its middle segment of stages in two."""
    head, middle, top = problem.network.segments
    parts = [
        Segment(jax.tree.map(lambda leaf, part=part: leaf[part], middle.stages), size)
        for part, size in ((slice(first), first), (slice(first, None), middle.depth - first))
    ]
    network = eqx.tree_at(lambda net: net.segments, problem.network, (head, *parts, top))
    low, here, last = problem.precisions
    return Problem(network, (low, here, here, last), problem.x, problem.y, problem.loss)


# Up to four layers, or eight as wide as these, are visited one by one, more in a loop.
@pytest.mark.parametrize(
    ("kind", "depth", "steps"),
    [("plain", 6, steps) for steps in (1, 3, 4, 5, 9)]
    + [("plain", 4, 7), ("wide", 8, 5), ("wide", 8, 7), ("wide", 8, 9), ("wide", 12, 8), ("wide", 12, 9)]
    + [("in two", 9, steps) for steps in (3, 5, 8, 10)]
    + [("pairs", 3, 1), ("pairs", 3, 2), ("pairs", 3, 7), ("pairs", 6, 5), ("pairs", 6, 9)],
)
def test_the_frontier_is_the_literal_algorithm(kind, depth, steps):
    """One pass over the reached layers against all layers at once, whatever T; chains whose states change shape too."""
    if kind == "pairs":
        precisions = tuple(jnp.asarray(gamma) for gamma in (0.8, 1.4, 1.5))
        problem = Problem(pair_network(depth=depth)[0], precisions, *batch_of("mse"), LOSSES["mse"][0])
    else:
        problem = problem_of(residual=True, depth=depth, width=192 if kind == "wide" else 7)
        problem = in_two(problem, 4) if kind == "in two" else problem
    ordered = ActivityDescent(iterations=steps, rate=0.11)
    at_once = ActivityDescent(iterations=steps, rate=0.11, transform=optax.identity())
    (one, settled), (other, expected) = settle(problem, ordered, at_once)
    assert distance(one.states, other.states) < 1e-13
    assert distance(one.errors, other.errors) < 1e-12
    assert distance(settled.residual, expected.residual) < 1e-12


@pytest.mark.parametrize("transform", [None, optax.scale_by_rms()])
def test_layers_not_reached_do_not_move_at_all(transform):
    # theory.md D3: T steps leave the layers l < L - T where they were; their errors are 0, not a rounding.
    with jax.numpy_dtype_promotion("standard"):
        ((point, _),) = settle(
            problem_of(residual=True, depth=7), ActivityDescent(iterations=3, rate=0.1, transform=transform)
        )
    sizes = [float(jnp.abs(error).max()) for error in stacked(point.errors)]
    assert [size > 0 for size in sizes] == [False] * 3 + [True] * 3


def test_the_cap_lowers_each_examples_precision():
    """gamma_L,b = min(gamma_L, c / kappa_b), kappa_b = sum_l |J_l^T delta|^2 / (gamma_l |delta|^2), by jax.jacobian."""
    built, batch = build(depth=4), batch_of("mse")
    cap, top = 0.9, 2.0
    pc = PredictiveCoding(output_precision=top, precision_cap=cap)
    learner = pc.init(built, key=KEY)
    problem, start = jax.jit(lambda a, b: pc.posed(a, b, LOSSES["mse"][0]))(learner, batch)
    layers = unrolled(built.network, traced=True)

    def kappa(x, y):
        hidden = walk(layers, x)
        delta, total = y - hidden[-1], 0.0
        for index in range(len(layers) - 1):
            jacobian = jax.jacobian(lambda h, i=index: walk(layers[i + 1 :], h)[-1])(hidden[index])
            total = total + jnp.sum((jacobian.T @ delta) ** 2)
        return total / jnp.sum(delta**2)

    nominal = float(pc.problem(learner, batch, LOSSES["mse"][0]).precisions[-1])
    expected = np.minimum(nominal, cap / np.asarray(jax.jit(jax.vmap(kappa))(*batch)))
    assert len({bool(precision < nominal) for precision in expected}) == 2
    assert distance(problem.precisions[-1], expected) < 1e-12
    # The forward pass handed over is that of the capped problem.
    again = jax.jit(lambda p: p.gradient(p.start()))(problem)
    assert distance(jax.jit(lambda p, s: p.gradient(s))(problem, start), again) < 1e-13


def test_a_small_cap_is_backprop():
    """c -> 0: every example's gradient becomes gamma_L times backprop's, its own precision divided out again."""
    built, batch, loss = build(depth=4), batch_of("mse"), LOSSES["mse"][0]
    learner = Backprop().init(built, key=KEY)

    @eqx.filter_jit
    def compute(cap):
        pc = PredictiveCoding(ErrorDescent(iterations=50, tolerance=1e-12), output_precision=3.0, precision_cap=cap)
        top = pc.problem(learner, batch, loss).precisions[-1]
        gradient = pc.grads(learner, batch, loss, key=KEY)[0]
        return jax.tree.map(lambda g: g / top, gradient), Backprop().grads(learner, batch, loss, key=KEY)[0]

    near, far = (distance(*compute(jnp.asarray(cap))) for cap in (1e-6, 1e-3))
    assert near < 1e-5
    # First order in the cap.
    assert far / near == pytest.approx(1e3, rel=0.1)


def test_a_cap_and_fixed_predictions_contradict_each_other():
    with refused("precision_cap", 0.1):
        PredictiveCoding(fixed_prediction=True, precision_cap=0.1)


@pytest.mark.parametrize("kind", [QuasiNewton, Anderson, GaussNewton, Automatic, OdeFlow])
@pytest.mark.parametrize("settings", [{"iterations": 0}, {"iterations": 2.5}, {"tolerance": 0}, {"tolerance": -1.0}])
def test_refusals(kind, settings):
    ((name, value),) = settings.items()
    with refused(name, value):
        kind(**settings)


@pytest.mark.parametrize("residual", [False, True])
def test_the_smallest_network(residual):
    """Depth 2, width 1, one example: the least energy of one number, by looking at 10^5 values of it."""
    names = {"tanh": sorted(set(RELAXATIONS) - {"exact"}), "linear": ["auto", "exact"]}
    for activation, tried in names.items():
        network = build(depth=2, width=1, residual=residual, activation=activation).network
        gammas = (jnp.asarray(0.8), jnp.asarray(1.5))
        problem = Problem(network, gammas, *batch_of("mse", batch=1), LOSSES["mse"][0])
        grid = [np.linspace(-10, 10, 100_001)[:, None]]
        least = float(jnp.min(error_energy(unrolled(network), gammas, grid, problem.x, problem.y, half_square)))
        before = float(problem.energy(problem.start())[0])
        for name, (point, settled) in zip(
            tried, settle(problem, *(found(name, RELAXATIONS)() for name in tried)), strict=True
        ):
            assert all(bool(jnp.all(jnp.isfinite(leaf))) for leaf in jax.tree.leaves((point, settled))), name
            assert float(settled.energy[0]) > least - 1e-6, name
            # A fixed step has no safeguard, and one sweep overshoots a steep readout (docs/theory.md B2).
            if name not in ("descent", "sweep"):
                # A residual of 1e-2 leaves 1e-4 of the way, times a condition number below 10.
                assert bool(settled.converged[0]), name
                assert float(settled.energy[0]) - least < 1e-3 * (before - least), name
