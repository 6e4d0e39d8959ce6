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
        (
            "tests/training/test_fit_by_hand.py::test_losses_by_hand",
            "tests/science/test_jpc_reference.py::test_forward_settled_energies_and_gradients",
        ),
    ),
    Defect(
        "mean for sum over features",
        "_loss.py",
        "return 0.5 * jnp.sum((prediction - y) ** 2, axis=-1)",
        "return 0.5 * jnp.mean((prediction - y) ** 2, axis=-1)",
        (
            "tests/training/test_fit_by_hand.py::test_losses_by_hand",
            "tests/science/test_jpc_reference.py::test_forward_settled_energies_and_gradients",
        ),
    ),
    Defect(
        "gamma_L missing at the output",
        "inference/_problem.py",
        "return -scaled(self.precisions[-1], self.output_error(prediction))",
        "return -self.output_error(prediction)",
        (
            "tests/inference/test_relaxations_by_hand.py::test_energy_and_gradient",
            "tests/science/test_equilibrium.py::test_settled_descents_agree",
        ),
    ),
    Defect(
        "gamma_bar's sign",
        "parameterizations/_richness.py",
        "            precision=width_power(-gamma_bar),\n",
        "            precision=width_power(gamma_bar),\n",
        (
            "tests/parameterization/test_exponent_table.py::test_predictive_coding_rows",
            "tests/network/test_build_sizes.py::test_output_precision_of_the_network",
        ),
    ),
    Defect(
        "hidden-bias rate with the hidden exponent",
        "parameterizations/_richness.py",
        "bias = Scaling(rate=below(Role.HIDDEN_BIAS), epsilon=width_power(-g))",
        "bias = Scaling(rate=below(Role.HIDDEN), epsilon=width_power(-g))",
        ("tests/parameterization/test_exponent_table.py::test_backprop_rows",),
    ),
    Defect(
        "bias inside the multiplier",
        "network/_layer.py",
        "out + self.bias_multiplier * self.bias\n\n    def transposed",
        "out + self.multiplier * (self.bias_multiplier * self.bias)\n\n    def transposed",
        ("tests/network/test_chain_oracles.py::test_dense_stage_by_hand",),
    ),
    Defect(
        "epsilon unscaled",
        "training/_optimizer.py",
        "lambda e, g: g / e.astype(g.dtype)",
        "lambda e, g: g",
        ("tests/training/test_optimizer_rules.py::test_away_from_it_every_leaf_has_its_own_rate_epsilon_and_decay",),
    ),
    Defect(
        "Adam gauge by c - 2t",
        "parameterizations/_gauge.py",
        "rate = step ** rule.gauge_degree(role)",
        "rate = step**2",
        (
            "tests/parameterization/test_gauge_group.py::test_letters_move_as_the_theory_says",
            "tests/science/test_gauge_training.py::test_gauges_train_alike",
        ),
    ),
    Defect(
        "L - 1 for L in 1/sqrt(NL)",
        "network/_dense.py",
        "return assembled(layers, table, depth=depth,",
        "return assembled(layers, table, depth=depth - 1,",
        (
            "tests/network/test_build_sizes.py::test_mupc_is_the_papers_unit_gaussians",
            "tests/science/test_jpc_reference.py::test_forward_settled_energies_and_gradients",
        ),
    ),
    Defect(
        "SI with the old e_{l+1}",
        "inference/_sequential.py",
        "after = jax.tree.map(lambda e, m: p * (e + m), error, move)",
        "after = jax.tree.map(lambda e, m: p * e, error, move)",
        (
            "tests/inference/test_relaxations_by_hand.py::test_sequential_sweep_is_the_plain_layer_loop",
            "tests/science/test_local_regression.py::test_one_sweep_with_fixed_predictions_is_backprop",
        ),
    ),
    Defect(
        "FPA reading moved activities",
        "inference/_problem.py",
        "seen = start.states if self.fixed_prediction else states",
        "seen = states",
        ("tests/inference/test_relaxations_by_hand.py::test_activity_descent_with_fixed_predictions",),
    ),
    Defect(
        "batch divided twice",
        "algorithms/_local_regression.py",
        "weight: Array = -precision / batch",
        "weight: Array = -precision / batch**2",
        ("tests/science/test_local_regression.py::test_the_batch_is_divided_once",),
    ),
    Defect(
        "base width ignored in train",
        "config/_registry.py",
        '    "base_width",\n    "base_depth",\n',
        '    "base_depth",\n',
        ("tests/cli/test_train_verb.py::test_base_width",),
    ),
    Defect(
        "one seed used for both data order and initialization",
        "training/_examples.py",
        "jax.random.fold_in(key, stream) for stream in range(3)",
        "jax.random.fold_in(key, 0) for stream in range(3)",
        ("tests/training/test_examples_and_streams.py::test_streams_are_all_different",),
    ),
    Defect(
        "elimination of a layer without its precision",
        "theory/_conditioning.py",
        'gram = sum(jnp.einsum("ibu,jbu->bij", flat, flat, precision=FULL) for flat in flats) / precision',
        'gram = sum(jnp.einsum("ibu,jbu->bij", flat, flat, precision=FULL) for flat in flats)',
        ("tests/theory/test_conditioning.py::test_the_inverse_inverts",),
    ),
    Defect(
        "planes of color taken for pixels",
        "data/_cifar.py",
        "return np.moveaxis(planes, 1, -1), table[:, labels - 1]",
        "return planes.reshape(-1, _HEIGHT, _WIDTH, _CHANNELS), table[:, labels - 1]",
        ("tests/data_sets/test_cifar.py::test_a_picture_made_by_hand",),
    ),
    Defect(
        "coarse labels for fine ones",
        "data/_cifar.py",
        "np.moveaxis(planes, 1, -1), table[:, labels - 1]",
        "np.moveaxis(planes, 1, -1), table[:, 0]",
        ("tests/data_sets/test_cifar.py::test_a_picture_made_by_hand",),
    ),
    Defect(
        "the output target away from the data",
        "algorithms/_target_propagation.py",
        "*around(states), step * error)",
        "*around(states), -step * error)",
        ("tests/algorithms/test_target_propagation.py::test_the_sweep_equals_a_plain_loop",),
    ),
    Defect(
        "DTP's difference added",
        "algorithms/_target_propagation.py",
        "arrived = reached - (restored if self.difference else x)",
        "arrived = reached + (restored if self.difference else x)",
        ("tests/algorithms/test_target_propagation.py::test_the_sweep_equals_a_plain_loop",),
    ),
    Defect(
        "a frontier one layer short",
        "inference/_reached_layers.py",
        "lowest = sum(segment.depth for segment in segments) - steps",
        "lowest = sum(segment.depth for segment in segments) - steps + 1",
        ("tests/inference/test_ladder.py::test_the_frontier_is_the_literal_algorithm",),
    ),
    Defect(
        "a segment that never sees the next one move",
        "inference/_reached_layers.py",
        "segments[index - 1].depth, _row(states[index], 0))",
        "segments[index - 1].depth, _row(joined[index], 0))",
        ("tests/inference/test_ladder.py::test_the_frontier_is_the_literal_algorithm",),
    ),
    Defect(
        "two points' sweep that takes both Jacobians at the first",
        "network/_chain.py",
        "pull(stage, x[1], c[1])), prediction",
        "pull(stage, x[0], c[1])), prediction",
        ("tests/network/test_chain_oracles.py::test_the_chain_is_the_plain_loop",),
    ),
    Defect(
        "layers predicted by what they saw themselves",
        "inference/_reached_layers.py",
        "predictions = [*initial[1:], start.prediction]",
        "predictions = [*initial[:-1], start.prediction]",
        ("tests/inference/test_ladder.py::test_the_frontier_is_the_literal_algorithm",),
    ),
    Defect(
        "searches that keep any step",
        "inference/_safeguarded_search.py",
        "turn.active & (energy <= allowed)",
        "turn.active & (energy < jnp.inf)",
        ("tests/inference/test_ladder.py::test_the_energy_never_rises",),
    ),
    Defect(
        "auto goes on from where descent raised the energy",
        "inference/_automatic.py",
        "        point = chosen_point(lower, point, start)\n        if quick",
        "        if quick",
        ("tests/inference/test_automatic.py::test_descent_that_raises_the_energy_is_forgotten",),
    ),
    Defect(
        "auto takes back a fall below rounding",
        "inference/_automatic.py",
        "energy + problem.rounding(start, energy)",
        "energy",
        ("tests/inference/test_automatic.py::test_at_a_curvature_below_rounding_inference_is_backprop",),
    ),
    Defect(
        "searches forget the prediction's rounding",
        "inference/_problem.py",
        "(jnp.abs(energy) + self.precisions[-1] * through)",
        "jnp.abs(energy)",
        ("tests/inference/test_automatic.py::test_confident_examples_settle",),
    ),
    Defect(
        "auto hands over an exact solve that failed",
        "inference/_automatic.py",
        "jax.lax.cond(jnp.all(exact[1].converged), lambda",
        "jax.lax.cond(jnp.ones((), bool), lambda",
        ("tests/inference/test_automatic.py::test_examples_that_rounding_spoils_are_searched",),
    ),
    Defect(
        "a fact ignored: pretraining",
        "training/_step.py",
        "            if algorithm.pretraining:\n",
        "            if False:\n",
        ("tests/algorithms/test_own_rules.py::test_facts_are_heeded",),
    ),
    Defect(
        "a fact ignored: what a subclass says",
        "_fact.py",
        "            return self.read(instance)\n",
        "            return self.read(instance)\n\n        def __set__(self, instance: Any, value: Any) -> None:\n"
        "            pass\n",
        (
            "tests/algorithms/test_own_rules.py::test_facts_are_heeded",
            "tests/algorithms/test_own_rules.py::test_an_own_relaxation_trains",
        ),
    ),
    Defect(
        "a fact ignored: a promise to settle",
        "training/_train.py",
        "promised = relaxation is not None and relaxation.promises",
        "promised = False",
        ("tests/algorithms/test_own_rules.py::test_a_relaxation_that_promises_is_not_told_to_be_another",),
    ),
    Defect(
        "a step's second update begins at the first one's weights",
        "training/_step.py",
        "            return eqx.apply_updates(network, updates), moved\n",
        "            return eqx.apply_updates(learner.network, updates), moved\n",
        ("tests/algorithms/test_own_rules.py::test_weights_move_between_two_phases",),
    ),
    Defect(
        "a row's gradient degree off by one",
        "parameterizations/_update_rule.py",
        "return norm - desired + q * gradient + p * weight - movement",
        "return norm - desired + (q + 1) * gradient + p * weight - movement",
        (
            "tests/parameterization/test_update_rules.py::test_rates_under_backprop_and_predictive_coding",
            "tests/parameterization/test_exponent_table.py::test_predictive_coding_rows",
        ),
    ),
    Defect(
        "factors among the trainable arrays",
        "network/_factor.py",
        'self.bits = jnp.asarray(held.view(f"int{8 * self.dtype.itemsize}"))',
        "self.bits = jnp.asarray(held)",
        (
            "tests/training/test_optax.py::test_trainable_arrays_are_weights_and_biases_alone",
            "tests/network/test_build_sizes.py::test_labels_have_the_networks_structure",
        ),
    ),
    Defect(
        "a gauge move that forgets the weight's degree",
        "parameterizations/_update_rule.py",
        "return 1 + q - p",
        "return 1 + q",
        ("tests/parameterization/test_update_rules.py::test_gauge_moves_follow_the_degrees",),
    ),
    Defect(
        "every layer of Muon one matrix",
        "training/_directions.py",
        "inner = list(range(1, leaf.ndim))",
        "inner = list(range(leaf.ndim))",
        ("tests/training/test_optax.py::test_muon_orthogonalizes_each_layers_matrix",),
    ),
)
