"""Compiled programs kept between runs: most of a small sweep's time is the compiler's.

JAX keeps them in a folder of the user's cache, by content: results do not depend on it. An entry that cannot be read
is compiled again. On some processors XLA refuses every program that it has stored itself and logs an error for each
(openxla/xla issue 44565): nothing is gained there, and `--no-compilation-cache` is quieter.
"""

import contextlib
import hashlib
import os
import platform
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

# Programs that compile faster than this are not worth a file.
LEAST_SECONDS = 0.3
LARGEST = 1_000_000_000  # bytes of all programs; beyond them the oldest are deleted


def use_compilation_cache(wanted: bool = True) -> None:
    """Let JAX keep the programs of this process; the process belongs to the command line.

    JAX's own variables go first: JAX_ENABLE_COMPILATION_CACHE, JAX_COMPILATION_CACHE_DIR. Where the folder cannot be
    used, a note says so and programs are compiled as if it were empty.

    **Arguments:** `wanted`: False leaves all programs out, whatever JAX's variables say.
    """
    import jax

    from ..data import cache_folder

    settings: Any = jax.config
    if not wanted:
        settings.update("jax_enable_compilation_cache", False)
    # A file that a killed process left half written is no news: its program is compiled again.
    warnings.filterwarnings("ignore", "Error (reading|writing) persistent compilation cache entry")
    if not settings.jax_enable_compilation_cache or settings.jax_compilation_cache_dir:
        return
    try:
        folder = cache_folder(f"programs-{_machine()}")
        _prepare(folder)
    # A user without a home folder is a RuntimeError.
    except (OSError, RuntimeError) as error:
        print(f"widthwise: note: compiled programs are not kept: {error}", file=sys.stderr)
        return
    settings.update("jax_compilation_cache_dir", str(folder))
    settings.update("jax_persistent_cache_min_compile_time_secs", LEAST_SECONDS)


def _machine() -> str:
    """A name for the user and the processor: a program may crash on a processor that knows fewer instructions."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").splitlines()
        processor = sorted({line for line in lines if line.startswith(("model name", "flags", "Features"))})
    except OSError:
        processor = [platform.processor()]
    whole = "\n".join([str(os.getuid()), platform.machine(), *processor])
    return hashlib.sha256(whole.encode()).hexdigest()[:12]


def _prepare(folder: Path) -> None:
    """Make the folder, and room in it.

    **Raises:** `OSError` where it cannot be written, or where others could: its programs are executed.
    """
    from ..data import private_folder

    private_folder(folder)
    with tempfile.TemporaryFile(dir=folder):
        pass
    files = sorted((path.stat().st_mtime, path.stat().st_size, path) for path in folder.iterdir() if path.is_file())
    excess = sum(size for _, size, _ in files) - LARGEST
    for _, size, path in files:
        if excess <= 0:
            break
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
        excess -= size
