"""Target propagation against plain loops in NumPy, closed forms, finite differences and limits; float64."""

import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from refusals import refused

from widthwise import cross_entropy, mse
from widthwise.algorithms import (
    Backprop,
    Batch,
    RidgeFeedback,
    TargetPropagation,
    TiedFeedback,
    TrainedFeedback,
    cosine,
    ridge_map,
)
from widthwise.network import above, around, forward, mlp, residual_mlp
from widthwise.parameterizations import parameterization
from widthwise.training import feedback_update, init_learner, prepared

KEY = jax.random.key(3)
TABLE = parameterization("mup", algorithm="dtp", base_width=4)
PHI = {"tanh": np.tanh, "linear": lambda z: z}


def built_mlp(depth=5, width=7, sizes=(6, 3), activation="tanh", state="post"):
    return mlp(sizes[0], width, sizes[1], depth=depth, activation=activation, table=TABLE, key=KEY, state=state)


def batch_of(count=5, sizes=(6, 3)):
    draw = np.random.default_rng(0)
    return Batch(jnp.asarray(draw.normal(size=(count, sizes[0]))), jnp.asarray(draw.normal(size=(count, sizes[1]))))


def matrices(network):
    """Every layer's effective matrix, as plain arrays."""
    return [
        float(segment.stages.linear.multiplier.value[row]) * np.asarray(segment.stages.linear.weight[row])
        for segment in network.segments
        for row in range(segment.depth)
    ]


def states_of(weights, x, phi, state):
    """Plain forward pass: what each layer's state is, the prediction last."""
    states, z = [], np.asarray(x)
    for index, w in enumerate(weights):
        last = index == len(weights) - 1
        seen = phi(z) if state == "pre" and index > 0 else z
        z = phi(seen @ w.T) if state == "post" and not last else seen @ w.T
        states.append(z)
    return states


def unstacked(errors):
    return [np.asarray(leaf[row]) for leaf in errors for row in range(leaf.shape[0])]


def downs_of(kind, weights, states, count):
    """Plain g_l for l = 2 … L, and the algorithm's feedback."""
    if kind == "tied":
        return [lambda v, w=w: v @ w for w in weights[1:]], TiedFeedback()
    ridge = 0.05

    def solved(low, high):
        q = low.T @ high @ np.linalg.inv(high.T @ high + ridge * count * high.shape[1] * np.eye(high.shape[1]))
        return lambda v: v @ q.T

    return [solved(*pair) for pair in itertools.pairwise(states)], RidgeFeedback(ridge)


@pytest.mark.parametrize("state", ["pre", "post"])
@pytest.mark.parametrize("kind", ["ridge", "tied"])
@pytest.mark.parametrize("difference", [True, False], ids=["dtp", "tp"])
@pytest.mark.parametrize("count", [5, 20], ids=["dual", "primal"])
def test_the_sweep_equals_a_plain_loop(state, kind, difference, count):
    built, batch, step = built_mlp(state=state), batch_of(count), 0.3
    weights = matrices(built.network)
    states = states_of(weights, batch.x, np.tanh, state)
    downs, feedback = downs_of(kind, weights, states, count)
    target = states[-1] + step * (np.asarray(batch.y) - states[-1])
    expected = []
    for down, low, high in zip(reversed(downs), reversed(states[:-1]), reversed(states[1:]), strict=True):
        target = low + down(target) - down(high) if difference else down(target)
        expected.append(target - low)
    rule = TargetPropagation(feedback, difference=difference, target_step=step)
    found = rule.infer(rule.init(built, key=KEY), batch, mse, key=KEY)
    for one, other in zip(unstacked(found.errors[:-1]), reversed(expected), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(found.errors[-1][0], batch.y - states[-1], rtol=1e-12)
    assert [float(p) for p in found.precisions] == pytest.approx([1 / step] * (len(found.errors) - 1) + [1.0])


def test_weights_learn_from_the_local_losses():
    """Against finite differences of 1/(2 η̂) |t_l − f_l(z_{l-1})|², t and z held fixed, mean over the batch."""
    built, batch, step = built_mlp(depth=3), batch_of(), 0.5
    rule = TargetPropagation(RidgeFeedback(0.1), target_step=step)
    learner = rule.init(built, key=KEY)
    gradients, _ = rule.grads(learner, batch, mse, key=KEY)
    weights = matrices(built.network)
    states = states_of(weights, batch.x, np.tanh, "post")
    errors = unstacked(rule.infer(learner, batch, mse, key=KEY).errors)
    multiplier = built.network.segments[1].stages.linear.multiplier.value[0]

    def local(w):
        return np.mean(np.sum((states[1] + errors[1] - np.tanh(states[0] @ (multiplier * w).T)) ** 2, 1)) / (2 * step)

    held = np.asarray(built.network.segments[1].stages.linear.weight[0])
    for row, column in [(0, 0), (2, 5), (6, 1)]:
        shift = np.zeros_like(held)
        shift[row, column] = 1e-6
        slope = (local(held + shift) - local(held - shift)) / 2e-6
        assert slope == pytest.approx(float(gradients.segments[1].stages.linear.weight[0, row, column]), rel=1e-6)


@pytest.mark.parametrize("difference", [True, False], ids=["dtp", "tp"])
def test_invertible_linear_layers_give_inverse_targets(difference):
    # Square, linear, as many examples as units, no ridge: g_l = W_l^-1 exactly.
    size, step = 4, 0.7
    built, batch = built_mlp(depth=4, width=size, sizes=(size, size), activation="linear"), batch_of(9, (size, size))
    rule = TargetPropagation(RidgeFeedback(0.0), difference=difference, target_step=step)
    errors = unstacked(rule.infer(rule.init(built, key=KEY), batch, mse, key=KEY).errors[:-1])
    weights = matrices(built.network)
    target = states_of(weights, batch.x, PHI["linear"], "post")[-1]
    target = target + step * (np.asarray(batch.y) - target)
    for index in (2, 1, 0):
        target = target @ np.linalg.inv(weights[index + 1]).T
        low = states_of(weights, batch.x, PHI["linear"], "post")[index]
        np.testing.assert_allclose(low + errors[index], target, rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("count", [3, 5, 8], ids=["fewer", "equal", "more"])
def test_dual_and_primal_ridge_are_one_map(count):
    draw = np.random.default_rng(1)
    z, x, v = draw.normal(size=(count, 5)), draw.normal(size=(count, 4)), draw.normal(size=(2, 5))
    mu = 0.3
    primal = v @ np.linalg.solve(z.T @ z + mu * np.eye(5), z.T @ x)
    dual = v @ z.T @ np.linalg.solve(z @ z.T + mu * np.eye(count), x)
    np.testing.assert_allclose(primal, dual, rtol=1e-12)
    left, right = ridge_map(jnp.asarray(z), jnp.asarray(x), jnp.asarray(mu))
    np.testing.assert_allclose((v if left is None else v @ left) @ right, primal, rtol=1e-12)


def test_the_ridge_follows_batch_and_fan_in():
    # Twice the batch by repeating it, and the same map: Z^T Z and mu both double.
    built, batch = built_mlp(), batch_of()
    twice = Batch(*(jnp.concatenate([a, a]) for a in batch))
    rule = TargetPropagation(RidgeFeedback(0.2))
    learner = rule.init(built, key=KEY)
    one, two = (rule.infer(learner, b, mse, key=KEY).errors for b in (batch, twice))
    for a, b in zip(one, two, strict=True):
        np.testing.assert_allclose(a, b[:, :5], rtol=1e-9, atol=1e-12)
    # Five layers of width 7 with 3 outputs: fan-ins of g_2 … g_5.
    assert [float(ridge.value) for ridge in learner.feedback.ridges] == [7.0, 3.0]


@pytest.mark.parametrize("loss", [mse, cross_entropy])
def test_linear_tied_feedback_is_backprop(loss):
    # g_l = W_l^T: errors are backprop's, times the target's step, which the local losses divide by.
    built = built_mlp(activation="linear")
    batch = Batch(batch_of().x, jnp.eye(3)[jnp.array([0, 1, 2, 0, 1])])
    rule = TargetPropagation(TiedFeedback(), target_step=0.01)
    found, metrics = rule.grads(rule.init(built, key=KEY), batch, loss, key=KEY)
    learner = Backprop().init(built, key=KEY)
    expected, reference = Backprop().grads(learner, batch, loss, key=KEY)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-13)
    assert float(metrics["loss"]) == pytest.approx(float(reference["loss"]))
    diagnosed = rule.diagnose(rule.init(built, key=KEY), batch, loss, found, key=KEY)
    assert float(diagnosed["cosine"]) == pytest.approx(1.0)


def test_the_target_step_cancels_for_linear_feedback():
    built, batch = built_mlp(), batch_of()
    small, large = (
        TargetPropagation(target_step=step).grads(TargetPropagation().init(built, key=KEY), batch, mse, key=KEY)[0]
        for step in (1e-6, 2.0)
    )
    for a, b in zip(jax.tree.leaves(small), jax.tree.leaves(large), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-14)


def feedback_case(learns, activation):
    built, batch = built_mlp(depth=4, width=5, activation="tanh"), batch_of()
    rule = TrainedFeedback(learns=learns, activation=activation, noise=0.3)
    learner = rule.init(built, key=KEY)
    *hidden, prediction = forward(built.network, batch.x)
    low, high = above(tuple(hidden)), (*hidden[1:], prediction)
    return rule, learner, low, high


def written_loss(learns, index, q, phi, weights, states, noises, sigma):
    """One layer's formula of `TrainedFeedback` in plain NumPy; `q` the feedback matrices of l = 2 … L."""

    def up(k, z):
        return z @ weights[k].T if k == len(weights) - 1 else np.tanh(z @ weights[k].T)

    def down(k, v):
        return phi(v @ q[k - 1].T)

    def mean(a):
        return np.mean(np.sum(a, axis=1))

    low, high, (xi, eta) = states[index - 1], states[index], noises[index - 1]
    x = low + sigma * xi
    if learns == "reconstruction":
        return 0.5 * mean((x - down(index, up(index, x))) ** 2)
    if learns == "ldrl":
        answer = down(index, up(index, x)) - down(index, up(index, low))
        around = down(index, high + sigma * eta) - down(index, high)
        return (0.5 * mean(around**2) - mean(sigma * xi * answer)) / sigma**2
    target = x
    for k in range(index, len(weights)):
        target = up(k, target)
    for k in reversed(range(index, len(weights))):
        target = states[k - 1] + down(k, target) - down(k, states[k])
    return 0.5 * mean((x - target) ** 2) / sigma**2


@pytest.mark.parametrize("activation", ["linear", "tanh"])
@pytest.mark.parametrize("learns", ["reconstruction", "drl", "ldrl"])
def test_feedback_gradients_are_those_of_the_written_formulas(learns, activation):
    """Finite differences of plain formulas; every layer's loss moves its own feedback alone."""
    rule, learner, low, high = feedback_case(learns, activation)
    # The formulas' noise is whatever the library draws, caught as it draws it.
    weights = [np.asarray(m) for m in matrices(learner.network)]
    states = states_of(weights, batch_of().x, np.tanh, "post")
    noises = drawn_noises(learns, learner, low, high)
    q = [np.asarray(m) for m in feedback_matrices(learner)]
    arrays, static = eqx.partition(learner.feedback.segments, eqx.is_inexact_array)
    gradients = jax.grad(
        lambda arrays: rule.loss(
            learner.network, eqx.combine(arrays, static), low, high, key=KEY,
        )
    )(arrays)  # fmt: skip
    found = [
        np.asarray(segment.stages.linear.weight[row]) / float(held.stages.linear.multiplier.value[row])
        for segment, held in zip(gradients, learner.feedback.segments, strict=True)
        for row in range(segment.stages.linear.weight.shape[0])
    ]
    plain = (PHI[activation], weights, states, noises, 0.3)
    value = sum(written_loss(learns, index, q, *plain) for index in range(1, len(weights)))
    loss = rule.loss(learner.network, learner.feedback.segments, low, high, key=KEY)
    assert float(loss) == pytest.approx(value, rel=1e-10)
    for layer in range(len(q)):
        for row, column in [(0, 0), (3, 1), (4, 2)]:
            slope = []
            for sign in (1, -1):
                moved = [m.copy() for m in q]
                moved[layer][row, column] += sign * 1e-6
                # Of this layer's loss alone: no other may teach its feedback, though in DRL the noise of layers below
                # comes down through it.
                slope.append(written_loss(learns, layer + 1, moved, *plain))
            expected = (slope[0] - slope[1]) / 2e-6
            assert expected == pytest.approx(found[layer][row, column], rel=2e-6, abs=1e-9)


def begun(way, built):
    """The learner as training begins with it, and the update of its feedback's weights."""
    learner = init_learner(TargetPropagation(way), built, key=KEY)
    return learner, feedback_update(way, learner.feedback)


def feedback_matrices(learner):
    return [
        segment.stages.linear.multiplier.value[row] * segment.stages.linear.weight[row]
        for segment in learner.feedback.segments
        for row in range(segment.depth)
    ]


def drawn_noises(learns, learner, low, high):
    """ξ and η of every layer, from the layer's key."""
    noises = []
    for index, segment in enumerate(learner.network.segments[1:]):
        keys = jax.random.split(jax.random.fold_in(KEY, index), segment.depth)
        for row in range(segment.depth):
            below, own = jax.random.split(keys[row]) if learns == "ldrl" else (keys[row], keys[row])
            shapes = low[index][row].shape, high[index][row].shape
            noises.append(tuple(np.asarray(jax.random.normal(*one)) for one in zip((below, own), shapes, strict=True)))
    return noises


def test_local_difference_learns_the_transpose():
    """Its optimum in linear networks is W_l^T, whose targets are backprop's; random feedback's are not."""
    built, batch = built_mlp(depth=3, width=6, activation="linear"), batch_of(16)
    rule = TargetPropagation(TrainedFeedback(learns="ldrl", rate=0.05, steps=3000, noise=1.0))
    learner = init_learner(rule, built, key=KEY)
    before = [np.asarray(m) for m in feedback_matrices(learner)]
    after = [np.asarray(m) for m in feedback_matrices(eqx.filter_jit(prepared)(rule, learner, batch, key=KEY))]
    transposed = [w.T for w in matrices(built.network)[1:]]

    def angle(a, b):
        return float(np.sum(a * b) / np.linalg.norm(a) / np.linalg.norm(b))

    assert min(angle(a, t) for a, t in zip(after, transposed, strict=True)) > 0.95
    assert max(abs(angle(a, t)) for a, t in zip(before, transposed, strict=True)) < 0.5


def test_trained_feedback_follows_gradient_descent_in_closed_form():
    """Of 1/2 |x − Q z|²: Q_k = Q* + (Q_0 − Q*)(1 − c H)^k with H the mean of z z^T and Q* H that of x z^T."""
    built, batch = built_mlp(depth=3, width=8), batch_of(8)
    rule = TrainedFeedback(rate=0.05, steps=300, noise=0.0)
    learner, update = begun(rule, built)
    moved = rule.learn(learner, batch, update, key=KEY)
    low, high = around(forward(built.network, batch.x))
    for index, factor in enumerate((4 / 8, 1.0)):
        x, z = np.asarray(low[index][0]), np.asarray(high[index][0])
        second = z.T @ z / len(z)
        best = x.T @ z / len(z) @ np.linalg.pinv(second)
        old, new = (
            np.asarray(held.feedback.segments[index].stages.linear.weight[0])
            * held.feedback.segments[index].stages.linear.multiplier.value
            for held in (learner, moved)
        )
        rate = 0.05 * factor * float(learner.feedback.segments[index].stages.linear.multiplier.value[0]) ** 2
        left = np.linalg.matrix_power(np.eye(len(second)) - rate * second, 300)
        np.testing.assert_allclose(new, best + (old - best) @ left, rtol=1e-9, atol=1e-11)


def test_adams_first_step_moves_feedback_by_the_tables_rate():
    built, batch = built_mlp(depth=3, width=8), batch_of(8)
    rule = TrainedFeedback(optimizer="adam", rate=0.01)
    learner, update = begun(rule, built)
    moved = rule.learn(learner, batch, update, key=KEY)
    before, after = (
        jax.tree.leaves(eqx.filter(held.feedback.segments, eqx.is_inexact_array)) for held in (learner, moved)
    )
    for old, new, row in zip(before, after, built.feedback_rows, strict=True):
        np.testing.assert_allclose(np.abs(new - old), 0.01 * row.scaling.rate, rtol=1e-4)


@pytest.mark.parametrize("width", [4, 16])
def test_feedback_rates_follow_the_table(width):
    """One SGD step: rate · row's factor · gradient, the factor 4/M (base width 4) of hidden layers, 1 of the top."""
    built, batch = built_mlp(depth=3, width=width), batch_of()
    rule = TrainedFeedback(rate=0.5, noise=0.2)
    learner, update = begun(rule, built)
    moved = rule.learn(learner, batch, update, key=KEY)
    *hidden, prediction = forward(built.network, batch.x)
    low, high = above(tuple(hidden)), (*hidden[1:], prediction)
    arrays, static = eqx.partition(learner.feedback.segments, eqx.is_inexact_array)
    own = jax.random.fold_in(KEY, 0)
    gradient = jax.grad(lambda a: rule.loss(learner.network, eqx.combine(a, static), low, high, key=own))(arrays)
    for index, factor in enumerate((4 / width, 1.0)):
        old, new, slope = (
            np.asarray(held[index].stages.linear.weight)
            for held in (learner.feedback.segments, moved.feedback.segments, gradient)
        )
        np.testing.assert_allclose(new - old, -0.5 * factor * slope, rtol=1e-9, atol=1e-14)


def test_directions_differ_from_backprop_unless_tied():
    built, batch = built_mlp(), batch_of()
    reference, _ = eqx.filter_jit(Backprop().grads)(Backprop().init(built, key=KEY), batch, mse, key=KEY)
    found = {}
    for name, feedback in (("ridge", RidgeFeedback()), ("tied", TiedFeedback())):
        rule = TargetPropagation(feedback)
        gradients, _ = eqx.filter_jit(rule.grads)(rule.init(built, key=KEY), batch, mse, key=KEY)
        found[name] = float(jnp.min(cosine(gradients, reference)[1]))
    assert found["ridge"] < 0.9 < found["tied"]


def test_what_is_refused():
    built = residual_mlp(6, 7, 3, depth=4, table=TABLE, key=KEY)
    with refused("feedback", "residual"):
        TargetPropagation(TrainedFeedback()).init(built, key=KEY)
    rule = TargetPropagation(TiedFeedback())
    with refused("stage", "Dense"):
        rule.infer(rule.init(built, key=KEY), batch_of(), mse, key=KEY)
    with refused("feedback", None):
        TargetPropagation().infer(Backprop().init(built_mlp(), key=KEY), batch_of(), mse, key=KEY)
    for make, setting, value in [
        (lambda: RidgeFeedback(-1e-3), "ridge", -1e-3),
        (lambda: RidgeFeedback(float("nan")), "ridge", float("nan")),
        (lambda: TargetPropagation(target_step=0.0), "eta_hat", 0.0),
        (lambda: TrainedFeedback(learns="drll"), "feedback loss", "drll"),
        (lambda: TrainedFeedback(learns="drl", noise=0.0), "noise", 0.0),
        (lambda: TrainedFeedback(optimizer="adm"), "feedback optimizer", "adm"),
        (lambda: TrainedFeedback(steps=0), "feedback steps", 0),
        (lambda: TrainedFeedback(rate=0.0), "feedback rate", 0.0),
        (lambda: TrainedFeedback(pretrain=-1), "pretrain", -1),
    ]:
        with refused(setting, value):
            make()
