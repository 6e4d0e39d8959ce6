"""Any data set of the table of sources: find its files, or download them, and read them."""

import errno
import os
import stat
from pathlib import Path

from widthwise._errors import InputError
from widthwise.data._dataset import Dataset
from widthwise.data._idx import read_idx
from widthwise.data._sources import SOURCES, Source, SourceFile


def idx_images(name: str, source: Source, data_dir: str | os.PathLike[str] | None = None) -> Dataset:
    """The data set `name` of the table of sources, from the first place that has all its files.

    **Arguments:** `name`: its name, also that of its folder; `source`: its entry in the table;
    `data_dir`: the only folder to look in, or None for the usual places.

    **Returns:** the data set; pixels stay 0 to 255, (x / 255 - mean) / std is its shift and scale.

    **Raises:** `InputError` if a file is missing, damaged, or not the expected one.
    """
    folder = _find(name, source, data_dir)
    if folder is None:
        folder = cache_folder(name)
        for file in source.files:
            _download(name, source, file, folder)
    x_train, y_train, x_test, y_test = (read_idx(folder / file.name, file.sha256) for file in source.files)
    return Dataset(
        name=name,
        x_train=x_train.reshape(len(x_train), -1),
        y_train=y_train,
        x_test=x_test.reshape(len(x_test), -1),
        y_test=y_test,
        shift=255 * source.mean,
        scale=255 * source.std,
        classes=source.classes,
        image_shape=(*x_train.shape[1:], 1),
    )


def found_on_disk(name: str) -> Path | None:
    """The folder that holds a data set's files, or None where they would be downloaded; their content is not read."""
    return _find(name, SOURCES[name], None)


def _find(name: str, source: Source, data_dir: str | os.PathLike[str] | None) -> Path | None:
    """The first folder that holds every file; only the explicit one is searched where there is one."""
    if data_dir is not None:
        places = [Path(data_dir).expanduser() / name, Path(data_dir).expanduser()]
    else:
        shared = os.environ.get("WIDTHWISE_DATA")
        places = [Path(shared).expanduser() / name, Path(shared).expanduser()] if shared else []
        places += [cache_folder(name)]
        places += [Path(source.debian_folder)] if source.debian_folder else []
    for folder in places:
        if all((folder / file.name).is_file() for file in source.files):
            return folder
    if data_dir is None:
        return None
    missing = [file.name for file in source.files if not (places[-1] / file.name).is_file()]
    raise InputError(
        f"data {name!r}: {places[-1]} lacks {', '.join(missing)}; expected all of its files there or in"
        f" {places[0]}: place them there, or leave data_dir out to search the usual places and download."
    )


def cache_folder(name: str) -> Path:
    """A folder of the user's cache: in WIDTHWISE_CACHE, or where the platform keeps caches."""
    import pooch

    # A folder of its own: MNIST's files and Fashion-MNIST's have the same names.
    return Path(os.environ.get("WIDTHWISE_CACHE") or pooch.os_cache("widthwise")).expanduser() / name


def private_folder(folder: Path) -> Path:
    """A folder whose files are executed, made where it is missing: compiled programs, pickled jobs.

    **Raises:** `OSError` where it cannot be made, or where others could write to it.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(mode=stat.S_IRWXU, exist_ok=True)
    found = folder.stat()
    if found.st_uid != os.getuid() or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise OSError(errno.EPERM, "others may write there", str(folder))
    return folder


def _download(name: str, source: Source, file: SourceFile, folder: Path) -> None:
    import pooch

    # A file placed by hand may be compressed otherwise; its content is checked when it is read.
    if (folder / file.name).is_file():
        return
    failures = []
    for mirror in source.mirrors:
        try:
            pooch.retrieve(mirror + file.name, f"sha256:{file.archive_sha256}", fname=file.name, path=folder)
            return
        # requests' errors are OSErrors; pooch raises a ValueError for a wrong hash and removes the file.
        except (OSError, ValueError) as error:
            failures.append(f"{mirror}{file.name}: {error}")
    package = f"; Debian's package {source.debian_package} carries it" if source.debian_package else ""
    raise InputError(
        f"data {name!r}: {file.name} is in no usual place and no mirror gave it; place it in {folder},"
        f" or name its folder by data_dir or WIDTHWISE_DATA{package}. Tried:\n  " + "\n  ".join(failures)
    )
