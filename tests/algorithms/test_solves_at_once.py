"""Programs that solve batches of systems at once, as a sweep's threads do, all end."""

import subprocess
import sys

# jaxlib shares such a batch out to a pool's threads, and waits in one of them: what hangs is a process of its own.
AT_ONCE = """
import threading

import jax
import jax.numpy as jnp

from widthwise.algorithms import ridge_map

z, x = jax.random.normal(jax.random.key(0), (2, 8, 64, 256))

@jax.jit
def program():
    def step(carry, _):
        _, right = jax.vmap(lambda z, x: ridge_map(z, x, jnp.ones(())))(z + carry, x)
        return 1e-3 * jnp.mean(right), None
    return jax.lax.scan(step, jnp.zeros(()), None, length=300)[0]

program().block_until_ready()
threads = [threading.Thread(target=lambda: program().block_until_ready()) for _ in range(4)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print("all ended")
"""


def test_programs_with_batches_of_systems_all_end():
    done = subprocess.run([sys.executable, "-c", AT_ONCE], capture_output=True, text=True, timeout=100)
    assert done.stdout == "all ended\n", done.stderr
