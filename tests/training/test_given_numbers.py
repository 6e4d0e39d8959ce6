"""Numbers and paths as users have them in Python: taken, or refused before training with what to give instead.

The checks of types that other tests run under would answer first, so these run in a process of their own.
"""

import json
import subprocess
import sys

import pytest

BEGIN = """
import json, sys, tempfile, warnings
from pathlib import Path
import jax, jax.numpy as jnp, numpy as np, widthwise as ww
data = ww.data.digits().first(64)
table = ww.parameterization("mup")
def build(width, key): return ww.mlp(64, width, 10, depth=2, table=table, key=key)
def train(**given):
    given = dict(rate=0.1, steps=2, batch_size=16) | given
    return ww.train(build(8, jax.random.key(0)), ww.Backprop(), data, **given).history["loss"]
def transfer(**given):
    given = dict(widths=[8], seeds=1, log2_rates=(-3, -2, 1), steps=2, batch_size=16) | given
    return sorted({row["log2_rate"] for row in ww.transfer(build, ww.Backprop(), table, data=data, **given).curves})
def said(call, **given):
    try: return {"found": call(**given)}
    except ww.InputError as error: return {"setting": error.setting, "remedy": error.remedy}
    except Exception as error: return {"broken": type(error).__name__ + ": " + str(error)[:200]}
found = {}
"""


def answers(lines):
    program = BEGIN + "\n".join(lines) + "\nprint(json.dumps(found))"
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def trained():
    same = {
        "plain": "{}",
        "numpy rate": "dict(rate=np.float64(0.1))",
        "numpy seed": "dict(seed=np.int64(0))",
        "numpy decay": "dict(weight_decay=np.float32(0))",
        "numpy momentum": "dict(momentum=np.zeros(()))",
        "numpy steps": "dict(steps=np.int32(2))",
        "numpy batch": "dict(batch_size=np.uint8(16))",
        "path as text": "dict(checkpoint=tempfile.mkdtemp() + '/ck')",
        "path": "dict(checkpoint=Path(tempfile.mkdtemp()) / 'ck', rate=np.float64(0.1), seed=np.int16(0))",
    }
    near = {"float32 rate": "dict(rate=np.float32(0.1))", "JAX's rate": "dict(rate=jnp.asarray(0.1))"}
    refused = {
        "negative": "dict(rate=-0.1)", "nan": "dict(rate=float('nan'))", "infinite": "dict(rate=float('inf'))",
        "underflow": "dict(rate=1e-46)", "overflow": "dict(rate=1e39)", "text": "dict(rate='0.1')",
        "none": "dict(rate=None)",
        "list": "dict(rate=[0.1, 0.2])", "truth": "dict(rate=True)", "array": "dict(rate=np.ones(2))",
        "momentum of one": "dict(momentum=0.99999999)", "negative decay": "dict(weight_decay=-1e-3)",
        "decay underflow": "dict(weight_decay=1e-42)", "epsilon": "dict(epsilon=0)", "clip": "dict(clip=-1)",
        "half a step": "dict(steps=2.5)", "no step": "dict(steps=0)", "true steps": "dict(steps=True)",
        "float batch": "dict(batch_size=16.0)", "negative seed": "dict(seed=-1)", "float seed": "dict(seed=0.5)",
        "large seed": "dict(seed=2**32)", "devices": "dict(devices=1.5)", "warmup": "dict(warmup=0.5)",
    }  # fmt: skip
    calls = same | near | refused
    found = answers([f"found[{name!r}] = said(train, **{given})" for name, given in calls.items()])
    return found, same, near, refused


def test_numbers_of_numpy_and_jax_are_numbers(trained):
    found, same, near, _ = trained
    plain = found["plain"]["found"]
    assert {name for name in same if found[name].get("found") != plain} == set()
    for name in near:
        assert found[name]["found"] == pytest.approx(plain, rel=1e-5)


def test_what_cannot_be_a_number_is_refused_by_name(trained):
    found, _, _, refused = trained
    settings = {name: given.removeprefix("dict(").split("=")[0] for name, given in refused.items()}
    assert {name: found[name].get("setting", found[name]) for name in refused} == settings
    assert all(found[name]["remedy"] for name in refused)


def test_sizes_rates_and_seeds_as_they_come():
    found = answers(
        [
            "sizes = dict(width=np.int64(32), depth=np.int32(3), in_size=np.int16(64), out_size=np.int64(10))",
            "rest = dict(table=table, key=jax.random.key(0))",
            "mlp = lambda **one: ww.mlp(**dict(in_size=64, width=8, out_size=10, depth=2) | one, **rest) and 1",
            "for name, size in sizes.items(): found[name] = said(mlp, **{name: size})",
            "cnn = lambda: ww.cnn(tuple(np.array((8, 8, 1))), np.int64(4), 10, depth=2, **rest) and 1",
            "found['image'] = said(cnn)",
            "found['base'] = said(lambda: ww.parameterization('mup', base_width=np.int64(32)).base_width)",
            "found['list'] = said(transfer, log2_rates=[-4, -3, -2])",
            "found['array'] = said(transfer, log2_rates=np.arange(-5, -3, 0.5))",
            "found['tuple'] = said(transfer, log2_rates=(-4, -2, 1))",
            "found['widths'] = said(transfer, widths=2 ** np.arange(3, 4))",
            "bad = dict(uneven=dict(log2_rates=[-4, -3, -1]), number=dict(log2_rates=-3), width=dict(widths=64))",
            "bad |= dict(seeds=dict(seeds=[0, 1]), float_width=dict(widths=[8.0]), select=dict(select='loss'))",
            "for name, given in bad.items(): found['bad ' + name] = said(transfer, **given)",
        ]
    )
    assert [found[name] for name in ("width", "depth", "in_size", "out_size", "image")] == [{"found": 1}] * 5
    assert found["base"] == {"found": 32}
    assert found["list"] == found["tuple"] == {"found": [-4.0, -3.0, -2.0]}
    assert found["array"] == {"found": [-5.0, -4.5, -4.0, -3.5]}
    assert found["widths"] == {"found": [-3.0, -2.0]}
    assert {name: one.get("setting", one) for name, one in found.items() if name.startswith("bad")} == {
        "bad uneven": "log2 rates", "bad number": "log2 rates", "bad width": "widths", "bad seeds": "seeds",
        "bad float_width": "widths", "bad select": "select",
    }  # fmt: skip
