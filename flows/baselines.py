"""`mtl baselines`: one model a task, with the budget of the multi-task model, and the table of gains and losses."""

from __future__ import annotations

import json
import sys
from typing import Any

from flows.settings import Settings
from flows.versioning import run_module
from flows.workspace import alone
from mtl.config import load
from mtl.gate import relative_gains
from mtl.reports import EvalReport, read_report


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
    with alone(settings):
        for name in names:
            print(f"baseline {name}: {config.train.epochs} epochs", file=sys.stderr, flush=True)
            # Content keys make this idempotent: a baseline that is complete is only scored again.
            run_module("mtl.stages.baseline", name, folder=settings.root)
    rows = compare(multi, {n: read_report(EvalReport, outputs / "baselines" / f"{n}.json") for n in names})
    (outputs / "baselines" / "table.json").write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    if as_json:
        print(json.dumps(rows, indent=1))
        return
    print(f"{'task':<10} {'metric':<10} {'alone':>8} {'together':>9} {'Δm':>8}")
    for row in rows["tasks"]:
        print(
            f"{row['task']:<10} {row['metric']:<10} {row['alone']:>8.4f} {row['together']:>9.4f} {row['delta']:>+8.2%}"
        )
    print(f"{'overall':<10} {'':<10} {'':>8} {'':>9} {rows['overall']:>+8.2%}   (positive: sharing gains)")


def compare(multi: EvalReport, alone: dict[str, EvalReport]) -> dict[str, Any]:
    """Δm: relative gain of the shared model over each task's own, positive is better, and their mean."""
    rows: list[dict[str, Any]] = []
    deltas: list[float] = []
    for name, single in alone.items():
        delta, _ = relative_gains(multi.tasks[name], single.tasks[name])
        metric = single.tasks[name].primary
        rows.append(
            {
                "task": name,
                "metric": metric,
                "alone": single.primary(name).value,
                "together": multi.primary(name).value,
                "delta": delta,
            }
        )
        deltas.append(delta)
    return {"tasks": rows, "overall": sum(deltas) / len(deltas)}
