"""What every algorithm returns, refuses and recompiles for; weight gradients of unusual states; the cosine."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from refusals import refused
from science.oracles import LOSSES, batch_of, build, distance, half_square
from science.pairs import pair_network, plain_energy, plain_walk, unstacked
from science.programs import every_equation

import widthwise.network
from widthwise.algorithms import Backprop, Batch, PredictiveCoding, cosine, local_gradients, median
from widthwise.inference import ActivityDescent, ErrorDescent, OutputSpaceSolve, Problem, SequentialSweep, curvature
from widthwise.parameterizations import parameterization

KEY = jax.random.key(0)
MSE = LOSSES["mse"][0]


def test_names():
    assert (Backprop().name, PredictiveCoding().name) == ("bp", "pc")


@pytest.mark.parametrize(
    "values", [[3.0], [2.0, -1.0], [5.0, 1.0, 4.0, 1.0, np.inf], [1.0, 7.0, 2.0, 4.0], [np.nan, 1.0, 2.0], [np.inf] * 2]
)
def test_the_median_is_numpys(values):
    assert np.array_equal(median(jnp.asarray(values)), np.median(values), equal_nan=True)


def test_weight_gradients_of_pairs():
    network, _ = pair_network(depth=3)
    batch = batch_of("mse")
    gammas = [0.7, 1.4, 1.4, 1.4, 2.0]
    precisions = tuple(jnp.asarray(gamma) for gamma in (0.7, 1.4, 2.0))
    relaxation = ErrorDescent(iterations=3000, tolerance=1e-11)

    @eqx.filter_jit
    def compute(network):
        problem = Problem(network, precisions, *batch, MSE)
        point, settled = relaxation(problem, problem.start())
        seen = widthwise.network.inputs(batch.x, point.states)
        local = local_gradients(network, precisions, seen, (*point.errors, point.output_error[None]))

        def energy(hidden, network):
            return jnp.mean(plain_energy(traced_stages(network), gammas, hidden, *batch))

        hidden = unstacked(point.states)
        at_rest = jax.grad(energy)(hidden, network)
        expected = eqx.filter_grad(lambda n: energy(hidden, n))(network)
        return local, expected, at_rest, settled, point.errors

    local, expected, at_rest, settled, errors = compute(network)
    assert distance(local, expected) < 1e-12
    # Settled by error descent, the hand-written energy has no slope left in any activity.
    assert bool(jnp.all(settled.converged))
    assert max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(at_rest)) < 1e-10
    assert min(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(errors)) > 1e-3


def traced_stages(network):
    return [
        jax.tree.map(lambda leaf, i=index: leaf[i], segment.stages)
        for segment in network.segments
        for index in range(segment.depth)
    ]


@pytest.mark.parametrize(
    "relaxation",
    [ActivityDescent(iterations=3, rate=0.1), SequentialSweep(sweeps=2, step=0.1)],
    ids=["descent", "sweep"],
)
def test_other_relaxations_lower_the_energy_of_pairs(relaxation):
    network, stages = pair_network(depth=3)
    batch = batch_of("mse")
    precisions = (jnp.asarray(1.0),) * 3

    @jax.jit
    def compute():
        problem = Problem(network, precisions, *batch, MSE)
        start = problem.start()
        point, settled = relaxation(problem, start)
        plain = plain_energy(stages, [1.0] * 5, unstacked(point.states), *batch)
        return settled.energy, plain, problem.energy(start)

    after, plain, before = compute()
    assert distance(after, plain) < 1e-12
    assert bool(jnp.all(after < before))


def test_backprop_of_pairs():
    network, _ = pair_network(depth=2)
    batch = batch_of("mse")
    learner = Backprop().init(widthwise.network.Built(network, None, parameterization("mup"), ()), key=KEY)

    @eqx.filter_jit
    def compute(learner):
        found = Backprop().infer(learner, batch, MSE, key=KEY)
        local = local_gradients(learner.network, found.precisions, found.inputs, found.errors)
        fixed = PredictiveCoding(SequentialSweep(), fixed_prediction=True)

        def loss(network):
            return jnp.mean(half_square(plain_walk(traced_stages(network), batch.x)[-1], batch.y))

        return local, fixed.grads(learner, batch, MSE, key=KEY)[0], eqx.filter_grad(loss)(learner.network)

    local, fixed, expected = compute(learner)
    assert distance(local, expected) < 1e-13
    assert distance(fixed, expected) < 1e-12


def test_nothing_retraces_where_only_values_change():
    traces = []

    def counted(prediction, y):
        traces.append(1)
        return MSE(prediction, y)

    built, batch = build(), batch_of("mse")
    learner = Backprop().init(built, key=KEY)
    grads = eqx.filter_jit(lambda pc, learner, batch: pc.grads(learner, batch, counted, key=KEY)[0])

    def algorithms():
        for value in (0.3, np.float32(0.7), jnp.asarray(1.1), np.asarray(0.2)):
            yield PredictiveCoding(ErrorDescent(tolerance=value, rate=value), output_precision=value)

    first, *rest = algorithms()
    before = grads(first, learner, batch)
    count = len(traces)
    assert count > 0
    for pc in rest:
        after = grads(pc, learner, batch)
        assert distance(after, before) > 1e-3
    assert len(traces) == count
    for relaxation in (ActivityDescent, SequentialSweep):
        name = "rate" if relaxation is ActivityDescent else "step"
        grads(PredictiveCoding(relaxation(**{name: 0.1})), learner, batch)
        count = len(traces)
        grads(PredictiveCoding(relaxation(**{name: 0.2}, tolerance=0.5), output_precision=3), learner, batch)
        assert len(traces) == count


def test_values_may_be_traced_and_mapped():
    # A sweep maps over output precision and activity rate: the same as one at a time.
    built, batch = build(), batch_of("mse")
    learner = Backprop().init(built, key=KEY)

    def grads(gamma, rate):
        pc = PredictiveCoding(ActivityDescent(iterations=3, rate=rate), output_precision=gamma)
        return pc.grads(learner, batch, MSE, key=KEY)[0]

    gammas, rates = jnp.asarray([0.5, 2.0]), jnp.asarray([0.1, 0.3])
    together = jax.jit(jax.vmap(grads))(gammas, rates)
    one = jax.jit(grads)
    for index in range(2):
        alone = one(gammas[index], rates[index])
        assert distance(jax.tree.map(lambda leaf, i=index: leaf[i], together), alone) < 1e-13


@pytest.mark.parametrize(
    ("make", "setting", "value"),
    [
        (lambda: PredictiveCoding(output_precision=0.0), "output_precision", 0.0),
        (lambda: PredictiveCoding(output_precision=float("nan")), "output_precision", float("nan")),
        (lambda: PredictiveCoding(output_loss="wieghted"), "output loss", "wieghted"),
        (lambda: ErrorDescent(iterations=0), "iterations", 0),
        (lambda: ErrorDescent(iterations=2.5), "iterations", 2.5),
        (lambda: ErrorDescent(tolerance=-1e-3), "tolerance", -1e-3),
        (lambda: ErrorDescent(rate=0), "activity rate", 0),
        (lambda: ActivityDescent(iterations=True), "iterations", True),
        (lambda: ActivityDescent(rate=np.float32(-1)), "activity rate", np.float32(-1)),
        (lambda: SequentialSweep(sweeps=-1), "sweeps", -1),
        (lambda: SequentialSweep(step=-0.5), "step", -0.5),
    ],
)
def test_refusals(make, setting, value):
    with refused(setting, value):
        make()


@pytest.mark.parametrize(
    ("network", "loss", "fixed"),
    [
        ({"activation": "tanh"}, "mse", False),
        ({"activation": "linear"}, "ce", False),
        ({"activation": "linear"}, "mse", True),
    ],
)
def test_the_exact_solve_refuses_what_it_cannot_solve(network, loss, fixed):
    pc = PredictiveCoding(OutputSpaceSolve(), fixed_prediction=fixed)
    learner = pc.init(build(**network), key=KEY)
    with refused("relaxation", "exact"):
        pc.grads(learner, batch_of(loss), LOSSES[loss][0], key=KEY)


def test_what_is_no_positive_number_is_refused():
    for value in (jnp.asarray(-1.0), np.array([1.0, np.nan]), jnp.inf, "1"):
        with refused("output_precision", value):
            PredictiveCoding(output_precision=value)


def test_metrics():
    built, batch = build(), batch_of("mse")
    pc = PredictiveCoding(ErrorDescent(iterations=40, tolerance=1e-6), output_precision=1.5)
    learner = pc.init(built, key=KEY)

    @eqx.filter_jit
    def compute():
        problem = pc.problem(learner, batch, MSE)
        settled = pc.relaxation(problem, problem.start())[1]
        return pc.grads(learner, batch, MSE, key=KEY)[1], settled, problem.start().prediction

    metrics, settled, prediction = compute()
    assert float(metrics["residual_median"]) == np.median(np.asarray(settled.residual))
    assert float(metrics["residual_max"]) == np.max(np.asarray(settled.residual))
    assert float(metrics["iterations"]) == np.median(np.asarray(settled.iterations))
    # Loss and accuracy are of the forward pass, not of the settled activities.
    expected = 0.5 * np.sum((np.asarray(prediction) - np.asarray(batch.y)) ** 2, axis=-1).mean()
    assert float(metrics["loss"]) == pytest.approx(expected, rel=1e-14)
    assert float(metrics["energy"]) == pytest.approx(float(settled.energy.mean()), rel=1e-14)
    assert float(metrics["energy"]) < 1.5 * expected


def test_curvature_at_the_forward_pass():
    # Proportional to gamma_L (theory.md B1), which is gamma' times the network's factor (7/4)^1 at gamma_bar = -1.
    table = parameterization("mup", algorithm="pc", gamma_bar=-1, base_width=4)
    built, batch = build(table=table), batch_of("mse")
    problem = Problem(built.network, (jnp.asarray(1.0),) * 3, *batch, MSE)
    expected = jax.jit(lambda p: curvature(p, p.start()))(problem)
    pc = PredictiveCoding(output_precision=1.6)
    problem = pc.problem(pc.init(built, key=KEY), batch, MSE)
    found = jax.jit(lambda p: curvature(p, p.start()))(problem)
    assert distance(found, 1.6 * 7 / 4 * expected) < 1e-13


def test_cosine_by_hand():
    one, two = (build(seed=seed, depth=5).network for seed in (1, 2))
    layers = [
        (np.concatenate([np.ravel(s.stages.linear.weight[i]), np.ravel(s.stages.linear.bias[i])]))
        for network in (one, two)
        for s in network.segments
        for i in range(s.depth)
    ]
    u, v = layers[:5], layers[5:]

    def cos(a, b):
        return a @ b / np.sqrt(a @ a) / np.sqrt(b @ b)

    gradients = [eqx.filter(network, eqx.is_inexact_array) for network in (one, two)]
    total, each = cosine(*gradients)
    assert distance(each, np.array([cos(a, b) for a, b in zip(u, v, strict=True)])) < 1e-13
    assert float(total) == pytest.approx(cos(np.concatenate(u), np.concatenate(v)), rel=1e-12)
    scaled = jax.tree.map(lambda leaf: -3.0 * leaf, gradients[0])
    total, each = cosine(gradients[0], scaled)
    assert distance((total, each), (-np.ones(()), -np.ones(5))) < 1e-14
    # A layer without gradient: 0, not NaN; tiny gradients do not underflow.
    dead = eqx.tree_at(lambda n: n.segments[1], gradients[0], jax.tree.map(jnp.zeros_like, gradients[0].segments[1]))
    total, each = cosine(gradients[0], dead)
    assert each.tolist()[1:4] == [0.0, 0.0, 0.0]
    assert 0 < float(total) < 1
    tiny = jax.tree.map(lambda leaf: 1e-120 * leaf, gradients[0])
    assert float(cosine(tiny, tiny)[0]) == pytest.approx(1.0, rel=1e-12)


def test_unweighted_output_loss_changes_the_readout_alone():
    table = parameterization("mup", algorithm="pc", gamma_bar=-1, base_width=4)
    built, batch = build(table=table), batch_of("mse")
    learner = Backprop().init(built, key=KEY)

    @eqx.filter_jit
    def compute():
        return [
            PredictiveCoding(ErrorDescent(iterations=3), output_precision=1.6, output_loss=output_loss).grads(
                learner, batch, MSE, key=KEY
            )[0]
            for output_loss in ("weighted", "unweighted")
        ]

    weighted, unweighted = compute()
    assert distance(unweighted.segments[:-1], weighted.segments[:-1]) == 0
    # gamma_L = 1.6 * (7/4)^1.
    scaled = jax.tree.map(lambda leaf: 1.6 * 7 / 4 * leaf, unweighted.segments[-1])
    assert distance(weighted.segments[-1], scaled) < 1e-14


def test_programs_do_not_grow_with_depth():
    def size(depth, relaxation):
        built = build(residual=True, depth=depth)
        learner = Backprop().init(built, key=KEY)
        arrays, static = eqx.partition(learner, eqx.is_array)
        pc = PredictiveCoding(relaxation)
        program = jax.make_jaxpr(lambda a, b: jax.tree.leaves(pc.grads(eqx.combine(a, static), b, MSE, key=KEY)[0]))
        return len(list(every_equation(program(arrays, batch_of("mse")).jaxpr)))

    for relaxation in (ErrorDescent(), ActivityDescent(), SequentialSweep()):
        assert size(8, relaxation) == size(128, relaxation) > 50


def test_single_precision(float32):
    # As a user runs it: 32 bits throughout, settled to the default tolerance.
    built = build(bias=False)
    assert built.network.segments[0].stages.linear.weight.dtype == jnp.float32
    x, y = (jnp.asarray(np.asarray(part), jnp.float32) for part in batch_of("mse"))
    pc = PredictiveCoding(ErrorDescent(iterations=50, tolerance=1e-4))
    learner = pc.init(built, key=KEY)
    gradients, metrics = eqx.filter_jit(pc.grads)(learner, Batch(x, y), MSE, key=KEY)
    assert {leaf.dtype for leaf in jax.tree.leaves((gradients, metrics))} == {jnp.dtype("float32")}
    assert float(metrics["residual_max"]) <= 1e-4
