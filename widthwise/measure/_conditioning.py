"""How the conditioning of inference changes while a predictive coding network is trained."""

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from .._errors import InputError
from .._loss import mse
from ..algorithms import AbstractAlgorithm, Batch, Learner
from ..data import Dataset
from ..inference import AbstractRelaxation, Point, Problem, Settled
from ..network import Built, Network, cast
from ..theory import spectrum
from ..training import examples, init_learner, make_step, optimizer, run_order, scan_steps, start, streams

# A nonlinear network has a Hessian for every example; these differ little.
PROBED = 4


@dataclasses.dataclass(frozen=True)
class Conditioning:
    """One network at one step of its training; medians over examples.

    **Arguments:** `seed`, `step`; `loss`: of the probe; `smallest`, `largest`: λ_min and λ_max of the activity
    Hessian at the forward pass; `condition_number`: κ, their ratio; `error_condition_number`: 1 + ‖C‖; `iterations`:
    of the relaxation to its tolerance, or all that it may make; `converged`: the part of the probe that got there.
    """

    seed: int
    step: int
    loss: float
    smallest: float
    largest: float
    condition_number: float
    error_condition_number: float
    iterations: float
    converged: float


def conditioning(
    build: Callable[[PRNGKeyArray], Built],
    algorithm: AbstractAlgorithm,
    data: Dataset,
    *,
    seeds: int = 1,
    steps: Sequence[int] = (0,),
    rate: float | None = None,
    batch_size: int = 64,
    on_measured: Callable[[Conditioning], None] = lambda measured: None,
) -> list[Conditioning]:
    """Train networks, and measure how hard inference is at some of the steps.

    The probe is the first batch of the training examples, in JAX's widest float: enable 64 bits, without which
    the activities of deep SP networks overflow. The loss is the squared error.

    **Arguments:** `build(key)`; `algorithm`: its relaxation trains the network and is counted; `data`; `seeds`: how
    many; `steps`: 0 is initialization; `rate`: base rate, needed for steps above 0; `batch_size`; `on_measured`:
    called after every measurement.

    **Returns:** one `Conditioning` for each seed and step.

    **Raises:** `InputError` for settings out of range.

    >>> import widthwise as ww
    >>> table = ww.parameterization("mupc", algorithm="pc")
    >>> build = lambda key: ww.residual_mlp(64, 8, 10, depth=4, table=table, key=key)
    >>> (found,) = conditioning(build, ww.PredictiveCoding(), ww.data.digits())
    >>> found.condition_number > found.error_condition_number > 1
    True

    Source: docs/theory.md E.
    """
    _check(seeds, steps, rate)
    relaxation = algorithm.relaxation
    if relaxation is None:
        raise InputError(
            f"the algorithm {algorithm.name!r} settles no activities",
            setting="algorithm",
            value=algorithm.name,
            remedy="conditioning is measured of predictive coding",
        )
    wide = examples(data, "train", jnp.zeros(()).dtype)
    if not 1 <= batch_size <= wide.count:
        raise InputError(
            f"batch_size is {batch_size}",
            setting="batch_size",
            value=batch_size,
            remedy=f"it must be between 1 and the {wide.count} training examples",
        )
    probe = wide.chunk(0, batch_size)
    found = []
    for seed in range(seeds):
        built = build(streams(seed).init)
        for step, network in _trained(built, algorithm, data, seed, sorted(set(steps)), rate, batch_size):
            found.append(_measured(network, algorithm, relaxation, probe, seed, step))
            on_measured(found[-1])
    return found


def _check(seeds: int, steps: Sequence[int], rate: float | None) -> None:
    if seeds < 1:
        raise InputError(f"seeds {seeds}", setting="seeds", value=seeds, remedy="at least one network must be measured")
    if not steps or min(steps) < 0:
        raise InputError(
            f"steps {list(steps)}", setting="steps", value=list(steps), remedy="name at least one step, each 0 or more"
        )
    if max(steps) > 0 and rate is None:
        raise InputError(
            f"steps {list(steps)} without a rate", setting="rate", value=None, remedy="training needs a base rate"
        )
    if rate is not None and not 0 < rate < math.inf:
        raise InputError(f"rate is {rate}", setting="rate", value=rate, remedy="it must be positive and finite")


def _trained(
    built: Built,
    algorithm: AbstractAlgorithm,
    data: Dataset,
    seed: int,
    steps: Sequence[int],
    rate: float | None,
    batch_size: int,
) -> Iterator[tuple[int, Network]]:
    """The network at each of the steps."""
    if steps[-1] == 0:
        yield 0, built.network
        return
    dtype = jax.tree.leaves(built.network)[0].dtype
    own, keys = examples(data, "train", dtype), streams(seed)
    transform = optimizer(built)
    learner = init_learner(algorithm, built, key=keys.algorithm)
    state = start(learner, transform, jnp.asarray(rate, dtype))
    order = run_order(keys.order, steps[-1], own.count, batch_size)
    step = make_step(algorithm, transform, mse)
    advance = eqx.filter_jit(lambda state, batches: scan_steps(step, state, own, batches, None, keys.algorithm)[0])
    # Pieces of one length are one compilation.
    piece, done = math.gcd(*steps), 0
    for target in steps:
        while done < target:
            state = advance(state, order[done : done + piece])
            done += piece
        yield target, state.learner.network


def _measured(
    network: Network,
    algorithm: AbstractAlgorithm,
    relaxation: AbstractRelaxation,
    probe: Batch,
    seed: int,
    step: int,
) -> Conditioning:
    network = cast(network, probe.x.dtype)
    loss, settled = _settled(network, algorithm, relaxation, probe)
    few = 1 if network.is_linear else PROBED
    ends = spectrum(*_posed(network, algorithm, Batch(probe.x[:few], probe.y[:few])))
    return Conditioning(
        seed=seed,
        step=step,
        loss=float(loss),
        smallest=_median(ends.smallest),
        largest=_median(ends.largest),
        condition_number=_median(ends.condition_number),
        error_condition_number=_median(ends.error_condition_number),
        # Nothing is left to settle where training has diverged.
        iterations=_median(settled.iterations) if jnp.isfinite(loss) else math.nan,
        converged=float(jnp.mean(settled.converged)),
    )


@eqx.filter_jit
def _posed(network: Network, algorithm: AbstractAlgorithm, batch: Batch) -> tuple[Problem, Point]:
    posed = algorithm.posed(Learner(network), batch, mse)
    if posed is None:
        raise InputError(
            f"the algorithm {algorithm.name!r} has a relaxation and no energy",
            setting="algorithm",
            value=algorithm.name,
            remedy="define its `problem`, to be conditioned",
        )
    return posed


@eqx.filter_jit
def _settled(
    network: Network, algorithm: AbstractAlgorithm, relaxation: AbstractRelaxation, probe: Batch
) -> tuple[Array, Settled]:
    """The probe's loss, and how its inference ends."""
    problem, begin = _posed(network, algorithm, probe)
    return jnp.mean(mse(begin.prediction, probe.y)), relaxation(problem, begin)[1]


def _median(values: Any) -> float:
    return float(np.median(np.asarray(values)))
