"""Two devices that share each batch train the network that one device trains, but for the rounding of a sum."""

import json
import subprocess
import sys

import pytest
from refusals import refused

from widthwise.training import split

RUN = (
    "train --data digits --network residual_mlp --depth 5 --width 16 --steps 20 --rate 0.1 --seed 3 --batch-size 10 "
    "--dtype float64 "
)
# Loops that end when every example rests; test_mesh.py has the other rules.
RULE = "--algorithm pc --parameterization mupc --optimizer adam --relaxation error --tolerance 1e-6"


def trained(folder, devices):
    out = folder / f"{devices}.json"
    command = [sys.executable, "-m", "widthwise", *(RUN + RULE).split(), "--devices", str(devices), "--json", str(out)]
    subprocess.run(command, check=True, capture_output=True, cwd=folder)
    return json.loads(out.read_text())


def test_two_devices_train_as_one(tmp_path):
    one, two = (trained(tmp_path, devices) for devices in (1, 2))
    assert two["spec"]["devices"] == 2
    assert two["test_loss"] == pytest.approx(one["test_loss"], rel=1e-11)
    assert two["test_accuracy"] == one["test_accuracy"]
    assert two["settled"]["residual_max"] == pytest.approx(one["settled"]["residual_max"], rel=1e-6)
    assert two["settled"]["iterations_median"] == one["settled"]["iterations_median"]


def test_what_cannot_be_shared_is_refused():
    with refused("batch_size", 8):
        split({"data": 3}, 8, 16)
    with refused("devices", 4096):
        split({"data": 4096}, 8192, 16)


def test_two_devices_split_the_batch():
    """Each holds half of the examples, and all of the weights."""
    code = """
import jax
jax.config.update("jax_num_cpu_devices", 2)
import jax.numpy as jnp
from widthwise.training import split
parts = split({"data": 2}, 6, 4)
batch = jax.jit(parts.examples)(jnp.arange(12.0).reshape(6, 2))
weights = parts.copied({"w": jnp.ones((4, 4)), "name": "w"})["w"]
print([shard.data.shape for shard in batch.addressable_shards], [s.data.shape for s in weights.addressable_shards])
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[(3, 2), (3, 2)] [(4, 4), (4, 4)]"
