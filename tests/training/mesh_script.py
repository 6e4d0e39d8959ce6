"""Trains every rule on one device and on a mesh of eight, of this process or of two, and prints how far they differ.

python mesh_script.py DTYPE RULE...                             eight CPU devices of one process
python mesh_script.py DTYPE RULE... -- HOST:PORT COUNT INDEX    of COUNT processes
"""

import json
import sys

import equinox as eqx
import jax

words = sys.argv[1:]
address = words[words.index("--") + 1 :] if "--" in words else []
dtype, *rules = words[: words.index("--")] if address else words
processes = int(address[1]) if address else 1
jax.config.update("jax_num_cpu_devices", 8 // processes)
jax.config.update("jax_enable_x64", dtype == "float64")
jax.config.update("jax_disable_most_optimizations", True)

import numpy as np  # noqa: E402

import widthwise as ww  # noqa: E402
from widthwise.training import gathered, join  # noqa: E402

if address:
    join(address[0], processes, int(address[2]))
RULES = {
    "bp": (ww.Backprop(), {"optimizer": "adam"}),
    "pc": (ww.PredictiveCoding(ww.ErrorDescent(iterations=4, tolerance=1e-9)), {"algorithm": "pc"}),
    "tp": (ww.TargetPropagation(ww.RidgeFeedback(), difference=False), {"algorithm": "tp"}),
    "dtp": (ww.TargetPropagation(ww.TrainedFeedback(rate=0.05)), {"algorithm": "dtp"}),
}


def arrays(network):
    return [np.asarray(leaf) for leaf in jax.tree.leaves(eqx.filter(gathered(network), eqx.is_inexact_array))]


def trained(rule, table, mesh):
    built = ww.mlp(64, 24, 10, depth=4, table=table, key=jax.random.key(0), bias=True, dtype=dtype)
    rate = 0.004 if table.optimizer == "adam" else 0.1
    return ww.train(built, rule, ww.data.digits(), rate=rate, steps=10, batch_size=32, seed=1, mesh=mesh)


found = {}
for name in rules:
    rule, settings = RULES[name]
    table = ww.parameterization("mup", **settings)
    whole = trained(rule, table, {"data": 4, "model": 2})
    spread = jax.tree.leaves(eqx.filter(whole.network, eqx.is_inexact_array))
    shapes = [list(leaf.addressable_shards[0].data.shape) for leaf in spread]
    weights, losses = arrays(whole.network), whole.history["loss"]
    start = arrays(ww.mlp(64, 24, 10, depth=4, table=table, key=jax.random.key(0), bias=True, dtype=dtype).network)
    if address:
        found[name] = {"weights": [leaf.tolist() for leaf in weights], "losses": losses, "test": whole.test_loss}
        continue
    one = trained(rule, table, None)
    moved = max(np.abs(a - b).max() for a, b in zip(arrays(one.network), start, strict=True))
    apart = max(np.abs(a - b).max() for a, b in zip(arrays(one.network), weights, strict=True))
    found[name] = {
        "apart": float(apart / moved),
        "losses": float(np.max(np.abs(np.divide(losses, one.history["loss"]) - 1))),
        "test": abs(whole.test_loss / one.test_loss - 1),
        "shapes": shapes,
        "weights": [leaf.tolist() for leaf in arrays(one.network)],
        "test_loss": one.test_loss,
    }
if not address or address[2] == "0":
    print(json.dumps(found))
