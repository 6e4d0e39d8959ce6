"""Products read from the programs: whoever calls them, an accelerator may round no float32 factor to TF32."""

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest
from jax.lax import Precision
from science.oracles import LOSSES, batch_of, build
from science.programs import every_equation

from widthwise import algorithms as rules
from widthwise import theory
from widthwise.config import RELAXATIONS, found
from widthwise.network import cnn, forward, own_network
from widthwise.parameterizations import parameterization
from widthwise.training import init_learner, prepared

KEY = jax.random.key(0)
MSE = LOSSES["mse"][0]
# Made in the tests, where floats have 32 bits.
RULES = {
    "bp": rules.Backprop,
    "gauss_newton": rules.GaussNewtonTargets,
    **{f"pc-{name}": lambda name=name: rules.PredictiveCoding(found(name, RELAXATIONS)()) for name in RELAXATIONS},
    **{
        f"dtp-{kind}": lambda kind=kind: rules.TargetPropagation(rules.TrainedFeedback(learns=kind))
        for kind in rules.LEARNS
    },
    "dtp-ridge": rules.TargetPropagation,
    "dtp-tied": lambda: rules.TargetPropagation(rules.TiedFeedback()),
    "tp": lambda: rules.TargetPropagation(difference=False),
}


def all_full(function, *arguments):
    """Every product and convolution of a program keeps its factors."""
    arrays, static = eqx.partition(arguments, eqx.is_array)
    program = jax.make_jaxpr(lambda arrays: eqx.filter(function(*eqx.combine(arrays, static)), eqx.is_array))(arrays)
    products = [
        equation.params["precision"]
        for equation in every_equation(program.jaxpr)
        if equation.primitive.name in ("dot_general", "conv_general_dilated")
    ]
    assert products
    assert set(products) == {(Precision.HIGHEST, Precision.HIGHEST)}


@pytest.mark.parametrize("name", RULES)
def test_no_rule_rounds_its_factors(float32, name):
    rule = RULES[name]()
    built = build(activation="linear" if name == "pc-exact" else "tanh")
    batch = jax.tree.map(lambda array: array.astype(jnp.float32), batch_of("mse"))

    def compute(learner, batch):
        learner = prepared(rule, learner, batch, key=KEY)
        gradients, metrics = rule.grads(learner, batch, MSE, key=KEY)
        return gradients, metrics, rule.diagnose(learner, batch, MSE, gradients, key=KEY)

    all_full(compute, init_learner(rule, built, key=KEY), batch)


@pytest.mark.parametrize("backend", ["cpu", "gpu"])
def test_no_convolution_rounds_its_factors(float32, monkeypatch, backend):
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    built = cnn((8, 8, 1), 4, 3, depth=3, table=parameterization("mup"), key=KEY)
    all_full(forward, built.network, jnp.ones((2, 8, 8, 1)))


def test_no_module_of_ones_own_rounds_its_factors(float32):
    def make(width, key):
        first, last = jax.random.split(key)
        return [eqx.nn.Linear(5, width, key=first), eqx.nn.Linear(width, 3, key=last)]

    built = own_network(make, 5, 8, table=parameterization("mup"), key=KEY)
    batch = jax.tree.map(lambda array: array.astype(jnp.float32), batch_of("mse"))
    rule = rules.PredictiveCoding()
    all_full(lambda learner, batch: rule.grads(learner, batch, MSE, key=KEY), rule.init(built, key=KEY), batch)


def test_conditioning_rounds_no_factors(float32):
    built, batch = build(bias=False), jax.tree.map(lambda array: array.astype(jnp.float32), batch_of("mse"))
    problem = rules.PredictiveCoding().problem(rules.Learner(built.network), batch, MSE)

    def compute(problem):
        point = problem.start()
        rows = theory.gauss_newton_rows(problem, point)
        along = theory.gauss_newton_solve(problem, point, rows, point.states)
        return theory.gauss_newton_product(problem, point, along), theory.curvature_norm(problem, point)

    all_full(compute, problem)


# What each closed form takes of a linear network: matrices, precisions and a batch.
CLOSED = {
    "curvature_matrix": "mp",
    "rescaling": "mp",
    "fixed_point_errors": "mpxy",
    "equilibrated_energy": "mpxy",
    "activity_hessian": "mp",
    "dense_equilibrium": "mpxy",
    "equilibrium_weight_gradients": "mpxy",
    "gradient_descent_errors": "mpxy",
    "gauss_newton_errors": "mxy",
    "clamped_output_errors": "mpxy",
    "limit_cosines": "mpxy",
}


@pytest.mark.parametrize("name", CLOSED)
def test_no_closed_form_rounds_its_factors(float32, name):
    x, y = (array.astype(jnp.float32) for array in batch_of("mse"))
    matrices = theory.effective_matrices(build(activation="linear", bias=False).network)
    given = {"m": matrices, "p": [1.0, 0.5, 2.0, 1.5], "x": x, "y": y}
    all_full(getattr(theory, name), *(given[letter] for letter in CLOSED[name]))


def test_no_other_closed_form_rounds_its_factors(float32):
    x, y = (array.astype(jnp.float32) for array in batch_of("mse"))
    built = build(activation="linear", bias=False)
    matrices = theory.effective_matrices(built.network)
    all_full(lambda m, x, y: theory.single_sweep_errors(m, [1.0] * 4, [0.1] * 3, x, y), matrices, x, y)
    all_full(theory.wide_limit_cosines, jnp.eye(3) + 0.1, jnp.asarray(2.0), y)
    all_full(lambda x: theory.neural_tangent_kernel(built, x), x)
    all_full(lambda kernel, misfit: theory.kernel_flow(kernel, misfit, 1.0), jnp.eye(3) + 0.1, y[0])
