"""The equilibrium of predictive coding, from five sides: a dense solve, closed forms and one another."""

import equinox as eqx
import jax
import jax.flatten_util
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
    half_square,
    per_layer,
    stacked,
    unrolled,
    walk,
)
from science.pairs import pair_network, plain_energy, plain_walk, unstacked

from widthwise.algorithms import Batch, PredictiveCoding
from widthwise.inference import (
    ActivityDescent,
    Automatic,
    ErrorDescent,
    GaussNewton,
    OutputSpaceSolve,
    Problem,
    SequentialSweep,
    curvature,
)
from widthwise.parameterizations import parameterization

LINEAR = {
    "plain": {"depth": 5},
    "plain_post": {"depth": 4, "state": "post", "bias": False},
    "skips": {"depth": 6, "residual": True},
    "two_layers": {"depth": 2},
}


def linear_problem(name, *, per_example=False, scale=1.0, batch=6):
    """A linear network with random precisions, one a segment."""
    network = build(activation="linear", **LINEAR[name]).network
    x, y = batch_of("mse", batch=batch)
    draw = np.random.default_rng(4).uniform
    gammas = draw(0.3, 3.0, size=len(network.segments) - 1)
    top = draw(0.3, 3.0, size=batch) if per_example else draw(0.3, 3.0)
    precisions = tuple(jnp.asarray(scale * gamma) for gamma in (*gammas, top))
    return Problem(network, precisions, x, y, LOSSES["mse"][0])


def dense_solve(problem):
    """h* of every example from the Hessian of the hand-written energy: H h = -gradient at zero."""
    layers = unrolled(problem.network, traced=True)
    gammas = per_layer(problem.network, (*problem.precisions[:-1], None))
    sizes = [layer.matrix.shape[0] for layer in layers[:-1]]
    cuts = np.cumsum(sizes)[:-1]

    def solve(x, y, top):
        def total(flat):
            return energy(layers, [*gammas[:-1], top], jnp.split(flat, cuts), x, y, half_square)

        zero = jnp.zeros(sum(sizes))
        return jnp.split(jnp.linalg.solve(jax.hessian(total)(zero), -jax.grad(total)(zero)), cuts)

    top = jnp.broadcast_to(problem.precisions[-1], problem.y.shape[:1])
    hidden = jax.vmap(solve)(problem.x, problem.y, top)
    errors = [h - layer(below) for layer, below, h in zip(layers, [problem.x, *hidden], hidden, strict=False)]
    return hidden, errors


@pytest.mark.parametrize(("name", "per_example"), [*((name, False) for name in LINEAR), ("skips", True)])
def test_output_space_solve_is_the_dense_solve(name, per_example):
    problem = linear_problem(name, per_example=per_example, batch=3 if per_example else 6)
    point, settled = jax.jit(lambda p: OutputSpaceSolve(tolerance=1e-12)(p, p.start()))(problem)
    hidden, errors = jax.jit(dense_solve)(problem)
    # The Hessian's condition number is a few hundred: 1e-13, and a margin.
    assert distance(stacked(point.states), hidden) < 1e-10
    assert distance(stacked(point.errors), errors) < 1e-10
    assert bool(jnp.all(settled.converged))
    assert bool(jnp.all(settled.residual < 1e-12))


def test_equilibrium_energy_is_the_closed_form():
    # theory.md B1: F* = r^T S^-1 r / 2, S = sum_l P_l P_l^T / gamma_l with P_L = I, r = y - f.
    problem = linear_problem("skips")
    layers, gammas = unrolled(problem.network), per_layer(problem.network, problem.precisions)
    total, product = np.zeros((3, 3)), np.eye(3)
    for layer, gamma in zip(layers[::-1], gammas[::-1], strict=True):
        total += product @ product.T / float(gamma)
        product = product @ (layer.matrix + (np.eye(len(layer.matrix)) if layer.residual else 0))
    r = np.asarray(problem.y - walk(layers, problem.x)[-1])
    expected = 0.5 * np.sum(r * np.linalg.solve(total, r.T).T, axis=-1)
    settled = jax.jit(lambda p: OutputSpaceSolve()(p, p.start())[1])(problem)
    assert distance(settled.energy, expected) < 1e-12


def test_output_space_solve_of_pairs():
    network, stages = pair_network("linear", depth=2)
    x, y = batch_of("mse")
    precisions = tuple(jnp.asarray(gamma) for gamma in (0.6, 1.7, 2.1))
    gammas = [0.6, 1.7, 1.7, 2.1]
    point, settled = jax.jit(lambda p: OutputSpaceSolve()(p, p.start()))(
        Problem(network, precisions, x, y, LOSSES["mse"][0])
    )

    def solve(x, y):
        zero = jax.tree.map(jnp.zeros_like, plain_walk(stages, x)[:-1])
        flat, unravel = jax.flatten_util.ravel_pytree(zero)

        def total(flat):
            return plain_energy(stages, gammas, unravel(flat), x, y)

        return unravel(jnp.linalg.solve(jax.hessian(total)(flat), -jax.grad(total)(flat)))

    assert distance(unstacked(point.states), jax.jit(jax.vmap(solve))(x, y)) < 1e-10
    assert bool(jnp.all(settled.residual < 1e-12))


@pytest.mark.parametrize("name", ["mlp", "residual", "ce"])
def test_settled_descents_agree(name):
    # tanh: both run to a residual of 1e-10, and the Hessian's condition number is of order 100.
    loss = "ce" if name == "ce" else "mse"
    network = build(residual=name == "residual", depth=4).network
    precisions = tuple(jnp.asarray(gamma) for gamma in (1.0, 1.4, 1.5))
    problem = Problem(network, precisions, *batch_of(loss), LOSSES[loss][0])
    relaxations = (
        ErrorDescent(iterations=1000, tolerance=1e-10),
        ActivityDescent(iterations=4000, rate=0.15, tolerance=1e-10),
        SequentialSweep(sweeps=2000, step=0.3, tolerance=1e-10),
    )
    found = jax.jit(lambda p: [relaxation(p, p.start()) for relaxation in relaxations])(problem)
    assert all(bool(jnp.all(settled.converged)) for _, settled in found)
    # Not where they started.
    assert float(jnp.abs(found[0][0].errors[0]).max()) > 1e-3
    for point, settled in found[1:]:
        assert distance(point.states, found[0][0].states) < 1e-8
        assert distance(point.errors, found[0][0].errors) < 1e-8
        assert distance(settled.energy, found[0][1].energy) < 1e-12


@pytest.mark.parametrize(
    "relaxation",
    [
        ErrorDescent(iterations=2000, tolerance=1e-11),
        ActivityDescent(iterations=3000, rate=0.12, tolerance=1e-11),
        SequentialSweep(sweeps=2000, step=0.15, tolerance=1e-11),
    ],
    ids=["error", "descent", "sweep"],
)
def test_settled_descents_are_the_exact_solution_of_a_linear_network(relaxation):
    problem = linear_problem("plain")
    point, settled = jax.jit(lambda p: relaxation(p, p.start()))(problem)
    exact, _ = jax.jit(lambda p: OutputSpaceSolve()(p, p.start()))(problem)
    assert bool(jnp.all(settled.converged))
    assert distance(point.errors, exact.errors) < 1e-9


def test_scaling_all_precisions_leaves_the_activities():
    # theory.md B1: activities identical, energy and gradients times the factor.
    def settle(problem):
        return OutputSpaceSolve()(problem, problem.start()), ErrorDescent(iterations=4)(problem, problem.start())

    settle = jax.jit(settle)
    for one, scaled in zip(settle(linear_problem("skips")), settle(linear_problem("skips", scale=7.0)), strict=True):
        assert distance(scaled[0].states, one[0].states) < 1e-13
        assert distance(scaled[1].energy, 7.0 * one[1].energy) < 1e-13


def test_batch_size_changes_nothing():
    """Each example settles as if alone: B = 1 against B = 32, for every relaxation."""
    network = build(depth=4, width=5).network
    linear = build(depth=4, width=5, activation="linear").network
    relaxations = {
        "error": ErrorDescent(iterations=9),
        "descent": ActivityDescent(iterations=5),
        "adam": ActivityDescent(iterations=5, transform=optax.scale_by_adam(eps=1e-3), rate=0.01),
        "sweep": SequentialSweep(sweeps=2),
        "gauss_newton": GaussNewton(iterations=2, products=2),
        "auto": Automatic(iterations=7),
        "exact": OutputSpaceSolve(),
    }
    learner = Batch(*batch_of("ce", batch=32))

    @jax.jit
    def settle(x, y):
        out = {}
        for name, relaxation in relaxations.items():
            for fixed in (False, True) if name in ("error", "sweep") else (False,):
                loss = LOSSES["mse" if name == "exact" else "ce"][0]
                chain = linear if name == "exact" else network
                precisions = tuple(jnp.asarray(gamma) for gamma in (0.8, 1.2, 1.7))
                problem = Problem(chain, precisions, x, y, loss, fixed)
                point, settled = relaxation(problem, problem.start())
                out[name, fixed] = point.errors, settled
        return out

    # optax's Adam raises a float to an integer count, which strict promotion forbids.
    with jax.numpy_dtype_promotion("standard"):
        together = settle(*learner)
        rows = range(0, 32, 5)
        each = {row: settle(learner.x[row : row + 1], learner.y[row : row + 1]) for row in rows}
    assert len(set(together["error", False][1].iterations.tolist())) > 1
    for row, alone in each.items():
        for name, (errors, settled) in together.items():
            own_errors, own = alone[name]
            mine = [error[:, row : row + 1] for error in errors]
            # Each relaxation is compared on its own scale; 1e-12 is thousands of roundings.
            assert distance(list(own_errors), mine) < 1e-12, name
            assert int(own.iterations[0]) == int(settled.iterations[row]), name
            assert bool(own.converged[0]) == bool(settled.converged[row]), name
            assert float(own.energy[0]) == pytest.approx(float(settled.energy[row]), rel=1e-12), name
            assert float(own.residual[0]) == pytest.approx(float(settled.residual[row]), rel=1e-9, abs=1e-13)


def explicit_curvature(problem):
    """C = sum_{l<L} (gamma_L / gamma_l) J_l J_l^T of every example at the forward pass, by jax.jacobian."""
    layers = unrolled(problem.network, traced=True)
    gammas = per_layer(problem.network, problem.precisions)

    def matrix(x):
        total = 0.0
        hidden = walk(layers, x)
        for index in range(len(layers) - 1):
            jacobian = jax.jacobian(lambda h, i=index: walk(layers[i + 1 :], h)[-1])(hidden[index])
            total = total + gammas[-1] / gammas[index] * jacobian @ jacobian.T
        return total

    return jax.vmap(matrix)(problem.x)


@pytest.mark.parametrize("residual", [False, True])
def test_curvature_is_the_norm_of_the_explicit_matrix(residual):
    network = build(residual=residual, depth=5).network
    precisions = tuple(jnp.asarray(gamma) for gamma in (0.6, 1.3, 2.2))
    problem = Problem(network, precisions, *batch_of("mse"), LOSSES["mse"][0])
    found = jax.jit(lambda p: [curvature(p, p.start(), products=n) for n in (1, 3, 8)])(problem)
    values, vectors = np.linalg.eigh(np.asarray(jax.jit(explicit_curvature)(problem)))
    norms, ratios = values[:, -1], values[:, -2] / values[:, -1]
    # The angle between the ramp that the iteration starts from and the top direction.
    ramp = np.array([1.0, 1.1, 1.2])
    slopes = ramp @ ramp / (vectors[:, :, -1] @ ramp) ** 2 - 1
    previous = np.zeros_like(norms)
    for products, value in zip((1, 3, 8), map(np.asarray, found), strict=True):
        # A Rayleigh quotient: never above, and growing with every product.
        assert np.all(value <= norms * (1 + 1e-12))
        assert np.all(value >= previous * (1 - 1e-12))
        previous = value
        # It converges as power iteration does: 1 - value / norm <= tan^2 (second / first eigenvalue)^(2 (n - 1)).
        assert np.all(1 - value / norms <= slopes * ratios ** (2 * (products - 1)) + 1e-12)
    # A bound that says something for most examples.
    assert np.median(slopes * ratios**14) < 0.1


def test_curvature_where_there_is_none():
    built = build(bias=False)
    silent = eqx.tree_at(lambda n: n.segments[-1].stages.linear.weight, built.network, jnp.zeros((1, 3, 7)))
    precisions = (jnp.asarray(1.0),) * 3
    problem = Problem(silent, precisions, *batch_of("mse"), LOSSES["mse"][0])
    assert jax.jit(lambda p: curvature(p, p.start()))(problem).tolist() == [0.0] * 6


def test_error_descent_contracts_below_two_over_one_plus_c():
    # theory.md E: in error space the Hessian is Gamma + gamma_L J^T J, condition number 1 + |C|.
    problem = linear_problem("plain", batch=1)
    c = float(np.linalg.eigvalsh(np.asarray(jax.jit(explicit_curvature)(problem)))[0, -1])
    settle = jax.jit(lambda p, rate: ErrorDescent(iterations=400, rate=rate)(p, p.start())[1])
    assert c > 0.5
    assert bool(settle(problem, jnp.asarray(1.98 / (1 + c))).converged[0])
    diverged = settle(problem, jnp.asarray(2.02 / (1 + c)))
    assert not bool(diverged.converged[0])
    assert float(diverged.residual[0]) > 1


def test_with_the_output_free_all_errors_vanish():
    """Why networks are evaluated by the forward pass: it is PC's equilibrium where the output is free."""
    layers = unrolled(build(activation="linear", depth=4).network)
    x, _ = batch_of("mse")
    states = walk(layers, x)
    cuts = np.cumsum([layer.matrix.shape[0] for layer in layers])[:-1]

    def solve(x):
        # Every layer free, the readout h_L too: sum_l gamma_l/2 |h_l - f_l(h_{l-1})|^2.
        def total(flat):
            *hidden, top = jnp.split(flat, cuts)
            return energy(layers, [0.7, 1.0, 1.6, 2.0], hidden, x, top, half_square)

        zero = jnp.zeros(sum(layer.matrix.shape[0] for layer in layers))
        return jnp.split(jnp.linalg.solve(jax.hessian(total)(zero), -jax.grad(total)(zero)), cuts)

    assert distance(jax.jit(jax.vmap(solve))(x), states) < 1e-12
    # And in the library: a target equal to the prediction leaves the forward pass where it is.
    network = build(depth=4).network
    precisions = (jnp.asarray(1.0),) * 3
    free = Problem(network, precisions, x, eqx.filter_jit(network)(x), LOSSES["mse"][0])
    for relaxation in (ErrorDescent(), ActivityDescent(), SequentialSweep()):
        point, settled = jax.jit(lambda p, r=relaxation: r(p, p.start()))(free)
        assert max(float(jnp.abs(error).max()) for error in point.errors) < 1e-14
        assert float(settled.energy.max()) < 1e-28


def test_ends_of_the_precision_scale():
    """gamma_L -> 0: the settled errors are gamma_L times backprop's; gamma_L -> inf: the output is met."""
    built = build(activation="linear", depth=3, table=parameterization("mup", algorithm="pc"))
    batch = batch_of("mse")
    learner = PredictiveCoding().init(built, key=jax.random.key(0))

    @jax.jit
    def settle(top):
        pc = PredictiveCoding(OutputSpaceSolve(), output_precision=top)
        return pc.infer(learner, batch, LOSSES["mse"][0], key=jax.random.key(0))

    small = settle(jnp.asarray(1e-9))
    large = settle(jnp.asarray(1e9))
    problem = Problem(built.network, (jnp.asarray(1.0),) * 3, *batch, LOSSES["mse"][0])
    start = jax.jit(lambda p: p.start())(problem)
    # First order in gamma_L = 1e-9, relative.
    assert distance([e / 1e-9 for e in small.errors[:-1]], [-p for p in start.pulled]) < 1e-7
    assert float(jnp.abs(large.errors[-1]).max()) < 1e-6 * float(jnp.abs(small.errors[-1]).max())
