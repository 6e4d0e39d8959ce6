"""pcx's training step, in pcx's interpreter: the idiom of its tutorials on a plain MLP.

    python run_pcx.py CASE.npz [--rate 0.2]

A Vode per layer, vmap over examples, one jit around the batch, a Python loop over T = L, no skips, weights divided by
the square root of their fan-in. The trace grows with T times L: not for deep networks.
"""

import argparse
import importlib.metadata

import jax
import numpy as np
import optax
import pcx as px
import pcx.functional as pxf
import pcx.nn as pxnn
import pcx.predictive_coding as pxc
import pcx.utils as pxu
from _worker import machine, peak_rss_mb, say, serve, timed

# As ours: no timed step changes the weights that the next one sees.
STILL = 1e-12


class Model(pxc.EnergyModule):
    """A chain of linear layers and tanh, the target clamped on the last node."""

    def __init__(self, weights):
        super().__init__()
        self.layers = [pxnn.Linear(w.shape[1], w.shape[0], bias=False) for w in weights]
        for layer, weight in zip(self.layers, weights, strict=True):
            layer.nn.weight.set(jax.numpy.asarray(weight / np.sqrt(weight.shape[1])))
        self.vodes = [pxc.Vode() for _ in weights]
        self.vodes[-1].h.frozen = True

    def __call__(self, x, y):
        """Predictions of every layer, and the readout's."""
        for vode, layer in zip(self.vodes[:-1], self.layers[:-1], strict=True):
            x = vode(jax.numpy.tanh(layer(x)))
        self.vodes[-1](self.layers[-1](x))
        if y is not None:
            self.vodes[-1].set("h", y)
        return self.vodes[-1].get("u")


BY_EXAMPLE = pxu.M(pxc.VodeParam | pxc.VodeParam.Cache).to((None, 0))


@pxf.vmap(BY_EXAMPLE, in_axes=(0, 0), out_axes=0)
def forward(x, y, *, model):
    """The forward pass."""
    return model(x, y)


@pxf.vmap(BY_EXAMPLE, in_axes=(0,), out_axes=(None, 0), axis_name="batch")
def energy(x, *, model):
    """The energy, summed over examples."""
    y_ = model(x, None)
    return jax.lax.psum(model.energy(), "batch"), y_


@pxf.jit(static_argnums=0)
def train_on_batch(steps, x, y, *, model, optim_w, optim_h):
    """One training step."""
    with pxu.step(model, pxc.STATUS.INIT, clear_params=pxc.VodeParam.Cache):
        forward(x, y, model=model)
    free = pxu.M_hasnot(pxc.VodeParam, frozen=True).to((False, True))
    for _ in range(steps):
        with pxu.step(model, clear_params=pxc.VodeParam.Cache):
            _, gradient = pxf.value_and_grad(free, has_aux=True)(energy)(x, model=model)
        optim_h.step(model, gradient["model"])
    with pxu.step(model, clear_params=pxc.VodeParam.Cache):
        weights = pxu.M(pxnn.LayerParam).to((False, True))
        _, gradient = pxf.value_and_grad(weights, has_aux=True)(energy)(x, model=model)
    optim_w.step(model, gradient["model"], scale_by=1.0 / x.shape[0])


class Trainer:
    """The model, its optimizers and the batch."""

    def __init__(self, case, rate):
        px.RKG.seed(0)
        weights = [case["input"], *case["hidden"], case["output"]]
        self.steps = len(weights)
        self.model = Model(weights)
        self.x, self.y = jax.numpy.asarray(case["x"]), jax.numpy.asarray(case["y"])
        # The optimizers look at parameters that exist only after a forward pass.
        with pxu.step(self.model, pxc.STATUS.INIT, clear_params=pxc.VodeParam.Cache):
            forward(self.x, self.y, model=self.model)
        self.optim_h = pxu.Optim(lambda: optax.sgd(rate), pxu.M_hasnot(pxc.VodeParam, frozen=True)(self.model))
        self.optim_w = pxu.Optim(lambda: optax.adam(STILL), pxu.M(pxnn.LayerParam)(self.model))

    def step(self):
        """One training step, waited for."""
        train_on_batch(self.steps, self.x, self.y, model=self.model, optim_w=self.optim_w, optim_h=self.optim_h)
        jax.block_until_ready(([layer.nn.weight.get() for layer in self.model.layers], self.optim_w.state.get()))


def main():
    """Measure."""
    parser = argparse.ArgumentParser()
    parser.add_argument("case")
    parser.add_argument("--rate", type=float, default=0.2)
    options = parser.parse_args()
    trainer = Trainer(dict(np.load(options.case)), options.rate)
    first = timed(trainer.step)
    trainer.step()
    say(first=first, rss_mb=peak_rss_mb(), version=importlib.metadata.version("pcx"), **machine())
    serve({"step": trainer.step})


if __name__ == "__main__":
    main()
