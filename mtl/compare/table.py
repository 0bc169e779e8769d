"""From the results of trials to one table: selection on validation, test metrics, Δm, rank, cost."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
from scipy import stats

from mtl.compare.gains import delta, mean_and_half
from mtl.compare.results import (
    Cell,
    ComparisonTable,
    Cosines,
    FailedRow,
    FailedTrial,
    MethodRow,
    TrainedTrial,
    TrialResult,
)
from mtl.reports.markdown import as_text
from mtl.yardstick import Direction, Yardstick


def selected(results: Sequence[TrialResult], method: str) -> list[TrainedTrial]:
    """A method's trials at the learning rate with the best mean validation score, of those rates at which the most seeds did
    not fail: a rate is no good for the one seed that survived it.
    """
    by_rate: dict[float, list[TrainedTrial]] = {}
    for result in results:
        if result.method == method and isinstance(result, TrainedTrial):
            by_rate.setdefault(result.learning_rate, []).append(result)
    if not by_rate:
        return []
    return max(
        (by_rate[rate] for rate in sorted(by_rate)),
        key=lambda mine: (len(mine), np.mean([r.val_score for r in mine])),
    )


def best_method(results: Sequence[TrialResult], among: Sequence[str]) -> str | None:
    """The method with the best mean validation score."""
    scores = {m: [r.val_score for r in selected(results, m)] for m in among}
    known = {method: float(np.mean(values)) for method, values in scores.items() if values}
    return max(known, key=lambda method: known[method]) if known else None


def mean_weights(results: Sequence[TrialResult], method: str, tasks: Sequence[str]) -> dict[str, float]:
    """Each task's weight as the method set it, a mean over seeds and the epochs that had the task; a task that none had is
    not named.
    """
    rows = [row.metrics for r in selected(results, method) for row in r.history]
    found = {task: [w for row in rows if not math.isnan(w := row[f"train/{task}/weight"])] for task in tasks}
    return {task: float(np.mean(weights)) for task, weights in found.items() if weights}


def build_table(results: Sequence[TrialResult]) -> ComparisonTable:
    """Rows of methods: test metrics, Δm (positive: better than each task alone; `Yardstick.gain` has its unit), mean rank over
    tasks (1 is best), step time and memory beside the plain sum's.

    Intervals are of 95 % over seeds, by Student's t; of Δm, over the seeds of the tasks alone as well. Of a single seed none is
    known: `half` is None.
    """
    names = list(dict.fromkeys(r.method for r in results))
    shared = [name for name in names if not name.startswith("alone")]
    chosen = {name: selected(results, name) for name in names}
    first = next(r for name in shared for r in chosen[name])
    used = [r for mine in chosen.values() for r in mine]
    directions: dict[str, Direction] = {
        t: d for t, d in first.directions.items() if all(r.test.get(t, 0.0) is not None for r in used)
    }
    yards = {t: Yardstick(d, first.units.get(t, ""), first.blind.get(t)) for t, d in directions.items()}
    base = {t: _tested(chosen[f"alone: {t}"], t) for t in directions}
    plain = chosen.get("fixed") or next(chosen[name] for name in shared if chosen[name])
    ranks = _ranks(chosen, [name for name in shared if chosen[name]], directions)
    rows = [
        _row(name, chosen[name], base, yards, plain, ranks[name]) if chosen[name] else _failed(name, results)
        for name in shared
    ]
    return ComparisonTable(
        alone={t: mean_and_half(base[t]) for t in directions},
        rows=tuple(sorted(rows, key=_place)),
        metrics={t: first.metrics[t] for t in directions},
        directions=directions,
        not_judged=tuple(t for t in first.directions if t not in directions),
        seeds=len({r.seed for r in results}),
        cosines=_cosines(results),
        tasks=tuple(first.metrics),
    )


def _tested(trials: Sequence[TrainedTrial], task: str) -> np.ndarray:
    """A task's test metric with each seed [seeds]."""
    return np.array([trial.test[task] for trial in trials])


def _row(
    name: str,
    mine: list[TrainedTrial],
    base: dict[str, np.ndarray],
    yards: dict[str, Yardstick],
    plain: list[TrainedTrial],
    rank: float,
) -> MethodRow:
    """A method's row. base: task → test metric of each seed of it alone; plain: the plain sum's trials."""
    found = {t: _tested(mine, t) for t in yards}
    return MethodRow(
        method=name,
        seeds=len(mine),
        learning_rate=mine[0].learning_rate,
        metrics={t: mean_and_half(values) for t, values in found.items()},
        delta={t: delta(found, base, {t: yard}).mean for t, yard in yards.items()},
        delta_m=delta(found, base, yards),
        step=_median(r.step_seconds for r in mine) / _median(r.step_seconds for r in plain),
        memory=_median(r.peak_mib for r in mine) / _median(r.peak_mib for r in plain),
        val=float(np.mean([r.val_score for r in mine])),
        weights=_curves(mine),
        rank=rank,
    )


def _place(row: MethodRow | FailedRow) -> float:
    """By Δm, the largest first; those that have none last."""
    mean = row.delta_m.mean if isinstance(row, MethodRow) else None
    return float("inf") if mean is None else -mean


def _failed(name: str, results: Sequence[TrialResult]) -> FailedRow:
    error = next(r.error for r in results if r.method == name and isinstance(r, FailedTrial))
    return FailedRow(method=name, error=error)


def markdown(table: ComparisonTable) -> str:
    """The table as Markdown."""
    tasks = list(table.directions)
    arrow = {"max": "↑", "min": "↓"}
    heads = [f"{as_text(t)} {as_text(table.metrics[t])} {arrow[table.directions[t]]}" for t in tasks]
    lines = [
        "| method | " + " | ".join(heads) + " | Δm % ↑ | rank ↓ | rate | step | memory |",
        "| --- |" + " --- |" * (len(tasks) + 5),
        "| *each task alone* | " + " | ".join(shown(table.alone[t]) for t in tasks) + " | 0 | | | | |",
    ]
    for row in table.rows:
        if isinstance(row, FailedRow):
            lines.append(f"| {as_text(row.method)} | failed: {as_text(row.error[:80])} |" + " |" * (len(tasks) + 4))
            continue
        failed = "" if row.seeds == table.seeds else f" ({row.seeds} of {table.seeds} seeds)"
        cells = [
            as_text(row.method) + failed,
            *(shown(row.metrics[t]) for t in tasks),
            shown(row.delta_m, percent=True),
        ]
        cells += [f"{row.rank:.1f}", f"{row.learning_rate:g}", f"{row.step:.2f}", f"{row.memory:.2f}"]
        lines.append(f"| {' | '.join(cells)} |")
    if table.not_judged:
        lines += ["", f"Without a test target, and so in no column: {', '.join(map(as_text, table.not_judged))}."]
    return "\n".join(lines) + "\n"


def shown(cell: Cell, *, percent: bool = False) -> str:
    """A mean and half of its interval; ? for what is not known."""
    mean, half = cell.mean, cell.half
    if mean is None:
        return "?"
    text = f"{100 * mean:+.1f}" if percent else f"{mean:.3f}"
    return f"{text} ± " + ("?" if half is None else f"{100 * half:.1f}" if percent else f"{half:.3f}")


def _ranks(
    chosen: dict[str, list[TrainedTrial]], names: list[str], directions: dict[str, Direction]
) -> dict[str, float]:
    places = np.zeros(len(names))
    for task, direction in directions.items():
        means = np.array([_tested(chosen[name], task).mean() for name in names])
        places += stats.rankdata(-means if direction == "max" else means)
    return {name: float(place) / len(directions) for name, place in zip(names, places, strict=True)}


def _median(values: Iterable[float]) -> float:
    return float(np.median(list(values)))


def _curves(results: Sequence[TrainedTrial]) -> tuple[dict[str, float], ...]:
    """The first seed's weights by epoch."""
    return tuple(
        {key.split("/")[1]: value for key, value in row.metrics.items() if key.endswith("/weight")}
        for row in results[0].history
    )


def _cosines(results: Sequence[TrialResult]) -> dict[str, Cosines]:
    """By level, of the first trial that compared gradients there."""
    found: dict[str, Cosines] = {}
    for result in results:
        if isinstance(result, TrainedTrial):
            epochs = tuple(row.cosines for row in result.history if row.cosines is not None)
            if epochs:
                found.setdefault(result.level, Cosines(method=result.method, epochs=epochs))
    return found
