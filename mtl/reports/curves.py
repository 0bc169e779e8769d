"""Curves of a test run as charts: from the tables that its stage writes, and the training's history."""

from __future__ import annotations

import csv
import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from mtl.reports.charts import Point, Range, forest, lines
from mtl.reports.forest import FARTHEST
from mtl.reports.types import Decision, EpochRow
from mtl.storage.csv_cells import from_cell

SHADES = 6
"""Of a confusion's cells in the style sheet."""
MOST_CLASSES = 60
"""Of a confusion that is shown."""


@dataclass(frozen=True)
class Confusion:
    """Of one task: what each actual class was taken for."""

    task: str
    names: list[str]
    counts: list[list[int]]
    """[actual][predicted]"""

    def share(self, actual: int, predicted: int) -> float:
        """Of the actual class."""
        return self.counts[actual][predicted] / max(sum(self.counts[actual]), 1)

    def shade(self, actual: int, predicted: int) -> str:
        """Class of the style sheet."""
        return f"h{math.ceil(SHADES * self.share(actual, predicted))}"


def confusions(folder: Path) -> list[Confusion]:
    """Of every task that has one, if it has not too many classes to look at."""
    counted: dict[str, Counter[tuple[str, str]]] = defaultdict(Counter)
    for row in _rows(folder / "confusion.csv"):
        counted[row["task"]][row["actual"], row["predicted"]] += 1
    found: list[Confusion] = []
    for task, pairs in counted.items():
        names = sorted({name for pair in pairs for name in pair})
        if len(names) <= MOST_CLASSES:
            found.append(Confusion(task, names, [[pairs[actual, name] for name in names] for actual in names]))
    return found


def evaluation_curves(folder: Path) -> list[Markup]:
    """Precision over recall, and accuracy over confidence, of the tasks that have them."""
    precision, reliability = _points(folder, "precision_recall"), _points(folder, "reliability")
    title = "Precision and recall, all classes pooled, IoU 0.5"
    honest = "Reliability: on the dotted line, confidence is honest"
    return [
        chart
        for chart in (
            lines(title, precision, "recall", "precision"),
            lines(honest, reliability, "mean confidence", "accuracy", diagonal=True),
        )
        if chart
    ]


def training_curves(history: Sequence[EpochRow]) -> list[Markup]:
    """Loss of each task by epoch, and each metric on the validation split."""
    series: dict[str, dict[str, list[Point]]] = {}
    for row in history:
        for key, value in row.metrics.items():
            part, _, rest = key.partition("/")
            task, _, metric = rest.rpartition("/")
            title = {"train": "Training loss" if metric == "loss" else "", "val": f"Validation: {metric}"}.get(part, "")
            if title and task:
                series.setdefault(title, {}).setdefault(task, []).append(Point(row.epoch + 1, value))
    return [
        chart
        for title, some in series.items()
        if (chart := lines(title, some, "epoch", title.split(": ")[-1], counted=True))
    ]


def decision_chart(decision: Decision) -> Markup:
    """Every gain over the champion with its interval, in per cent; nothing if nothing is compared."""
    found = [
        Range(
            f"{rule.task or 'all tasks'}: {rule.name}",
            100 * rule.difference,
            100 * rule.low,
            100 * rule.high,
            None if rule.bound is None else 100 * rule.bound,
            rule.passed,
        )
        for rule in decision.rules
        if rule.difference is not None and rule.low is not None and rule.high is not None
    ]
    title = f"Gains over version {decision.champion}; the stroke is what the gate compares with"
    return forest(title, found, "gain over the champion, %", FARTHEST)


def _points(folder: Path, name: str) -> dict[str, list[Point]]:
    """Of a table of two columns and the task."""
    found: dict[str, list[Point]] = defaultdict(list)
    for row in _rows(folder / f"{name}.csv"):
        across, up = ("recall", "precision") if name == "precision_recall" else ("confidence", "accuracy")
        found[row["task"]].append(Point(float(row[across]), float(row[up])))
    return dict(found)


def _rows(path: Path) -> Iterator[dict[str, str]]:
    """Of a CSV; none if it is not there."""
    if not path.exists():
        return
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            yield {name: from_cell(value or "") for name, value in row.items()}
