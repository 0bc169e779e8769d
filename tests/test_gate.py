"""The gate: pure, paired, never fooled by one task's gain."""

from __future__ import annotations

import numpy as np
import pytest

from mtl.config import Config, GateConfig
from mtl.gate import judge
from mtl.reports import EvalReport, Metric, TaskReport

GATE = GateConfig(margin=0.02, min_improvement=0.0, confidence=0.95)


def task(
    value: float, noise: np.ndarray, direction: str = "max", floor: float = 0.5, auxiliary: bool = False
) -> TaskReport:
    return TaskReport(
        type="classification",
        auxiliary=auxiliary,
        primary="accuracy",
        floor=floor,
        metrics={"accuracy": Metric(value=value, low=None, high=None, direction=direction)},  # type: ignore[arg-type]
        replicates=tuple(value + noise),
        slices={},
    )


def report(tasks: dict[str, TaskReport], samples: str = "a") -> EvalReport:
    return EvalReport(samples_sha256=samples, num_samples=100, seed=0, num_resamples=400, confidence=0.95, tasks=tasks)


@pytest.fixture
def noise() -> np.ndarray:
    return np.random.default_rng(0).normal(0, 0.005, 400)


def test_the_first_version_must_reach_its_floors(noise: np.ndarray) -> None:
    assert judge(report({"a": task(0.6, noise)}), None, None, GATE).promote
    refused = judge(report({"a": task(0.6, noise), "b": task(0.4, noise)}), None, None, GATE)
    assert not refused.promote
    assert "b: floor requires accuracy >= 0.5, found 0.4000" in refused.summary
    assert judge(report({"a": task(0.4, noise, "min")}), None, None, GATE).promote
    assert not judge(report({"a": task(0.6, noise, "min")}), None, None, GATE).promote


def test_a_regression_of_one_task_never_passes_whatever_the_others_gain(noise: np.ndarray) -> None:
    champion = report({"a": task(0.8, noise), "b": task(0.8, noise)})
    challenger = report({"a": task(0.99, noise), "b": task(0.77, noise)})
    decision = judge(challenger, champion, 3, GATE)
    assert not decision.promote
    assert decision.champion == 3
    assert [(r.task, r.passed) for r in decision.rules if r.name == "not worse"] == [("a", True), ("b", False)]


def test_equal_on_the_same_resamples_is_no_regression(noise: np.ndarray) -> None:
    same = report({"a": task(0.8, noise)})
    assert judge(same, same, 1, GATE).promote
    strict = GateConfig(margin=0.02, min_improvement=0.01, confidence=0.95)
    assert not judge(same, same, 1, strict).promote


def test_a_metric_that_improves_downwards(noise: np.ndarray) -> None:
    champion = report({"a": task(0.30, noise, "min", 1.0)})
    assert judge(report({"a": task(0.25, noise, "min", 1.0)}), champion, 1, GATE).promote
    assert not judge(report({"a": task(0.33, noise, "min", 1.0)}), champion, 1, GATE).promote


def test_auxiliary_tasks_do_not_count(noise: np.ndarray) -> None:
    champion = report({"a": task(0.8, noise), "x": task(0.9, noise, auxiliary=True)})
    assert judge(report({"a": task(0.81, noise), "x": task(0.1, noise, auxiliary=True)}), champion, 1, GATE).promote


def test_other_samples_or_a_lost_task_are_refused(noise: np.ndarray) -> None:
    champion = report({"a": task(0.8, noise), "b": task(0.8, noise)})
    moved = judge(report({"a": task(0.9, noise), "b": task(0.9, noise)}, samples="other"), champion, 1, GATE)
    assert not moved.promote
    assert "same test samples" in moved.summary
    lost = judge(report({"a": task(0.9, noise)}), champion, 1, GATE)
    assert not lost.promote
    assert "b: task kept requires accuracy, found absent" in lost.summary


def test_shipped_settings_are_a_gate(config: Config) -> None:
    assert 0 < config.gate.margin < 0.1
