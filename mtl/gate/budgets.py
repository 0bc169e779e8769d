"""What a version may cost, a first one too: calibration, robustness, size, latency."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mtl.config.gate import GateConfig
from mtl.reports import EvalReport, Rule, TaskReport


def budgets(report: EvalReport, config: GateConfig, num_bytes: int | None, latency_ms: float | None) -> Iterator[Rule]:
    """A rule for each budget that is asked for; what was not measured does not keep it."""
    counting = {name: task for name, task in report.tasks.items() if not task.auxiliary}
    for name, task in counting.items():
        if config.max_ece is not None and "ece" in task.metrics:
            yield _calibration(name, task, config.max_ece)
    for name, task in counting.items():
        if config.max_robustness_loss is not None:
            yield _robustness(name, task, config.max_robustness_loss)
    yield from _limit("size", None if num_bytes is None else num_bytes / 2**20, config.max_size_mib, "MiB")
    yield from _limit("latency", latency_ms, config.max_latency_ms, "ms")


def _calibration(name: str, task: TaskReport, most: float) -> Rule:
    metric = task.metrics["ece"]
    found = "no sample has this target" if metric.value is None else f"{metric.value:.4f}"
    found += f" [{metric.low:.4f}, {metric.high:.4f}]" if metric.low is not None else ""
    passed = metric.value is not None and metric.value <= most
    return Rule(
        name="calibration", task=name, required=f"expected calibration error <= {most:g}", found=found, passed=passed
    )


def _robustness(name: str, task: TaskReport, most: float) -> Rule:
    required = f"at most {most:.1%} lost under corruptions"
    clean, yard = task.robustness.get("none"), task.yardstick
    damaged = {kind: value for kind, value in task.robustness.items() if kind != "none"}
    if clean is None or not damaged:
        found = "not measured: evaluate.corruptions names none, or no sample has this target"
        return Rule(name="robustness", task=name, required=required, found=found, passed=False)
    losses = {kind: 1.0 if value is None else -yard.gain(value, clean) for kind, value in damaged.items()}
    mean, worst = float(np.mean(list(losses.values()))), max(losses, key=lambda kind: losses[kind])
    found = f"{mean:.1%} on average, {losses[worst]:.1%} under {worst}"
    return Rule(name="robustness", task=name, required=required, found=found, passed=mean <= most)


def _limit(name: str, value: float | None, most: float | None, unit: str) -> Iterator[Rule]:
    if most is not None:
        found = "not measured" if value is None else f"{value:.2f} {unit}"
        passed = value is not None and value <= most
        yield Rule(name=name, required=f"at most {most:g} {unit}", found=found, passed=passed)
