"""What `auto` falls back on: no example ends above the forward pass, and none fails silently."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from science.oracles import LOSSES, batch_of, build, distance

from widthwise import cross_entropy, mse
from widthwise.algorithms import Batch, Learner, PredictiveCoding
from widthwise.inference import (
    DESCENT,
    Automatic,
    ErrorDescent,
    OdeFlow,
    OutputSpaceSolve,
    Problem,
    QuasiNewton,
    curvature,
    relative,
)
from widthwise.network import cast, residual_mlp
from widthwise.parameterizations import parameterization

ONE = jnp.ones(())


def test_descent_that_raises_the_energy_is_forgotten():
    # Steep tanh layers: the step that the curvature along the output error suggests is too long for some examples.
    network = build(depth=4, gain=3.0).network
    problem = Problem(network, (ONE, ONE, 50 * ONE), *batch_of("mse", batch=200), LOSSES["mse"][0])
    relaxations = [ErrorDescent(iterations=DESCENT), Automatic(iterations=DESCENT), Automatic(iterations=DESCENT + 1)]
    before, (descended, only, more) = jax.jit(
        lambda p: (p.energy(p.start()), [relaxation(p, p.start())[1] for relaxation in relaxations])
    )(problem)
    raised = descended.energy > before
    assert 0 < int(raised.sum()) < 100
    for settled in (only, more):
        assert bool(jnp.all(settled.energy <= before * (1 + 1e-12)))
    # Where descent is not followed the point is the forward pass, and its residual says so.
    assert distance(only.residual[raised], jnp.ones(int(raised.sum()))) < 1e-12
    assert distance(only.energy[~raised], descended.energy[~raised]) < 1e-12


def deep(depth, dtype=jnp.float32, batch=8):
    """A linear chain of skips outside muP: its forward pass grows exponentially with depth (docs/theory.md D1)."""
    table, draw = parameterization("sp", algorithm="pc"), np.random.default_rng(0).normal
    key = jax.random.key(0)
    network = residual_mlp(16, 8, 3, depth=depth, activation="linear", table=table, key=key, dtype=jnp.float32).network
    x, y = draw(size=(batch, 16)), draw(size=(batch, 3))
    problem = Problem(network, (ONE,) * 3, jnp.asarray(x), jnp.asarray(y), LOSSES["mse"][0])
    return cast(cast(problem, jnp.float32), dtype)


def both(problem):
    start = problem.start()
    return problem.energy(start), OutputSpaceSolve()(problem, start)[1], Automatic()(problem, start)


settled_by = jax.jit(both)


@jax.jit
def judged(double, errors):
    """64 bits are enough for the exact solve, and judge what a search in 32 found."""
    start = double.start()
    reference = OutputSpaceSolve()(double, start)[1]
    return reference, double.energy(double.at(errors, start)), double.energy(start)


def in_double(depth, point):
    errors = jax.tree.map(lambda leaf: leaf.astype(jnp.float64), point.errors)
    reference, found, above = judged(deep(depth, jnp.float64), errors)
    assert bool(jnp.all(reference.converged))
    # The equilibrium of a linear network is the least energy there is.
    assert bool(jnp.all(reference.energy <= found))
    return found, above


def test_examples_that_the_exact_solve_misses_are_searched(monkeypatch):
    """As where its system has no Cholesky factors, which at 64 layers hangs on how a compiler orders sums."""
    monkeypatch.setattr(
        "widthwise.inference._output_space_solve.positive_solve", lambda matrix, right: jnp.full_like(right, jnp.nan)
    )
    before, exact, (point, settled) = jax.jit(lambda problem: both(problem))(deep(64))
    monkeypatch.undo()
    assert not bool(jnp.any(exact.converged))
    assert bool(jnp.all(settled.energy < before))
    assert int(settled.converged.sum()) > len(before) // 2
    assert settled.converged.tolist() == (settled.residual <= 1e-2).tolist()
    found, above = in_double(64, point)
    assert bool(jnp.all(found < above))


def test_examples_that_rounding_spoils_are_searched():
    """32 bits are not enough for the exact solve of 76 such layers, and hardly for the search."""
    before, exact, (point, settled) = settled_by(deep(76))
    assert not bool(jnp.any(exact.converged))
    assert bool(jnp.any(settled.converged))
    assert bool(jnp.all(settled.energy <= before))
    assert settled.converged.tolist() == (settled.residual <= 1e-2).tolist()
    found, above = in_double(76, point)
    assert bool(jnp.all(found[settled.converged] < above[settled.converged]))


def test_what_one_example_needs_changes_nothing_for_the_others():
    """The first example's target is 10^30 away, which overflows its own norms alone."""
    problem = deep(4)
    far = Problem(problem.network, problem.precisions, problem.x, problem.y.at[0].set(1e30), problem.loss)
    _, _, (alone, expected) = settled_by(problem)
    _, exact, (point, settled) = settled_by(far)
    assert exact.converged.tolist() == [False] + [True] * 7
    assert settled.converged.tolist() == [False] + [True] * 7
    for found, other in ((settled, expected), (point.prediction, alone.prediction)):
        for one, two in zip(jax.tree.leaves(found), jax.tree.leaves(other), strict=True):
            np.testing.assert_allclose(one[1:], two[1:], rtol=1e-5)


def test_a_forward_pass_that_overflows_is_not_called_settled():
    before, _, (_, settled) = settled_by(deep(150))
    assert not bool(jnp.any(jnp.isfinite(before)))
    assert not bool(jnp.any(settled.converged))
    assert not bool(jnp.any(settled.residual <= 1.0))


def test_nothing_is_small_beside_a_norm_that_overflowed():
    ratio = relative(jnp.asarray([4.0, 0.0, 1.0]), jnp.asarray([jnp.inf, 0.0, 4.0]))
    np.testing.assert_array_equal(ratio, [np.nan, 0.0, 0.5])


@pytest.fixture
def in_float32():
    with jax.enable_x64(False):
        yield


def last_weight(network):
    return network.segments[-1].stages.linear.weight


def shallow(loss, readout, precision, examples=64):
    """Four tanh layers, their readout enlarged; targets are the network's own answers."""
    table = parameterization("mupc", algorithm="pc", optimizer="adam")
    key, x = jax.random.key(0), jax.random.normal(jax.random.key(1), (examples, 64))
    network = residual_mlp(64, 32, 10, depth=4, activation="tanh", table=table, key=key).network
    network = eqx.tree_at(last_weight, network, last_weight(network) * readout)
    y = jax.nn.one_hot(jnp.argmax(network(x), -1), 10)
    pc = PredictiveCoding(output_precision=precision)
    return pc.problem(Learner(network), Batch(x, y), loss)


@jax.jit
def settled_by_each(problem):
    start = problem.start()
    found = [kind(iterations=40)(problem, start) for kind in (ErrorDescent, Automatic, QuasiNewton)]
    return start, found


def own_loss(prediction, y):
    """The cross-entropy as users write it, which rounds a confident answer's away."""
    return -jnp.sum(y * jax.nn.log_softmax(prediction), axis=-1)


@pytest.mark.usefixtures("in_float32")
@pytest.mark.parametrize(("loss", "readout"), [(cross_entropy, 300.0), (own_loss, 100.0)])
def test_confident_examples_settle(loss, readout):
    # Their loss is far below the rounding of the logits that it is made from, and so is what a step wins.
    start, (descent, *safeguarded) = settled_by_each(shallow(loss, readout, 1e-3))
    loss = cross_entropy(start.prediction, jax.nn.one_hot(jnp.argmax(start.prediction, -1), 10))
    assert float(jnp.min(loss)) < 1e-6
    assert float(descent[1].converged.mean()) > 0.98
    assert [float(settled.converged.mean()) for _, settled in safeguarded] == [1.0, 1.0]


@pytest.mark.usefixtures("in_float32")
def test_at_a_curvature_below_rounding_inference_is_backprop():
    # The energy falls by less than its own last place, and the equilibrium is a first step away: e = γ_L J^T δ.
    start, found = settled_by_each(shallow(mse, 1.0, 1e-6))
    for point, settled in found:
        assert bool(jnp.all(settled.converged))
        for error, pulled in zip(point.errors, start.pulled, strict=True):
            assert distance(error, -pulled) < 1e-5
    descent, automatic, _ = (settled for _, settled in found)
    # What descent has settled is not done again.
    assert automatic.iterations.tolist() == descent.iterations.tolist()


@pytest.mark.usefixtures("in_float32")
@pytest.mark.parametrize("precision", [3.0, 30.0])
def test_the_flow_settles_where_the_curvature_is_large(precision):
    problem = shallow(mse, 10.0, precision)
    curved = curvature(problem, problem.start())
    assert float(jnp.median(curved)) > 5 * precision
    settled = jax.jit(lambda p: OdeFlow()(p, p.start())[1])(problem)
    assert bool(jnp.all(settled.converged))
