"""Ctrl-C, in the places where Python would drop it."""

import gc
import os
import signal
import sys
import time

import pytest

from widthwise.cli import interruptible


def press():
    os.kill(os.getpid(), signal.SIGINT)
    # Python looks for signals when it likes: here, before this returns.
    for _ in range(1000):
        time.sleep(0)


@pytest.fixture(autouse=True)
def as_from_a_terminal():
    """A shell's background job ignores Ctrl-C, and tests may run in one."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def pressed_while_collecting():
    """Presses Ctrl-C in the next collection of garbage, where what is raised is dropped; called to begin."""
    waiting = []

    def callback(phase, info):
        if waiting:
            waiting.clear()
            press()

    gc.callbacks.append(callback)
    # Python collects when it likes: not before whoever listens is there.
    yield lambda: waiting.append(True)
    gc.callbacks.remove(callback)


def test_ctrl_c_while_garbage_is_collected_is_heard(pressed_while_collecting):
    def work():
        pressed_while_collecting()
        gc.collect()
        time.sleep(30)

    with pytest.raises(KeyboardInterrupt), interruptible():
        work()


def test_ctrl_c_while_an_object_dies_is_heard():
    class Dying:
        def __del__(self):
            press()

    def work():
        Dying()
        time.sleep(30)

    with pytest.raises(KeyboardInterrupt), interruptible():
        work()


def test_ctrl_c_elsewhere_is_heard_at_once():
    with pytest.raises(KeyboardInterrupt), interruptible():
        press()


def test_what_else_is_dropped_is_told_as_before(monkeypatch):
    told = []
    monkeypatch.setattr(sys, "unraisablehook", lambda dropped: told.append(dropped.exc_type))

    class Failing:
        def __del__(self):
            raise ValueError

    before = sys.unraisablehook
    with interruptible():
        Failing()
    assert told == [ValueError]
    assert sys.unraisablehook is before
