"""Labels that come after the predictions: how a task really does, beside what its version was registered with."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from scipy import stats

from mtl.errors import DataError
from mtl.monitor.drift import holm
from mtl.monitor.matching import listed, match
from mtl.reports.monitoring import LateResult, Registered

CONFIDENCE, FEWEST = 0.95, 20
LATE_SHARE = 0.2
"""Of alpha that the labels have which come late, where there are such; the images' own comparisons have the rest."""

Labels = dict[str, dict[str, str]]
"""Image → column → text; empty cells left out."""


def read_labels(path: Path, tasks: list[str] | None = None, problems: list[str] | None = None) -> Labels:
    """Labels by what the column `image` says, a path or an id.

    Args:
        tasks: the columns that are read; None: all.
        problems: takes what of the file cannot be used.

    Raises:
        DataError: it cannot be read, or has no column `image`, or none of a task.
    """
    told = [] if problems is None else problems
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file, skipinitialspace=True))
    except (OSError, ValueError, csv.Error) as error:
        raise DataError(f"the labels in {path} cannot be read", found=str(error), fix="check monitor.labels") from error
    columns = {column for column in rows[0] if column} if rows else set[str]()
    wanted = columns - {"image"} if tasks is None else columns & set(tasks)
    if rows and ("image" not in columns or not wanted):
        fix = f"a column `image` and some of {', '.join(tasks)}" if tasks else "a column `image`, and a column per task"
        raise DataError(f"the labels in {path} lack columns", found=", ".join(sorted(columns)), fix=fix)
    found: dict[str, dict[str, set[str]]] = {}
    for image, row in _usable(rows, path.name, told):
        cells = found.setdefault(image, {})
        for column in sorted(wanted):
            if text := (row[column] or "").strip():
                cells.setdefault(column, set()).add(text)
    divided = [f"{image} ({column})" for image, cells in found.items() for column in cells if len(cells[column]) > 1]
    if divided:
        told.append(f"{len(divided)} labels are another in another row: {listed(divided)}")
    return {image: {c: t.copy().pop() for c, t in cells.items() if len(t) == 1} for image, cells in found.items()}


def _usable(rows: list[dict[str, str]], name: str, problems: list[str]) -> list[tuple[str, dict[str, str]]]:
    """Rows with the image that they name; of the others it is told."""
    found: list[tuple[str, dict[str, str]]] = []
    bad: list[str] = []
    for number, row in enumerate(rows, 2):
        image = (row["image"] or "").strip().replace("\\", "/").removeprefix("./")
        if image and len(row) == len(rows[0].keys() - {None}):  # a row with more cells has them under None
            found.append((image, row))
        else:
            bad.append(str(number))
    if bad:
        problems.append(f"{name}: {len(bad)} rows name no image or have more cells than the header: line {listed(bad)}")
    return found


def late_performance(
    labels: Mapping[str, Mapping[str, str]],
    answers: Mapping[str, Mapping[str, object]],
    registered: Mapping[str, Registered],
    *,
    alpha: float = 0.01,
    problems: list[str] | None = None,
) -> list[LateResult]:
    """Accuracy of labels and mean absolute error of values, with intervals of 95 %, beside the registered ones.

    Accuracy has Clopper and Pearson's interval; the error, which is skewed and never negative, Student's of its logarithm.

    Args:
        labels: by image, as `match` finds it among the answers'.
        answers: image → columns of `Predictor.predict`.
        registered: task → how it did then.
        alpha: how often a task that does as registered may be called worse, over all tasks together.
        problems: takes what cannot be judged.

    `worse`: surely worse than the bad end of the registered interval (binomial or Student's test, Holm over the tasks).
    """
    told = [] if problems is None else problems
    found: list[LateResult] = []
    matched = match(labels, answers, told)
    for task, before in registered.items():
        scores = _scores(task, before, matched, answers, told)
        if len(scores) >= FEWEST:
            found.append(_row(task, before, np.array(scores)))
        else:
            told.append(f"{task}: {len(scores)} labels have come, {FEWEST} are needed")
    sure = holm([row.p for row in found], [1 / len(found)] * len(found) if found else [], alpha)
    return [row.model_copy(update={"worse": worse}) for row, worse in zip(found, sure, strict=True)]


def _scores(
    task: str, before: Registered, labels: Labels, answers: Mapping[str, Mapping[str, object]], problems: list[str]
) -> list[float]:
    """1 or 0 of a label, the absolute error of a value; of what can be judged."""
    scores: list[float] = []
    unusable: list[str] = []
    for image, given in labels.items():
        answer, truth = answers[image].get(task), given.get(task, "")
        if answer is None or not truth:
            continue
        if not before.counts_hits:
            number = _number(truth)
            scores += [] if number is None else [abs(float(str(answer)) - number)]
            unusable += [truth] if number is None else []
        elif before.classes and truth not in before.classes:
            unusable.append(truth)
        else:
            scores.append(float(str(answer) == truth))
    if unusable:
        what = "are no class of the model" if before.counts_hits else "are no number"
        problems.append(f"{task}: {len(unusable)} labels {what}: {listed(sorted(set(unusable)))}")
    return scores


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _row(task: str, before: Registered, scores: np.ndarray) -> LateResult:
    number, value = len(scores), float(scores.mean())
    is_label = before.counts_hits
    if is_label:
        interval = stats.binomtest(int(scores.sum()), number).proportion_ci(CONFIDENCE)
        low, high, p = interval.low, interval.high, stats.binom.cdf(int(scores.sum()), number, before.low)
    else:
        error = float(scores.std(ddof=1)) / number**0.5
        width = stats.t.ppf((1 + CONFIDENCE) / 2, number - 1) * error / value if value else 0.0
        low, high = value * math.exp(-width), value * math.exp(width)
        p = stats.t.sf((value - before.high) / error, number - 1) if error else float(value <= before.high)
    return LateResult(
        task=task,
        metric="accuracy" if is_label else "mae",
        images=number,
        p=float(p),
        value=value,
        low=float(low),
        high=float(high),
        registered=before.value,
    )


def unscored_columns(labels: Iterable[Mapping[str, str]], registered: Mapping[str, Registered]) -> list[str]:
    """Columns of labels that say nothing of a task with an accuracy or an error."""
    return sorted({column for given in labels for column in given} - registered.keys())
