"""Exponents by measurement: known tables found again, in any gauge; doubt where it is due."""

import ast
import math
from fractions import Fraction
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

import widthwise.measure
from widthwise.algorithms import Backprop
from widthwise.measure import derive
from widthwise.measure.derive import CONFIDENT, rounded, settled_slope
from widthwise.network import mlp
from widthwise.parameterizations import Role, from_json, parameterization, to_json


def reached(name):
    """The modules of `measure` that one takes relative imports of, itself, and theirs, as paths below the folder."""
    folder, found, left = Path(widthwise.measure.__file__).parent, set(), [name]
    while left:
        one = left.pop()
        if one in found or not (folder / f"{one}.py").exists():
            continue
        found.add(one)
        home = Path(one).parent
        for node in ast.walk(ast.parse((folder / f"{one}.py").read_text(encoding="utf-8"))):
            # Within the folder of the module, or one above it where that is a folder of `measure`.
            if isinstance(node, ast.ImportFrom) and node.level in ((1,) if home == Path(".") else (1, 2)):
                place = home if node.level == 1 else home.parent
                left += [str(place / part) for part in (node.module or "", *(alias.name for alias in node.names))]
    return found


FILES = sorted(f"{name}.py" for name in reached("derive/_search"))
WIDTHS = (64, 128, 256, 512)
FEW = (64, 192, 512)


def family(depth=3, **settings):
    """theory.md's probe: 8 inputs, 3 outputs."""
    return lambda width, key, table: mlp(8, width, 3, depth=depth, table=table, key=key, dtype=jnp.float32, **settings)


def assert_same(found, table, roles, letters="bcg"):
    """Every exponent of some roles is the table's, exactly."""
    assert found.reasons == (), str(found)
    derived = {(role, letter): found.table.scalings[role].letters(role)[letter] for role in roles for letter in letters}
    expected = {(role, letter): table.scalings[role].letters(role)[letter] for role in roles for letter in letters}
    assert derived == expected, str(found)


WEIGHTS = (Role.INPUT, Role.HIDDEN, Role.OUTPUT)


def test_backprops_mup_is_found_again():
    found = derive(family(), Backprop(), widths=FEW, seeds=8)
    assert_same(found, parameterization("mup"), WEIGHTS)
    assert found.confidence >= CONFIDENT
    assert from_json(to_json(found.table)) == found.table


def test_the_files_looked_through_are_those_that_measure():
    asked = {
        "derive/_search.py",
        "_layer_response.py",
        "derive/_estimates.py",
        "_probe.py",
        "_slopes.py",
        "_preconditions.py",
    }
    assert asked < set(FILES)
    # The check reads what theory predicts, and may.
    assert "check/_expectations.py" not in FILES


@pytest.mark.parametrize("name", FILES)
def test_no_table_and_no_exponent_is_looked_up(name):
    """Issue: a derivation neither makes a named table nor reads `theory`; types of tables are allowed."""
    source = (Path(widthwise.measure.__file__).parent / name).read_text(encoding="utf-8")
    tree = ast.parse(source)
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names}
    modules = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    modules |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    used |= {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    forbidden = {"parameterization", "predicted_slopes", "theory", "richness_rows", "target_rows", "depth_rows", "load"}
    assert not (imported | used) & forbidden
    assert not {module for module in modules if "theory" in module or "widthwise" in module}
    assert not {"importlib", "__import__", "getattr_static"} & (imported | used | modules)


# Rounding, on numbers made up.


def test_a_clear_exponent_is_rounded_and_a_doubtful_one_is_not():
    assert rounded(0.48, 0.03, 4) == (Fraction(1, 2), pytest.approx(1.0, abs=1e-6))
    # Halfway between two fractions none is more likely than the other.
    assert rounded(0.375, 0.1, 4)[1] < 0.5
    # σ of a whole step: the nearest is far from sure.
    assert rounded(0.5, 0.25, 4)[1] < 0.5
    # Farther off than finite sizes leave, and than 2 σ; and σ not known.
    assert rounded(0.61, 0.02, 4)[1] == 0
    assert rounded(0.48, math.nan, 4)[1] == 0


def test_the_probability_is_bayes_rule_by_hand():
    sigma, measured = 0.1, 0.55
    likelihood = {k / 4: math.exp(-((measured - k / 4) ** 2) / (2 * sigma**2)) for k in range(-40, 40)}
    assert rounded(measured, sigma, 4)[1] == pytest.approx(likelihood[0.5] / sum(likelihood.values()), rel=1e-9)


def test_what_still_bends_with_the_size_is_less_sure():
    sizes = np.array(WIDTHS, float)
    one = np.ones((4, 1))
    assert settled_slope(list(WIDTHS), one * sizes**0.5).error == pytest.approx(0.02)
    bent = sizes**0.5 * (1 + 20 / sizes)
    ends = [np.polyfit(np.log(sizes[part]), np.log(bent[part]), 1)[0] for part in (slice(0, 3), slice(1, 4))]
    expected = math.hypot(0.02, (ends[0] - ends[1]) / 2)
    assert settled_slope(list(WIDTHS), one * bent).error == pytest.approx(expected)
    assert math.isnan(settled_slope(list(WIDTHS)[:2], one * bent[:2]).error)
