"""Plain JSON files: read as data that may come from anyone, written whole or not at all."""

import errno
import hashlib
import json
import math
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn

from .._errors import InputError

LONGEST_LINE = 10_000_000  # bytes; a run directory may come from anyone, its size must not exhaust memory
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def read_json(path: str | os.PathLike[str], longest: int = LONGEST_LINE) -> Any:
    """Reads a JSON file that may come from anyone: plain data or nothing.

    **Arguments:** `path`: the file; `longest`: bytes that it may have.

    **Returns:** what it holds.

    **Raises:** `InputError` if it is missing, too long, no JSON, a link or a device.
    """
    path = Path(path)
    with explained(path):
        text = bounded(path, longest)
    try:
        return json.loads(text, parse_constant=_refused)
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"file {path} is not JSON: {error}",
            setting="file",
            value=path,
            remedy="run the command that wrote it again",
        ) from None


def write_json(path: str | os.PathLike[str], payload: Any) -> None:
    """Writes a JSON file so that readers see the old content or the new, never a part.

    **Arguments:** `path`: the file; `payload`: anything that `jsonable` takes.

    **Raises:** `InputError` if the file cannot be written, or is a link or a device.
    """
    path = Path(path)
    text = json.dumps(jsonable(payload), indent=1, allow_nan=False) + "\n"
    scratch = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with explained(path):
        plain(path)
        try:
            scratch.unlink(missing_ok=True)
            with scratch.open("x", encoding="ascii") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            scratch.replace(path)
        except BaseException:
            with suppress(OSError):
                scratch.unlink(missing_ok=True)
            raise
    sync_names(path.parent)


def jsonable(value: Any) -> Any:
    """The value in JSON's own types: arrays as lists, numbers that are not finite as null.

    **Arguments:** `value`: dicts, lists, tuples, scalars, or anything with `tolist` (NumPy, JAX).

    **Returns:** a value that `json` reads back unchanged.

    >>> jsonable({"loss": float("inf"), "widths": (64, 128)})
    {'loss': None, 'widths': [64, 128]}
    """
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): jsonable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [jsonable(item) for item in value]
    return jsonable(value.tolist()) if hasattr(value, "tolist") else value


def content_hash(spec: dict[str, Any]) -> str:
    """A name for a spec: equal content has an equal hash, whatever the order of its keys.

    **Arguments:** `spec`: anything that `jsonable` takes.

    **Returns:** the first 16 hexadecimal digits of the SHA-256 of its canonical JSON.

    >>> content_hash({"width": 64, "rate": 0.5}) == content_hash({"rate": 0.5, "width": 64})
    True
    """
    return content_hashes(spec, [{}])[0]


def content_hashes(spec: dict[str, Any], variations: Iterable[dict[str, Any]]) -> list[str]:
    """The hashes of a spec with some fields in addition, one for each variation: what all share is converted once.

    >>> content_hashes({"width": 64}, [{"seed": 0}])[0] == content_hash({"width": 64, "seed": 0})
    True
    """
    plain = jsonable(spec)
    return [hashlib.sha256(_compact(plain | jsonable(one), sort_keys=True)).hexdigest()[:16] for one in variations]


def dumps(value: Any) -> bytes:
    """One line of JSON."""
    return _compact(jsonable(value))


def _compact(value: Any, sort_keys: bool = False) -> bytes:
    return json.dumps(value, sort_keys=sort_keys, separators=(",", ":"), allow_nan=False).encode("ascii")


def _refused(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def loads(text: bytes) -> dict | None:
    """A JSON object, or None."""
    try:
        value = json.loads(text, parse_constant=_refused)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def bounded(path: Path, longest: int) -> bytes:
    """A plain file's content; one that is too large is refused before any of it is read."""
    with plain(path).open("rb") as file:
        # It may grow meanwhile.
        text = b"" if (large := os.fstat(file.fileno()).st_size > longest) else file.read(longest + 1)
    if large or len(text) > longest:
        raise InputError(
            f"file {path} is larger than {longest} bytes, as none of this program is",
            setting="file",
            value=path,
            remedy="remove it, or use another path",
        )
    return text


def plain(path: Path) -> Path:
    """The path, refused where it is a link, a pipe or a device."""
    # Through a link a run directory from elsewhere could reach any file; a pipe would block for ever.
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise InputError(
            f"file {path} is a link or no plain file",
            setting="file",
            value=path,
            remedy="remove it, or use another path",
        )
    return path


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """What the system refuses becomes an `InputError` that names the path."""
    try:
        yield
    except OSError as error:
        fail(path, error)


def fail(path: Path, error: OSError) -> NoReturn:
    """**Raises:** `InputError` that says what the system refused."""
    if error.errno in _FULL:
        raise InputError(
            f"file {path}: the disk is full ({error.strerror}), and nothing stored was lost",
            setting="file",
            value=path,
            remedy="free some space and the same command resumes",
        ) from error
    raise InputError(
        f"file {path} cannot be used ({error.strerror}), and nothing stored was lost",
        setting="file",
        value=path,
        remedy="expected a place with the right permissions; mend it, or use another path",
    ) from error


def sync_names(directory: Path) -> None:
    """Names of new files on the disk too."""
    with suppress(OSError):  # some network file systems cannot sync a directory
        handle = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
