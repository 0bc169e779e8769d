"""`mtl baselines`: one model per task, with the budget of the multi-task model, and the table of gains and losses."""

from __future__ import annotations

import json

import numpy as np

from flows.checkout.dvc import run_module
from flows.checkout.workspace import exclusive
from flows.run_log import await_steps, step
from flows.settings import Settings
from flows.terminal import stop_display
from mtl.config.params import load
from mtl.gate import gain
from mtl.intervals import Estimate
from mtl.reports import EvalReport, read_report
from mtl.reports.types import Report

Ends = tuple[float, float]
"""Of an interval, the lower first."""


class TaskGain(Report):
    """A task of the shared model beside the model that has it alone."""

    task: str
    metric: str
    alone: float | None
    together: float | None
    delta: float
    interval: Ends | None


class BaselineTable(Report):
    """table.json of `mtl baselines`; None where nothing is known."""

    tasks: tuple[TaskGain, ...]
    overall: float | None
    interval: Ends | None
    confidence: float
    not_judged: tuple[str, ...]


def run_baselines(settings: Settings, as_json: bool) -> None:
    """Train what is missing, one after the other, and print the comparison.

    Raises:
        StageError: a training failed.
        DataError: there is no evaluated multi-task model yet.
    """
    config = load(settings.root / "params.yaml")
    outputs = settings.root / "outputs"
    multi = read_report(EvalReport, outputs / "evaluate" / "report.json")
    names = [name for name, task in config.tasks.items() if not task.auxiliary]
    with exclusive(settings):
        await_steps(names)
        for name in names:
            with step(name):
                # Content keys make this idempotent: a baseline that is complete is only scored again.
                run_module("mtl.entrypoints.baseline", name, folder=settings.root)
    stop_display()
    table = compare(multi, {n: read_report(EvalReport, outputs / "baselines" / f"{n}.json") for n in names})
    text = json.dumps(table.model_dump(), indent=1)
    (outputs / "baselines" / "table.json").write_text(text + "\n", encoding="utf-8")
    print(text if as_json else show(table))


def compare(multi: EvalReport, singles: dict[str, EvalReport]) -> BaselineTable:
    """Δm: gain of the shared model over each task's own (positive is better; `Yardstick.gain` has its unit), and their mean,
    with paired intervals over the test samples. Tasks that cannot be judged are left out and named.
    """
    gains = {name: gain(multi.tasks[name], single.tasks[name]) for name, single in singles.items()}
    known = {name: found for name, found in gains.items() if np.isfinite(found.point)}
    rows = [
        TaskGain(
            task=name,
            metric=singles[name].tasks[name].primary,
            alone=singles[name].primary(name).value,
            together=multi.primary(name).value,
            delta=found.point,
            interval=found.interval((1 - multi.confidence) / 2),
        )
        for name, found in known.items()
    ]
    overall = Estimate.mean(list(known.values())) if known else None
    return BaselineTable(
        tasks=tuple(rows),
        overall=overall and overall.point,
        interval=overall and overall.interval((1 - multi.confidence) / 2),
        confidence=multi.confidence,
        not_judged=tuple(name for name in gains if name not in known),
    )


def show(table: BaselineTable) -> str:
    """The table as lines."""
    lines = [f"{'task':<10} {'metric':<10} {'alone':>8} {'together':>9} {'Δm':>8}   {table.confidence:.0%} interval"]
    for row in table.tasks:
        values = f"{row.alone:>8.4f} {row.together:>9.4f} {row.delta:>+8.2%}"
        lines.append(f"{row.task:<10} {row.metric:<10} {values}   {_shown(row.interval)}")
    if table.overall is not None:
        overall = f"{'overall':<10} {'':<10} {'':>8} {'':>9} {table.overall:>+8.2%}"
        lines.append(f"{overall}   {_shown(table.interval)}  (positive: sharing gains)")
    lines += [f"{name}: no test sample has its target, so nothing is known" for name in table.not_judged]
    lines.append(
        "Intervals are over test samples. Each model is one training: `mtl compare --seeds 3` shows what seeds do."
    )
    return "\n".join(lines)


def _shown(ends: Ends | None) -> str:
    return "unknown" if ends is None else f"[{ends[0]:+.2%}, {ends[1]:+.2%}]"
