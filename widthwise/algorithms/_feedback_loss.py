"""What trained feedback learns from: a loss for every layer's g_l, of which only its own weights take the gradient."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from ..network import AbstractStage, Network, Segment, State, States, each, flat, stage_at

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
    for index, (segment, way, x, z) in enumerate(zip(network.segments[1:], feedback, low, high, strict=True)):
        keys = jax.random.split(jax.random.fold_in(key, index), segment.depth)
        total += jnp.sum(each(lambda f, g, x, z, k: loss(f, g, x, z, k, noise), segment, way.stages, x, z, keys))
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

    Every layer's noise goes up to the output and down again, so work grows with depth squared; compile time does too.
    """
    layers = [(i, row) for i, segment in enumerate(network.segments[1:]) for row in range(segment.depth)]
    stages = [stage_at(network.segments[1 + i], row) for i, row in layers]
    ways = [stage_at(feedback[i], row) for i, row in layers]
    lows, highs = ([held[i][row] for i, row in layers] for held in (low, high))
    frozen = jax.lax.stop_gradient(ways)
    total = jnp.zeros((), lows[0].dtype)
    for index in range(len(layers)):
        x = lows[index] + noise * jax.random.normal(
            jax.random.fold_in(key, index), lows[index].shape, lows[index].dtype
        )
        target = x
        for stage in stages[index:]:
            target = stage(target)
        for k in reversed(range(index, len(layers))):
            way = ways[k] if k == index else frozen[k]
            target = lows[k] + way(target) - way(highs[k])
        total += 0.5 * _square(x - target) / noise**2
    return total


def _square(state: State) -> Float[Array, ""]:
    """|·|² over units, mean over the batch."""
    return jnp.mean(jnp.sum(flat(state) ** 2, axis=1))
