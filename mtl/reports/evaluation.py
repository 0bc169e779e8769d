"""How a model does on the test split. Metrics keep their natural sign; `direction` says how they improve."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from mtl.intervals import Estimate
from mtl.reports.types import Report
from mtl.yardstick import Yardstick

FEWEST = 20
"""Samples with the target in a slice: fewer say nothing of it."""
METHOD = 2
"""`EvalReport.method` of this program."""

Replicates = tuple[float | None, ...]
"""A metric on resamples; None where no sample counts."""


def numbers(replicates: Replicates) -> np.ndarray:
    """float64, NaN where no sample counts."""
    return np.array(replicates, np.float64)


def same_number(one: Replicates, other: Replicates) -> tuple[np.ndarray, np.ndarray]:
    """As many of two metrics' resamples as both have."""
    count = min(len(one), len(other))
    return numbers(one[:count]), numbers(other[:count])


class Metric(Report):
    """One metric of one task on the test split."""

    value: float | None = Field(description="None where no sample counts")
    low: float | None = Field(default=None, description="lower end of the interval; None where it is not known")
    high: float | None = Field(default=None, description="upper end")
    direction: Literal["max", "min"]
    unit: str = ""


class SliceReport(Report):
    """One task on the samples of one slice."""

    value: float | None = Field(description="the primary metric; None where no sample counts")
    num_samples: int = Field(description="samples of the slice that have the task's target")
    replicates: Replicates = Field(
        description="the value on the first of the resamples; empty if the samples are too few"
    )
    blind: float | None = Field(default=None, description="the value for the best answer that does not look")


class BlindReport(Report):
    """The best answer that does not look at the image, on the same samples and resamples."""

    value: float
    replicates: Replicates
    jackknife: Replicates


class TaskReport(Report):
    """How one task does."""

    type: str
    auxiliary: bool
    primary: str
    floor: float | None = Field(description="what the task must reach besides, before it has a champion")
    metrics: dict[str, Metric]
    replicates: Replicates = Field(
        description="the primary metric on every bootstrap resample. Two reports with the same samples, seed and "
        "count drew the same resamples, so the differences of their replicates are paired"
    )
    jackknife: Replicates = Field(default=(), description="the primary metric with each part of the samples left out")
    num_targets: int | None = Field(default=None, description="samples that have the target; None: not counted")
    support: dict[str, int] = Field(default_factory=dict[str, int], description="class → samples that have it")
    blind: BlindReport | None = Field(
        default=None, description="the primary metric of an answer that does not look at the image"
    )
    slices: dict[str, dict[str, SliceReport]] = Field(description="attribute → value → the task there")
    robustness: dict[str, float | None] = Field(
        default_factory=dict[str, float | None],
        description="corruption → primary metric on the corrupted images; `none`: on the same ones, clean",
    )

    @property
    def yardstick(self) -> Yardstick:
        """What the primary metric is measured by."""
        metric = self.metrics[self.primary]
        return Yardstick(metric.direction, metric.unit, self.blind.value if self.blind else None)

    @property
    def skill(self) -> Estimate | None:
        """How much better than the best blind answer; None where one of the two is not known."""
        value = self.metrics[self.primary].value
        if value is None or self.blind is None:
            return None
        pairs = ((self.replicates, self.blind.replicates), (self.jackknife, self.blind.jackknife))
        replicates, jackknife = (self.yardstick.skills(*same_number(*pair)) for pair in pairs)
        return Estimate(self.yardstick.skill(value), replicates, jackknife)


class OwnSamples(Report):
    """Two versions on those of the present test samples that the champion had when it was registered, unchanged."""

    num_samples: int | None = Field(description="None: the champion does not say which it had")
    num_gone: int = Field(default=0, description="that it had, and that are changed or no longer there")
    champion: dict[str, TaskReport] = Field(
        default_factory=dict[str, TaskReport], description="by task; empty where none, or all, are its own"
    )
    challenger: dict[str, TaskReport] = Field(default_factory=dict[str, TaskReport])


class EvalReport(Report):
    """A model on the test split."""

    method: int = Field(
        default=1, description="how it was judged: reports of another number are not compared, but made again"
    )
    ids_sha256: str = Field(default="", description="of the ids of the samples that were judged")
    split: str = Field(
        default="test", description="the split that was judged: val where the data set has no test split"
    )
    samples_sha256: str = Field(description="of its samples, before preprocessing")
    num_samples: int
    seed: int
    num_resamples: int
    confidence: float
    tasks: dict[str, TaskReport]
    small_slices: dict[str, int] = Field(
        default_factory=dict[str, int], description="attribute → its values that fewer images have than say anything"
    )
    samples: tuple[str, ...] = Field(
        default=(), description="a digest of each sample that was judged: its id, its image and its targets"
    )
    own: OwnSamples | None = Field(
        default=None, description="of a champion that was judged again: without the samples that have arrived since"
    )
    not_judged: dict[str, str] = Field(
        default_factory=dict[str, str], description="task → why it cannot be judged on these samples"
    )

    def primary(self, task: str) -> Metric:
        """The metric by which a task is judged."""
        report = self.tasks[task]
        return report.metrics[report.primary]
