"""A learning rule of one's own: its exponents derived by measurement, checked, and shown to transfer."""

import jax
import jax.numpy as jnp

import widthwise as ww
from widthwise.algorithms import AbstractAlgorithm, Inference
from widthwise.measure import start_table
from widthwise.network import forward, inputs


class DirectFeedbackAlignment(AbstractAlgorithm):
    """Direct feedback alignment: the output's error reaches every hidden layer by a fixed random matrix.

    e_l = B_l e_L,   B_l ~ N(0, 1/out),   x_l = z_{l-1}          (arXiv 1609.01596)
    """

    @property
    def name(self) -> str:
        """The rule's short name."""
        return "dfa"

    def infer(self, learner, batch, loss, *, key) -> Inference:
        """Inputs and errors of every layer; all else follows from them."""
        *hidden, prediction = forward(learner.network, batch.x)
        error = -jax.grad(lambda f: jnp.sum(loss(f, batch.y)))(prediction[0])
        errors = []
        for index, state in enumerate(hidden):  # One segment each: (depth, batch, width).
            fixed = jax.random.fold_in(jax.random.key(1), index)
            b = jax.random.normal(fixed, (state.shape[0], error.shape[1], state.shape[2]), error.dtype)
            errors.append(jnp.einsum("bo,dow->dbw", error, b) / error.shape[1] ** 0.5)
        one = jnp.ones((), error.dtype)
        seen = inputs(batch.x, tuple(hidden))
        return Inference(seen, (*errors, error[None]), (one,) * (len(hidden) + 1), prediction[0], {})


def main(widths=(64, 128, 256, 512), seeds=16, log2_rates=(-6, -2, 0.5), steps=300) -> None:
    """Derive; check and sweep the rate beside the standard parameterization."""
    rule, data = DirectFeedbackAlignment(), ww.data.digits()
    # States after activations, so that errors pass through their derivatives, as in the paper.
    family = lambda width, key, table: ww.mlp(64, width, 10, depth=3, state="post", table=table, key=key)
    found = ww.derive(family, rule, widths=widths, seeds=seeds)
    print(found)
    for table in (found.table, start_table("own", "sgd")):
        build = lambda width, key, table=table: family(width, key, table)
        # Fixed feedback meets the readout at random: the output's slope needs twice the seeds to be told.
        print(ww.coordinate_check(build, rule, table, widths=widths[1:], seeds=2 * seeds))
        sizes = {"widths": widths[1:], "log2_rates": log2_rates, "seeds": 4, "steps": steps}
        print(ww.transfer(build, rule, table, data=data, **sizes).summary())


if __name__ == "__main__":
    main()
