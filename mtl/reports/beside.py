"""Two versions beside each other: the champion's and the challenger's metrics and pictures, on the same samples."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pydantic import Field

from mtl.reports.evaluation import EvalReport, Metric, TaskReport
from mtl.reports.pictures import Picture
from mtl.reports.types import Report


class PicturesBeside(Report):
    """The champion's answers for the test images that are shown of another version."""

    pictures: tuple[Picture, ...] = ()
    remark: str = Field(default="", description="what of it is not shown, and why; empty: all is")


@dataclass(frozen=True)
class MetricRow:
    """One metric of one task; `before` is the champion's, None where it has none."""

    task: str
    name: str
    primary: bool
    auxiliary: bool
    now: Metric
    before: Metric | None
    blind: float | None
    """The primary metric of the best answer that does not look at the image."""
    num_targets: int | None

    @property
    def difference(self) -> float | None:
        """Now minus before, in the metric's unit."""
        return difference(self.now.value, self.before and self.before.value)

    @property
    def verdict(self) -> str:
        """Which of the two is better; of the values alone, whatever their intervals."""
        change = self.difference
        if not change:
            return "" if change is None else "same"
        return "better" if (change > 0) == (self.now.direction == "max") else "worse"


@dataclass(frozen=True)
class SliceRow:
    """One task in one slice."""

    task: str
    metric: str
    attribute: str
    value: str
    now: float | None
    before: float | None
    num_samples: int
    judged: bool
    """Whether the samples are enough."""


def metric_rows(evaluation: EvalReport, champion: EvalReport | None) -> list[MetricRow]:
    """Every metric of every task."""
    return [
        MetricRow(
            task=name,
            name=metric,
            primary=metric == task.primary,
            auxiliary=task.auxiliary,
            now=found,
            before=_metrics_of(champion, name).get(metric),
            blind=task.blind.value if task.blind and metric == task.primary else None,
            num_targets=task.num_targets,
        )
        for name, task in evaluation.tasks.items()
        for metric, found in task.metrics.items()
    ]


def slice_rows(evaluation: EvalReport, champion: EvalReport | None) -> Iterator[SliceRow]:
    """Every slice of every task that is no auxiliary one."""
    for name, task in evaluation.tasks.items():
        other = _task_of(champion, name)
        for attribute, values in () if task.auxiliary else task.slices.items():
            known = other.slices.get(attribute, {}) if other and other.primary == task.primary else {}
            for value, row in values.items():
                before = known[value].value if value in known else None
                judged = bool(row.replicates)
                yield SliceRow(name, task.primary, attribute, value, row.value, before, row.num_samples, judged)


def robustness_rows(
    evaluation: EvalReport, champion: EvalReport | None
) -> list[tuple[str, str, dict[str, tuple[float | None, float | None]]]]:
    """[task, its metric, corruption → (now, before)] of tasks of which it was measured."""
    rows: list[tuple[str, str, dict[str, tuple[float | None, float | None]]]] = []
    for name, task in evaluation.tasks.items():
        if task.robustness:
            other = _task_of(champion, name)
            known = other.robustness if other else {}
            rows.append((name, task.primary, {kind: (now, known.get(kind)) for kind, now in task.robustness.items()}))
    return rows


def difference(now: float | None, before: float | None) -> float | None:
    """None where one is not known."""
    return None if now is None or before is None else now - before


def _task_of(report: EvalReport | None, name: str) -> TaskReport | None:
    return report.tasks.get(name) if report else None


def _metrics_of(report: EvalReport | None, name: str) -> dict[str, Metric]:
    task = _task_of(report, name)
    return task.metrics if task else {}
