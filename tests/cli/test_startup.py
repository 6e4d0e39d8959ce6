"""What a first `--help` costs, and what the package adds to JAX, Equinox and Optax. In seconds of the processor: wall
time would measure the machine's other work."""

import resource
import subprocess
import sys

import pytest

from widthwise.cli import VERBS


def processor_seconds(arguments):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def test_help_is_quick():
    assert min(processor_seconds(["-m", "widthwise", "--help"]) for _ in range(5)) < 0.4


@pytest.mark.parametrize("verb", [None, *VERBS])
def test_help_does_not_import_jax(verb):
    code = f"""
import sys
from widthwise.cli import main
try:
    main({["--help"] if verb is None else [verb, "--help"]})
except SystemExit:
    pass
heavy = [name for name in ("jax", "equinox", "optax", "matplotlib", "sklearn") if name in sys.modules]
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


# Beside what the libraries below take in the same process: seconds alone would measure the machine.
TOUCH = """
import time
began = time.process_time()
import jax, equinox, optax
below = time.process_time() - began
import widthwise
for name in widthwise.__all__:
    getattr(widthwise, name)
print((time.process_time() - began - below) / below)
"""


def test_every_public_name_adds_little_to_jax():
    runs = [subprocess.run([sys.executable, "-c", TOUCH], check=True, capture_output=True, text=True) for _ in range(3)]
    assert min(float(run.stdout) for run in runs) < 0.4
