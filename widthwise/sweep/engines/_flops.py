"""How much work a group is, roughly: which groups to start first, so that engines end together."""

import equinox as eqx
import jax

from .._group import Group
from .._train_group import Training


def flops(group: Group, training: Training, runs: int, examples: int) -> float:
    """An estimate of the floating-point operations of a group's runs.

        2 P B n (3 + 2 T) R

    P: entries of the weight matrices; B: batch; n: steps; R: runs. A pass forward or back is one product with every
    matrix, the weights' gradient another; each of T iterations of inference is a pass up and a pass down. Relaxations
    that stop early are counted at their most; a convolution's weights once, not at every pixel, which leaves the order
    of widths and depths; evaluation, probes and elementwise work are left out.

    **Arguments:** `group`, `training`; `runs`: members of the group; `examples`: of the training set.
    """
    built = eqx.filter_eval_shape(group.build, jax.random.key(0))
    # A stage's matrices carry the depth axis in front; a vector of biases has at most that axis beside its own.
    weights = sum(leaf.size for leaf in jax.tree.leaves(built.network) if getattr(leaf, "ndim", 0) >= 3)
    passes = 3 + 2 * group.algorithm.passes
    return 2.0 * weights * training.batch_size * training.total(examples) * passes * runs
