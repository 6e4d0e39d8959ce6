"""What every test runs under: float64, strict promotion, and types checked at run time."""

import os
from importlib.metadata import version
from pathlib import Path

# As the command line has it.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# Compiling is most of the suite's time, and XLA's older emitter of loops takes a third less of it (test_ladder: 28 s
# instead of 46); processes that tests start inherit it. `make demo` and the recipes run what users have. jaxlib
# 0.11.2 knows the flag no more, and ends the process that it is given to.
if tuple(int(part) for part in version("jaxlib").split(".")[:2]) < (0, 11):
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_cpu_use_fusion_emitters=false"

import jax
import pytest
import science.typechecks
from beartype.claw import beartype_package
from jaxtyping import install_import_hook

# Before the first `import widthwise`: in tests alone, every annotation and shape is checked at each call. Shapes only
# in the modules that name some: around the exact arithmetic of tables the memory of axes takes two thirds of the
# time (test_exponents: 162 s, then 58).
EXACT = ("widthwise.parameterizations", "widthwise.theory._exponents", "widthwise.optima")
SOURCES = Path(__file__).parent.parent / "widthwise"
NAMES = [".".join(path.relative_to(SOURCES.parent).with_suffix("").parts) for path in sorted(SOURCES.rglob("_*.py"))]
SHAPED = [name for name in NAMES if not name.startswith(EXACT) and not name.endswith("__init__")]
install_import_hook(SHAPED, "science.typechecks.typecheck")
for package in EXACT:
    beartype_package(package, conf=science.typechecks.CONF)

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_dtype_promotion", "strict")

# No test, and no process that one starts, reads or writes the user's compiled programs.
jax.config.update("jax_enable_compilation_cache", False)
os.environ["JAX_ENABLE_COMPILATION_CACHE"] = "0"

# Here every program runs once, and small: compiling it is what takes time.
COMPILED_QUICKLY = {
    "cli",
    "sweep",
    "training",
    "network",
    "inference",
    "algorithms",
    "science",
    "test_conditioning",
    "test_coordinates",
    "test_derive",
    "test_derive_input",
    "test_derived_feedback",
    "test_target_coordinates",
    "test_desiderata",
    "test_own_update_rules",
    "test_gradient_limits",
    "test_kernel",
    "test_prefactor",
    "test_richness",
    "test_measured_conditioning",
    "test_theory_verb",
    "test_cifar",
    "recipes",
    "test_benchmark_scripts",
    "test_examples",
    "test_structure",
}


@pytest.fixture(autouse=True, scope="module")
def quick_compilation(request):
    """Leave out most of the compiler's optimizations in the folders and files of exactness tests."""
    quick = not COMPILED_QUICKLY.isdisjoint({request.path.parent.name, request.path.stem})
    jax.config.update("jax_disable_most_optimizations", quick)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


@pytest.fixture
def float32():
    """JAX as users start it: 32-bit floats, standard promotion."""
    jax.config.update("jax_enable_x64", False)
    jax.config.update("jax_numpy_dtype_promotion", "standard")
    yield
    jax.config.update("jax_enable_x64", True)
    jax.config.update("jax_numpy_dtype_promotion", "strict")
