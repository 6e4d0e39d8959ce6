"""What measurements refuse: sizes that give no slope, stages that do not grow, algorithms that are not sound."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest
from refusals import refused

from widthwise.algorithms import AbstractAlgorithm, Backprop, Batch, RidgeFeedback, TargetPropagation
from widthwise.measure import alignment, coordinate_check, derive, desiderata, directions, richness
from widthwise.network import mlp, own_network
from widthwise.parameterizations import parameterization


def family(width, key, table):
    return mlp(8, width, 3, depth=4, table=table, key=key)


MUP = parameterization("mup")


def measured(measure, **settings):
    """A measurement that is given a table, on a family that is given one too: as `derive` is called."""

    def call(build, algorithm, **sizes):
        return measure(functools.partial(build, table=MUP), algorithm, MUP, **sizes | settings)

    return call


CALLS = {
    "derive": derive,
    "coordinate_check": measured(coordinate_check),
    "coordinate_check at a rate": measured(coordinate_check, rate=0.01),
    "desiderata": measured(desiderata),
    "richness": measured(richness, rate=0.01, steps=1),
    "alignment": measured(alignment, rate=0.01, steps=1),
}
# What overflows in an alignment is seen in its slopes.
FINITE = [name for name in CALLS if name != "alignment"]


class Broken(AbstractAlgorithm):
    """Backprop but for one thing."""

    change: str = eqx.field(static=True)

    @property
    def name(self):
        return "broken"

    def infer(self, learner, batch, loss, *, key):
        found = Backprop().infer(learner, batch, loss, key=key)
        first, hidden, last = found.errors
        changed = {
            "errors": (first, hidden[:, :, :5], last),
            "too few": (first, hidden),
            "nan": (first, hidden.at[1].set(jnp.nan), last),
        }
        return found._replace(errors=changed.get(self.change, found.errors))

    def grads(self, learner, batch, loss, *, key):
        gradients, metrics = super().grads(learner, batch, loss, key=key)
        if self.change == "gradient":
            gradients = eqx.tree_at(
                lambda n: n.segments[2].stages.linear.weight, gradients, jnp.zeros((1, 2, 16), jnp.float64)
            )
        return gradients, metrics


@pytest.mark.parametrize(
    ("settings", "setting", "value"),
    [
        ({"widths": (64,)}, "widths", [64]),
        ({"widths": ()}, "widths", []),
        ({"widths": (128, 64)}, "widths", [128, 64]),
        ({"widths": (64, 64)}, "widths", [64, 64]),
        ({"depths": (8,)}, "depths", [8]),
        ({"seeds": 1}, "seeds", 1),
        ({"steps": 0}, "steps", 0),
        ({"rate": -1.0}, "rate", -1.0),
        ({"optimizer": "sgdd"}, "optimizer", "sgdd"),
        ({"richness": "x"}, "exponent", "x"),
        ({"denominator": 0}, "denominator", 0),
        ({"start": parameterization("mup", optimizer="adam")}, "optimizer", "sgd"),
        ({"start": parameterization("mup"), "gamma_bar": -1}, "gamma_bar", -1),
    ],
)
def test_refuses(settings, setting, value):
    with refused(setting, value):
        derive(family, Backprop(), **({"widths": (16, 32), "seeds": 2} | settings))


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    ("change", "setting", "value"),
    [
        ("errors", "the errors that 'broken' infers for layers 2 to 3", "(2, 8, 5)"),
        ("too few", "algorithm", "broken"),
        ("gradient", "the gradient that 'broken' returns for layer 4", "(1, 2, 16)"),
    ],
)
def test_an_algorithm_of_wrong_shapes_is_refused_by_layer(call, change, setting, value):
    with refused(setting, value):
        CALLS[call](family, Broken(change), widths=(16, 32), seeds=2)


@pytest.mark.parametrize("call", FINITE)
def test_an_algorithm_that_is_not_finite_is_refused_by_layer(call):
    with refused("the gradient of 'broken'", "NaN or infinite") as error:
        CALLS[call](family, Broken("nan"), widths=(16, 32), seeds=2)
    assert "layer 3 of 4" in error.value.problem


@pytest.mark.parametrize("call", CALLS)
def test_a_stage_that_does_not_grow_is_refused_by_layer(call):
    def narrow(width, key, table):
        return mlp(8, 32, 3, depth=4, table=table, key=key)

    with refused("build", [(32, 8)]) as error:
        CALLS[call](narrow, Backprop(), widths=(16, 32), seeds=2)
    assert "layer 1 (input)" in error.value.problem


def linear(width, key, table):
    """8 examples of 4 numbers: of rank 4, as all states that are linear in them."""
    return mlp(4, width, 3, depth=3, activation="linear", state="post", table=table, key=key)


SINGULAR = "states of layer 2 have rank 4 of 8"


@pytest.mark.parametrize("call", CALLS)
def test_no_ridge_on_a_singular_gram_matrix_is_refused(call):
    with refused("ridge", 0.0) as error:
        CALLS[call](linear, TargetPropagation(RidgeFeedback(0.0)), widths=(16, 32), seeds=2)
    assert SINGULAR in error.value.problem


def test_no_ridge_on_a_singular_gram_matrix_has_no_direction():
    key, rule = jax.random.key(0), TargetPropagation(RidgeFeedback(0.0))
    learner = rule.init(linear(16, key, MUP), key=key)
    with refused("ridge", 0.0) as error:
        directions(rule, learner, Batch(jax.random.normal(key, (8, 4)), jnp.ones((8, 3))), key=key)
    assert SINGULAR in error.value.problem


def test_a_module_that_does_not_grow_is_refused_by_stage():
    def make(width, key):
        return [eqx.nn.Linear(8, 20, key=key), eqx.nn.Linear(20, width, key=key), eqx.nn.Linear(width, 3, key=key)]

    with refused("stage", "Linear") as error:
        own_network(make, 8, 16, table=parameterization("mup"), key=jax.random.key(0))
    assert error.value.problem.startswith("stage 1 ")
