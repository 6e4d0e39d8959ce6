"""Gzipped IDX files of bytes, the format of MNIST and its successors."""

import gzip
import hashlib
import math
import struct
import zlib
from pathlib import Path

import numpy as np

from .._errors import InputError

# A header can claim more than any memory holds; the largest file known here is 47 MB.
_MOST_BYTES = 2**30


def read_idx(path: Path, sha256: str | None = None) -> np.ndarray:
    """The array in a gzipped IDX file of unsigned bytes.

    An IDX file is two zero bytes, the type (8: unsigned byte), the number of axes, the length of each
    axis as a big-endian 32-bit integer, and the values, last axis fastest.

    **Arguments:** `path`: the file; `sha256`: of the decompressed bytes, if it is to be checked.

    **Returns:** uint8, shaped as the header says.

    **Raises:** `InputError` if the file is missing, damaged, truncated, too long or not of this format,
    or if its sha256 is another.

    Source: the section on the file format of Y. LeCun, C. Cortes and C. Burges, The MNIST database.
    """
    try:
        with gzip.open(path) as file:
            header, shape = _read_header(file, path)
            # One byte more than there should be: finds surplus, and makes gzip verify its checksum.
            values = file.read(math.prod(shape) + 1)
    except EOFError as error:
        raise InputError(
            f"data file {path} is truncated",
            setting="data file",
            value=path,
            remedy="expected a complete gzip file, so fetch it again",
        ) from error
    except (OSError, zlib.error) as error:
        raise InputError(
            f"data file {path} cannot be read ({error})",
            setting="data file",
            value=path,
            remedy="expected a gzipped IDX file",
        ) from error
    if len(values) != math.prod(shape):
        amount = "more" if len(values) > math.prod(shape) else f"{len(values)}"
        raise InputError(
            f"data file {path} holds {amount} bytes of values, and its header announces {math.prod(shape)}, the "
            f"shape {shape}",
            setting="data file",
            value=path,
            remedy="fetch it again",
        )
    found = hashlib.sha256(header + values).hexdigest()
    if sha256 is not None and found != sha256:
        raise InputError(
            f"data file {path} has sha256 {found} of the decompressed bytes, not {sha256}, so it is damaged or "
            "of another data set",
            setting="data file",
            value=path,
            remedy="replace it, or keep each data set in a folder of its name",
        )
    return np.frombuffer(values, np.uint8).reshape(shape)


def _read_header(file: gzip.GzipFile, path: Path) -> tuple[bytes, tuple[int, ...]]:
    magic = file.read(4)
    if len(magic) != 4 or magic[:3] != b"\0\0\x08" or not 1 <= magic[3] <= 4:
        raise InputError(
            f"data file {path} starts with {magic.hex(' ') or 'nothing'}",
            setting="data file",
            value=path,
            remedy="expected 00 00 08 and the number of axes, 1 to 4, of an IDX file of unsigned bytes",
        )
    lengths = file.read(4 * magic[3])
    if len(lengths) != 4 * magic[3]:
        raise InputError(
            f"data file {path} ends within its IDX header of {magic[3]} lengths",
            setting="data file",
            value=path,
            remedy="fetch it again",
        )
    shape = struct.unpack(f">{magic[3]}I", lengths)
    if math.prod(shape) > _MOST_BYTES:
        raise InputError(
            f"data file {path} announces the shape {shape}",
            setting="data file",
            value=path,
            remedy=f"expected at most {_MOST_BYTES} values",
        )
    return magic + lengths, shape
