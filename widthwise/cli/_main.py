"""The entry point: names the verbs, and turns bad input into one line and exit code 2."""

import importlib
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from .. import __version__
from .._errors import InputError, RunWarning, unknown

# Of hearing a Ctrl-C that Python dropped.
TRIES = 3
VERBS = {
    "train": "train one network and report its accuracy, residual and distance from backprop",
    "transfer": "sweep rates over widths or depths, and say whether the best one moved",
    "tune": "find the best rate of a small network with a budget of runs, for transfer --verify and train --tuned",
    "check": "coordinate check: does every layer move as it should as the network grows wider?",
    "derive": "find the exponents of an algorithm and a network by measurement, without a table",
    "table": "print the exponents of a parameterization",
    "gauge": "show a table in another gauge, its place in the plane, and prove the move by training",
    "theory": "measure what theory speaks of: how badly inference is conditioned, over width, depth and training",
    "report": "write a sweep's report again, also while it runs",
    "runs": "list, filter, show and compare the runs of a directory",
    "doctor": "say what works on this machine: devices, data, versions",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb.

    **Arguments:** `arguments`: of the command line, without the program's name.

    **Returns:** the exit code: 0, 1 where a check failed, 2 for bad input.
    """
    try:
        return run(sys.argv[1:] if arguments is None else arguments)
    except InputError as error:
        print(f"widthwise: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("widthwise: interrupted; what was stored stays, and the same command resumes", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader of our output has gone (as `| head` does); there is nobody left to tell.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except _too_large() as error:
        reason = str(error).splitlines()[0] if str(error) else "out of memory"
        print(f"widthwise: error: too large for this machine: {reason}", file=sys.stderr)
        return 2


def run(arguments: Sequence[str]) -> int:
    """Run one verb, as a program that handles its errors itself.

    **Arguments:** `arguments`: of the command line, without the program's name.

    **Returns:** the exit code: 0, or 1 where a check failed.

    **Raises:** `InputError` for bad input, which `main` prints.
    """
    # Small linear systems, many at a time: LAPACK's own threads would wait for each other, and for XLA's.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    arguments = list(arguments)
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_help())
        return 0
    if arguments[0] in ("-V", "--version"):
        print(f"widthwise {__version__}")
        return 0
    if arguments[0] not in VERBS:
        raise unknown("command", arguments[0], VERBS)
    verb = importlib.import_module(f"widthwise.cli._{arguments[0]}")
    with interruptible(), warnings.catch_warnings():
        warnings.simplefilter("always", RunWarning)
        warnings.showwarning = _one_line(warnings.showwarning)
        return verb.run(arguments[1:])


@contextmanager
def interruptible() -> Iterator[None]:
    """Ctrl-C is heard wherever it comes.

    Python drops what is raised in a callback of its garbage collector, in a weak reference's and in `__del__`, and
    tells `sys.unraisablehook`. JAX has such a callback, and it is often the first Python to run after a compilation:
    a Ctrl-C meanwhile would be lost.
    """
    main_thread, before = threading.main_thread(), sys.unraisablehook

    def again(dropped: Any) -> None:
        if dropped.exc_type is not KeyboardInterrupt:
            before(dropped)
            return
        # Once more, when that is over. `start` waits for its thread: on a busy machine the signal may come first, here.
        for _ in range(TRIES):
            with suppress(KeyboardInterrupt):
                threading.Timer(0.05, signal.pthread_kill, (main_thread.ident, signal.SIGINT)).start()
                return

    sys.unraisablehook = again
    try:
        yield
    finally:
        sys.unraisablehook = before


def _one_line(others: Callable[..., None]) -> Callable[..., None]:
    """Show our own warnings as users of a command read them: without the line of code that gave them."""

    def show(message: Warning | str, *rest: Any, **named: Any) -> None:
        if isinstance(message, RunWarning):
            print(f"widthwise: warning: {message}", file=sys.stderr)
        else:
            others(message, *rest, **named)

    return show


def _too_large() -> tuple[type[Exception], ...]:
    """What Python raises, and JAX if it was needed, where something does not fit this machine."""
    return (MemoryError, sys.modules["jax"].errors.JaxRuntimeError) if "jax" in sys.modules else (MemoryError,)


def _help() -> str:
    lines = ["usage: widthwise COMMAND [flags]", "", "Tune small, transfer large.", "", "commands:"]
    lines += [f"  {name:10s}{text}" for name, text in VERBS.items()]
    return "\n".join([*lines, "", "`widthwise COMMAND --help` lists the flags of one."])
