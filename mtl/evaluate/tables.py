"""Metrics and curves of a test run as the files that `dvc metrics` and `dvc plots` read."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

from mtl.reports import EvalReport
from mtl.storage.csv_cells import as_cell
from mtl.tasks.base import Scorer


def write_tables(folder: Path, report: EvalReport, scorers: dict[str, Scorer]) -> None:
    """`metrics.json` for `dvc metrics` and a CSV per curve for `dvc plots`."""
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
            writer.writerows({key: as_cell(value) for key, value in row.items()} for row in rows)
