"""What one layer, and one role, does by itself: the measurements that tell exponents apart.

| quantity | of | definition | set by |
|---|---|---|---|
| signal | a role's weights | RMS(f_l(x_l; s w) − f_l(x_l; 0)) / (s RMS(x_l)), s small | init |
| own | a role's update | RMS(f_l(x_l; θ + Δθ) − f_l(x_l; θ)), x_l of the first forward pass | rate |
| through | a role's update | RMS(Δh_{L-1}), or RMS(Δf), where that role alone is updated | rate, over depth |
| passed | the readout | RMS(f_L(x_L + Δx_L) − f_L(x_L)) / RMS(Δx_L), Δx_L what moved below it | init of the readout |
| branches | residual stages | RMS(h_{L-1} − h_1) / RMS(h_1) | init, over depth |
| gradient | a role's gradient | RMS of its entries | Adam's ε |

Own movements are taken at the inputs of the first forward pass, so that no layer's exponent enters another's; movements
under SGD, and gradients, are divided by the initial residual's RMS, to which they are proportional (Adam's steps are
not: there the residual, which still falls with the width, would only add its own slope), movements by the rate too, in
which they are linear as long as they are small.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, PRNGKeyArray

from .._loss import Loss
from ..algorithms import AbstractAlgorithm, Batch
from ..network import Built, Network, Segment, States, each, forward, inputs, stage_at
from ..parameterizations import Role
from ..training import chosen_update, first_gradients
from ._probe import layer_rms, learner_of, order_keys, probe, rms, state_rms, trained

# The weights' own scale leaves activations curved; at this part of it they are straight, and float32 still tells.
SMALL = 2.0**-7
# Aimed at, of each layer's own size: far below where its response bends, far above rounding.
AIMED = 0.02
FIRST_RATE = 2.0**-10
TRIES = 40

Found = dict[str, Any]


def roles_of(built: Built) -> list[list[Role]]:
    """The roles in each segment, in the order of `Role`."""
    return [
        [role for role in Role if role in {leaf.role for leaf in jax.tree.leaves(labels)}]
        for labels in built.scalings.segments
    ]


def forward_program(built: Built) -> Callable[[Any, int], Found]:
    """Signals of every role and size of every state at initialization: no algorithm is asked.

    **Returns:** a function of all seeds' arrays and their number, compiled once: `signal`: {role: (seeds, layers of
    it)}; `branches`: (seeds,).
    """
    static = eqx.filter(built.network, eqx.is_array, inverse=True)

    def one(row: tuple[Any, PRNGKeyArray]) -> Found:
        network = eqx.combine(row[0], static)
        batch = probe(built, row[1], jax.tree.leaves(row[0])[0].dtype)
        states = forward(network, batch.x)
        signal = _by_role(built, lambda index, role: _signal(built, network, states, batch, index, role))
        return {"signal": signal, "branches": _branches(states)}

    compiled = jax.jit(lambda networks, keys: jax.lax.map(one, (networks, keys)))
    return lambda networks, seeds: jax.device_get(compiled(networks, order_keys(seeds)))


def response_program(
    built: Built,
    algorithm: AbstractAlgorithm,
    loss: Loss,
    *,
    steps: int,
    epsilon: float,
    deep: bool,
    optimizer: Any = None,
) -> Callable[..., Found]:
    """What updates do, per unit of rate, with every state's movement small.

    **Arguments:** `deep`: measure `through` instead of `own`; `optimizer`: see `training.train`.

    **Returns:** a function of all seeds' arrays, their number, the rate of each leaf (a pytree of the network's
    structure), the base rate, or None for one that moves the layer that moves most by about 2 % of its size, and where
    to look for that first.
    Compiled once for all tables that share multipliers and precisions, it returns `moves`, `gradient`: {role: (seeds,
    layers of it)}; `passed`, `prediction`: (seeds,), the latter RMS f_0; `moved`: of the layer that moves most, over
    its own size, median over seeds; `rate`.
    """
    # Rates are arguments, so that no change of the table recompiles.
    unit = jax.tree.map(lambda label: dataclasses.replace(label, rate=1.0, epsilon=1.0), built.scalings)
    transform = chosen_update(eqx.tree_at(lambda b: b.scalings, built, unit), optimizer, epsilon=epsilon)
    static = eqx.filter(built.network, eqx.is_array, inverse=True)
    rule_arrays, rule_static = eqx.partition(algorithm, eqx.is_array)

    @jax.jit
    def all_seeds(rule_arrays: Any, networks: Any, keys: Array, rates: Any, rate: Array) -> Found:
        rule = eqx.combine(rule_arrays, rule_static)
        scaled = _with_rates(transform, rates)

        def one(row: tuple[Any, PRNGKeyArray]) -> Found:
            network = eqx.combine(row[0], static)
            batch = probe(built, row[1], rate.dtype)
            learner = learner_of(rule, built, network, row[1])
            gradients = first_gradients(rule, learner, batch, loss, key=row[1])
            updated = trained(rule, scaled, loss, learner, batch, row[1], rate=rate, steps=steps)
            return _compared(built, network, updated.network, gradients, batch, rate, deep)

        return jax.lax.map(one, (networks, keys))

    def at(networks: Any, seeds: int, rates: Any, rate: float) -> Found:
        dtype = jax.tree.leaves(networks)[0].dtype
        rates = jax.tree.map(lambda value: jnp.asarray(value, dtype), rates)
        found = jax.device_get(all_seeds(rule_arrays, networks, order_keys(seeds), rates, jnp.asarray(rate, dtype)))
        return found | {"moved": float(np.median(found["moved"])), "rate": rate}

    def measured(networks: Any, seeds: int, rates: Any, rate: float | None, first: float = FIRST_RATE) -> Found:
        return (
            at(networks, seeds, rates, rate)
            if rate is not None
            else _at_small_movement(lambda chosen: at(networks, seeds, rates, chosen), first)
        )

    return measured


def _at_small_movement(measure: Callable[[float], Found], rate: float) -> Found:
    """A measurement at a rate that moves the network by little, whatever its exponents; tried first at `rate`."""
    for _ in range(TRIES):
        found = measure(rate)
        moved = found["moved"]
        if AIMED / 2 <= moved <= AIMED * 2:
            break
        # Where nothing can be read off, far up or down; else to where a linear response would be at its aim.
        rate *= AIMED / moved if 1e-6 < moved < 0.5 else 2.0**8 if moved <= 1e-6 else 2.0**-8
    return found


def _with_rates(transform: optax.GradientTransformationExtraArgs, rates: Any) -> optax.GradientTransformationExtraArgs:
    """Updates times each leaf's rate, in which those of SGD and Adam are linear."""

    def update(gradients: Any, memory: Any, parameters: Any, *, rate: Array, **_: Any) -> tuple[Any, Any]:
        updates, memory = transform.update(gradients, memory, parameters, rate=rate)
        return jax.tree.map(lambda update, factor: factor * update, updates, rates), memory

    return optax.GradientTransformationExtraArgs(transform.init, update)


def _compared(
    built: Built,
    network: Network,
    updated: Network,
    gradients: Network,
    batch: Batch,
    rate: Float[Array, ""],
    deep: bool,
) -> Found:
    """One seed's network before and after its updates."""
    states, after = forward(network, batch.x), forward(updated, batch.x)
    seen = inputs(batch.x, states[:-1])
    residual = rms(batch.y - states[-1][0])

    def unit(role: Role) -> Array:
        return rate * in_gradient(residual, built, role)

    def own(index: int, role: Role) -> Array:
        return own_movement(built, network, updated, seen, states, index, role) / unit(role)

    def through(role: Role) -> Array:
        segments = tuple(_chosen(built, network, updated, index, role) for index in range(len(states)))
        moved = forward(eqx.tree_at(lambda n: n.segments, network, segments), batch.x)
        place = -1 if role.is_output else -2
        return state_rms(_difference(moved[place], states[place]))[-1:] / unit(role)

    def entries(index: int, role: Role) -> Array:
        leaves = _leaves(built, gradients, index, role)
        squares = sum(jnp.mean(leaf**2, axis=tuple(range(1, leaf.ndim))) for leaf in leaves)
        return jnp.sqrt(squares / len(leaves)) / residual

    readout = stage_at(network.segments[-1], 0)
    low, high = (jax.tree.map(lambda leaf: leaf[-1], held[-2]) for held in (states, after))
    sizes = layer_rms(states).at[-1].set(residual)
    moved = layer_rms(tuple(_difference(a, b) for a, b in zip(after, states, strict=True)))
    present = [role for role in Role if any(role in held for held in roles_of(built))]
    return {
        "moves": {role: through(role) for role in present} if deep else _by_role(built, own),
        "gradient": _by_role(built, entries),
        "passed": _ratio(_difference(readout(high), readout(low)), _difference(high, low)),
        "prediction": state_rms(states[-1])[0],
        "moved": jnp.max(moved / sizes),
    }


def own_movement(
    built: Built, network: Network, updated: Network, seen: Sequence[Any], states: States, index: int, role: Role
) -> Float[Array, " depth"]:
    """RMS(f_l(x_l; θ + Δθ) − f_l(x_l; θ)) of a segment's layers, where the arrays of one role alone changed."""
    segment = _chosen(built, network, updated, index, role)
    return state_rms(_difference(_at_once(segment, seen[index]), states[index]))


def in_gradient(residual: Float[Array, ""], built: Built, role: Role) -> Float[Array, ""]:
    """What a role's movement is divided by: the residual, to the optimizer's degree in the gradient."""
    return residual ** float(built.table.rule.of(role).facts[0])


def _by_role(built: Built, measure: Any) -> dict[Role, Array]:
    """A measurement of each segment that holds a role, its layers side by side."""
    rows: dict[Role, list[Array]] = {}
    for index, roles in enumerate(roles_of(built)):
        for role in roles:
            rows.setdefault(role, []).append(measure(index, role))
    return {role: jnp.concatenate(values) for role, values in rows.items()}


def _signal(built: Built, network: Network, states: States, batch: Batch, index: int, role: Role) -> Array:
    """What a role's weights add to their layer's state, per unit of their own scale, over what the layer sees."""
    count = len(_leaves(built, network, index, role))
    shrunk, without = (_scaled(built, network, index, role, scale) for scale in (SMALL, 0.0))
    seen = inputs(batch.x, states[:-1])[index]
    added = _difference(_at_once(shrunk, seen), _at_once(without, seen))
    return state_rms(added) / (SMALL**count * state_rms(seen))


def _branches(states: States) -> Array:
    """How far the residual stages carry the state, over its size before them."""
    first, last = (jax.tree.map(lambda leaf, at=at: leaf[at], states[i]) for i, at in ((0, 0), (-2, -1)))
    same = jax.tree.map(jnp.shape, first) == jax.tree.map(jnp.shape, last)
    return _ratio(_difference(last, first), first) if same else jnp.zeros(())


def _chosen(built: Built, network: Network, updated: Network, index: int, role: Role) -> Segment:
    """A segment whose arrays of one role are the updated ones."""
    labels = eqx.filter(built.scalings.segments[index], lambda leaf: hasattr(leaf, "role"))
    arrays, static = eqx.partition(network.segments[index], eqx.is_inexact_array)
    new = eqx.filter(updated.segments[index], eqx.is_inexact_array)
    mixed = jax.tree.map(lambda old, new, label: new if label.role is role else old, arrays, new, labels)
    return eqx.combine(mixed, static)


def _scaled(built: Built, network: Network, index: int, role: Role, scale: float) -> Segment:
    """A segment whose arrays of one role are scaled."""
    smaller = jax.tree.map(lambda leaf: scale * leaf if eqx.is_inexact_array(leaf) else leaf, network)
    return _chosen(built, network, smaller, index, role)


def _leaves(built: Built, like: Any, index: int, role: Role) -> list[Array]:
    """The arrays of one role in a segment of a network, or of its gradients."""
    arrays = eqx.filter(like.segments[index], eqx.is_inexact_array)
    pairs = zip(jax.tree.leaves(arrays), jax.tree.leaves(built.scalings.segments[index]), strict=True)
    return [leaf for leaf, label in pairs if label.role is role]


def _at_once(segment: Segment, seen: Any) -> Any:
    return each(lambda stage, x: stage(x), segment, seen)


def _difference(a: Any, b: Any) -> Any:
    return jax.tree.map(jnp.subtract, a, b)


def _ratio(a: Any, b: Any) -> Float[Array, ""]:
    """RMS(a) / RMS(b) of two states of single layers."""
    return (
        state_rms(jax.tree.map(lambda leaf: leaf[None], a))[0] / state_rms(jax.tree.map(lambda leaf: leaf[None], b))[0]
    )
