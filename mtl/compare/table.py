"""From the results of trials to one table: selection on validation, test metrics, Δm, rank, cost."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import stats

from mtl.gate import as_gain

Result = dict[str, Any]


def selected(results: Sequence[Result], method: str) -> list[Result]:
    """A method's trials at the learning rate with the best mean validation score; those that failed are left out."""
    mine = [r for r in results if r["method"] == method and "error" not in r]
    rates = {r["learning_rate"] for r in mine}
    if not mine:
        return []
    best = max(sorted(rates), key=lambda rate: np.mean([r["val_score"] for r in mine if r["learning_rate"] == rate]))
    return [r for r in mine if r["learning_rate"] == best]


def best_method(results: Sequence[Result], among: Sequence[str]) -> str | None:
    """The method with the best mean validation score."""
    scores = {m: [r["val_score"] for r in selected(results, m)] for m in among}
    known = {method: float(np.mean(values)) for method, values in scores.items() if values}
    return max(known, key=lambda method: known[method]) if known else None


def mean_weights(results: Sequence[Result], method: str, tasks: Sequence[str]) -> dict[str, float]:
    """Each task's weight as the method set it, a mean over seeds and the epochs that had the task; a task that none had is
    not named."""
    rows = [row for r in selected(results, method) for row in r["history"]]
    found = {task: [w for row in rows if not math.isnan(w := row[f"train/{task}/weight"])] for task in tasks}
    return {task: float(np.mean(weights)) for task, weights in found.items() if weights}


def build_table(results: Sequence[Result]) -> dict[str, Any]:
    """Rows of methods: test metrics with 95 % t-intervals over seeds, Δm in percent (positive: better than each task
    alone), mean rank over tasks (1 is best), step time and memory beside the plain sum's."""
    names = list(dict.fromkeys(r["method"] for r in results))
    shared = [name for name in names if not name.startswith("alone")]
    chosen = {name: selected(results, name) for name in names}
    directions: dict[str, str] = next(r["directions"] for name in shared for r in chosen[name])
    base = {t: float(np.mean([r["test"][t] for r in chosen[f"alone: {t}"]])) for t in directions}
    plain = chosen.get("fixed") or next(chosen[name] for name in shared if chosen[name])
    ranks = _ranks(chosen, [name for name in shared if chosen[name]], directions)
    rows: list[dict[str, Any]] = []
    for name in shared:
        mine = chosen[name]
        if not mine:
            errors = [r["error"] for r in results if r["method"] == name]
            rows.append({"method": name, "error": errors[0]})
            continue
        metrics = {t: _interval([r["test"][t] for r in mine]) for t in directions}
        deltas = {t: as_gain(metrics[t]["mean"] - base[t], base[t], directions[t]) for t in directions}
        per_seed = [
            np.mean([as_gain(r["test"][t] - base[t], base[t], directions[t]) for t in directions]) for r in mine
        ]
        rows.append(
            {
                "method": name,
                "learning_rate": mine[0]["learning_rate"],
                "metrics": metrics,
                "delta": deltas,
                "delta_m": _interval([float(v) for v in per_seed]),
                "rank": ranks[name],
                "step": _median(mine, "step_seconds") / _median(plain, "step_seconds"),
                "memory": _median(mine, "peak_mib") / _median(plain, "peak_mib"),
                "val": float(np.mean([r["val_score"] for r in mine])),
                "weights": _curves(mine),
            }
        )
    rows.sort(key=lambda row: -row["delta_m"]["mean"] if "delta_m" in row else 1e9)
    metric_names: dict[str, str] = next(r["metrics"] for name in shared for r in chosen[name])
    alone = {t: _interval([r["test"][t] for r in chosen[f"alone: {t}"]]) for t in directions}
    return {
        "alone": alone,
        "rows": rows,
        "metrics": {t: metric_names[t] for t in directions},
        "directions": directions,
        "seeds": len({r["seed"] for r in results}),
        "cosines": _cosines(results),
        "tasks": list(metric_names),
    }


def markdown(table: dict[str, Any]) -> str:
    """The table as Markdown."""
    tasks = list(table["directions"])
    arrow = {"max": "↑", "min": "↓"}
    heads = [f"{t} {table['metrics'][t]} {arrow[table['directions'][t]]}" for t in tasks]
    lines = [
        "| method | " + " | ".join(heads) + " | Δm % ↑ | rank ↓ | rate | step | memory |",
        "| --- |" + " --- |" * (len(tasks) + 5),
        "| *each task alone* | " + " | ".join(_shown(table["alone"][t]) for t in tasks) + " | 0 | | | | |",
    ]
    for row in table["rows"]:
        if "error" in row:
            lines.append(f"| {row['method']} | failed: {row['error'][:80]} |" + " |" * (len(tasks) + 4))
            continue
        cells = [_shown(row["metrics"][t]) for t in tasks]
        delta = f"{100 * row['delta_m']['mean']:+.1f} ± {100 * row['delta_m']['half']:.1f}"
        cells += [
            delta,
            f"{row['rank']:.1f}",
            f"{row['learning_rate']:g}",
            f"{row['step']:.2f}",
            f"{row['memory']:.2f}",
        ]
        lines.append(f"| {row['method']} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _shown(cell: dict[str, float]) -> str:
    return f"{cell['mean']:.3f} ± {cell['half']:.3f}"


def _interval(values: list[float]) -> dict[str, float]:
    """Mean, and half of the 95 % interval of the mean by Student's t (0 with one value)."""
    spread = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
    factor = float(stats.t.ppf(0.975, len(values) - 1)) if len(values) > 1 else 0.0
    return {"mean": float(np.mean(values)), "half": factor * spread / len(values) ** 0.5}


def _ranks(chosen: dict[str, list[Result]], names: list[str], directions: dict[str, str]) -> dict[str, float]:
    places = np.zeros(len(names))
    for task, direction in directions.items():
        means = np.array([np.mean([r["test"][task] for r in chosen[name]]) for name in names])
        places += stats.rankdata(-means if direction == "max" else means)
    return {name: float(place) / len(directions) for name, place in zip(names, places, strict=True)}


def _median(results: Sequence[Result], key: str) -> float:
    return float(np.median([r[key] for r in results]))


def _curves(results: Sequence[Result]) -> list[dict[str, float]]:
    """The first seed's weights by epoch."""
    return [
        {key.split("/")[1]: value for key, value in row.items() if key.endswith("/weight")}
        for row in results[0]["history"]
    ]


def _cosines(results: Sequence[Result]) -> dict[str, dict[str, Any]]:
    """Level → method and `epochs`, the cosines between the tasks' gradients by epoch, of the first trial that compared them
    there."""
    found: dict[str, dict[str, Any]] = {}
    for result in results:
        epochs = [row["cosines"] for row in result.get("history", []) if "cosines" in row]
        if epochs:
            found.setdefault(result["level"], {"method": result["method"], "epochs": epochs})
    return found
