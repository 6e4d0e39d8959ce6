"""What every test runs under: float64, strict promotion, and types checked at run time."""

import jax
import pytest
from jaxtyping import install_import_hook

# Before the first `import widthwise`: in tests alone, every annotation and shape is checked at each call.
install_import_hook("widthwise", "beartype.beartype")

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_dtype_promotion", "strict")


@pytest.fixture
def float32():
    """JAX as users start it: 32-bit floats, standard promotion."""
    jax.config.update("jax_enable_x64", False)
    jax.config.update("jax_numpy_dtype_promotion", "standard")
    yield
    jax.config.update("jax_enable_x64", True)
    jax.config.update("jax_numpy_dtype_promotion", "strict")
