"""A network whose batch and width are shared by devices is the one that one device trains, but for rounding."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from refusals import refused

import widthwise as ww
from widthwise.training import join, split

SCRIPT = str(Path(__file__).with_name("mesh_script.py"))
RULES = ("bp", "pc", "tp", "dtp")
# Ten steps, each with sums over 24 to 64 terms that are rounded in another order: some ten units of 2^-24, relative to
# how far the weights moved or to the largest of them.
ROUNDING = 1e-5


def started(*words):
    environment = os.environ | {"JAX_PLATFORMS": "cpu"}
    return subprocess.Popen(
        [sys.executable, SCRIPT, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )


def answered(process):
    out, err = process.communicate(timeout=240)
    assert process.returncode == 0, err[-2000:]
    # Gloo speaks on stdout too.
    answers = [line for line in out.splitlines() if line.startswith("{")]
    return json.loads(answers[0]) if answers else None


@pytest.fixture(scope="module")
def eight():
    return answered(started("float32", *RULES))


@pytest.mark.parametrize("rule", RULES)
def test_eight_devices_train_as_one(eight, rule):
    found = eight[rule]
    assert found["apart"] <= ROUNDING
    assert found["losses"] <= ROUNDING
    assert found["test"] <= ROUNDING
    # Two devices share the 24 units: W_1 (24, 64) and hidden W (24, 24) by rows, W_L (10, 24) by columns; biases too.
    assert found["shapes"] == [[1, 12, 64], [1, 12], [2, 12, 24], [2, 12], [1, 10, 12], [1, 10]]


def test_two_processes_train_as_one(eight):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    processes = [started("float32", *RULES, "--", address, "2", str(index)) for index in range(2)]
    found, silent = (answered(process) for process in processes)
    assert silent is None
    for rule in RULES:
        one = eight[rule]
        pairs = [(np.array(a), np.array(b)) for a, b in zip(found[rule]["weights"], one["weights"], strict=True)]
        assert max(np.abs(a - b).max() for a, b in pairs) <= ROUNDING * max(np.abs(b).max() for _, b in pairs), rule
        assert found[rule]["test"] == pytest.approx(one["test_loss"], rel=ROUNDING)


@pytest.mark.parametrize(
    ("sizes", "batch_size", "width", "setting", "value"),
    [
        ({"data": 1, "model": 3}, 8, 16, "width", 16),
        ({"data": 3}, 8, 16, "batch_size", 8),
        ({"rows": 2}, 8, 16, "mesh", "rows"),
        ({"data": 0}, 8, 16, "devices", 0),
        ({"data": 64, "model": 64}, 64, 64, "devices", 4096),
    ],
)
def test_what_cannot_be_shared_is_refused(sizes, batch_size, width, setting, value):
    with refused(setting, value):
        split(sizes, batch_size, width)


@pytest.mark.parametrize(
    ("words", "setting", "value"),
    [
        (("127.0.0.1:1", 2, None), "--coordinator", "127.0.0.1:1"),
        (("127.0.0.1:1", 2, 2), "process id", 2),
        ((None, None, 0), "--coordinator", None),
    ],
)
def test_half_an_address_is_refused(words, setting, value):
    with refused(setting, value):
        join(*words)


def test_channels_are_not_shared():
    data = ww.data.digits()
    built = ww.cnn(data.image_shape, 4, 10, depth=2, table=ww.parameterization("mup"), key=jax.random.key(0))
    with refused("mesh", {"model": 2}):
        ww.train(built, ww.Backprop(), data, rate=0.1, steps=1, mesh={"model": 2})
