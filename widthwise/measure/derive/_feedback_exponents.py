"""What the rows of feedback answer to: the ridge of one that is solved, the exponents of one that learns.

| exponent | measured | should grow as | because |
|---|---|---|---|
| ridge | λ_max(Z_l Z_l^T) / B | as it does | μ_l is the same part of what it is added to at every width |
| init b | RMS(g_l(z_l)) / RMS(z_{l-1}) | M^0 | feedback reaches the size of what it reconstructs |
| rate c | RMS(Δg_l(z_l)), one update at the same small rate for all | M^(−that) | so that Δg_l(z_l) is of order one |
| epsilon g | RMS of the entries of its own loss's gradient | as it does | Adam's ε stays below them |

The readout's map sees predictions, a few numbers that scatter from seed to seed. What they enter to a power p (2 for
the ridge, 1 for b and g, for c 2 under SGD and 1 under Adam) is divided by RMS(f_0)^p, and the width's part of it,
M^(p (1/2 − A_L)) with A_L = a + b of the readout, is counted from the table so far.

Sources: arXiv 2411.02001; docs/theory.md C1, C2 (the feedback's own movement alone sees its exponents).
"""

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from ..._product import product
from ...algorithms import AbstractAlgorithm, AbstractFeedback, Batch, Learner
from ...network import Built, Feedback, States, around, each, forward
from ...parameterizations import Parameterization, Role, UpdateRule, update_rule
from ...training import prepared
from .._feedback_movement import feedback_movement
from .._probe import layer_rms, learner_of, order_keys, probe, rms
from .._slopes import Slope
from ._estimates import Axis, Estimates, size_slope
from ._table import HALF, exponent

# So small that an update of any exponent leaves weights nearly as they are; float32 still tells.
SMALL_RATE = 2.0**-10

WayDown = dict[Role, dict[str, Any]]


def held_feedback(algorithm: AbstractAlgorithm, built: Built, key: PRNGKeyArray) -> Feedback | None:
    """An algorithm's feedback; None where it has none, or one that the table's rows do not scale."""
    return algorithm.init(built, key=key).feedback


def learns_unseen(algorithm: AbstractAlgorithm, feedback: Feedback | None) -> bool:
    """Whether feedback weights learn by a rule of one's own, whose loss is not known here."""
    return feedback is not None and bool(feedback.segments) and _learning(algorithm) is None


def feedback_program(built: Built, algorithm: AbstractAlgorithm) -> Callable[[Any, int], WayDown]:
    """What the feedback's exponents answer to.

    **Returns:** a function of all seeds' arrays and their number, compiled once: {role: {letter: (seeds, layers)}}.
    """
    static = eqx.filter(built.network, eqx.is_array, inverse=True)
    rule_arrays, rule_static = eqx.partition(algorithm, eqx.is_array)

    @jax.jit
    def all_seeds(rule_arrays: Any, networks: Any, keys: Array) -> WayDown:
        rule = eqx.combine(rule_arrays, rule_static)

        def one(row: tuple[Any, PRNGKeyArray]) -> WayDown:
            network = eqx.combine(row[0], static)
            batch = probe(built, row[1], jax.tree.leaves(row[0])[0].dtype)
            learner = learner_of(rule, built, network, row[1])
            states = forward(network, batch.x)
            found = {"ridge": (_largest(states), Fraction(2))}
            if (way := _learning(rule)) is not None:
                found |= _learned(rule, way, learner, batch, states, row[1])
            return _by_role(found, rms(states[-1][0]))

        return jax.lax.map(one, (networks, keys))

    return lambda networks, seeds: jax.device_get(all_seeds(rule_arrays, networks, order_keys(seeds)))


def feedback_estimates(table: Parameterization, founds: list[WayDown], axis: Axis, rule: UpdateRule) -> Estimates:
    """The exponents of the feedback's rows, over width: they have none of depth.

    **Arguments:** `rule`: the feedback's optimizer.
    """
    estimates: Estimates = {}
    roles: list[Role] = list(founds[0])
    for role in roles:
        # How the map's input grows: of hidden states not at all.
        seen = float(HALF - exponent(table, Role.OUTPUT, "a") - exponent(table, Role.OUTPUT, "b"))
        seen = seen if role is Role.FEEDBACK_OUTPUT else 0.0
        for letter in founds[0][role]:
            slope, error = size_slope(axis.sizes, [found[role][letter] for found in founds])
            slope += float(_power(letter, rule)) * seen
            value = {"ridge": slope, "b": float(exponent(table, role, "b")) + slope, "c": slope, "g": -slope}[letter]
            estimates[role, letter] = Slope(value, error)
    return estimates


def _power(letter: str, rule: UpdateRule) -> Fraction:
    """To which power what a map sees enters a measurement; into its update by the gradient, of degree q."""
    return {"ridge": Fraction(2), "b": Fraction(1), "c": 1 + rule.facts[0], "g": Fraction(1)}[letter]


def _learning(algorithm: AbstractAlgorithm) -> AbstractFeedback | None:
    """Its feedback where that has weights which learn from a loss."""
    way = algorithm.feedback
    return None if way is None or way.optimizer is None else way


def _largest(states: States) -> Float[Array, " maps"]:
    """λ_max(Z_l Z_l^T) / B of every state that a map sees; of images over their pixels too, as the ridge counts."""
    found = []
    for z in around(states)[1]:
        count = z.size // (z.shape[0] * z.shape[-1])
        rows = z.reshape(*z.shape[:2], -1)
        found.append(jnp.linalg.eigvalsh(product(rows, rows.mT))[:, -1] / count)
    return jnp.concatenate(found)


def _learned(
    rule: AbstractAlgorithm, way: AbstractFeedback, learner: Learner, batch: Batch, states: States, key: PRNGKeyArray
) -> dict[str, tuple[Float[Array, " maps"], Fraction]]:
    """b, c and g of feedback weights, each with the power of its input that it has."""
    held, kind = learner.feedback, update_rule(str(way.optimizer))
    assert held is not None
    assert held.factors is not None
    low, high = around(states)
    small = jnp.full_like(held.factors.rate, SMALL_RATE)
    after = prepared(rule, eqx.tree_at(lambda one: one.feedback.factors.rate, learner, small), batch, key=key)
    moved = feedback_movement(learner, after, states)
    assert moved is not None
    arrays, static = eqx.partition(held.segments, eqx.is_inexact_array)
    gradient = jax.grad(lambda arrays: way.loss(learner.network, eqx.combine(arrays, static), low, high, key=key))(
        arrays
    )
    entries = [jnp.sqrt(jnp.mean(leaf**2, axis=tuple(range(1, leaf.ndim)))) for leaf in jax.tree.leaves(gradient)]
    reached = tuple(each(lambda g, z: g(z), segment, z) for segment, z in zip(held.segments, high, strict=True))
    return {
        "b": (layer_rms(reached) / layer_rms(low), _power("b", kind)),
        "c": (moved[0] / SMALL_RATE, _power("c", kind)),
        "g": (jnp.concatenate(entries), _power("g", kind)),
    }


def _by_role(found: dict[str, tuple[Array, Fraction]], prediction: Float[Array, ""]) -> WayDown:
    """Hidden layers' maps, and the readout's, over the size of what it sees."""
    last = {letter: values[-1:] / prediction ** float(power) for letter, (values, power) in found.items()}
    hidden = {letter: values[:-1] for letter, (values, _) in found.items()}
    some = next(iter(hidden.values())).shape[0] > 0
    return ({Role.FEEDBACK: hidden} if some else {}) | {Role.FEEDBACK_OUTPUT: last}
