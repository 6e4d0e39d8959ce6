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
from widthwise.parameterizations import OPTIMIZERS

PACKAGE = Path(widthwise.__file__).parent

# CONTRIBUTING: a part may import those of the lines above its own; parts on one line never each other.
LAYERS = [
    ["_errors", "_fact", "_product"],
    ["_numbers"],
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
        assert own(imported(path)) <= {folder, "_errors", "_numbers", *others}, path.name


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


# Who may be asked which class or name it has: nobody outside its own folder, for it says what it is (`_fact.py`).
SUBJECTS = {"algorithm", "rule", "relaxation", "feedback", "way"}
# An optimizer's row is a rule too: where its name is looked up in these, no algorithm is asked.
ROWS = {"UPDATE_RULES", "TRANSFORMS"}
# The references that `directions` measures angles to, made and not asked for.
REFERENCES = {"measure/_angles.py": {"Backprop", "GaussNewtonTargets"}}


def kinds():
    """The names of our algorithms, feedbacks and relaxations that are not abstract."""
    found = set()
    for name, base in (
        ("algorithms", "AbstractAlgorithm"),
        ("algorithms", "AbstractFeedback"),
        ("inference", "AbstractRelaxation"),
    ):
        package = importlib.import_module(f"widthwise.{name}")
        kind = getattr(package, base)
        found |= {key for key, value in vars(package).items() if inspect.isclass(value) and issubclass(value, kind)}
    return {name for name in found if not name.startswith("Abstract")}


def asked(source):
    """Where a module asks an algorithm, a feedback or a relaxation for its class, its name, or what it may lack.

    >>> asked("if isinstance(group.algorithm.relaxation, Automatic): pass")
    ['isinstance(group.algorithm.relaxation, Automatic)']
    """

    def about(node):
        names = {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}
        return SUBJECTS & (names | {part.attr for part in ast.walk(node) if isinstance(part, ast.Attribute)})

    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            asks = node.func.id in ("isinstance", "getattr", "hasattr", "type", "issubclass")
            # A class's name in a message tells; a comparison is found below.
            if asks and node.func.id != "type" and node.args and about(node.args[0]):
                found.append(ast.unparse(node))
        elif isinstance(node, ast.Compare):
            if ROWS & {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}:
                continue
            for side in (node.left, *node.comparators):
                named = isinstance(side, ast.Attribute) and side.attr in ("name", "__name__") and about(side.value)
                typed = isinstance(side, ast.Call) and ast.unparse(side.func) == "type" and about(side)
                if named or typed:
                    found.append(ast.unparse(node))
        elif isinstance(node, ast.Match) and about(node.subject):
            found.append(ast.unparse(node.subject))
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_rules_are_asked_for_facts_alone(path):
    # A part below the algorithms knows none: its rules are optimizers' rows.
    if part(path) in ("algorithms", "inference", "__init__") or RANK.get(part(path), 0) < RANK["algorithms"]:
        return
    assert asked(path.read_text(encoding="utf-8")) == []
    names = {name.rsplit(".", 1)[1] for name in imported(path) if name.startswith("widthwise.")}
    assert names & kinds() <= REFERENCES.get(str(path.relative_to(PACKAGE)), set())


@pytest.mark.parametrize(
    "source",
    [
        "isinstance(algorithm, PredictiveCoding)",
        "isinstance(rule, PredictiveCoding | TargetPropagation)",
        "isinstance(group.algorithm.relaxation, Automatic)",
        "getattr(algorithm, 'relaxation', None)",
        "getattr(self.algorithm, 'output_precision', None)",
        "hasattr(way, 'optimizer')",
        "x = 1 if held.algorithm.name == 'pc' else 2",
        "algorithm.name in ('tp', 'dtp')",
        "type(rule.relaxation) is Automatic",
        "type(feedback).__name__ == 'TiedFeedback'",
    ],
)
def test_asking_is_seen(source):
    assert asked(source)
    assert {"PredictiveCoding", "TiedFeedback", "Automatic"} <= kinds()


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
    # The old path of `parameterizations` is no module once it is imported.
    aside = ("widthwise.__main__", "widthwise.parameterization")
    return sorted(module.name for module in found if module.name not in aside)


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
    modules = [importlib.import_module(f"widthwise.{name}") for name in ("parameterizations._power", "network._dense")]
    assert all(any(test.examples for test in found.find(module)) for module in modules)


TESTS = Path(__file__).parent
# Test files that still import private modules; nothing is added here, and whoever mends a file takes it out.
STILL_PRIVATE = [
    "inference/test_ladder.py",
    "measure/test_coordinates.py",
    "sweep/test_engines.py",
    "sweep/test_groups.py",
    "sweep/test_tune.py",
]


def private_imports(path):
    """Modules and names of widthwise with an underscore that a test file imports, `__version__` and the like apart."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            parts = name.split(".")
            if parts[0] == "widthwise" and any(part.startswith("_") and not part.endswith("__") for part in parts):
                yield name


def test_tests_import_public_names():
    private = {str(path.relative_to(TESTS)): list(private_imports(path)) for path in TESTS.rglob("*.py")}
    assert sorted(set(STILL_PRIVATE)) == STILL_PRIVATE
    new = {path: names for path, names in private.items() if names and path not in STILL_PRIVATE}
    assert not new, f"import these from their packages: {new}"
    clean = [path for path in STILL_PRIVATE if not private.get(path)]
    assert not clean, f"take these out of STILL_PRIVATE: {clean}"


def calls_of(name, path):
    """Every call of a name in a module, however it was imported."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and name in (getattr(node.func, "id", None), getattr(node.func, "attr", None)):
            yield node


def test_errors_have_their_fields():
    calls = [(path, call) for path in MODULES if path.name != "_errors.py" for call in calls_of("InputError", path)]
    bare = [
        f"{path.relative_to(PACKAGE)}:{call.lineno}"
        for path, call in calls
        if not {"setting", "value", "remedy"} <= {keyword.arg for keyword in call.keywords}
    ]
    assert calls
    assert not bare, f"give these setting, value and remedy: {bare}"


def compared(tree):
    """Strings that a module compares something with, or looks for in a collection written there."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            yield from (leaf.value for side in sides for leaf in ast.walk(side) if isinstance(leaf, ast.Constant))
        if isinstance(node, ast.MatchValue) and isinstance(node.value, ast.Constant):
            yield node.value.value


def test_optimizers_are_rows_and_never_asked_by_name():
    rows = PACKAGE / "parameterizations" / "_update_rule.py"
    for path in MODULES:
        if path != rows:
            asked = set(compared(ast.parse(path.read_text(encoding="utf-8")))) & set(OPTIMIZERS)
            assert not asked, f"{path.relative_to(PACKAGE)} asks for {sorted(asked)}: read a fact of the row"


ASKING = {"network", "training", "algorithms", "inference", "sweep"}


def test_the_table_is_asked_in_one_file():
    """Elsewhere its numbers come from the built network; theory and measurements read its exponents."""
    asks = set()
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            row = (
                isinstance(node, ast.Subscript)
                and isinstance(node.value, ast.Attribute)
                and node.value.attr == "scalings"
            )
            size = isinstance(node, ast.Call) and any(keyword.arg == "fan_in" for keyword in node.keywords)
            if (row or size) and part(path) in ASKING:
                asks.add(str(path.relative_to(PACKAGE)))
    assert asks == {"network/_build.py"}
