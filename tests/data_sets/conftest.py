import dataclasses
import functools
import gzip
import hashlib
import http.server
import struct
import threading

import numpy as np
import pytest

from widthwise.data import SOURCES, SourceFile


def idx_bytes(array):
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


@pytest.fixture
def write_idx():
    """Write an array, or raw bytes in its place, as a gzipped file."""

    def write(path, content):
        raw = content if isinstance(content, bytes) else idx_bytes(content)
        path.write_bytes(gzip.compress(raw, mtime=0))
        return path

    return write


@pytest.fixture
def table(monkeypatch):
    """The table of sources, to be changed by one test."""
    table = dict(SOURCES)
    for module in ("_places", "_images", "_cifar"):
        monkeypatch.setattr(f"widthwise.data.{module}.SOURCES", table)
    return table


@pytest.fixture
def cache(tmp_path, monkeypatch, table):
    """A machine without data: no environment, an empty cache (returned), no Debian folder, no mirror."""
    monkeypatch.delenv("WIDTHWISE_DATA", raising=False)
    monkeypatch.setenv("WIDTHWISE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    for name, source in SOURCES.items():
        table[name] = dataclasses.replace(source, debian_folder=None, mirrors=())
    return tmp_path / "cache"


@pytest.fixture
def no_data(cache):
    """A machine without data; the folder of Fashion-MNIST in its cache."""
    return cache / "fashion_mnist"


@pytest.fixture
def small_idx(cache, tmp_path, table, write_idx, sha256_of):
    """Four files of 20 + 10 small images in a folder, and a table that expects just these, for a data set by name."""

    def make(name, seed=0):
        folder = tmp_path / f"small_{name}"
        folder.mkdir()
        rng = np.random.default_rng(seed)
        arrays = {
            "train_images": rng.integers(0, 256, (20, 4, 3), np.uint8),
            "train_labels": np.arange(20, dtype=np.uint8) % 10,
            "test_images": rng.integers(0, 256, (10, 4, 3), np.uint8),
            "test_labels": np.arange(10, dtype=np.uint8),
        }
        files = []
        for file, array in zip(SOURCES[name].files, arrays.values(), strict=True):
            path = write_idx(folder / file.name, array)
            files.append(SourceFile(path.name, sha256_of(path.read_bytes()), sha256_of(idx_bytes(array))))

        def use(**changes):
            table[name] = dataclasses.replace(table[name], files=tuple(files), **changes)

        use()
        return folder, arrays, use

    return make


@pytest.fixture
def small(small_idx):
    """Small files in the place of Fashion-MNIST's."""
    return small_idx("fashion_mnist")


@pytest.fixture
def sha256_of():
    """The sha256 of some bytes, as the table writes it."""
    return lambda content: hashlib.sha256(content).hexdigest()


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


class Cut(Quiet):
    """Announces a file whole and hangs up in the middle of it."""

    def copyfile(self, source, outputfile):
        content = source.read()
        outputfile.write(content[: len(content) // 2])


@pytest.fixture
def start_server():
    """Serve a folder from a loopback address, by a class of handlers; returns its URL."""
    servers = []

    def start(kind, folder):
        handler = functools.partial(kind, directory=folder)
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        servers.append((server, thread))
        return f"http://127.0.0.1:{server.server_port}/"

    yield start
    for server, thread in servers:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def serve(start_server):
    """Serve a folder as it is."""
    return functools.partial(start_server, Quiet)


@pytest.fixture
def serve_cut(start_server):
    """Serve a folder whose files never arrive whole."""
    return functools.partial(start_server, Cut)
