"""Every refusal names what was received and what would do; and the package needs no JAX."""

import subprocess
import sys
from fractions import Fraction

import pytest

from widthwise._errors import InputError, unknown
from widthwise.parameterizations import fraction, parameterization


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "mupp"}, "unknown parameterization 'mupp': did you mean 'mup'"),
        ({"name": "mup", "algorithm": "bpp"}, "unknown algorithm 'bpp': did you mean 'bp'"),
        ({"name": "mup", "algorithm": "Predictive-Coding"}, "did you mean 'pc'"),
        ({"name": "mup", "optimizer": "adm"}, "unknown optimizer 'adm': did you mean 'adam'"),
        ({"name": "mup", "gauge": "mpu"}, "unknown gauge 'mpu': did you mean 'mup'"),
        ({"name": "mup", "output_loss": "unweigthed"}, "unknown output loss 'unweigthed'"),
        ({"name": "mup", "weight_decay_kind": "coupledd"}, "did you mean 'coupled'"),
        ({"name": "mup", "richness": "1/2"}, "goes with the name 'richness'"),
        ({"name": "richness"}, "needs richness"),
        ({"name": "richness", "richness": "3/4"}, r"outside \[0, 1/2\]"),
        ({"name": "richness", "richness": -0.25}, r"outside \[0, 1/2\]"),
        ({"name": "richness", "richness": "abc"}, "'abc' is not a fraction"),
        ({"name": "mup", "gamma_bar": -1}, "no meaning for backprop"),
        ({"name": "mup", "algorithm": "pc", "gamma_bar": float("nan")}, "not a fraction"),
        ({"name": "mup", "algorithm": "pc", "gamma_bar": float("inf")}, "not a fraction"),
        ({"name": "mupc_constant"}, "'mupc_constant' is a rule for Adam, got optimizer 'sgd': use 'adam'"),
        ({"name": "mupc_uniform", "optimizer": "sgd"}, "'mupc_uniform' is a rule for Adam"),
        ({"name": "mupc_unifrom", "optimizer": "adam"}, "did you mean 'mupc_uniform'"),
        ({"name": "muPC", "optimizer": "adam"}, "did you mean 'mupc'"),
        ({"name": "mup", "base_width": 0}, "base_width is 0"),
        ({"name": "mup", "base_depth": -2}, "base_depth is -2"),
        ({"name": "mup", "base_width": True}, "base_width is True"),
    ],
)
def test_refusals(arguments, message):
    with pytest.raises(InputError, match=message):
        parameterization(**arguments)


def test_unknown_role_of_a_move():
    with pytest.raises(InputError, match="unknown role 'hiden': did you mean 'hidden'"):
        parameterization("mup").gauged({"hiden": 1})
    with pytest.raises(InputError, match="unknown gauge"):
        parameterization("mup").in_gauge("moved")


def test_unknown_without_a_near_name():
    assert "did you mean" not in str(unknown("thing", "zzz", ["abc"]))
    assert "Known: abc" in str(unknown("thing", "zzz", ["abc"]))


def test_fractions():
    spelled = (Fraction(-1, 2), "-1/2", "-0.5", -0.5)
    assert {fraction(value) for value in spelled} == {Fraction(-1, 2)}
    # A float is the decimal that it prints.
    assert fraction(0.1) == Fraction(1, 10)
    for value in ("", "1/0", "-", "1/2/3"):
        with pytest.raises(InputError):
            fraction(value)


@pytest.mark.parametrize("text", ["1e999", "1E-999", "1e+0_99", "-1.5e٩٩٩", "0." + "1" * 39, " " * 40 + "1"])
def test_text_that_takes_long_to_compute_is_refused_unread(text):
    """`Fraction("1e200000000")` takes hours; these fail the same test and would be computed at once."""
    with pytest.raises(InputError, match="at most 40 characters and a power of ten of at most two digits"):
        fraction(text)


def test_the_longest_text_and_power_of_ten_that_are_read():
    assert fraction("1e-99") == Fraction(1, 10**99)
    assert fraction("0." + "1" * 38) == Fraction(int("1" * 38), 10**38)


def test_imports_the_standard_library_only():
    code = (
        "import sys, widthwise.parameterization as p; p.parameterization('mup').gauged({'hidden': 1});"
        "heavy = {'jax', 'numpy', 'equinox', 'optax', 'jaxtyping', 'scipy'} & set(sys.modules);"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
