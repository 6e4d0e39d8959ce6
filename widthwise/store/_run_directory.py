"""A run directory: its spec, its append-only records, one lock. Nothing in it is ever executed."""

import fcntl
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from io import FileIO
from pathlib import Path
from typing import Any, Literal, final

from .._errors import InputError
from ._json_files import LONGEST_LINE, bounded, dumps, explained, fail, jsonable, loads, plain, sync_names, write_json

SCHEMA_VERSION = 1


@final
class RunStore:
    """The records of one sweep or training, held for writing by one process at a time.

    **Attributes:** `directory`; `dropped`: bytes of a half-written last line that were cut when
    the store was opened; `corrupt`: lines that were skipped because they are not records.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as home:
    ...     with RunStore.open(f"{home}/demo", kind="transfer", spec={"width": 64}) as store:
    ...         store.append([{"hash": "a1", "group": "g", "loss": float("nan")}])
    ...         store.finished(["a1"]), store.finished(["a1", "b2"]), store.records()["a1"]["loss"]
    (True, False, None)
    """

    def __init__(self, directory: Path, file: FileIO) -> None:
        self.directory = directory
        self.dropped = 0
        self.corrupt = 0
        self._file = file
        self._offsets: dict[str, int] = {}  # of each run's last record; the records themselves stay on the disk
        self._open = ExitStack()

    @classmethod
    def open(
        cls, directory: str | os.PathLike[str], *, kind: Literal["transfer", "train", "tune"], spec: dict[str, Any]
    ) -> "RunStore":
        """Creates or resumes a run directory and locks it until the store is closed.

        **Arguments:** `directory`: created with its parents where missing; `kind`: what is run;
        `spec`: everything that decides the results, of JSON's types.

        **Returns:** the store, to be used in a `with` statement.

        **Raises:** `InputError` if the directory is in use, is no run directory, holds another
        kind, spec or schema version, or cannot be written.
        """
        home = Path(directory)
        with ExitStack() as stack, explained(home):
            _make(home)
            stack.enter_context(_locked(home))
            _check_spec(home / "spec.json", kind, jsonable(spec))
            file = stack.enter_context(plain(home / "records.jsonl").open("ab", buffering=0))
            store = cls(home, file)
            store._recover()
            sync_names(home)
            store._open = stack.pop_all()
        return store

    def __enter__(self) -> "RunStore":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the files and gives up the lock."""
        self._open.close()

    def records(self) -> dict[str, dict]:
        """All stored records by their hash.

        **Returns:** hash -> record; of two records with one hash, the later.

        **Raises:** `InputError` if a record has another schema version or is too long.
        """
        return _records(self.directory / "records.jsonl")

    def of(self, hashes: Iterable[str]) -> Iterator[dict]:
        """Stored records, read one after the other, so that memory does not grow with what is stored.

        **Arguments:** `hashes`: of records that are stored.

        **Returns:** their records, in the order of the hashes.
        """
        path = self.directory / "records.jsonl"
        with explained(path), plain(path).open("rb") as file:
            for name in hashes:
                file.seek(self._offsets[name])
                record = loads(file.readline(LONGEST_LINE + 1))
                if record is None or record.get("hash") != name:
                    raise InputError(
                        f"file {path} was changed by another program",
                        setting="file",
                        value=path,
                        remedy="run the same command again",
                    )
                yield record

    def __len__(self) -> int:
        return len(self._offsets)

    def finished(self, hashes: Iterable[str]) -> bool:
        """Whether a group is complete: every one of its members is stored.

        **Arguments:** `hashes`: the hashes of all members.

        **Returns:** false if any member is missing; the whole group is then to be run again.
        """
        return all(name in self._offsets for name in hashes)

    def append(self, records: list[dict[str, Any]]) -> None:
        """Stores the records of one group; on return they are on the disk.

        **Arguments:** `records`: each with "hash" and "group"; "schema_version" is added, and
        values that are not finite become null.

        **Raises:** `InputError` if the disk is full or a record is too long; nothing is stored then.
        """
        lines = []
        for record in records:
            if not isinstance(record.get("hash"), str) or "group" not in record:
                raise ValueError(f"a record needs a hash and a group, received {sorted(record)}")
            lines.append(dumps({**record, "schema_version": SCHEMA_VERSION}) + b"\n")
            if len(lines[-1]) > LONGEST_LINE:
                raise InputError(
                    f"run {record['hash']} has a record of {len(lines[-1])} bytes, and {LONGEST_LINE} are the most",
                    setting="run",
                    value=record["hash"],
                    remedy="take fewer --steps or --epochs",
                )
        start = self._write(b"".join(lines))
        for record, line in zip(records, lines, strict=True):
            self._offsets[record["hash"]] = start
            start += len(line)

    def _write(self, block: bytes) -> int:
        end = self._file.seek(0, os.SEEK_END)
        rest = memoryview(block)
        try:
            while rest:  # the kernel may take less than it was given, above all on a full disk
                rest = rest[self._file.write(rest) :]
            os.fsync(self._file.fileno())
        except BaseException as error:  # Ctrl-C too: a torn line must not stand before the next group
            # A group that was written whole and then interrupted stays: it need not be trained again.
            if rest or isinstance(error, OSError):
                with suppress(OSError):
                    self._file.truncate(end)
            if isinstance(error, OSError):
                fail(self.directory, error)
            raise
        return end

    def _recover(self) -> None:
        start = end = 0
        for end, record in _scan(self.directory / "records.jsonl"):
            if record is None:
                self.corrupt += 1
            else:
                self._offsets[record["hash"]] = start
            start = end
        self.dropped = self._file.seek(0, os.SEEK_END) - end
        if self.dropped:
            self._file.truncate(end)


def read(directory: str | os.PathLike[str]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Reads a run directory without locking or changing it, also while a run writes to it.

    **Arguments:** `directory`: a directory that `RunStore` has written.

    **Returns:** the content of `spec.json`, and the records, without any half-written line.

    **Raises:** `InputError` if it is missing, has another schema version or is not readable.
    """
    home = Path(directory)
    with explained(home):
        return read_spec(home), list(_records(home / "records.jsonl").values())


def read_spec(directory: str | os.PathLike[str]) -> dict[str, Any]:
    """The content of a run directory's `spec.json`.

    **Arguments:** `directory`: a directory that `RunStore` has written.

    **Raises:** `InputError` as `read` does.
    """
    home = Path(directory)
    with explained(home):
        _of_a_run(home)
        return _read_spec(home / "spec.json")


def stream(directory: str | os.PathLike[str]) -> Iterator[dict[str, Any]]:
    """The records of a run directory one after the other, as `read` gives them, in memory that does not grow with them.

    **Arguments:** `directory`: a directory that `RunStore` has written.

    **Raises:** `InputError` as `read` does.
    """
    home = Path(directory)
    with explained(home):
        _of_a_run(home)
        path = home / "records.jsonl"
        if not os.path.lexists(path):
            return
        last = {record["hash"]: end for end, record in _scan(path) if record is not None}
        yield from (record for end, record in _scan(path) if record is not None and last.get(record["hash"]) == end)


def _scan(path: Path) -> Iterator[tuple[int, dict | None]]:
    """For each whole line the offset of its end, and its record or None where it is corrupt."""
    end = 0
    with plain(path).open("rb") as file:
        while line := file.readline(LONGEST_LINE + 1):
            if len(line) > LONGEST_LINE:
                raise InputError(
                    f"file {path}: a line is over {LONGEST_LINE} bytes",
                    setting="file",
                    value=path,
                    remedy="remove it or use another --out",
                )
            if not line.endswith(b"\n"):
                return
            end += len(line)
            record = loads(line)
            if record is None or not isinstance(record.get("hash"), str) or "schema_version" not in record:
                yield end, None
            else:
                yield end, _of_this_version(record, path)


def _records(path: Path) -> dict[str, dict]:
    if not os.path.lexists(path):  # killed between the spec and the first record
        return {}
    return {record["hash"]: record for _, record in _scan(path) if record is not None}


def _of_a_run(home: Path) -> None:
    if not (home / "spec.json").exists():
        raise InputError(
            f"run directory {home} is none (no spec.json)",
            setting="run directory",
            value=home,
            remedy="expected the --out of an earlier `widthwise transfer` or `widthwise train`",
        )


def _read_spec(path: Path) -> dict[str, Any]:
    content = loads(bounded(path, LONGEST_LINE))
    if content and "schema_version" in content:
        _of_this_version(content, path)
        if isinstance(content.get("spec"), dict) and isinstance(content.get("kind"), str):
            return content
    raise InputError(
        f"file {path} is damaged",
        setting="file",
        value=path,
        remedy='expected JSON with "schema_version", "kind" and "spec"; restore it or use another --out',
    )


def _of_this_version(content: dict, path: Path) -> dict:
    if content.get("schema_version") != SCHEMA_VERSION:
        raise InputError(
            f"file {path} has schema version {_shown(content.get('schema_version'))}, not {SCHEMA_VERSION}",
            setting="file",
            value=path,
            remedy="use another --out, or the version of widthwise that wrote it",
        )
    return content


def _check_spec(path: Path, kind: str, spec: dict) -> None:
    if not plain(path).exists():
        write_json(path, {"schema_version": SCHEMA_VERSION, "kind": kind, "spec": spec})
        return
    stored = _read_spec(path)
    if stored["kind"] != kind:
        raise InputError(
            f"run directory {path.parent} holds a {_shown(stored['kind'])} run, not {kind!r}",
            setting="run directory",
            value=path.parent,
            remedy="use another --out",
        )
    fields = list(_differences(stored["spec"], spec))
    if fields and _is_unused(path.parent):
        # Of a command that was refused before its first run.
        write_json(path, {"schema_version": SCHEMA_VERSION, "kind": kind, "spec": spec})
    elif fields:
        more = f"; and {len(fields) - 5} more" if len(fields) > 5 else ""
        raise InputError(
            f"run directory {path.parent} holds a run of another spec, {'; '.join(fields[:5])}{more}",
            setting="run directory",
            value=path.parent,
            remedy="give the stored values to resume it, or use another --out",
        )


def _is_unused(home: Path) -> bool:
    """Whether a run directory holds nothing but what opening it wrote."""
    records = home / "records.jsonl"
    only = {path.name for path in home.iterdir()} <= {"spec.json", "lock", records.name}
    return only and (not records.exists() or records.stat().st_size == 0)


def _differences(stored: dict, given: dict, prefix: str = "") -> Iterator[str]:
    for key in [*given, *(key for key in stored if key not in given)]:
        old, new = stored.get(key), given.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            yield from _differences(old, new, f"{prefix}{key}.")
        elif old != new or (key in stored) != (key in given):
            was = f"{_shown(old)} stored" if key in stored else "nothing stored"
            now = f"{_shown(new)} given" if key in given else "nothing given"
            yield f"{prefix}{key} ({was}, {now})"


def _shown(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _make(home: Path) -> None:
    if home.exists() and not home.is_dir():
        raise InputError(
            f"run directory {home} is not a directory", setting="run directory", value=home, remedy="use another --out"
        )
    home.mkdir(parents=True, exist_ok=True)
    # A run killed at its very start leaves the lock and the unfinished spec: these are ours.
    strange = [name for name in os.listdir(home) if name != "lock" and not name.startswith(".spec.json.")]
    # Listed first, then looked for: another process writes the spec before all else.
    if strange and not os.path.lexists(home / "spec.json"):
        raise InputError(
            f"run directory {home} is none, as it holds {_shown(min(strange))} but no spec.json",
            setting="run directory",
            value=home,
            remedy="use another --out, new or empty",
        )


@contextmanager
def _locked(home: Path) -> Iterator[None]:
    with plain(home / "lock").open("a+b", buffering=0) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            pid = file.read(20).decode("ascii", "replace").strip()
            raise InputError(
                f"run directory {home} is used by another process (pid {pid if pid.isdigit() else 'unknown'})",
                setting="run directory",
                value=home,
                remedy="wait until it ends, or use another --out",
            ) from None
        file.truncate(0)
        file.write(b"%d\n" % os.getpid())
        yield  # the kernel gives the lock up with the file, also at kill -9
