"""Labels that come after the predictions: how a task really does, beside what its version was registered with."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np

from mtl.config import DataError

NUM_RESAMPLES, CONFIDENCE, FEWEST = 1000, 0.95, 20


def read_labels(path: Path, tasks: list[str]) -> dict[str, dict[str, str]]:
    """Image's file name → task → label, empty ones left out.

    Raises:
        DataError: it cannot be read, or has no column `image`, or none of a task.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (OSError, ValueError, csv.Error) as error:
        raise DataError(f"the labels in {path} cannot be read", found=str(error), fix="check monitor.labels") from error
    columns = set(rows[0]) if rows else set[str]()
    if rows and ("image" not in columns or not columns & set(tasks)):
        fix = f"a column `image` and some of {', '.join(tasks)}"
        raise DataError(f"the labels in {path} lack columns", found=", ".join(sorted(columns)), fix=fix)
    return {row["image"].rpartition("/")[2]: {task: row[task] for task in tasks if row.get(task)} for row in rows}


def late_performance(
    labels: dict[str, dict[str, str]], answers: dict[str, dict[str, Any]], registered: dict[str, dict[str, Any]]
) -> list[dict[str, Any]]:
    """Accuracy of labels and mean absolute error of values, with intervals, beside the registered ones.

    Args:
        answers: image → columns of `Predictor.predict`.
        registered: task → serves (label or value), value, low and high of accuracy or mae.

    `worse`: the whole interval is worse than the whole registered one.
    """
    found: list[dict[str, Any]] = []
    for task, before in registered.items():
        known = [
            (answers[image][task], given[task]) for image, given in labels.items() if task in given and image in answers
        ]
        if len(known) < FEWEST:
            continue
        upwards = before["serves"] == "label"
        scores = np.array([_score(answer, truth, upwards, task) for answer, truth in known])
        draws = np.random.default_rng(0).integers(len(scores), size=(NUM_RESAMPLES, len(scores)))
        tail = (1 - CONFIDENCE) / 2
        low, high = (float(q) for q in np.quantile(scores[draws].mean(1), [tail, 1 - tail]))
        worse = high < before["low"] if upwards else low > before["high"]
        row = {"task": task, "metric": "accuracy" if upwards else "mae", "images": len(scores), "worse": bool(worse)}
        found.append(row | {"value": float(scores.mean()), "low": low, "high": high, "registered": before["value"]})
    return found


def _score(answer: Any, truth: str, is_label: bool, task: str) -> float:
    if is_label:
        return float(str(answer) == truth)
    try:
        return abs(float(answer) - float(truth))
    except ValueError as error:
        raise DataError(f"a label of {task} is no number", found=truth[:40], fix="correct monitor.labels") from error
