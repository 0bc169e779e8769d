"""Results of the trials of a comparison, and the table made of them. Metrics keep their natural sign."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field

from mtl.errors import StageError
from mtl.reports.types import EpochRow, Report, parse_json
from mtl.yardstick import Direction


class TrialHead(Report):
    """Which training of a comparison it is."""

    method: str
    learning_rate: float
    seed: int


class FailedTrial(TrialHead):
    """A training that stopped with an error of the method's own."""

    error: str

    def as_json(self) -> dict[str, object]:
        """As the trial's file has it."""
        return self.model_dump()


class TrainedTrial(TrialHead):
    """A training that finished."""

    val_score: float = Field(description="by which methods are selected")
    test: dict[str, float | None] = Field(
        description="task → its primary metric; None where no test sample has the target"
    )
    blind: dict[str, float | None] = Field(
        default_factory=dict[str, float | None], description="task → the same of the best answer that does not look"
    )
    units: dict[str, str] = Field(default_factory=dict[str, str], description="task → unit of the metric")
    history: tuple[EpochRow, ...]
    level: str = Field(default="features", description="where gradients were compared, if they were")
    step_seconds: float = Field(description="the median")
    peak_mib: float = Field(description="of the process during it")
    directions: dict[str, Direction] = Field(description="task that is no auxiliary one → how its metric improves")
    metrics: dict[str, str] = Field(description="task → the name of its primary metric")

    def as_json(self) -> dict[str, object]:
        """As the trial's file has it."""
        found: dict[str, object] = self.model_dump()
        found["history"] = [row.as_json() for row in self.history]
        return found


TrialResult = TrainedTrial | FailedTrial


def parse_trial(document: Mapping[str, object], what: str) -> TrialResult:
    """A trial's result.

    Raises:
        StageError: it is none.
    """
    kind = FailedTrial if "error" in document else TrainedTrial
    return parse_json(kind, document, what, fix="remove it, and compare again: it is made again", refusal=StageError)


class Trials(Report):
    """What a job brings back."""

    trials: tuple[TrainedTrial | FailedTrial, ...]


def parse_trials(document: Mapping[str, object], what: str) -> list[TrialResult]:
    """What a cluster's job has made of all trials.

    Raises:
        StageError: it is none.
    """
    fix = "run again with the same version of mtl here and on the cluster"
    return list(parse_json(Trials, document, what, fix=fix, refusal=StageError).trials)


class Cell(Report):
    """A mean over seeds, and half of its 95 % interval; None where they are not known."""

    mean: float | None
    half: float | None


class FailedRow(Report):
    """A method of which no training finished."""

    method: str
    error: str


class MethodRow(Report):
    """A method at the learning rate that validation chose."""

    method: str
    seeds: int = Field(description="that did not fail")
    learning_rate: float
    metrics: dict[str, Cell] = Field(description="task → test metric")
    delta: dict[str, float | None] = Field(description="task → its gain over the task alone")
    delta_m: Cell = Field(description="their mean")
    step: float = Field(description="time of a step beside the plain sum's")
    memory: float = Field(description="beside the plain sum's")
    val: float
    weights: tuple[dict[str, float], ...] = Field(description="the first seed's, by epoch; NaN: no step had the task")
    rank: float = Field(description="mean over tasks; 1 is best")


class Cosines(Report):
    """Cosines between the tasks' gradients, of the first trial that compared them at a level."""

    method: str
    epochs: tuple[tuple[tuple[float | None, ...], ...], ...] = Field(
        description="[epoch, task, task]; None for a pair that no step had"
    )


class ComparisonTable(Report):
    """table.json of `mtl compare`."""

    alone: dict[str, Cell] = Field(description="task → test metric of the task trained alone")
    rows: tuple[MethodRow | FailedRow, ...] = Field(description="the largest Δm first")
    metrics: dict[str, str] = Field(description="task → the metric's name")
    directions: dict[str, Direction]
    not_judged: tuple[str, ...] = Field(description="tasks without a test target")
    seeds: int
    cosines: dict[str, Cosines] = Field(description="by level")
    tasks: tuple[str, ...] = Field(description="auxiliary ones too, in the order of the cosines")
