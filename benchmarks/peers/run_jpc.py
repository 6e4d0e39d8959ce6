"""jpc's training step, in jpc's interpreter: the loop of its muPC notebook on weights and data from a file.

    python run_jpc.py CASE.npz [--save FOUND.npz] [--float64] [--renumbered] [--rate 0.2]

First call: the sum of the first calls of its three functions. With --save, writes the activities after T = L steps,
the weight gradients and Adam's first update at rate 1, and ends. --renumbered runs the same network with its hidden
units in another order, and saves them in the first: all that differs is in which order float32 adds.
"""

import argparse
import importlib.metadata
import time

import equinox as eqx
import jax
import jpc
import numpy as np
import optax
from _worker import machine, peak_rss_mb, say, serve

# As ours: no timed step changes the weights that the next one sees.
STILL = 1e-12
KIND = {"param_type": "mupc"}


def network(case):
    """jpc's residual network with the case's weights."""
    weights = [case["input"], *case["hidden"], case["output"]]
    depth, width = len(weights), case["input"].shape[0]
    key = jax.random.PRNGKey(0)
    model = jpc.make_mlp(
        key,
        input_dim=case["x"].shape[1],
        width=width,
        depth=depth,
        output_dim=case["y"].shape[1],
        act_fn="tanh",
        **KIND,
    )
    model = eqx.tree_at(
        lambda held: [layer[1].weight for layer in held], model, [jax.numpy.asarray(w) for w in weights]
    )
    return model, jpc.make_skip_model(depth)


class Loop:
    """The notebook's training loop: forward pass, T = L activity updates, one weight update."""

    def __init__(self, case, activity_rate):
        self.model, self.skips = network(case)
        self.x, self.y = jax.numpy.asarray(case["x"]), jax.numpy.asarray(case["y"])
        # Its energy is a mean over the batch, so the step on each example's own energy is rate / batch.
        self.activity_optim = optax.sgd(activity_rate * len(self.x))
        self.weight_optim = optax.adam(STILL)
        self.memory = self.weight_optim.init((eqx.filter(self.model, eqx.is_array), self.skips))
        self.grads = None

    def forward(self):
        """Activities of the forward pass, and the memory of their optimizer."""
        activities = jpc.init_activities_with_ffwd(model=self.model, input=self.x, skip_model=self.skips, **KIND)
        return activities, self.activity_optim.init(activities)

    def infer(self, activities, memory):
        """One activity update."""
        result = jpc.update_pc_activities(
            params=(self.model, self.skips),
            activities=activities,
            optim=self.activity_optim,
            opt_state=memory,
            output=self.y,
            input=self.x,
            **KIND,
        )
        return result["activities"], result["opt_state"]

    def learn(self, activities):
        """The weight update."""
        result = jpc.update_pc_params(
            params=(self.model, self.skips),
            activities=activities,
            optim=self.weight_optim,
            opt_state=self.memory,
            output=self.y,
            input=self.x,
            **KIND,
        )
        self.model, self.skips, self.memory = result["model"], result["skip_model"], result["opt_state"]
        self.grads = result["grads"]

    def settle(self):
        """Activities after T = L updates."""
        activities, memory = self.forward()
        for _ in range(len(self.model)):
            activities, memory = self.infer(activities, memory)
        return activities

    def step(self):
        """One training step, waited for."""
        self.learn(self.settle())
        jax.block_until_ready(eqx.filter((self.model, self.memory), eqx.is_array))

    def first(self):
        """Seconds of the first calls of the three functions."""
        began = time.perf_counter()
        activities, memory = jax.block_until_ready(self.forward())
        activities, _ = jax.block_until_ready(self.infer(activities, memory))
        self.learn(activities)
        jax.block_until_ready(eqx.filter((self.model, self.memory), eqx.is_array))
        return time.perf_counter() - began


def renumbered(case, order):
    """The same network, the hidden units of all layers (skips join them) in another order."""
    hidden = case["hidden"][:, order][:, :, order]
    return case | {"input": case["input"][order], "hidden": hidden, "output": case["output"][:, order]}


def save(path, loop, order):
    """Activities, gradients and Adam's update at rate 1, their hidden units put back into the case's order."""
    back = np.argsort(order)
    activities = loop.settle()
    loop.learn(activities)
    optim = optax.adam(1.0)
    grads, _ = loop.grads
    updates, _ = optim.update(grads, optim.init(grads))
    found = {}
    # The last activity is the prediction of the forward pass, which nothing updates.
    for index, activity in enumerate(activities[:-1]):
        found[f"activity{index}"] = np.asarray(activity)[:, back]
    last = len(grads) - 1
    for index, pair in enumerate(zip(grads, updates, strict=True)):
        for name, layer in zip(("grad", "update"), pair, strict=True):
            weight = np.asarray(layer[1].weight)
            weight = weight if index == last else weight[back]
            found[f"{name}{index}"] = weight if index == 0 else weight[:, back]
    np.savez(path, **found)


def main():
    """Measure, or save what was found."""
    parser = argparse.ArgumentParser()
    parser.add_argument("case")
    parser.add_argument("--save")
    parser.add_argument("--float64", action="store_true")
    parser.add_argument("--renumbered", action="store_true")
    parser.add_argument("--rate", type=float, default=0.2)
    options = parser.parse_args()
    jax.config.update("jax_enable_x64", options.float64)
    case = {
        name: array.astype(np.float64 if options.float64 else np.float32)
        for name, array in np.load(options.case).items()
    }
    order = np.arange(case["input"].shape[0])
    if options.renumbered:
        order = np.random.default_rng(0).permutation(order)
    loop = Loop(renumbered(case, order), options.rate)
    if options.save:
        save(options.save, loop, order)
        say(saved=options.save)
        return
    first = loop.first()
    loop.step()
    say(first=first, rss_mb=peak_rss_mb(), version=importlib.metadata.version("jpc"), **machine())
    serve({"step": loop.step})


if __name__ == "__main__":
    main()
