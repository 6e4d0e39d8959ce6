"""Named members of a gzipped tar archive, read into memory: nothing in it decides where anything is written."""

import gzip
import hashlib
import tarfile
import zlib
from collections.abc import Sequence
from pathlib import Path

from .._errors import InputError

# A header can claim more than any memory holds; the largest member known here is 154 MB.
_MOST_BYTES = 2**30
_CHUNK = 2**20
# ValueError: numbers in a header that are none.
_UNREADABLE = (OSError, EOFError, ValueError, zlib.error, tarfile.TarError)


def read_members(path: Path, names: Sequence[str], sha256: str | None = None) -> dict[str, bytes]:
    """The content of the members `names` of a gzipped tar archive; all others are passed over.

    Only regular files of exactly these names count. Nothing is extracted to disk, and links are not followed.

    **Arguments:** `path`: the archive; `names`: of the members, with their folders; `sha256`: of the
    archive, if it is to be checked (before anything of it is interpreted).

    **Returns:** each name's bytes.

    **Raises:** `InputError` if the archive is missing, damaged, truncated or another one, or if a member
    is missing, no regular file or larger than 2^30 bytes.
    """
    try:
        if sha256 is not None:
            _check_hash(path, sha256)
        with gzip.open(path) as file, tarfile.open(fileobj=file, mode="r:") as archive:
            found = {member.name: _content(archive, member, path) for member in archive if member.name in names}
            # To the end, where gzip keeps its checksum: tar alone would not notice a wrong byte.
            while file.read(_CHUNK):
                pass
    except InputError:
        raise
    except _UNREADABLE as error:
        raise InputError(
            f"data file {path} cannot be read ({error})",
            setting="data file",
            value=path,
            remedy="expected a complete .tar.gz, so fetch it again",
        ) from error
    missing = [name for name in names if name not in found]
    if missing:
        raise InputError(
            f"data file {path} lacks {', '.join(missing)}",
            setting="data file",
            value=path,
            remedy="expected the archive that holds them, so fetch it again",
        )
    return found


def _check_hash(path: Path, sha256: str) -> None:
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != sha256:
        raise InputError(
            f"data file {path} has sha256 {found}, not {sha256}, so it is damaged, truncated or another one",
            setting="data file",
            value=path,
            remedy="remove or replace it",
        )


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> bytes:
    file = archive.extractfile(member) if member.isreg() else None
    if file is None or member.size > _MOST_BYTES:
        raise InputError(
            f"data file {path}: {member.name} is of type {member.type!r} and {member.size} bytes",
            setting="data file",
            value=path,
            remedy=f"expected a regular file of at most {_MOST_BYTES} bytes",
        )
    return file.read()
