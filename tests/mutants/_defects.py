"""One-line defects, each with the tests that must fail under it and pass without it."""

from typing import NamedTuple


class Defect(NamedTuple):
    """A replacement of text that occurs exactly once in a file of the library."""

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


DEFECTS = (
    Defect(
        "dropped 1/2",
        "_loss.py",
        "return 0.5 * jnp.sum((prediction - y) ** 2, axis=-1)",
        "return jnp.sum((prediction - y) ** 2, axis=-1)",
        (),
    ),
    Defect(
        "mean for sum over features",
        "_loss.py",
        "return 0.5 * jnp.sum((prediction - y) ** 2, axis=-1)",
        "return 0.5 * jnp.mean((prediction - y) ** 2, axis=-1)",
        (),
    ),
    Defect(
        "gamma_L missing at the output",
        "inference/_base.py",
        "pulled = pullback(self.network, states, -scaled(self.precisions[-1], output_error))",
        "pulled = pullback(self.network, states, -output_error)",
        (),
    ),
    Defect(
        "gamma_bar's sign",
        "parameterization/_richness.py",
        "            precision=width_power(-gamma_bar),\n",
        "            precision=width_power(gamma_bar),\n",
        (),
    ),
    Defect(
        "hidden-bias rate with the hidden exponent",
        "parameterization/_richness.py",
        "bias = Scaling(rate=width_power(-c_input), epsilon=width_power(-g))",
        "bias = Scaling(rate=width_power(-c_hidden), epsilon=width_power(-g))",
        (),
    ),
    Defect(
        "bias inside the multiplier",
        "network/_layer.py",
        "out + self.bias_multiplier * self.bias",
        "out + self.multiplier * self.bias_multiplier * self.bias",
        (),
    ),
    Defect(
        "epsilon unscaled",
        "training/_optimizer.py",
        "lambda g, s: g / s.epsilon",
        "lambda g, s: g",
        (),
    ),
    Defect(
        "Adam gauge by c - 2t",
        "parameterization/_gauge.py",
        'rate = step**2 if optimizer == "sgd" else step',
        "rate = step**2",
        (),
    ),
    Defect(
        "L - 1 for L in 1/sqrt(NL)",
        "network/_build.py",
        "size = table.size(fan_in=fan_in, fan_out=fan_out, width=width, depth=depth)",
        "size = table.size(fan_in=fan_in, fan_out=fan_out, width=width, depth=depth - 1)",
        (),
    ),
    Defect(
        "SI with the old e_{l+1}",
        "inference/_sweep.py",
        "after = jax.tree.map(lambda e, m: p * (e + m), error, move)",
        "after = jax.tree.map(lambda e, m: p * e, error, move)",
        (),
    ),
    Defect(
        "FPA reading moved activities",
        "inference/_base.py",
        "seen = start.states if self.fixed_prediction else states",
        "seen = states",
        (),
    ),
    Defect(
        "batch divided twice",
        "algorithms/_base.py",
        "weight: Array = -precision / batch",
        "weight: Array = -precision / batch**2",
        (),
    ),
    Defect(
        "base width ignored in train",
        "config.py",
        '    "weight_decay_kind",\n    "base_width",\n',
        '    "weight_decay_kind",\n',
        (),
    ),
    Defect(
        "one seed used for both data order and initialization",
        "training/_examples.py",
        "jax.random.fold_in(key, stream) for stream in range(3)",
        "jax.random.fold_in(key, 0) for stream in range(3)",
        (),
    ),
)
