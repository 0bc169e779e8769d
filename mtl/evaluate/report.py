"""From the scorers of a test run to the EvalReport, the metrics and the tables of plots."""

from __future__ import annotations

import csv
import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from mtl.config import Config
from mtl.data.loader import Split
from mtl.evaluate.bootstrap import interval, resample_counts
from mtl.reports import EvalReport, Metric, SliceReport, TaskReport
from mtl.tasks import Task
from mtl.tasks.base import Scorer

MIN_SLICE = 20
"""A slice with fewer samples says nothing and is left out."""
NUM_SLICE_RESAMPLES = 200
"""Enough for a standard error, which is what a slice's interval is made of."""


def build_report(
    scorers: dict[str, Scorer],
    tasks: dict[str, Task],
    split: Split,
    config: Config,
    split_name: str,
    robustness: dict[str, dict[str, float]] | None = None,
) -> EvalReport:
    """Values, intervals, paired replicates and slices of every task; what robustness found, by corruption and task."""
    corrupted = robustness or {}
    counts = resample_counts(config.seed, config.evaluate.num_resamples, len(split))
    groups = _slices(split)
    return EvalReport(
        samples_sha256=split.manifest.split_sha256[split_name],
        num_samples=len(split),
        seed=config.seed,
        num_resamples=config.evaluate.num_resamples,
        confidence=config.evaluate.confidence,
        tasks={
            name: _task_report(
                scorers[name],
                task,
                counts,
                groups,
                config.evaluate.confidence,
                {kind: _finite(found[name]) for kind, found in corrupted.items() if name in found},
            )
            for name, task in tasks.items()
        },
    )


def _task_report(
    scorer: Scorer,
    task: Task,
    counts: np.ndarray,
    groups: dict[str, dict[str, np.ndarray]],
    confidence: float,
    robustness: dict[str, float | None],
) -> TaskReport:
    values, replicates = scorer.value(), scorer.metrics(counts)
    metrics: dict[str, Metric] = {}
    for name, value in values.items():
        low, high = interval(replicates[name], confidence)
        direction = task.directions.get(name, task.directions[task.primary])
        metrics[name] = Metric(
            value=_finite(value), low=low, high=high, direction=direction, unit=task.units.get(name, task.target.unit)
        )
    slices = {
        attribute: {value: _slice(scorer, task, counts, chosen) for value, chosen in values_of.items()}
        for attribute, values_of in groups.items()
    }
    return TaskReport(
        type=task.config.type,
        auxiliary=task.config.auxiliary,
        primary=task.primary,
        floor=task.config.floor,
        metrics=metrics,
        replicates=_rounded(replicates[task.primary]),
        slices=slices,
        robustness=robustness,
    )


def _slice(scorer: Scorer, task: Task, counts: np.ndarray, chosen: np.ndarray) -> SliceReport:
    weights = np.vstack([chosen, counts[:NUM_SLICE_RESAMPLES] * chosen]).astype(np.float64)
    found = scorer.primary(weights, task.primary)
    return SliceReport(value=_finite(float(found[0])), num_samples=int(chosen.sum()), replicates=_rounded(found[1:]))


def _rounded(replicates: np.ndarray) -> tuple[float, ...]:
    return tuple(round(float(v), 9) for v in np.nan_to_num(replicates))


def _slices(split: Split) -> dict[str, dict[str, np.ndarray]]:
    """Attribute → value → which samples have it."""
    everything = split.slices()
    groups: dict[str, dict[str, np.ndarray]] = {}
    for attribute, values in everything.items():
        array = np.array(values)
        frequent = [value for value, count in sorted(Counter(values).items()) if count >= MIN_SLICE]
        groups[attribute] = {value: array == value for value in frequent}
    return groups


def write_tables(folder: Path, report: EvalReport, scorers: dict[str, Scorer]) -> None:
    """`metrics.json` for `dvc metrics` and a CSV a curve for `dvc plots`."""
    values = {name: {m: metric.value for m, metric in task.metrics.items()} for name, task in report.tasks.items()}
    (folder / "metrics.json").write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
    tables: dict[str, list[dict[str, Any]]] = {"confusion": [], "reliability": [], "precision_recall": []}
    for name, scorer in scorers.items():
        for curve, rows in scorer.curves().items():
            tables[curve] += [{"task": name, **row} for row in rows]
    empty = {
        "confusion": ["task", "actual", "predicted"],
        "reliability": ["task", "confidence", "accuracy", "count"],
        "precision_recall": ["task", "recall", "precision"],
    }
    for curve, rows in tables.items():
        with (folder / f"{curve}.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, fieldnames=empty[curve])
            writer.writeheader()
            writer.writerows(rows)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
