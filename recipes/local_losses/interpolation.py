"""From gradient descent to Gauss-Newton: where predictive coding's settled errors lie between the two.

The configuration of docs/theory.md B3: three layers, 8 inputs, 3 outputs, 8 examples, x ~ N(0, 1), y = tanh(2 T x), muP
with base width 1 (readout 1/M), readout rows times (1.5, 0.7, 0.3) so that the two limits differ; float64; means over
seeds, examples and both hidden layers. Cosines of the hidden errors to backprop's and to the least change of the layer
that reaches the target, J_l^+ (y - f). Linear networks by the closed form; tanh and relu (gain sqrt(2)) by simulated
inference to a residual of 1e-4, with J_l of the forward pass; relu's minima often lie on kinks of the energy, where no
gradient vanishes: the worst example's residual stays at 0.01 to 0.4. Then ||C|| against width, with its slope: muP at
gamma_bar 0 and -1, and SP at gamma_bar 0.

Exit code 1 where a linear number is further from docs/theory.md than 0.05, or a slope of ||C|| from -1, 0, 0 than 0.1.
Writes results/interpolation.json, results/interpolation.log and docs/images/interpolation.png.

    python recipes/local_losses/interpolation.py [--seeds 16] [--widths 64 128 256 512 1024] [--iterations 500 100]
"""

import argparse
import functools
import json
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import equinox as eqx
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

import widthwise as ww
from widthwise import theory
from widthwise.inference import Problem
from widthwise.measure import log_slope
from widthwise.network import pullback

jax.config.update("jax_enable_x64", True)
RESULTS = Path(__file__).parent / "results"
IMAGE = Path(__file__).parents[2] / "docs" / "images" / "interpolation.png"
IN_SIZE, OUT_SIZE, BATCH = 8, 3, 8
READOUT = jnp.array([1.5, 0.7, 0.3])[:, None]
# Of inference, at most: tanh reaches the tolerance after far fewer.
ITERATIONS = {"tanh": 500, "relu": 100}
GAINS = {"linear": 1.0, "tanh": 1.0, "relu": 2**0.5}
WIDTHS = (64, 128, 256, 512, 1024)
PRECISIONS = (0.01, 0.1, 1.0, 10.0, 100.0)
GAMMA_BARS = (0.0, -0.5, -1.0, -1.5)
# docs/theory.md B3: gamma_bar, gamma', width, cosine to backprop and to Gauss-Newton.
EXPECTED = {
    (0.0, 1.0, 64): (1.0, 0.53),
    (0.0, 1.0, 1024): (1.0, 0.55),
    (-0.5, 1.0, 1024): (0.999, 0.57),
    (-1.0, 1.0, 1024): (0.86, 0.83),
    (-1.0, 100.0, 1024): (0.56, 1.0),
}
# Parameterization, gamma_bar, slope of ||C||.
CURVATURES = (("mup", 0.0, -1.0), ("mup", -1.0, 0.0), ("sp", 0.0, 0.0))
TOLERANCE, SLOPE_TOLERANCE = 0.05, 0.1
LINES = []


def say(line):
    """Print, and keep for the log."""
    print(line, flush=True)
    LINES.append(line)


@functools.cache
def network_of(name, width, activation, seed):
    """A three-layer network with an anisotropic readout, and its data; gamma_L is given apart from it."""
    table = ww.parameterization(name, algorithm="pc", base_width=1)
    options = {"depth": 3, "activation": activation, "gain": GAINS[activation], "table": table}
    network = ww.mlp(IN_SIZE, width, OUT_SIZE, key=jax.random.key(seed), **options).network
    network = eqx.tree_at(lambda n: n.segments[-1].stages.linear.weight, network, replace_fn=lambda w: w * READOUT)
    draw = np.random.default_rng(seed).normal
    x = draw(size=(BATCH, IN_SIZE))
    y = np.tanh(2 * x @ draw(size=(IN_SIZE, OUT_SIZE)) / np.sqrt(IN_SIZE))
    return network, jnp.asarray(x), jnp.asarray(y)


@eqx.filter_jit
def linear_cosines(network, x, y, output_precision):
    """Both cosines of e_1 and e_2 by the closed form, which leaves no residual."""
    found = theory.limit_cosines(theory.effective_matrices(network), jnp.append(jnp.ones(2), output_precision), x, y)
    return jnp.mean(jnp.stack(found), axis=(1, 2)), 0.0


@eqx.filter_jit
def settled_cosines(network, x, y, output_precision, iterations):
    """The same of any network, from simulated inference, and the largest residual."""
    one = jnp.ones(())
    problem = Problem(network, (one, one, output_precision), x, y, ww.mse)
    start = problem.start()
    point, settled = ww.QuasiNewton(iterations=iterations, tolerance=1e-4)(problem, start)
    rows = [pullback(network, start.states, jnp.broadcast_to(unit, y.shape)) for unit in jnp.eye(OUT_SIZE)]
    # layers, batch, out, units: J_l at the forward pass.
    jacobians = jnp.stack([jnp.concatenate(row) for row in rows], axis=2)
    errors = jnp.concatenate(point.errors)
    descent = jnp.einsum("lbou,bo->lbu", jacobians, start.output_error)
    newton = jnp.einsum("lbuo,bo->lbu", jnp.linalg.pinv(jacobians), start.output_error)

    def cosine(other):
        sizes = jnp.linalg.norm(errors, axis=-1) * jnp.linalg.norm(other, axis=-1)
        return jnp.mean(jnp.sum(errors * other, axis=-1) / sizes)

    return jnp.stack([cosine(descent), cosine(newton)]), jnp.max(settled.residual)


def measured(activation, gamma_bar, precision, width, values):
    """Means over seeds of both cosines, their spread over seeds, and the largest residual."""
    rows, residual = [], 0.0
    of = linear_cosines
    if activation != "linear":
        of = functools.partial(settled_cosines, iterations=values.iterations[activation])
    for seed in range(values.seeds):
        both, own = of(*network_of("mup", width, activation, seed), jnp.asarray(precision * width**-gamma_bar))
        rows.append(np.asarray(both))
        residual = max(residual, float(own))
    descent, newton = map(float, np.mean(rows, axis=0))
    return {"descent": descent, "newton": newton, "sd": float(np.std(rows, axis=0).max()), "residual": residual}


def interpolated(values):
    """The rows of all activations, and whether one is away from docs/theory.md."""
    points, failed = [], False
    say("phi      gamma_bar  gamma'  width   to GD  to GN     sd  residual   theory.md")
    for activation in GAINS:
        jobs = [(gamma_bar, 1.0, width) for gamma_bar in GAMMA_BARS for width in values.widths]
        jobs += [(-1.0, precision, values.widths[-1]) for precision in PRECISIONS if precision != 1]
        for job in jobs:
            found = measured(activation, *job, values)
            line = f"{activation:8s} {job[0]:9.1f} {job[1]:7g} {job[2]:6d} {found['descent']:7.3f} "
            line += f"{found['newton']:6.3f} {found['sd']:6.3f} {found['residual']:9.0e}"
            if activation == "linear" and job in EXPECTED:
                descent, newton = EXPECTED[job]
                away = max(abs(found["descent"] - descent), abs(found["newton"] - newton)) > TOLERANCE
                failed |= away
                line += f"   {descent:.3f} {newton:.3f}{'  AWAY' if away else ''}"
            say(line)
            labels = dict(zip(("gamma_bar", "output_precision", "width"), job, strict=True))
            points.append({"activation": activation} | labels | found)
    return points, failed


def curvatures(seeds, widths):
    """||C|| of linear networks and its slopes, and whether one is away from theory."""
    found, failed = [], False
    for name, gamma_bar, expected in CURVATURES:
        norms = np.empty((seeds, len(widths)))
        for column, width in enumerate(widths):
            for seed in range(seeds):
                matrices = theory.effective_matrices(network_of(name, width, "linear", seed)[0])
                norms[seed, column] = np.linalg.norm(theory.curvature_matrix(matrices, [1, 1, width**-gamma_bar]), 2)
        slope, error = log_slope(widths, norms)
        away = abs(slope - expected) > SLOPE_TOLERANCE
        failed |= away
        means = " ".join(f"{value:.4g}" for value in norms.mean(axis=0))
        line = f"||C|| {name:3s} gamma_bar {gamma_bar:4.1f}: {means}; slope {slope:.3f} ± {error:.3f}"
        say(f"{line}, expected {expected:.0f}{'  AWAY' if away else ''}")
        found.append({"name": name, "gamma_bar": gamma_bar, "norms": norms.mean(axis=0).tolist(), "slope": slope})
    return found, failed


def draw_widths(axis, points, activation, widths):
    """Both cosines against width, a colour for each gamma_bar."""
    for index, gamma_bar in enumerate(GAMMA_BARS):
        own = [p for p in points if (p["gamma_bar"], p["output_precision"]) == (gamma_bar, 1.0)]
        axis.plot(widths, [p["descent"] for p in own], "o-", color=f"C{index}", label=rf"$\bar\gamma$ = {gamma_bar:g}")
        axis.plot(widths, [p["newton"] for p in own], "s--", color=f"C{index}", mfc="white")
    axis.set(xscale="log", xlabel="width", title=rf"{activation}, $\gamma'$ = 1", ylim=(0, 1.05))
    axis.set_xticks(widths, map(str, widths))
    axis.minorticks_off()


def draw_precisions(axis, points, activation, width):
    """Both cosines against gamma' at gamma_bar -1 and the largest width."""
    own = [p for p in points if (p["gamma_bar"], p["width"]) == (-1.0, width)]
    own.sort(key=lambda p: p["output_precision"])
    axis.plot(PRECISIONS, [p["descent"] for p in own], "o-", color="k", label="to gradient descent")
    axis.plot(PRECISIONS, [p["newton"] for p in own], "s--", color="k", mfc="white", label="to Gauss-Newton")
    axis.set(xscale="log", xlabel=r"$\gamma'$", ylim=(0, 1.05))
    axis.set_title(rf"{activation}, $\bar\gamma$ = -1, width {width}")


def draw(points, norms, widths):
    """A column for each activation, and ||C||."""
    figure, axes = plt.subplots(2, 4, figsize=(13, 5.8), layout="constrained")
    for column, activation in enumerate(GAINS):
        own = [p for p in points if p["activation"] == activation]
        draw_widths(axes[0, column], own, activation, widths)
        draw_precisions(axes[1, column], own, activation, widths[-1])
    for axis in axes[:, 0]:
        axis.set_ylabel("cosine of hidden errors")
        axis.legend(fontsize=8)
    for own, look in zip(norms, ("o-", "s-", "x:"), strict=True):
        name = "SP" if own["name"] == "sp" else "muP"
        label = rf"{name}, $\bar\gamma$ = {own['gamma_bar']:g} ({own['slope']:+.2f})"
        axes[0, 3].plot(widths, own["norms"], look, label=label)
    axes[0, 3].set(xscale="log", yscale="log", xlabel="width", title=r"$\|C\|$, linear (slope)")
    axes[0, 3].set_xticks(widths, map(str, widths))
    axes[0, 3].minorticks_off()
    axes[0, 3].legend(fontsize=8)
    axes[1, 3].remove()
    figure.savefig(IMAGE, dpi=110)


def main():
    """Measure, print, draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=16)
    parser.add_argument("--widths", type=int, nargs="+", default=list(WIDTHS))
    parser.add_argument("--iterations", type=int, nargs=2, default=ITERATIONS.values(), help="of tanh and of relu")
    values = parser.parse_args()
    values.iterations = dict(zip(ITERATIONS, values.iterations, strict=True))
    points, away = interpolated(values)
    norms, failed = curvatures(values.seeds, values.widths)
    stored = {"seeds": values.seeds, "widths": values.widths, "points": points, "curvature": norms}
    (RESULTS / "interpolation.json").write_text(json.dumps(stored, indent=1) + "\n")
    (RESULTS / "interpolation.log").write_text("\n".join(LINES) + "\n")
    draw(points, norms, values.widths)
    return int(away or failed)


if __name__ == "__main__":
    sys.exit(main())
