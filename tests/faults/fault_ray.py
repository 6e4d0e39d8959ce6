"""A Ray worker, a Ray node and the driver of a Ray sweep are killed; Ray, or the same command again, ends the sweep."""

import json
import os
import subprocess
import sys

import pytest
from faults.sweeps import (
    RUNS,
    SWEEP,
    comparable,
    descendants,
    ended,
    finishes,
    groups,
    kill,
    lines,
    processes,
    results,
    start,
    wait_until,
)

pytest.importorskip("ray", reason="the extra ray is not installed; `make faults` installs it")

# In a process of its own: two nodes of one CPU each on the loopback, and a head that trains nothing.
CLUSTER = """
import json, os, sys
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
from ray.cluster_utils import Cluster
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
cluster.wait_for_nodes()
def raylet(node):
    return node.all_processes["raylet"][0].process.pid
print(json.dumps({"address": cluster.address, "nodes": [raylet(node) for node in nodes]}), flush=True)
sys.stdin.read()
cluster.shutdown()
"""


@pytest.fixture
def cluster():
    """A cluster's address and its nodes' raylets."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen([sys.executable, "-c", CLUSTER], text=True, **pipes)
    told = json.loads(next(line for line in process.stdout if line.startswith("{")))
    yield told
    process.communicate(timeout=120)


def at_work(node):
    """The workers of a node that train a group."""
    return descendants(node, "ray::_train")


def begun(tmp_path, cluster, home):
    line = f"{SWEEP} --engine ray --address {cluster['address']}"
    process = start(tmp_path, line, home)
    wait_until(lambda: groups(home) >= 1, process)
    return line, process


def is_whole(home, whole, kept):
    assert lines(home)[: len(kept)] == kept
    assert comparable(home) == comparable(whole)
    assert results(home) == results(whole)


def test_a_worker_is_killed(tmp_path, whole, cluster):
    home = tmp_path / "run"
    _, process = begun(tmp_path, cluster, home)
    kept = lines(home)
    kill(wait_until(lambda: [worker for node in cluster["nodes"] for worker in at_work(node)], process)[0])
    assert ended(process) == (0, "")
    is_whole(home, whole, kept)


def test_a_node_is_killed(tmp_path, whole, cluster):
    home = tmp_path / "run"
    _, process = begun(tmp_path, cluster, home)
    kept = lines(home)
    node = wait_until(lambda: [node for node in cluster["nodes"] if at_work(node)], process)[0]
    children = descendants(node)
    kill(node)
    for child in set(children) & set(processes()):
        kill(child)
    assert ended(process) == (0, "")
    is_whole(home, whole, kept)


def test_the_driver_is_killed(tmp_path, whole, cluster):
    home = tmp_path / "run"
    line, process = begun(tmp_path, cluster, home)
    kill(process.pid)
    process.communicate()
    assert groups(home) < 4
    finishes(tmp_path, line, home, whole, lines(home)[: groups(home) * RUNS])
    assert os.path.exists(home / "report.html")
