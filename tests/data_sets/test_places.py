"""Downloads show how far they are where somebody watches."""

import io
import sys

import pytest

from widthwise.data import mnist


class Terminal(io.StringIO):
    """A stream that somebody watches, or not."""

    def __init__(self, watched):
        super().__init__()
        self.watched = watched

    def isatty(self):
        return self.watched


@pytest.mark.parametrize("watched", [True, False])
def test_bar(small_idx, serve, monkeypatch, watched):
    folder, _, use = small_idx("mnist")
    use(mirrors=(serve(folder),))
    terminal = Terminal(watched)
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    mnist()
    for file in folder.iterdir():
        size = file.stat().st_size
        assert (file.name in terminal.getvalue()) == watched
        # Whole at the end: `received/announced bytes`.
        assert (f"{size}/{size} bytes" in terminal.getvalue()) == watched
