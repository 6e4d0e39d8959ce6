"""Backprop as local regression, and the inferences whose weight gradients are backprop's exactly."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from science.oracles import (
    LOSSES,
    batch_of,
    build,
    displaced,
    distance,
    energy,
    per_layer,
    stacked,
    unrolled,
    walk,
)

from widthwise.algorithms import Backprop, PredictiveCoding, local_energy, local_gradients
from widthwise.inference import ActivityDescent, ErrorDescent, OutputSpaceSolve, Problem, SequentialSweep
from widthwise.parameterizations import parameterization

KEY = jax.random.key(0)
NETWORKS = {
    "mlp_pre": {},
    "mlp_post": {"state": "post", "bias": False},
    "mlp_bias": {"depth": 3, "activation": "silu", "width": 6},
    "residual": {"residual": True, "depth": 6},
    "two_layers": {"depth": 2},
}


def loss_gradient(network, batch, loss):
    """The gradient of the mean loss through the plain loop over layers."""

    def mean(network):
        return jnp.mean(LOSSES[loss][1](walk(unrolled(network, traced=True), batch.x)[-1], batch.y))

    return eqx.filter_grad(mean)(network)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("name", NETWORKS)
def test_backprop_as_local_regression_is_the_gradient(name, loss):
    built, batch = build(**NETWORKS[name]), batch_of(loss)
    bp = Backprop()
    learner = bp.init(built, key=KEY)

    @eqx.filter_jit
    def compute(learner):
        found = bp.infer(learner, batch, LOSSES[loss][0], key=KEY)
        local = local_gradients(learner.network, found.precisions, found.inputs, found.errors)
        direct, metrics = bp.grads(learner, batch, LOSSES[loss][0], key=KEY)
        return local, direct, loss_gradient(learner.network, batch, loss), metrics

    local, direct, expected, metrics = compute(learner)
    assert jax.tree.structure(local) == jax.tree.structure(direct) == jax.tree.structure(expected)
    assert distance(local, expected) < 1e-13
    assert distance(direct, expected) < 1e-13
    f = walk(unrolled(built.network), batch.x)[-1]
    assert float(metrics["loss"]) == pytest.approx(float(jnp.mean(LOSSES[loss][1](f, batch.y))), rel=1e-13)
    hits = np.argmax(np.asarray(f), -1) == np.argmax(np.asarray(batch.y), -1)
    assert float(metrics["accuracy"]) == pytest.approx(hits.mean())


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("name", NETWORKS)
def test_one_sweep_with_fixed_predictions_is_backprop(name, loss):
    # theory.md B4: F-ini + FPA + SI with s_l = 1/gamma_l gives gamma_L times the backprop gradient exactly;
    # error descent with FPA has the same fixed point, reached in one iteration.
    table = parameterization(
        "mupc" if NETWORKS[name].get("residual") else "mup",
        algorithm="pc",
        gamma_bar=-1,
        base_width=4,
        base_depth=3,
    )
    built, batch = build(**NETWORKS[name], table=table), batch_of(loss)
    learner = Backprop().init(built, key=KEY)

    @eqx.filter_jit
    def compute(learner):
        found = []
        for relaxation in (SequentialSweep(), ErrorDescent(iterations=3, tolerance=1e-10)):
            pc = PredictiveCoding(relaxation, output_precision=0.37, fixed_prediction=True)
            found.append(pc.grads(learner, batch, LOSSES[loss][0], key=KEY))
        return found, loss_gradient(learner.network, batch, loss)

    found, expected = compute(learner)
    # gamma_L = gamma' (N/N_0) (L/L_0)^-1 at gamma_bar = -1; the depth factor in mupc alone.
    width, depth = built.network.segments[0].stages.linear.weight.shape[1], built.network.depth
    gamma = 0.37 * (width / 4) * ((3 / depth) if table.name == "mupc" else 1.0)
    for gradients, metrics in found:
        assert distance(gradients, jax.tree.map(lambda g: gamma * g, expected)) < 1e-12
        assert float(metrics["residual_max"]) < 1e-12
    assert float(found[1][1]["iterations"]) == 1


@pytest.mark.parametrize("step", [0.3, 1.0, 1.7])
def test_one_sweep_with_another_step_has_a_factor_for_every_layer(step):
    # theory.md B4, general s: layer factor gamma_L prod_{k=l}^{L-1} (s_k gamma_k).
    built, batch = build(depth=5), batch_of("mse")
    gammas = (0.8, 1.5, 2.5)
    precisions = tuple(jnp.asarray(gamma) for gamma in gammas)

    @eqx.filter_jit
    def compute(network):
        problem = Problem(network, precisions, *batch, LOSSES["mse"][0], fixed_prediction=True)
        point, _ = SequentialSweep(step=step)(problem, problem.start())
        seen = Backprop().infer(Backprop().init(built, key=KEY), batch, LOSSES["mse"][0], key=KEY).inputs
        local = local_gradients(network, precisions, seen, (*point.errors, point.output_error[None]))
        return local, loss_gradient(network, batch, "mse")

    local, expected = compute(built.network)
    layer_gammas = [0.8, 1.5, 1.5, 1.5]
    factors = [2.5 * np.prod([step * gamma for gamma in layer_gammas[index:]]) for index in range(5)]
    for segment, own, rows in zip(expected.segments, local.segments, ([0], [1, 2, 3], [4]), strict=True):
        for leaf, mine in zip(jax.tree.leaves(segment), jax.tree.leaves(own), strict=True):
            scaled = np.stack([factors[row] * np.asarray(leaf)[i] for i, row in enumerate(rows)])
            assert distance(mine, scaled) < 1e-12


@pytest.mark.parametrize("output_loss", ["weighted", "unweighted"])
@pytest.mark.parametrize("relaxation", [ErrorDescent(iterations=4), ActivityDescent(iterations=3), SequentialSweep()])
def test_weight_gradient_is_that_of_the_energy_at_the_settled_states(output_loss, relaxation):
    built, batch = build(residual=True, depth=5), batch_of("ce")
    learner = Backprop().init(built, key=KEY)
    pc = PredictiveCoding(relaxation, output_precision=2.5, output_loss=output_loss)

    @eqx.filter_jit
    def compute(learner):
        problem = pc.problem(learner, batch, LOSSES["ce"][0])
        point, _ = relaxation(problem, problem.start())
        gammas = per_layer(learner.network, problem.precisions)
        if output_loss == "unweighted":
            gammas = [*gammas[:-1], 1.0]

        def mean(network):
            layers = unrolled(network, traced=True)
            hidden = [jax.lax.stop_gradient(h) for h in stacked(point.states)]
            return jnp.mean(energy(layers, gammas, hidden, *batch, LOSSES["ce"][1]))

        gradients, metrics = pc.grads(learner, batch, LOSSES["ce"][0], key=KEY)
        energies = problem.energy(point)
        hand = local_energy(problem.precisions, point.errors, point.prediction, batch.y, LOSSES["ce"][0])
        return (
            gradients,
            eqx.filter_grad(mean)(learner.network),
            metrics["energy"],
            jnp.mean(energies),
            hand,
            energies,
        )

    gradients, expected, *energies = compute(learner)
    assert distance(gradients, expected) < 1e-12
    assert distance(energies[0], energies[1]) < 1e-14
    assert distance(energies[2], energies[3]) < 1e-14


def test_the_batch_is_divided_once():
    # The mean over the batch of every example's own gradient.
    built, batch = build(), batch_of("mse", batch=32)
    learner = Backprop().init(built, key=KEY)
    pc = PredictiveCoding(ErrorDescent(iterations=6))
    grads = eqx.filter_jit(lambda batch: pc.grads(learner, batch, LOSSES["mse"][0], key=KEY)[0])
    together = grads(batch)
    alone = [grads(type(batch)(batch.x[row : row + 1], batch.y[row : row + 1])) for row in range(32)]
    mean = jax.tree.map(lambda *leaves: np.mean([np.asarray(leaf) for leaf in leaves], axis=0), *alone)
    assert distance(together, mean) < 1e-12


def test_envelope_of_the_exact_equilibrium():
    # theory.md B1: dF/dW at the equilibrium is the derivative of F*(W), through the inference.
    table = parameterization("mup", algorithm="pc", gamma_bar="-1/2", base_width=4)
    built, batch = build(activation="linear", table=table), batch_of("mse")
    pc = PredictiveCoding(OutputSpaceSolve(), output_precision=1.3)
    learner = Backprop().init(built, key=KEY)

    @eqx.filter_jit
    def compute(learner):
        def settled(learner):
            problem = pc.problem(learner, batch, LOSSES["mse"][0])
            return jnp.mean(OutputSpaceSolve()(problem, problem.start())[1].energy)

        return pc.grads(learner, batch, LOSSES["mse"][0], key=KEY)[0], eqx.filter_grad(settled)(learner).network

    assert distance(*compute(learner)) < 1e-12


def test_settled_errors_follow_the_equilibrium_condition_of_cross_entropy():
    # theory.md B2a: gamma_l e_l = -gamma_L J_l^T dloss/df at the settled f.
    built, batch = build(depth=4), batch_of("ce")
    layers = unrolled(built.network)
    precisions = tuple(jnp.asarray(gamma) for gamma in (0.9, 1.6, 2.0))
    problem = Problem(built.network, precisions, *batch, LOSSES["ce"][0])
    point, settled = jax.jit(lambda p: ErrorDescent(iterations=500, tolerance=1e-12)(p, p.start()))(problem)
    assert bool(jnp.all(settled.converged))
    errors = stacked(point.errors)

    @jax.jit
    def multipliers(errors):
        def top(errors):
            f = layers[-1](displaced(layers, batch.x, errors)[-1])
            return jnp.sum(LOSSES["ce"][1](f, batch.y))

        return jax.grad(top)(errors)

    expected = [-2.0 / gamma * g for gamma, g in zip((0.9, 1.6, 1.6), multipliers(errors), strict=True)]
    assert distance(errors, expected) < 1e-10
