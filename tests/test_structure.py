"""The order of CONTRIBUTING: who may import whom; everything public is documented; examples in docstrings run."""

import ast
import builtins
import dis
import doctest
import importlib
import inspect
import pkgutil
import sys
from pathlib import Path

import pytest

import widthwise

PACKAGE = Path(widthwise.__file__).parent

# CONTRIBUTING: a part may import those of the lines above its own; parts on one line never each other.
LAYERS = [
    ["_errors", "_product"],
    ["_loss", "_positive_solve", "_arguments"],
    ["parameterizations", "data", "store", "optima"],
    ["parameterization", "report"],
    ["network"],
    ["inference"],
    ["algorithms", "theory"],
    ["training"],
    ["measure"],
    ["config"],
    ["sweep"],
    ["cli"],
]
RANK = {name: rank for rank, layer in enumerate(LAYERS) for name in layer}
MODULES = sorted(path for path in PACKAGE.rglob("*.py"))


def part(path):
    """The folder or file of the package that a module belongs to."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(path):
    """Absolute names of everything a module imports, wherever it does, type checking apart."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    package = ["widthwise", *path.relative_to(PACKAGE).parent.parts]
    names = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *(node.module.split(".") if node.module else [])])
            names += [f"{module}.{alias.name}" for alias in node.names]
    return names


def own(names):
    """Parts of widthwise among imported names."""
    parts = {name.split(".")[1] for name in names if name.startswith("widthwise.")}
    return parts - {"__version__"}


def test_every_part_has_its_place():
    parts = {part(path) for path in MODULES} - {"__init__", "__main__"}
    assert parts <= set(RANK), "a new part: give it a line in LAYERS and in CONTRIBUTING"
    assert "parameterizations" in parts


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_up_the_list(path):
    here = part(path)
    if here in ("__init__", "__main__"):
        return
    for other in own(imported(path)) - {here}:
        assert other in RANK, f"{here} imports {other}, which has no place"
        assert RANK[other] < RANK[here], f"{here} may not import {other}"


@pytest.mark.parametrize(
    ("folder", "others"),
    [("parameterizations", set()), ("store", set()), ("optima", set()), ("report", {"store"})],
)
def test_some_parts_know_no_other(folder, others):
    paths = [path for path in MODULES if part(path) == folder]
    for path in paths:
        assert own(imported(path)) <= {folder, "_errors", *others}, path.name


def test_parameterization_needs_the_standard_library_only():
    for path in MODULES:
        if part(path) == "parameterizations":
            outside = {name.split(".")[0] for name in imported(path)} - {"widthwise"}
            assert outside <= set(sys.stdlib_module_names), path.name


@pytest.mark.parametrize("folder", sorted(path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists()))
def test_private_modules_of_another_part_stay_private(folder):
    for path in MODULES:
        if part(path) in (folder, "__init__"):
            continue
        for name in imported(path):
            inner = name.removeprefix(f"widthwise.{folder}.")
            assert inner == name or not inner.startswith("_"), f"{path.name} imports {name}"


def packages():
    return [module.name for module in pkgutil.iter_modules([str(PACKAGE)]) if module.ispkg]


@pytest.mark.parametrize("name", packages())
def test_public_names_are_documented(name):
    package = importlib.import_module(f"widthwise.{name}")
    assert package.__doc__, f"widthwise.{name} says nothing about itself"
    for key in getattr(package, "__all__", [key for key in vars(package) if not key.startswith("_")]):
        value = getattr(package, key)
        documentable = callable(value) and getattr(value, "__module__", "").startswith("widthwise")
        if documentable:
            assert (value.__doc__ or "").strip(), f"{name}.{key} has no docstring"


def submodules():
    found = pkgutil.walk_packages([str(PACKAGE)], prefix="widthwise.")
    return sorted(module.name for module in found if not module.name.endswith("__main__"))


@pytest.mark.parametrize("name", submodules())
def test_doctests(name):
    module = importlib.import_module(name)
    results = doctest.testmod(module, optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    assert results.failed == 0


def read_globally(code):
    """Names that functions look for in their module."""
    if code.co_flags & inspect.CO_OPTIMIZED:
        yield from (step.argval for step in dis.get_instructions(code) if step.opname == "LOAD_GLOBAL")
    for constant in code.co_consts:
        if inspect.iscode(constant):
            yield from read_globally(constant)


def test_every_name_is_defined():
    # mypy and ruff cannot say so: axis names in shapes are undefined to them, so that both leave undefined names out.
    for name in submodules():
        module = importlib.import_module(name)
        source = Path(module.__file__).read_text(encoding="utf-8")
        missing = set(read_globally(compile(source, name, "exec"))) - set(vars(module)) - set(dir(builtins))
        assert not missing, f"{name} does not define {sorted(missing)}"


def test_there_are_doctests():
    found = doctest.DocTestFinder(exclude_empty=True)
    modules = [importlib.import_module(f"widthwise.{name}") for name in ("parameterization._power", "network._build")]
    assert all(any(test.examples for test in found.find(module)) for module in modules)
