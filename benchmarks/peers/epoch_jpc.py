"""One epoch of jpc's muPC notebook, in its interpreter: depth 30, width 128, relu, Adam 0.1, activity step 0.5, T = L.

    python epoch_jpc.py DATA.npz [--depth 30] [--seed 0] [--steps N]

The notebook's own network, rates and loop; its step of 0.5 is on the mean energy of the batch. Says the seconds of the
epoch without the first step, of the first step, and the accuracy on the test split.
"""

import argparse
import time

import equinox as eqx
import jax
import jax.numpy as jnp
import jpc
import numpy as np
import optax
from _worker import machine, say
from run_jpc import KIND, Loop

WIDTH, BATCH, RATE, ACTIVITY_RATE = 128, 64, 0.1, 0.5


class Notebook(Loop):
    """The loop on a fresh network, with the notebook's rates."""

    def __init__(self, sizes, depth, seed):
        self.model = jpc.make_mlp(
            jax.random.PRNGKey(seed), sizes[0], WIDTH, depth, sizes[1], act_fn="relu", use_bias=False, **KIND
        )
        self.skips = jpc.make_skip_model(depth)
        self.activity_optim, self.weight_optim = optax.sgd(ACTIVITY_RATE), optax.adam(RATE)
        self.memory = self.weight_optim.init((eqx.filter(self.model, eqx.is_array), self.skips))

    def accuracy(self, x, y):
        """Of the forward pass, in pieces."""
        hits = 0
        for first in range(0, len(x), 1000):
            self.x = jnp.asarray(x[first : first + 1000])
            hits += int(np.sum(np.argmax(self.forward()[0][-1], 1) == np.argmax(y[first : first + 1000], 1)))
        return hits / len(x)


def main():
    """Train and test."""
    parser = argparse.ArgumentParser()
    parser.add_argument("data")
    parser.add_argument("--depth", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int)
    options = parser.parse_args()
    data = np.load(options.data)
    x, y = data["x_train"], data["y_train"]
    loop = Notebook((x.shape[1], y.shape[1]), options.depth, options.seed)
    order = np.random.default_rng(options.seed).permutation(len(x))
    rows = order[: len(x) // BATCH * BATCH].reshape(-1, BATCH)[: options.steps]
    began, first = time.perf_counter(), None
    for indices in rows:
        loop.x, loop.y = jnp.asarray(x[indices]), jnp.asarray(y[indices])
        loop.step()
        if first is None:
            first = time.perf_counter() - began
    seconds = time.perf_counter() - began - first
    say(seconds=seconds, first=first, accuracy=loop.accuracy(data["x_test"], data["y_test"]), **machine())


if __name__ == "__main__":
    main()
