"""The benchmarks read, and the comparison's arithmetic is right; what they measure is measured elsewhere."""

import ast
import importlib
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import _cases
from benchmarks._settings import Size
from benchmarks.peers import _parity, _report
from benchmarks.peers.__main__ import parsed
from benchmarks.peers._processes import HERE, RIVALS, ROOT
from widthwise import mse
from widthwise.network import forward

FOLDER = HERE.parent


@pytest.mark.parametrize("name", RIVALS)
def test_rivals_scripts_read_and_know_nothing_of_ours(name):
    text = (HERE / f"run_{name}.py").read_text(encoding="utf-8")
    imports = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Import | ast.ImportFrom)]
    assert "widthwise" not in "".join(ast.unparse(node) for node in imports)


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.py")), ids=lambda path: path.name)
def test_our_benchmarks_import(path):
    importlib.import_module(".".join(Path(path).relative_to(ROOT).with_suffix("").parts))


def test_our_step_and_inference_run_on_one_device():
    size = Size.parse("4x3")
    built, batch, rule = _cases.network(size), _cases.one_batch(), _cases.algorithm("descent", size.depth)
    step = _cases.Stepper(built, rule, batch)
    step()
    prediction = forward(built.network, batch.x)[-1][0]
    assert float(step.metrics["loss"]) == pytest.approx(float(jnp.mean(mse(prediction, batch.y))), rel=1e-5)
    _, settled = _cases.inference(built, rule, batch)()
    # Three steps of 0.2 on a hidden layer's error, of order one, in front of a small readout.
    assert float(jnp.max(settled.residual)) < 1
    # Compiled as a whole, it rounds otherwise.
    np.testing.assert_allclose(_cases.forward_pass(built, batch)()[-1][0], prediction, atol=1e-6)


def test_ratios_are_taken_pair_by_pair():
    found = _report.spread(_report.ratios([2.0, 9.0, 8.0], [1.0, 3.0, 2.0]))
    assert found == (3.0, 2.0, 4.0, 3)
    assert _report.spread([1.0, 2.0]).median == 1.5
    with pytest.raises(ValueError):
        _report.ratios([1.0], [])


def test_work_of_a_step():
    # T = L = 3: one hidden layer, three steps of two products, and three more; 64 examples, 2 x 2 weights.
    assert Size.parse("2x3").flops() == 9 * 1 * (2 * 64 * 2 * 2)


def test_the_driver_reads_its_flags():
    options = parsed(["--jpc", "python", "--sizes", "128x8", "--relaxations", "error:iterations=30"])
    assert options.jpc == "python"
    assert options.pcx is None
    assert options.pairs == 5


def test_parity_tells_noise_from_signal():
    exact = {"grad0_64": np.array([1e-9]), "grad1_64": np.array([2.0]), "grad2_64": np.array([4.0])}
    ours = {"activity0": np.array([1.0]), "grad0": np.array([9e-9]), "grad1": np.array([2.0]), "grad2": np.array([4.0])}
    theirs = ours | {"grad0": np.array([-1e-9]), "activity0": np.array([1.0 + 1e-3])}
    updates = {f"update{layer}": np.array([1.0]) for layer in range(3)}
    held = {"activity0_64": np.array([1.0]), **{f"{name}_64": array for name, array in updates.items()}}
    theirs_64 = {name.removesuffix("_64"): array for name, array in (exact | held).items()}
    jpc = theirs | updates | {"update1": np.array([1.5])}
    renumbered = jpc | {"grad2": np.array([5.0]), "update1": np.array([3.0])}
    found = _parity.compare(ours | exact | updates | held, jpc, theirs_64, renumbered)
    assert found["noise"] == [1]
    assert found["signal"] == [2, 3]
    assert found["activities"] == pytest.approx(1e-3 / 1.001)
    assert found["updates"] == pytest.approx(0.5 / 1.5)
    assert found["updates_from_float64"] == {"ours": 0.0, "jpc": 0.5}
    assert found["renumbered"] == {"activities": 0.0, "gradients": pytest.approx(1 / 20**0.5), "updates": 1.0}
    assert found["agree_above"] == 0.5
    assert found["passed"] == {"activities": False, "gradients": True, "updates": False, "float64": True}
    assert _parity.spans([1, 2, 3, 5]) == "1-3, 5"
