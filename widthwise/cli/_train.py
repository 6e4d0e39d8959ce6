"""`widthwise train`: one network, and how honestly it was trained."""

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .._errors import InputError
from ..config import (
    LOSSES,
    Run,
    algorithm_of,
    build_of,
    data_of,
    found,
    identity,
    mesh_of,
    misplaced,
    optimizer_settings,
    schedule_settings,
    table_of,
)
from ._compilation import use_compilation_cache
from ._flags import Parser, add_cache_flag, add_run_flags, given
from ._own_algorithm import add_rule_flag, own_rule, with_rule
from ._progress import progress
from ._shared import run_from, use_devices, use_dtype, write_result
from ._tuned import read_tuned


def run(arguments: Sequence[str]) -> int:
    """Train, evaluate, print and store."""
    parser = Parser(prog="widthwise train", description="Train one network.")
    add_run_flags(parser, "train")
    add_rule_flag(parser)
    add_cache_flag(parser)
    parser.add_argument("--rate", type=float, help="base learning rate (with --tuned: the tuned one)")
    parser.add_argument("--tuned", metavar="FILE", help="of `widthwise tune`: its rate, and its settings beneath these")
    parser.add_argument("--seed", type=int, default=0, help="of initialization, data order and noise (0)")
    parser.add_argument("--out", metavar="DIR", help="store the run and its checkpoints; resumes")
    parser.add_argument(
        "--distributed", action="store_true",
        help="one of several processes with the same command: of SLURM or Open MPI, or named by the next three; --out "
        "and data on a file system that all see",
    )  # fmt: skip
    parser.add_argument("--coordinator", metavar="HOST:PORT", help="where the first process listens")
    parser.add_argument("--num-processes", type=int, help="how many there are")
    parser.add_argument("--process-id", type=int, help="which of them this is, from 0")
    parser.add_argument("--json", metavar="FILE", help="write the result")
    parser.add_argument("--tensorboard", metavar="DIR", help="copy the metrics of every epoch there")
    values = parser.parse_all(arguments)
    rate = values.rate
    flags = with_rule(given(values))
    if values.tuned is not None:
        tuned = read_tuned(values.tuned)
        flags, rate = tuned.beneath(flags), 2.0**tuned.log2_rate if rate is None else rate
    if rate is None:
        raise InputError(
            "--rate is required",
            setting="--rate",
            value=None,
            remedy="give a number, or --tuned FILE of `widthwise tune`",
        )
    spec = run_from(flags)
    if spec.steps is None and spec.epochs is None:
        spec = spec.model_copy(update={"epochs": 1})
    if not 0 < rate < math.inf:
        raise InputError(f"--rate is {rate}", setting="--rate", value=rate, remedy="it must be positive and finite")
    use_dtype(spec)
    several = _joined(values, spec)
    use_compilation_cache(not values.no_compilation_cache)
    own = None if values.rule is None else own_rule(values.rule, spec)
    result = _trained(spec, rate, values.seed, values.out, several, values.tensorboard, own)
    if several and not _first():
        return 0
    for name, value in result.items():
        if name != "spec":
            print(f"{name:24s}{value}")
    write_result(values.json, result)
    return 0


def _joined(values: Any, spec: Run) -> bool:
    """Whether this process is one of several; if so it has met the others."""
    own = (values.coordinator, values.num_processes, values.process_id)
    named = dict(zip(("coordinator", "num_processes", "process_id"), own, strict=True))
    if not values.distributed:
        lone = {name: value for name, value in named.items() if value is not None}
        if lone:
            raise misplaced(lone, "of one of several processes", "add --distributed, or leave it out")
        use_devices(spec)
        return False
    # SLURM tells how many tasks share the devices; elsewhere a CPU's cores are counted by the flag alone.
    use_devices(spec, max(1, values.num_processes or int(os.environ.get("SLURM_NTASKS", "1"))))
    from ..training import join

    join(*own)
    return True


def _first() -> bool:
    """Whether this is the process that speaks and writes."""
    import jax

    return jax.process_index() == 0


def _trained(
    spec: Run,
    rate: float,
    seed: int,
    out: str | None,
    several: bool = False,
    tensorboard: str | None = None,
    own: Any = None,
) -> dict[str, Any]:
    from ..sweep import RunStore, TensorBoard, content_hash
    from ..training import train

    mirror = None if tensorboard is None or (several and not _first()) else TensorBoard(tensorboard)
    data = data_of(spec)
    choosing = None
    if spec.validation is not None:
        data, choosing = data.with_validation(spec.validation)
    table = table_of(spec)
    rule = algorithm_of(spec, table) if own is None else own
    whole = identity(spec, data.digest, table) | {"rate": rate, "seed": seed}
    store = None if out is None or (several and not _first()) else RunStore.open(out, kind="train", spec=whole)
    build = build_of(spec, table, data.in_size, data.out_size, data.image_shape)
    bar = None

    def tell(told: Any) -> None:
        nonlocal bar
        if mirror is not None:
            mirror.progress(told)
        bar = progress(told.total, "steps") if bar is None else bar
        shown = " ".join(
            f"{k} {told.metrics[k]:.3g}" for k in ("loss", "accuracy", "residual_median") if k in told.metrics
        )
        bar.advance(told.stepped, f"{told.done / max(told.seconds, 1e-9):.0f} steps/s {shown}")

    try:
        trained = train(
            built_from(build, seed),
            rule,
            data,
            rate=rate,
            epochs=spec.epochs,
            steps=spec.steps,
            batch_size=spec.batch_size,
            loss=found(spec.loss, LOSSES),
            seed=seed,
            devices=spec.devices,
            mesh=mesh_of(spec),
            checkpoint=None if out is None else Path(out) / "checkpoint",
            identity=content_hash(whole),
            on_progress=tell,
            **optimizer_settings(spec, table),
            **schedule_settings(spec),
        )
        result = _result(trained, spec, choosing, rate, seed)
        if store is not None:
            store.append([{"hash": content_hash(whole), "group": 0, **result}])
        return result
    finally:
        if bar is not None:
            bar.close()
        if mirror is not None:
            mirror.close()
        if store is not None:
            store.close()


def built_from(build: Any, seed: int) -> Any:
    """The network that a seed initializes, by the stream that is for nothing else."""
    from ..training import streams

    return build(streams(seed).init)


def _result(trained: Any, spec: Run, choosing: Any, rate: float, seed: int) -> dict[str, Any]:
    """What `--json` holds."""
    import equinox as eqx
    import jax

    from ..training import diverged_at, evaluated, examples

    history = {name: np.asarray(values, float) for name, values in trained.history.items()}
    network = trained.network
    validation = None
    if choosing is not None:
        held = evaluated(network, examples(choosing, "test", network.dtype, network), found(spec.loss, LOSSES))
        validation = held[1] if choosing.classes is not None else None
    tolerance = 1e-2 if spec.tolerance is None else spec.tolerance
    return {
        "test_accuracy": trained.test_accuracy,
        "test_loss": trained.test_loss,
        "diverged_at_step": diverged_at(trained.history),
        "train_seconds": trained.train_seconds,
        "compile_seconds": trained.compile_seconds,
        "parameters": sum(leaf.size for leaf in jax.tree.leaves(eqx.filter(network, eqx.is_inexact_array))),
        "cosine_to_backprop": {
            "all": _median(history.get("cosine")),
            "layer_min": _median(history.get("cosine_layer_min")),
        },
        "validation_accuracy": validation,
        "settled": _settled(history, tolerance),
        "spec": spec.model_dump(exclude={"table"}) | {"rate": rate, "seed": seed},
    }


def _settled(history: dict[str, np.ndarray], tolerance: float) -> dict[str, Any] | None:
    """How settled inference was, over batches; None where the algorithm settles nothing."""
    residual = history.get("residual_median")
    if residual is None:
        return None
    return {
        "residual_last": float(residual[-1]),
        "residual_median": float(np.median(residual)),
        "residual_max": float(np.max(residual)),
        "iterations_median": float(np.median(history["iterations"])),
        "examples_settled": float(np.mean(history["settled"])),
        "fraction_converged": float(np.mean(residual <= tolerance)),
        "curvature": _median(history["curvature"]),
    }


def _median(values: np.ndarray | None) -> float | None:
    """The median over the batches where it was sampled."""
    if values is None or not np.isfinite(values).any():
        return None
    return float(np.nanmedian(values))
