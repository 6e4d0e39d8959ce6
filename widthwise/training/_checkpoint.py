"""Checkpoints: one file, a JSON header and the arrays; written whole or not at all."""

import hashlib
import io
import json
import os
from pathlib import Path
from typing import Any

import equinox as eqx
from jaxtyping import PyTree

from .._errors import InputError

SCHEMA_VERSION = 1
LONGEST_HEADER = 100_000_000


def save_checkpoint(path: Path, tree: PyTree, header: dict[str, Any]) -> None:
    """Write arrays beside a header, atomically: a temporary file, synced, then renamed.

    **Arguments:** `path`; `tree`: a pytree, of which the arrays are stored (no random keys of JAX's new type);
    `header`: a JSON object.

    **Raises:** `InputError` where the disk is full; the old checkpoint then stays.
    """
    temporary = path.with_name(path.name + ".part")
    arrays = io.BytesIO()
    eqx.tree_serialise_leaves(arrays, tree)
    body = arrays.getvalue()
    whole = {"schema_version": SCHEMA_VERSION, "sha256": hashlib.sha256(body).hexdigest(), **header}
    try:
        # Anew, or through a link that someone left there any file of the user's would be overwritten.
        temporary.unlink(missing_ok=True)
        with open(temporary, "xb") as file:
            file.write(json.dumps(whole, allow_nan=False).encode() + b"\n")
            file.write(body)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise InputError(
            f"checkpoint {path}: {error.strerror}",
            setting="checkpoint",
            value=path,
            remedy="the one before it is untouched; mend the place, or use another path",
        ) from None


def set_aside_if_damaged(path: Path) -> str | None:
    """Renames a checkpoint that was cut short or changed since it was written, so that its run can begin again.

    **Returns:** what is wrong with it and its new name; None where it is whole, absent, or of another version.

    **Raises:** `InputError` where it is a link or no file.
    """
    if not os.path.lexists(path):
        return None
    if path.is_symlink() or not path.is_file():
        raise InputError(
            f"checkpoint {path} is a link or no plain file",
            setting="checkpoint",
            value=path,
            remedy="remove it, or use another path",
        )
    try:
        with open(path, "rb") as file:
            header = json.loads(file.readline(LONGEST_HEADER))
            if not isinstance(header, dict) or header.get("schema_version", SCHEMA_VERSION) != SCHEMA_VERSION:
                whole = isinstance(header, dict)
            else:
                whole = hashlib.file_digest(file, "sha256").hexdigest() == header.get("sha256")
    except (ValueError, RecursionError):
        whole = False
    if whole:
        return None
    aside = path.with_name(f"{path.name}.damaged")
    os.replace(path, aside)
    return f"checkpoint {path} is damaged: set aside as {aside.name}, and this run begins again"


def load_checkpoint(path: Path, like: PyTree) -> tuple[PyTree, dict[str, Any]]:
    """Read a checkpoint back.

    **Arguments:** `path`; `like`: a pytree of the same structure and shapes.

    **Returns:** the pytree with the stored arrays, and the header.

    **Raises:** `InputError` where the file is damaged, of another version, or holds another network.
    """
    header = read_header(path)
    content = path.read_bytes()
    try:
        body = content[content.index(b"\n") + 1 :]
        if hashlib.sha256(body).hexdigest() != header.get("sha256"):
            raise ValueError("its arrays are not those that were written")
        return eqx.tree_deserialise_leaves(io.BytesIO(body), like), header
    except (EOFError, ValueError, RuntimeError, TypeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            f"checkpoint {path} is damaged or of another network ({reason})",
            setting="checkpoint",
            value=path,
            remedy="delete it to start this run again",
        ) from None


def read_header(path: Path) -> dict[str, Any]:
    """The header of a checkpoint.

    **Raises:** `InputError` where there is none, or of another version.
    """
    try:
        with open(path, "rb") as file:
            header = json.loads(file.readline(LONGEST_HEADER))
        version = header["schema_version"]
    except OSError as error:
        raise InputError(
            f"checkpoint {path}: {error.strerror}",
            setting="checkpoint",
            value=path,
            remedy="expected a file that `fit` or `widthwise train --out` wrote",
        ) from None
    except (ValueError, KeyError, TypeError):
        raise InputError(
            f"checkpoint {path} is damaged",
            setting="checkpoint",
            value=path,
            remedy="delete it to start this run again",
        ) from None
    if version != SCHEMA_VERSION:
        raise InputError(
            f"checkpoint {path} has schema version {version!r}",
            setting="checkpoint",
            value=path,
            remedy=f"this program reads {SCHEMA_VERSION}",
        )
    return header
