"""Where the files of a data set lie: on this machine, or at the mirrors, from which they are fetched once."""

import errno
import os
import stat
import sys
from pathlib import Path

from .._errors import InputError
from ._sources import SOURCES, Source, SourceFile


def folder_of(name: str, source: Source, data_dir: str | os.PathLike[str] | None = None) -> Path:
    """The first folder that holds all files of a data set; downloaded where no usual place has them.

    **Arguments:** `name`: the data set's, also that of its folder; `source`: its entry in the table of
    sources; `data_dir`: the only folder to look in, or None for the usual places.

    **Returns:** the folder; what the files hold is checked by whoever reads them.

    **Raises:** `InputError` if a file is missing and cannot be downloaded; it says which to place where.
    """
    folder = _find(name, source, data_dir)
    if folder is None:
        folder = cache_folder(name)
        for file in source.files:
            _download(name, source, file, folder)
    return folder


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
        f"data {name!r}: data_dir {places[-1]} lacks {', '.join(missing)}",
        setting="data_dir",
        value=data_dir,
        remedy=f"place all of its files there or in {places[0]}, or leave data_dir out to search the usual "
        "places and download",
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
    # A file placed by hand may be compressed otherwise; its content is checked when it is read.
    if (folder / file.name).is_file():
        return
    failures = []
    for mirror in source.mirrors:
        try:
            _retrieve(mirror, file, folder)
            return
        # requests' errors are OSErrors; pooch raises a ValueError for a wrong hash and removes the file.
        except (OSError, ValueError) as error:
            failures.append(f"{mirror}{file.name}: {error}")
    package = f"; Debian's package {source.debian_package} carries it" if source.debian_package else ""
    raise InputError(
        f"data {name!r}: {file.name} is in no usual place and no mirror gave it",
        setting="data",
        value=name,
        remedy=f"place it in {folder}, or name its folder by data_dir or WIDTHWISE_DATA{package}. Tried:\n  "
        + "\n  ".join(failures),
    )


def _retrieve(mirror: str, file: SourceFile, folder: Path) -> None:
    import pooch

    bar = _Bar(file.name)
    try:
        # Chunks of 1 KB, pooch's own, would spend longer on the bar than on the file.
        downloader = pooch.HTTPDownloader(progressbar=bar, chunk_size=2**16)
        pooch.retrieve(
            mirror + file.name, f"sha256:{file.archive_sha256}", fname=file.name, path=folder, downloader=downloader
        )
    finally:
        bar.close()


class _Bar:
    """A download's progress on stderr, by the calls that pooch makes; silent where stderr is no terminal."""

    def __init__(self, name: str) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
        self.total = 0
        self._progress = Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty())
        self._task = self._progress.add_task(name, total=None)
        self._progress.start()

    def update(self, size: int) -> None:
        """Some more bytes are here, of `total`."""
        self._progress.update(self._task, advance=size, total=self.total or None)

    def reset(self) -> None:
        """None is here."""
        self._progress.reset(self._task)

    def close(self) -> None:
        """Leave the terminal as it was."""
        self._progress.stop()
