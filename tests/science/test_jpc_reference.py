"""Agreement with jpc 1.0, an independent implementation: activities, energies and gradients of muPC networks."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from science.oracles import distance, stacked

from widthwise import mse
from widthwise.algorithms import local_gradients
from widthwise.inference import ActivityDescent, OutputSpaceSolve, Problem
from widthwise.network import Dense, Linear, Network, Segment, inputs, mlp, residual_mlp
from widthwise.parameterizations import parameterization

REFERENCE = Path(__file__).parent.parent / "data" / "jpc_reference"
CASES = json.loads((REFERENCE / "cases.json").read_text())
# Both sides are float64 and make the same steps; the slowest case accumulates 3000 of them.
CLOSE = 1e-10


def reference(name):
    """The arrays of a case, and its network with jpc's weights in our builder's multipliers."""
    case, arrays = CASES[name], dict(np.load(REFERENCE / f"{name}.npz"))
    weights = [arrays[f"w{index}"] for index in range(case["depth"])]
    make = residual_mlp if case["skips"] else mlp
    built = make(
        case["input_dim"],
        case["width"],
        case["output_dim"],
        depth=case["depth"],
        activation=case["activation"],
        table=parameterization("mupc", algorithm="pc"),
        key=jax.random.key(0),
    )
    stacks = [np.stack(part) for part in (weights[:1], weights[1:-1], weights[-1:])]
    segments = tuple(
        Segment(
            Dense(
                Linear(jnp.asarray(stack), None, segment.stages.linear.multiplier),
                before=segment.stages.before,
                after=segment.stages.after,
                residual=segment.stages.residual,
            ),
            segment.depth,
            segment.precision,
        )
        for segment, stack in zip(built.network.segments, stacks, strict=True)
    )
    return case, arrays, Network(segments, case["input_dim"], case["output_dim"])


@pytest.mark.parametrize("name", CASES)
def test_forward_settled_energies_and_gradients(name):
    case, arrays, network = reference(name)
    relaxation = ActivityDescent(iterations=case["steps"], rate=case["activity_step_per_example"])

    @jax.jit
    def compute(x, y):
        problem = Problem(network, (jnp.asarray(1.0),) * 3, x, y, mse)
        start = problem.start()
        point, settled = relaxation(problem, start)
        seen = inputs(x, point.states)
        errors = (*point.errors, point.output_error[None])
        return start, point, settled, local_gradients(network, problem.precisions, seen, errors)

    start, point, settled, gradients = compute(jnp.asarray(arrays["x"]), jnp.asarray(arrays["y"]))
    assert distance(stacked(start.states), list(arrays["forward"])) < CLOSE
    assert distance(start.prediction, arrays["forward_output"]) < CLOSE
    assert distance(stacked(point.states), list(arrays["settled"])) < CLOSE
    # jpc's order: the output, the layers from the second up, the first layer last.
    first, *rest = stacked(point.errors)
    errors = [point.output_error, *rest, first]
    energies = [0.5 * np.sum(np.asarray(error) ** 2, axis=-1).mean() for error in errors]
    assert distance(energies, list(arrays["energies"])) < CLOSE
    assert float(settled.energy.mean()) == pytest.approx(arrays["energies"].sum(), rel=CLOSE)
    found = [leaf for segment in gradients.segments for leaf in segment.stages.linear.weight]
    assert distance(found, [arrays[f"grad{index}"] for index in range(case["depth"])]) < CLOSE


def test_the_settled_linear_case_is_our_exact_solution():
    # 3000 steps of jpc on four layers: settled, so the closed form must meet it.
    _, arrays, network = reference("plain_linear")
    problem = Problem(network, (jnp.asarray(1.0),) * 3, jnp.asarray(arrays["x"]), jnp.asarray(arrays["y"]), mse)
    point, _ = jax.jit(lambda p: OutputSpaceSolve()(p, p.start()))(problem)
    assert distance(stacked(point.states), list(arrays["settled"])) < CLOSE
