"""Tune small, transfer large: sweep rates at every size and say whether the best one moved."""

import functools
import inspect
import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import jax

from .._errors import InputError, expect
from .._loss import Loss, mse
from .._numbers import whole_number
from ..algorithms import AbstractAlgorithm
from ..data import Dataset
from ..network import Built
from ..parameterizations import Parameterization
from ..report import TransferResult
from ._group import Group
from ._run_sweep import run_sweep
from ._train_group import OnRuns, Training

MOST_RATES = 1000
SEEDS = "it must be a whole number of at least 1: how many seeds, from 0 on"


# 2^±126 are the ends of float32's normal numbers.
LARGEST_LOG2 = 126.0


def grid(start: float, stop: float, step: float, *, what: str = "log2 rates") -> list[float]:
    """Evenly spaced log2 rates, the stop included; `what` names them in errors.

    **Raises:** `InputError` for an empty range or a step that is not positive.

    >>> grid(-1, 0, 0.5)
    [-1.0, -0.5, 0.0]
    """
    if not (all(map(math.isfinite, (start, stop, step))) and step > 0 and stop >= start):
        raise InputError(
            f"{what} {start} {stop} {step}",
            setting=what,
            value=(start, stop, step),
            remedy="expected START <= STOP and STEP > 0, as in -5 2 0.5",
        )
    if max(abs(start), abs(stop)) > LARGEST_LOG2:
        raise InputError(
            f"{what} {start} {stop} {step}: beyond ±{LARGEST_LOG2:g} a rate is 0 or infinite in float32",
            setting=what,
            value=(start, stop, step),
            remedy=f"give START and STOP between -{LARGEST_LOG2:g} and {LARGEST_LOG2:g}",
        )
    count = (stop - start) / step + 1
    if count > MOST_RATES:
        raise InputError(
            f"{what} {start} {stop} {step}: {count:.0f} rates",
            setting=what,
            value=(start, stop, step),
            remedy=f"at most {MOST_RATES} can be run",
        )
    count = math.floor(count + 1e-9)
    return [round(start + index * step, 12) for index in range(count)]


def rates_of(given: Any, what: str = "log2 rates") -> list[float]:
    """The log2 rates of a sweep: a tuple (start, stop, step), or the rates themselves in a list or an array.

    **Raises:** `InputError` for another form, rates that are not increasing by one step, and what `grid` refuses.

    >>> rates_of((-1, 0, 0.5)), rates_of([-2, 0, 2])
    ([-1.0, -0.5, 0.0], [-2.0, 0.0, 2.0])
    """
    if isinstance(given, tuple) and len(given) == 3:
        return grid(*given, what=what)
    form = "give a tuple (start, stop, step), or a list of evenly spaced rates, as [-2, -1, 0]"
    try:
        rates = [float(rate) for rate in given]
    except (TypeError, ValueError):
        rates = []
    steps = [high - low for low, high in itertools.pairwise(rates)]
    if not rates or any(not step > 0 or not math.isclose(step, steps[0], rel_tol=1e-6) for step in steps):
        raise InputError(f"{what} {given}", setting=what, value=given, remedy=form)
    grid(rates[0], rates[-1], steps[0] if steps else 1.0, what=what)
    return rates


def transfer(
    build: Callable[..., Built],
    algorithm: AbstractAlgorithm,
    table: Parameterization,
    *,
    data: Dataset,
    widths: Sequence[int] | None = None,
    depths: Sequence[int] | None = None,
    log2_rates: Any = (-5, 2, 0.5),
    log2_activity_rates: Any = None,
    seeds: int = 3,
    select: str = "final_loss",
    steps: int | None = 40,
    epochs: int | None = None,
    batch_size: int = 64,
    loss: Loss = mse,
    momentum: float = 0.0,
    epsilon: float = 1e-8,
    weight_decay: float = 0.0,
    decay: str = "constant",
    warmup: int = 0,
    clip: float | None = None,
    optimizer: Any = None,
    on_runs: OnRuns = lambda rows: None,
) -> TransferResult:
    """Find the best rate at every size, and run the smallest size's at the larger ones to see what it costs there.

    **Arguments:** `build(size, key)`: the network at a width or, with `depths`, at a depth, built from `table`;
    `build(width, depth, key)` with both; `algorithm`; `data`; `widths` or `depths`: the sizes, one of them, or both
    for a grid, which is summarized over the widths at every depth and over the depths at every width; `log2_rates`:
    of the base rate, a tuple (start, stop, step), stop included, or a list of them; `log2_activity_rates`: the same of
    predictive coding's step of inference, which then replaces the relaxation's own `rate`: every pair of rates is run;
    `seeds`: how many; `select`: what is best, `"final_loss"`, `"test_loss"` or `"test_accuracy"`; the rest: how each
    run is trained (see `sweep.Training`); `on_runs`: told the rows of runs as they end, for a progress bar or a
    tracker of experiments.

    **Returns:** a `TransferResult`: `.summary()`, `.plot(path)`, `.write(directory)`, `.transfers`.

    **Raises:** `InputError` for arguments of another kind, empty ranges, neither widths nor depths, a `build` that does
    not take them, settings out of range, and activity rates where the algorithm or its relaxation has none.

    Source: definitions in `optima/_verdict.py`, `optima/_cost.py`; Tensor Programs V (arXiv 2203.03466).
    """
    expect(AbstractAlgorithm, "ww.PredictiveCoding()", algorithm=algorithm)
    expect(Parameterization, 'ww.parameterization("mup")', table=table)
    expect(Dataset, "ww.data.digits()", data=data)
    expect(Callable, "ww.mse", loss=loss)
    axis, sizes = _sizes(build, widths, depths)
    steps = None if epochs is not None else steps
    training = Training(
        steps, epochs, batch_size, loss, momentum, epsilon, weight_decay, decay, warmup, clip, optimizer
    )
    activity = None if log2_activity_rates is None else rates_of(log2_activity_rates, "log2 activity rates")
    rates, seeds = rates_of(log2_rates), whole_number("seeds", seeds, remedy=SEEDS)
    groups = []
    for size in sizes:
        built = build(*size, jax.random.key(0))
        labels = labels_of(built, algorithm, table)
        groups.append(Group(functools.partial(build, *size), algorithm, table, labels, activity))
    settings = {"data": data.name, "steps": steps, "epochs": epochs, "batch_size": batch_size, "seeds": seeds}
    return run_sweep(groups, data, training, rates, seeds, axis=axis, settings=settings, select=select, on_runs=on_runs)


def _sizes(
    build: Callable[..., Built], widths: Sequence[int] | None, depths: Sequence[int] | None
) -> tuple[str, list[tuple[int, ...]]]:
    """The axis, and what `build` is given at every size, before the key."""
    both = (("width", widths), ("depth", depths))
    given = {name: _listed(f"{name}s", sizes) for name, sizes in both if sizes is not None}
    wanted = f"build({', '.join([*given, 'key'])})"
    if not given:
        raise InputError(
            "widths and depths are None",
            setting="widths",
            value=None,
            remedy="give one of them or both, the sizes to transfer across",
        )
    try:
        inspect.signature(build).bind(*given, "key")
    except TypeError:
        raise InputError(
            f"build{inspect.signature(build)} cannot be called as {wanted}",
            setting="build",
            value=str(inspect.signature(build)),
            remedy="give widths or depths, one of them, to a build(size, key), or both to a build(width, depth, key)",
        ) from None
    return "grid" if len(given) > 1 else next(iter(given)), list(itertools.product(*given.values()))


def _listed(name: str, sizes: Any) -> list[int]:
    """The sizes, in order."""
    if isinstance(sizes, str) or not isinstance(sizes, Iterable):
        raise InputError(
            f"{name} is {sizes!r}", setting=name, value=sizes, remedy="give a list of sizes, as [64, 128, 256]"
        )
    return sorted({whole_number(name, size) for size in sizes})


def labels_of(built: Built, algorithm: AbstractAlgorithm, table: Parameterization) -> dict[str, Any]:
    """A group's labels; its width N is the fan-in of the readout."""
    return {
        "algorithm": algorithm.name,
        "parameterization": table.name,
        "optimizer": table.optimizer,
        "width": built.sizes[-1].width,
        "depth": built.network.depth,
    }
