"""Δm of the shared model over each task's own: with intervals, and what is not known is said."""

from __future__ import annotations

import numpy as np
import pytest

from flows.comparison.baselines import compare, show
from mtl.reports import EvalReport, Metric, TaskReport
from tests.gate.test_gate import report, task


def alone(**tasks: TaskReport) -> dict[str, EvalReport]:
    return {name: report({name: found}) for name, found in tasks.items()}


def test_gains_have_paired_intervals() -> None:
    rng = np.random.default_rng(0)
    shared, own = rng.normal(0, 0.05, 400), rng.normal(0, 0.005, 400)
    multi = report({"a": task(0.84, shared + own), "b": task(0.5, shared, "min")})
    table = compare(multi, alone(a=task(0.8, shared), b=task(0.4, shared, "min")))
    by_task = {row.task: row for row in table.tasks}
    assert by_task["a"].delta == pytest.approx(0.05)
    assert by_task["a"].interval is not None
    low, high = by_task["a"].interval
    assert low < 0.05 < high and high - low < 0.05  # what both vary with alike is no doubt
    assert by_task["b"].delta == pytest.approx(-0.2)  # of the larger error, where the blind one's is not known
    assert table.overall == pytest.approx(-0.075)
    assert table.interval is not None
    assert table.interval[0] < -0.075 < table.interval[1]
    text = show(table)
    assert "+5.00%   [" in text
    assert "seeds" in text


def test_a_task_that_cannot_be_judged_is_named() -> None:
    noise = np.zeros(100)
    nothing = TaskReport(
        type="classification",
        auxiliary=False,
        primary="accuracy",
        floor=None,
        metrics={"accuracy": Metric(value=None, direction="max")},
        replicates=(None,) * 100,
        slices={},
    )
    table = compare(report({"a": task(0.84, noise), "x": nothing}), alone(a=task(0.8, noise), x=nothing))
    assert table.not_judged == ("x",)
    assert table.overall == pytest.approx(0.05)
    assert "x: no test sample has its target" in show(table)
    none = compare(report({"x": nothing}), alone(x=nothing))
    assert none.overall is None
    assert "overall" not in show(none)
