"""Products read from the programs: whoever calls them, an accelerator may round no float32 factor to TF32."""

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest
from jax.lax import Precision
from science.oracles import LOSSES, batch_of, build

from widthwise import algorithms as rules
from widthwise.config import RELAXATIONS, found
from widthwise.network import cnn, forward
from widthwise.parameterization import parameterization
from widthwise.theory import curvature_norm, gauss_newton_product, gauss_newton_rows, gauss_newton_solve

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


def products(jaxpr):
    """The precisions of all products and convolutions of a program, inner programs included."""
    held = []
    for equation in jaxpr.eqns:
        if equation.primitive.name in ("dot_general", "conv_general_dilated"):
            held.append(equation.params["precision"])
        for inner in jax.tree.leaves(list(equation.params.values()), is_leaf=lambda p: hasattr(p, "eqns")):
            inner = getattr(inner, "jaxpr", inner)
            held += products(inner) if hasattr(inner, "eqns") else []
    return held


def all_full(function, *arguments):
    arrays, static = eqx.partition(arguments, eqx.is_array)
    held = products(
        jax.make_jaxpr(lambda arrays: eqx.filter(function(*eqx.combine(arrays, static)), eqx.is_array))(arrays).jaxpr
    )
    assert held
    assert set(held) == {(Precision.HIGHEST, Precision.HIGHEST)}


@pytest.mark.parametrize("name", RULES)
def test_no_rule_rounds_its_factors(float32, name):
    rule = RULES[name]()
    built = build(activation="linear" if name == "pc-exact" else "tanh")
    batch = jax.tree.map(lambda array: array.astype(jnp.float32), batch_of("mse"))

    def compute(learner, batch):
        learner = rule.prepare(learner, batch, key=KEY)
        gradients, metrics = rule.grads(learner, batch, MSE, key=KEY)
        return gradients, metrics, rule.diagnose(learner, batch, MSE, gradients, key=KEY)

    all_full(compute, rule.init(built, key=KEY), batch)


@pytest.mark.parametrize("backend", ["cpu", "gpu"])
def test_no_convolution_rounds_its_factors(float32, monkeypatch, backend):
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    built = cnn((8, 8, 1), 4, 3, depth=3, table=parameterization("mup"), key=KEY)
    all_full(forward, built.network, jnp.ones((2, 8, 8, 1)))


def test_conditioning_rounds_no_factors(float32):
    built, batch = build(bias=False), jax.tree.map(lambda array: array.astype(jnp.float32), batch_of("mse"))
    problem = rules.PredictiveCoding().problem(rules.Learner(built.network), batch, MSE)

    def compute(problem):
        point = problem.start()
        rows = gauss_newton_rows(problem, point)
        along = gauss_newton_solve(problem, point, rows, point.states)
        return gauss_newton_product(problem, point, along), curvature_norm(problem, point)

    all_full(compute, problem)
