"""The measured network, batch, rules and compiled calls; `_settings` has their numbers."""

import functools
import json
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from widthwise import InputError, mse
from widthwise.algorithms import AbstractAlgorithm, Batch, Learner, PredictiveCoding
from widthwise.config import RELAXATIONS, found
from widthwise.data import load
from widthwise.inference import AbstractRelaxation
from widthwise.network import Built, forward, residual_mlp
from widthwise.parameterizations import parameterization
from widthwise.training import Split, make_step, optimizer, split, start

from ._settings import ACTIVITY_STEP, BATCH, IN, OUT, Size

# A base rate of the timed steps so small that all of them see the same weights, and so settle alike.
STILL = 1e-12


def relaxation(spec: str, depth: int) -> AbstractRelaxation:
    """A relaxation by its name in `widthwise.config.RELAXATIONS`, with settings of its class.

    **Arguments:** `spec`: `error`, or `error:iterations=30,tolerance=1e-3`; the value `L` stands for `depth`.
    Descent takes T = L and the step 0.2 where nothing else is said.
    """
    name, _, settings = spec.partition(":")
    values: dict[str, Any] = {"iterations": depth, "rate": ACTIVITY_STEP} if name == "descent" else {}
    for pair in filter(None, settings.split(",")):
        key, _, text = pair.partition("=")
        values[key] = depth if text == "L" else json.loads(text)
    return found(name, RELAXATIONS)(**values)


def shared(spec: str) -> tuple[str, int]:
    """A relaxation's specification without its `@2`, and how many devices share the batch: `error:iterations=2@2`."""
    name, _, devices = spec.partition("@")
    return name, int(devices or 1)


def nonlinear_relaxations() -> list[str]:
    """Every relaxation that settles a network with tanh."""
    return [name for name in RELAXATIONS if name != "exact"]


def network(size: Size, activation: str = "tanh", seed: int = 0, dtype: Any = None) -> Built:
    """The network with fresh weights, all of them standard normals under muPC."""
    table = parameterization("mupc", algorithm="pc", optimizer="adam")
    key = jax.random.key(seed)
    return residual_mlp(IN, size.width, OUT, depth=size.depth, activation=activation, table=table, key=key, dtype=dtype)


def with_weights(built: Built, weights: list[np.ndarray]) -> Built:
    """The network with given stacks of weights, one a segment, in its own float type."""
    old = [segment.stages.linear.weight for segment in built.network.segments]
    new = [jnp.asarray(weight, held.dtype).reshape(held.shape) for weight, held in zip(weights, old, strict=True)]

    def leaves(held: Built) -> list[Any]:
        return [segment.stages.linear.weight for segment in held.network.segments]

    return eqx.tree_at(leaves, built, new)


def weights_of(tree: Any) -> list[np.ndarray]:
    """The stacks of weights of a network, or of a gradient of its structure: input, hidden, output."""
    return [np.asarray(segment.stages.linear.weight) for segment in tree.segments]


def examples(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, str]:
    """Inputs, one-hot targets and their name: Fashion-MNIST's first examples, or normals where it is not found."""
    try:
        data = load("fashion_mnist", examples=count)
    except InputError:
        return synthetic(count, seed)
    x = (data.x_train.astype(np.float32) - data.shift) / data.scale
    return x.astype(np.float32), np.asarray(data.targets("train"), np.float32), "fashion_mnist"


def synthetic(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, str]:
    """Normal inputs and random labels: as much work as images."""
    draw = np.random.default_rng(seed)
    labels = np.eye(OUT, dtype=np.float32)[draw.integers(OUT, size=count)]
    return draw.normal(size=(count, IN)).astype(np.float32), labels, "synthetic"


@functools.cache
def one_batch() -> Batch:
    """The batch that every measurement sees."""
    x, y, _ = examples(BATCH)
    return Batch(jnp.asarray(x), jnp.asarray(y))


def algorithm(spec: str, depth: int) -> PredictiveCoding:
    """Predictive coding at output precision 1 with a relaxation."""
    return PredictiveCoding(relaxation(spec, depth))


def shared_by(devices: int, built: Built, batch: Batch) -> Split | None:
    """How the batch lies on devices, as `train(..., devices=devices)` lays it."""
    readout = jax.tree.leaves(eqx.filter(built.network.segments[-1], eqx.is_array))[0]
    return split({"data": devices}, batch.x.shape[0], readout.shape[-1])


class Stepper:
    """A whole training step as users run it: compiled at the first call, the old state's memory given to the new.

    **Arguments:** `built`; `rule`; `batch`; `rate`; `devices`: how many share the batch.
    """

    def __init__(
        self, built: Built, rule: AbstractAlgorithm, batch: Batch, rate: float = STILL, devices: int = 1
    ) -> None:
        transform = optimizer(built)
        key = jax.random.key(0)
        learner = rule.init(built, key=key)
        state = start(learner, transform, jnp.asarray(rate, batch.x.dtype))
        arrays, static = eqx.partition(state, eqx.is_array)
        self.rule, rule_static = eqx.partition(rule, eqx.is_array)
        self.batch = batch
        # The step consumes its input, and the caller keeps the network.
        self.arrays = jax.tree.map(jnp.copy, arrays)
        parts = shared_by(devices, built, batch)
        if parts is not None:
            self.arrays, self.rule, self.batch = parts.copied((self.arrays, self.rule, batch))
        self.metrics: dict[str, jax.Array] = {}

        def run(arrays: Any, rule: Any, batch: Batch) -> Any:
            step = make_step(eqx.combine(rule, rule_static), transform, mse)
            batch = batch if parts is None else parts.examples(batch)
            state, metrics = step(eqx.combine(arrays, static), batch, key)
            return eqx.filter(state, eqx.is_array), metrics

        self.run = jax.jit(run, donate_argnums=0, out_shardings=None if parts is None else parts.whole)

    def __call__(self) -> None:
        """One step, waited for."""
        self.arrays, self.metrics = jax.block_until_ready(self.run(self.arrays, self.rule, self.batch))

    def compile(self) -> None:
        """Trace and compile, and run nothing."""
        self.run.lower(self.arrays, self.rule, self.batch).compile()


def inference(built: Built, rule: PredictiveCoding, batch: Batch, devices: int = 1) -> Callable[[], Any]:
    """The forward pass and the relaxation, without the weight update, as one compiled call that is waited for."""
    run, arguments = _inference(built, rule, batch)
    parts = shared_by(devices, built, batch)
    if parts is not None:
        rule_arrays, network, batch = arguments
        arguments = (*parts.copied((rule_arrays, network)), jax.device_put(batch, parts.batch))
    return lambda: jax.block_until_ready(run(*arguments))


def forward_pass(built: Built, batch: Batch, devices: int = 1) -> Callable[[], Any]:
    """What inference starts from, alone: every layer's state."""
    arrays, static = eqx.partition(built.network, eqx.is_array)
    run = jax.jit(lambda network, x: forward(eqx.combine(network, static), x))
    parts, x = shared_by(devices, built, batch), batch.x
    if parts is not None:
        arrays, x = parts.copied(arrays), jax.device_put(x, parts.batch)
    return lambda: jax.block_until_ready(run(arrays, x))


def compile_inference(built: Built, rule: PredictiveCoding, batch: Batch) -> None:
    """Trace and compile the same, and run nothing."""
    run, arguments = _inference(built, rule, batch)
    run.lower(*arguments).compile()


def _inference(built: Built, rule: PredictiveCoding, batch: Batch) -> tuple[Any, tuple[Any, ...]]:
    rule_arrays, rule_static = eqx.partition(rule, eqx.is_array)
    network_arrays, network_static = eqx.partition(built.network, eqx.is_array)

    @jax.jit
    def run(arrays: Any, network: Any, batch: Batch) -> Any:
        rule = eqx.combine(arrays, rule_static)
        problem = rule.problem(Learner(eqx.combine(network, network_static)), batch, mse)
        return rule.relaxation(problem, problem.start())

    return run, (rule_arrays, network_arrays, batch)
