"""Ctrl-C, in the one place where Python would drop it."""

import gc
import os
import signal
import threading
import time

import pytest

from widthwise.cli._main import interruptible


def press():
    os.kill(os.getpid(), signal.SIGINT)


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
    # Python collects when it likes: not before the handler is there.
    yield lambda: waiting.append(True)
    gc.callbacks.remove(callback)


def test_ctrl_c_while_garbage_is_collected_is_heard(pressed_while_collecting):
    def work():
        pressed_while_collecting()
        gc.collect()
        time.sleep(30)

    with pytest.raises(KeyboardInterrupt), interruptible():
        work()


def test_ctrl_c_elsewhere_is_heard_at_once():
    with pytest.raises(KeyboardInterrupt), interruptible():
        press()


def test_afterwards_the_signal_is_pythons_again():
    with interruptible():
        assert signal.getsignal(signal.SIGINT) != signal.default_int_handler
    assert signal.getsignal(signal.SIGINT) == signal.default_int_handler


@pytest.fixture
def own_handler(as_from_a_terminal):
    heard = []
    signal.signal(signal.SIGINT, lambda number, frame: heard.append(number))
    return heard


def test_whoever_handles_the_signal_keeps_it(own_handler):
    with interruptible():
        press()
    assert own_handler == [signal.SIGINT]


def test_in_a_thread_nothing_is_changed():
    seen = []

    def inside():
        with interruptible():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=inside)
    thread.start()
    thread.join()
    assert seen == [signal.default_int_handler]
