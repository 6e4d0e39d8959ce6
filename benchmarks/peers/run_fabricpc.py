"""FabricPC's training step, in FabricPC's interpreter: what its `train` runs for every batch.

    python run_fabricpc.py CASE.npz [--rate 0.1]

A linear stem, L - 2 residual nodes z + tanh(a W z) (ours: z + a W tanh(z), as many products) and a linear readout, its
own muPC scaling with the output included, no biases, T = L steps of its default inference, Adam.
"""

import argparse
import time

import fabricpc
import jax
import numpy as np
import optax
from _worker import machine, peak_rss_mb, say, serve, timed
from fabricpc.core.activations import TanhActivation
from fabricpc.core.inference import InferenceSGD
from fabricpc.core.initializers import MuPCInitializer
from fabricpc.core.mupc import MuPCConfig
from fabricpc.core.topology import Edge
from fabricpc.graph_assembly import TaskMap, graph
from fabricpc.graph_initialization import initialize_params
from fabricpc.nodes import IdentityNode, Linear, LinearResidual
from fabricpc.training.trainer import _make_step

# As ours: no timed step changes the weights that the next one sees.
STILL = 1e-12


def structure(case, rate):
    """The graph, a node a layer."""
    in_size, out_size, width = case["x"].shape[1], case["y"].shape[1], case["input"].shape[0]
    depth = len(case["hidden"]) + 2
    plain = {"use_bias": False, "weight_init": MuPCInitializer()}
    first = IdentityNode(shape=(in_size,), name="input")
    last = Linear(shape=(width,), name="stem", **plain)
    nodes, edges = [first, last], [Edge(source=first, target=last.slot("in"))]
    for index in range(depth - 2):
        node = LinearResidual(shape=(width,), name=f"block{index}", activation=TanhActivation(), **plain)
        edges += [Edge(source=last, target=node.slot("in")), Edge(source=last, target=node.slot("skip"))]
        nodes.append(node)
        last = node
    readout = Linear(shape=(out_size,), name="output", **plain)
    edges.append(Edge(source=last, target=readout.slot("in")))
    return graph(
        nodes=[*nodes, readout],
        edges=edges,
        task_map=TaskMap(x=first, y=readout),
        inference=InferenceSGD(eta_infer=rate, infer_steps=depth),
        scaling=MuPCConfig(include_output=True),
    )


def with_weights(params, case):
    """The parameters with the case's weights, which FabricPC keeps as (in, out)."""
    weights = {"stem": case["input"], "output": case["output"]}
    weights |= {f"block{index}": weight for index, weight in enumerate(case["hidden"])}
    nodes = dict(params.nodes)
    for name, weight in weights.items():
        (edge,) = nodes[name].weights
        nodes[name] = nodes[name]._replace(weights={edge: jax.numpy.asarray(weight.T)})
    return params._replace(nodes=nodes)


class Trainer:
    """The jitted step of `fabricpc.train`, its buffers donated."""

    def __init__(self, case, rate):
        began = time.perf_counter()
        built = structure(case, rate)
        self.params = with_weights(initialize_params(built, jax.random.PRNGKey(0)), case)
        self.build_seconds = time.perf_counter() - began
        optimizer = optax.adam(STILL)
        self.memory = optimizer.init(self.params)
        self.batch = {name: jax.numpy.asarray(case[name]) for name in ("x", "y")}
        self.key = jax.random.PRNGKey(1)
        self.run = _make_step(built, optimizer, algorithm="pc", with_state=False, donate=True)

    def step(self):
        """One training step, waited for."""
        self.params, self.memory, _ = self.run(self.params, self.memory, self.batch, self.key)
        jax.block_until_ready((self.params, self.memory))


def main():
    """Measure."""
    parser = argparse.ArgumentParser()
    parser.add_argument("case")
    parser.add_argument("--rate", type=float, default=0.1)
    options = parser.parse_args()
    fabricpc.setup_jax()
    trainer = Trainer(dict(np.load(options.case)), options.rate)
    first = timed(trainer.step)
    trainer.step()
    say(
        first=first,
        build_seconds=trainer.build_seconds,
        rss_mb=peak_rss_mb(),
        version=fabricpc.__version__,
        **machine(),
    )
    serve({"step": trainer.step})


if __name__ == "__main__":
    main()
