"""What trained feedback learns from: a loss for every layer's g_l, of which only its own weights take the gradient."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from ...network import AbstractStage, Network, Segment, State, States, each, flat, sweep

# One loss, means over the batch: (stages f_l, stages g_l, z_{l-1}, z_l, keys, σ) of one layer.
LayerLoss = Callable[[AbstractStage, AbstractStage, State, State, PRNGKeyArray, Array], Float[Array, ""]]


def reconstruction(
    stage: AbstractStage, down: AbstractStage, low: State, high: State, key: PRNGKeyArray, noise: Array
) -> Float[Array, ""]:
    """1/2 |x − g(f(x))|²,   x = z_{l-1} + σ ξ."""
    x = low + noise * jax.random.normal(key, low.shape, low.dtype)
    return 0.5 * _square(x - down(stage(x)))


def local_difference(
    stage: AbstractStage, down: AbstractStage, low: State, high: State, key: PRNGKeyArray, noise: Array
) -> Float[Array, ""]:
    """1/σ² [1/2 |g(z_l + σ η) − g(z_l)|² − ⟨σ ξ, g(f(z_{l-1} + σ ξ)) − g(f(z_{l-1}))⟩]: L-DRL."""
    below, own = jax.random.split(key)
    shift = noise * jax.random.normal(below, low.shape, low.dtype)
    around = high + noise * jax.random.normal(own, high.shape, high.dtype)
    answer = down(stage(low + shift)) - down(stage(low))
    return (0.5 * _square(down(around) - down(high)) - jnp.mean(jnp.sum(flat(shift * answer), axis=1))) / noise**2


def layer_losses(
    loss: LayerLoss,
    network: Network,
    feedback: tuple[Segment, ...],
    low: States,
    high: States,
    noise: Array,
    *,
    key: PRNGKeyArray,
) -> Float[Array, ""]:
    """The sum over layers of a loss that looks at one layer alone, all layers at once."""
    total = jnp.zeros((), jax.tree.leaves(low)[0].dtype)
    rows = zip(network.segments[1:], feedback, low, high, _keys(key, network), strict=True)
    for segment, way, x, z, keys in rows:
        losses = each(lambda f, g, x, z, k: loss(f, g, x, z, k, noise), segment, way.stages, x, z, keys)
        total += jnp.sum(losses) / way.stages.places
    return total


def difference_reconstruction(
    network: Network,
    feedback: tuple[Segment, ...],
    low: States,
    high: States,
    noise: Array,
    *,
    key: PRNGKeyArray,
) -> Float[Array, ""]:
    """The sum over layers of 1/(2σ²) |x − d_l(f_{L<-l}(x))|², x = z_{l-1} + σ ξ: DRL.

        d_l: t_L = f_{L<-l}(x),   t_{k-1} = z_{k-1} + g_k(t_k) − g_k(z_k),   k = L … l

    Every layer's noise travels in a slot of its own, entered at its layer on the way up and read there on the way down:
    one sweep each way, whose work grows with depth squared.
    """
    noisy = [
        x + noise * jax.vmap(lambda k, x=x: jax.random.normal(k, x.shape[1:], x.dtype))(keys)
        for x, keys in zip(low, _keys(key, network), strict=True)
    ]
    slots, entered = low[0][:0], []
    for segment, x in zip(network.segments[1:], noisy, strict=True):
        # Slots of layers further up hold zeros until theirs is entered.
        slots = jnp.concatenate([slots, jnp.zeros_like(x)])
        entered.append(slots.shape[0] - segment.depth + jnp.arange(segment.depth))
        slots, _ = sweep(
            lambda slots, stage, x, own: (jax.vmap(stage)(slots.at[own].set(x)), None), slots, segment, x, entered[-1]
        )

    def down(slots: Array, way: AbstractStage, x: Array, z: Array, noised: Array, own: Array) -> tuple[Array, Array]:
        # A layer's loss teaches its own feedback alone, not those that the noise came down through.
        frozen = jax.lax.stop_gradient(way)
        missed = noised - (x + way(slots[own]) - way(z))
        return x + jax.vmap(frozen)(slots) - frozen(z), 0.5 * _square(missed) / noise**2

    total = jnp.zeros((), low[0].dtype)
    for index in reversed(range(len(feedback))):
        rows = (low[index], high[index], noisy[index], entered[index])
        slots, losses = sweep(down, slots, feedback[index], *rows, reverse=True)
        slots = slots[: slots.shape[0] - feedback[index].depth]
        total += jnp.sum(losses) / feedback[index].stages.places
    return total


def _keys(key: PRNGKeyArray, network: Network) -> list[Array]:
    """One key a layer above the first, stacked over each segment."""
    return [
        jax.random.split(jax.random.fold_in(key, index), segment.depth)
        for index, segment in enumerate(network.segments[1:])
    ]


def _square(state: State) -> Float[Array, ""]:
    """|·|² over units, mean over the batch."""
    return jnp.mean(jnp.sum(flat(state) ** 2, axis=1))
