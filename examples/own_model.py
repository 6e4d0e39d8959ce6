"""A network of one's own: Equinox modules as stages, trained and swept under muP; roles follow from two widths."""

import equinox as eqx
import jax
import jax.numpy as jnp

import widthwise as ww


class Gated(eqx.Module):
    """Two linear maps, one of them a gate: any function of one example is a stage."""

    value: eqx.nn.Linear
    gate: eqx.nn.Linear

    def __init__(self, width, key):
        keys = jax.random.split(key)
        self.value = eqx.nn.Linear(width, width, key=keys[0])
        self.gate = eqx.nn.Linear(width, width, key=keys[1])

    def __call__(self, x):
        """x + tanh(V x) sigmoid(G x)."""
        return x + jnp.tanh(self.value(x)) * jax.nn.sigmoid(self.gate(x))


def make(width, key):
    """The stages, from the input to the readout."""
    keys = jax.random.split(key, 3)
    return [eqx.nn.Linear(64, width, key=keys[0]), Gated(width, keys[1]), eqx.nn.Linear(width, 10, key=keys[2])]


def main(widths=(64, 128, 256, 512), log2_rates=(-7, 0, 0.5), steps=100) -> None:
    """Sweep the rate over widths, muP beside the standard parameterization; train the widest."""
    rule, data = ww.Backprop(), ww.data.digits()
    for name in ("mup", "sp"):
        table = ww.parameterization(name)
        build = lambda width, key, table=table: ww.own_network(make, 64, width, table=table, key=key)
        found = ww.transfer(build, rule, table, data=data, widths=widths, log2_rates=log2_rates, seeds=3, steps=steps)
        print(found.summary())
    table = ww.parameterization("mup")
    built = ww.own_network(make, 64, widths[-1], table=table, key=jax.random.key(0))
    trained = ww.train(built, rule, data, rate=2.0**-2.5, steps=10 * steps)
    print(f"width {widths[-1]} under muP at 2^-2.5, {10 * steps} steps: test accuracy {trained.test_accuracy:.1%}")


if __name__ == "__main__":
    main()
