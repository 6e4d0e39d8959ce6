"""Every refusal names what was received and what would do; and the package needs no JAX."""

import pickle
import subprocess
import sys
from fractions import Fraction

import pytest
from refusals import refused

from widthwise.parameterizations import fraction, parameterization


@pytest.mark.parametrize(
    ("arguments", "setting", "value", "near"),
    [
        ({"name": "mupp"}, "parameterization", "mupp", "mup"),
        ({"name": "mup", "algorithm": "bpp"}, "algorithm", "bpp", "bp"),
        ({"name": "mup", "algorithm": "Predictive-Coding"}, "algorithm", "Predictive-Coding", "pc"),
        ({"name": "mup", "optimizer": "adm"}, "optimizer", "adm", "adam"),
        ({"name": "mup", "gauge": "mpu"}, "gauge", "mpu", "mup"),
        ({"name": "mup", "output_loss": "unweigthed"}, "output loss", "unweigthed", "unweighted"),
        ({"name": "mup", "weight_decay_kind": "coupledd"}, "kind of weight decay", "coupledd", "coupled"),
        ({"name": "mupc_unifrom", "optimizer": "adam"}, "parameterization", "mupc_unifrom", "mupc_uniform"),
        ({"name": "muPC", "optimizer": "adam"}, "parameterization", "muPC", "mupc"),
    ],
)
def test_unknown_names(arguments, setting, value, near):
    with refused(setting, value) as error:
        parameterization(**arguments)
    assert f"'{near}'" in error.value.remedy


@pytest.mark.parametrize("value", ["abc", float("nan"), float("inf")])
def test_what_is_no_fraction(value):
    with refused("exponent", value if value == "abc" else str(value)):
        parameterization("mup", algorithm="pc", gamma_bar=value)


@pytest.mark.parametrize(
    ("arguments", "setting", "value"),
    [
        ({"name": "mup", "richness": "1/2"}, "richness", "1/2"),
        ({"name": "richness"}, "richness", None),
        ({"name": "richness", "richness": "3/4"}, "richness", Fraction(3, 4)),
        ({"name": "richness", "richness": -0.25}, "richness", Fraction(-1, 4)),
        ({"name": "mup", "gamma_bar": -1}, "gamma_bar", -1),
        ({"name": "mup", "output_loss": "unweighted"}, "output_loss", "unweighted"),
        ({"name": "mupc_constant"}, "optimizer", "sgd"),
        ({"name": "mupc_uniform", "optimizer": "sgd"}, "optimizer", "sgd"),
        ({"name": "mup", "base_width": 0}, "base_width", 0),
        ({"name": "mup", "base_depth": -2}, "base_depth", -2),
        ({"name": "mup", "base_width": True}, "base_width", True),
    ],
)
def test_refusals(arguments, setting, value):
    with refused(setting, value):
        parameterization(**arguments)


def test_unknown_role_of_a_move():
    with refused("role", "hiden"):
        parameterization("mup").gauged({"hiden": 1})
    with refused("gauge", "moved"):
        parameterization("mup").in_gauge("moved")


def test_an_error_crosses_processes_whole():
    with refused("optimizer", "adm") as error:
        parameterization("mup", optimizer="adm")
    copy = pickle.loads(pickle.dumps(error.value))
    assert str(copy) == str(error.value)
    assert vars(copy) == vars(error.value)


def test_unknown_without_a_near_name():
    with refused("optimizer", "zzz") as error:
        parameterization("mup", optimizer="zzz")
    assert "did you mean" not in error.value.remedy
    assert "Known: adam, " in error.value.remedy


def test_fractions():
    spelled = (Fraction(-1, 2), "-1/2", "-0.5", -0.5)
    assert {fraction(value) for value in spelled} == {Fraction(-1, 2)}
    # A float is the decimal that it prints.
    assert fraction(0.1) == Fraction(1, 10)
    for value in ("", "1/0", "-", "1/2/3"):
        with refused("exponent", value):
            fraction(value)


@pytest.mark.parametrize("text", ["1e999", "1E-999", "1e+0_99", "-1.5e٩٩٩", "0." + "1" * 39, " " * 40 + "1"])
def test_text_that_takes_long_to_compute_is_refused_unread(text):
    """`Fraction("1e200000000")` takes hours; these fail the same test and would be computed at once."""
    with refused("exponent", text):
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
