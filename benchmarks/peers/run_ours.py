"""This library's side of the comparison: makes the cases, runs them, and answers the same orders as the rivals.

python -m benchmarks.peers.run_ours case 128x8 CASE.npz             weights and data of a size
python -m benchmarks.peers.run_ours step CASE.npz descent error     training steps: first calls, then orders
python -m benchmarks.peers.run_ours compile CASE.npz descent        trace and compile, run nothing
python -m benchmarks.peers.run_ours parity CASE.npz FOUND.npz       T = L steps, in float32 and float64
python -m benchmarks.peers.run_ours train CASE.npz TRAINED.npz      the case's network after training
python -m benchmarks.peers.run_ours settle CASE.npz descent error   quality against equilibrium, then orders
python -m benchmarks.peers.run_ours gemm                            the machine's float32 peak, on order
"""

import argparse
import importlib
import importlib.metadata
import subprocess
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

import widthwise
from widthwise import mse
from widthwise.algorithms import Batch, Learner, PredictiveCoding
from widthwise.inference import ActivityDescent
from widthwise.network import Built, Network

from .. import _cases, _measure, _quality
from .._settings import ACTIVITY_STEP, BATCH, EQUILIBRIUM, TRAIN_RATE, TRAIN_RULE, TRAIN_STEPS, Size
from ._worker import machine, peak_rss_mb, say, serve, timed


def read(path: str) -> tuple[Built, Batch]:
    """A case's network and batch."""
    case = np.load(path)
    weights = [case["input"][None], case["hidden"], case["output"][None]]
    size = Size(weights[0].shape[1], len(weights[1]) + 2)
    built = _cases.with_weights(_cases.network(size), weights)
    return built, Batch(jnp.asarray(case["x"]), jnp.asarray(case["y"]))


def write(path: str, built: Built, batch: Batch) -> None:
    """A case, as every library's worker reads it: weights (out, in), one array for all hidden layers."""
    first, hidden, last = _cases.weights_of(built.network)
    np.savez(path, input=first[0], hidden=hidden, output=last[0], x=np.asarray(batch.x), y=np.asarray(batch.y))


def commit() -> str | None:
    """Of the measured code, with + where files differ from it."""
    folder = Path(widthwise.__file__).parent
    git = ["git", "-C", str(folder)]
    try:
        name = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True)
        changed = subprocess.run([*git, "status", "--porcelain", "."], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return name.stdout.strip() + ("+" if changed.stdout else "")


def make_case(options: argparse.Namespace) -> None:
    """Fresh weights and the first batch."""
    x, y, name = _cases.synthetic(BATCH) if options.synthetic else _cases.examples(BATCH)
    write(options.out, _cases.network(Size.parse(options.size)), Batch(jnp.asarray(x), jnp.asarray(y)))
    say(data=name, commit=commit(), **machine())


def names(options: argparse.Namespace) -> None:
    """The relaxations of the measured code."""
    say(names=_cases.nonlinear_relaxations())


def serve_steps(options: argparse.Namespace) -> None:
    """First calls of whole training steps, then their times."""
    built, batch = read(options.case)
    steps = {}
    for spec in options.specs:
        name, devices = _cases.shared(spec)
        rule = _cases.algorithm(name, built.network.depth)
        steps[spec] = _cases.Stepper(built, rule, batch, devices=devices)
    first = {spec: timed(step) for spec, step in steps.items()}
    for step in steps.values():
        step()
    version = importlib.metadata.version("widthwise")
    say(first=first[options.specs[0]], firsts=first, rss_mb=peak_rss_mb(), version=version, **machine())
    serve({"step": steps[options.specs[0]], **{f"step:{spec}": step for spec, step in steps.items()}})


def compile_calls(options: argparse.Namespace) -> None:
    """Seconds of tracing and compiling the training step, or inference alone, with each relaxation."""
    built, batch = read(options.case)
    # Every other library is imported by now; the flow's would be at its first call.
    importlib.import_module("diffrax")

    def compile_one(rule: PredictiveCoding) -> None:
        if options.what == "inference":
            _cases.compile_inference(built, rule, batch)
        else:
            _cases.Stepper(built, rule, batch).compile()

    rules = {spec: _cases.algorithm(spec, built.network.depth) for spec in options.specs}
    found = {spec: timed(lambda rule=rule: compile_one(rule)) for spec, rule in rules.items()}
    say(compile=found, rss_mb=peak_rss_mb(), **machine())


def layers(stacks: list[Any]) -> list[np.ndarray]:
    """One array a layer from stacks of layers."""
    return [np.asarray(layer) for stack in stacks for layer in stack]


def descended(built: Built, batch: Batch, rate: float) -> dict[str, np.ndarray]:
    """Activities after T = L steps, weight gradients and Adam's first update at rate 1, a layer each."""
    rule = PredictiveCoding(ActivityDescent(iterations=built.network.depth, rate=rate))

    @eqx.filter_jit
    def compute(network: Network, batch: Batch) -> Any:
        learner = Learner(network)
        problem = rule.problem(learner, batch, mse)
        point, _ = rule.relaxation(problem, problem.start())
        return point.states, rule.grads(learner, batch, mse, key=jax.random.key(0))[0]

    states, gradients = compute(built.network, batch)
    adam = optax.adam(1.0)
    updates, _ = adam.update(gradients, adam.init(gradients))
    found = {"activity": layers(list(states))}
    found |= {"grad": layers(_cases.weights_of(gradients)), "update": layers(_cases.weights_of(updates))}
    return {f"{kind}{index}": array for kind, arrays in found.items() for index, array in enumerate(arrays)}


def parity(options: argparse.Namespace) -> None:
    """The fixed algorithm in float32, and from the same numbers in float64 (names that end in _64)."""
    built, batch = read(options.case)
    found = descended(built, batch, options.rate)
    weights = _cases.weights_of(built.network)
    size = Size(weights[0].shape[1], built.network.depth)
    with jax.enable_x64(True):
        wide = _cases.with_weights(_cases.network(size, dtype=jnp.float64), weights)
        exact = descended(wide, Batch(*(jnp.asarray(np.asarray(a), jnp.float64) for a in batch)), options.rate)
    np.savez(options.out, **found, **{f"{name}_64": array for name, array in exact.items()})
    say(saved=options.out)


def train(options: argparse.Namespace) -> None:
    """The case's network after training, with the case's batch."""
    built, batch = read(options.case)
    built, metrics = _quality.trained(built, options.steps, options.rule, options.rate)
    write(options.out, built, batch)
    say(saved=options.out, metrics=metrics)


def settle(options: argparse.Namespace) -> None:
    """Each relaxation's update against the equilibrium's, then times of inference and of the whole step."""
    built, batch = read(options.case)
    depth = built.network.depth
    reference = _quality.in_float64(built, batch, options.equilibrium)
    say(equilibrium=reference.metrics, curvature=_measure.curvature(built, batch))
    calls = {}
    for spec in options.specs:
        name, devices = _cases.shared(spec)
        found = _quality.update(built, name, batch)
        gap = found.metrics["energy"] / reference.metrics["energy"] - 1
        say(spec=spec, energy_gap=gap, **_quality.compare(found.weights, reference.weights), **found.metrics)
        rule = _cases.algorithm(name, depth)
        calls |= {
            f"infer:{spec}": _cases.inference(built, rule, batch, devices),
            f"step:{spec}": _cases.Stepper(built, rule, batch, devices=devices),
            f"forward:{spec}": _cases.forward_pass(built, batch, devices),
        }
    for call in calls.values():
        call()
    say(rss_mb=peak_rss_mb(), **machine())
    serve(calls)


def gemm(options: argparse.Namespace) -> None:
    """The machine's peak, on order."""
    call = _measure.gemm()
    call()
    say(flops=_measure.GEMM_FLOPS, **machine())
    serve({"gemm": call})


def parsed(words: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(required=True)

    def verb(name: str, run: Any, *places: str, specs: bool = False) -> argparse.ArgumentParser:
        sub = verbs.add_parser(name)
        sub.set_defaults(run=run)
        for place in places:
            sub.add_argument(place)
        if specs:
            sub.add_argument("specs", nargs="+")
        return sub

    verb("case", make_case, "size", "out").add_argument("--synthetic", action="store_true")
    verb("names", names)
    verb("step", serve_steps, "case", specs=True)
    compiling = verb("compile", compile_calls, "case", specs=True)
    compiling.add_argument("--what", choices=["step", "inference"], default="step")
    verb("parity", parity, "case", "out").add_argument("--rate", type=float, default=ACTIVITY_STEP)
    training = verb("train", train, "case", "out")
    training.add_argument("--steps", type=int, default=TRAIN_STEPS)
    training.add_argument("--rule", default=TRAIN_RULE)
    training.add_argument("--rate", type=float, default=TRAIN_RATE)
    verb("settle", settle, "case", specs=True).add_argument("--equilibrium", default=EQUILIBRIUM)
    verb("gemm", gemm)
    return parser.parse_args(words)


if __name__ == "__main__":
    options = parsed()
    most = max((_cases.shared(spec)[1] for spec in getattr(options, "specs", [])), default=1)
    if most > 1:
        jax.config.update("jax_num_cpu_devices", most)
    options.run(options)
