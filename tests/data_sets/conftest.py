import dataclasses
import gzip
import hashlib
import http.server
import struct
import threading

import numpy as np
import pytest

import widthwise.data._fashion_mnist as fashion_mnist_module
from widthwise.data._sources import FASHION_MNIST, SourceFile


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
def no_data(tmp_path, monkeypatch):
    """A machine without data: no environment, an empty cache (returned), no Debian folder, no mirror."""
    cache = tmp_path / "cache"
    monkeypatch.delenv("WIDTHWISE_DATA", raising=False)
    monkeypatch.setenv("WIDTHWISE_CACHE", str(cache))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    use_source(monkeypatch, dataclasses.replace(FASHION_MNIST, debian_folder=None, mirrors=()))
    return cache / "fashion_mnist"


@pytest.fixture
def small(no_data, tmp_path, monkeypatch, write_idx):
    """Four files of 20 + 10 small images in a folder, and a table that expects just these."""
    folder = tmp_path / "small"
    folder.mkdir()
    rng = np.random.default_rng(0)
    arrays = {
        "train_images": rng.integers(0, 256, (20, 4, 3), np.uint8),
        "train_labels": np.arange(20, dtype=np.uint8) % 10,
        "test_images": rng.integers(0, 256, (10, 4, 3), np.uint8),
        "test_labels": np.arange(10, dtype=np.uint8),
    }
    files = {}
    for field, array in arrays.items():
        path = write_idx(folder / getattr(FASHION_MNIST, field).name, array)
        files[field] = SourceFile(
            path.name,
            sha256=hashlib.sha256(idx_bytes(array)).hexdigest(),
            archive_sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        )
    source = dataclasses.replace(FASHION_MNIST, **files, mirrors=(), debian_folder=None)

    def use(**changes):
        use_source(monkeypatch, dataclasses.replace(source, **changes))

    use()
    return folder, arrays, use


def use_source(monkeypatch, source):
    monkeypatch.setattr(fashion_mnist_module, "SOURCES", {"fashion_mnist": source})


@pytest.fixture
def serve():
    """Serve a folder from a loopback address; returns its URL."""
    servers = []

    def start(folder):
        class Handler(http.server.SimpleHTTPRequestHandler):
            def __init__(self, *args):
                super().__init__(*args, directory=folder)

            def log_message(self, *args):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        servers.append((server, thread))
        return f"http://127.0.0.1:{server.server_port}/"

    yield start
    for server, thread in servers:
        server.shutdown()
        thread.join()
        server.server_close()
