"""What a look at production images leaves: what it found, what it keeps for labels that come later, and what came of it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, JsonValue

from mtl.reports.types import Report


class Shift(Report):
    """One comparison with what the model was made with; None for what is not a number (`mtl.monitor.drift.Finding`)."""

    name: str
    test: Literal["ks", "chi2", "fisher", "mmd", "none"]
    p: float | None
    index: float | None
    reference: float | None
    batch: float | None
    usual: float | None = 0.0
    shifted: bool = False
    reason: str = ""


class LateResult(Report):
    """How a task does by the labels that have come, beside what its version was registered with."""

    task: str
    metric: Literal["accuracy", "mae"]
    images: int
    p: float = Field(description="of the test that it does as registered")
    value: float
    low: float
    high: float
    registered: float
    worse: bool = Field(default=False, description="surely worse than the bad end of the registered interval")
    version: int = Field(default=0, description="that answered")


class MonitorReport(Report):
    """What one look found."""

    version: int
    images: int
    unreadable: tuple[tuple[str, str], ...] = Field(description="[name, why]")
    copies: tuple[str, ...] = ()
    findings: tuple[Shift, ...]
    late: tuple[LateResult, ...]
    judged: int = Field(default=1, description="comparisons that were made")
    reasons: tuple[str, ...]
    late_reasons: tuple[str, ...] = ()
    unjudged: tuple[str, ...] = ()


class Registered(Report):
    """What a task had when its version was registered: accuracy of a label, mean absolute error of a value."""

    serves: str = Field(description="the kind of answer")
    metric: str = Field(default="", description="accuracy or mae; empty in older ones: of a label or a value")
    value: float
    low: float
    high: float
    classes: tuple[str, ...] | None = Field(default=None, description="of a label; None: not said")

    @property
    def counts_hits(self) -> bool:
        """Whether a sample's score is 1 or 0, not a distance."""
        return (self.metric or {"label": "accuracy"}.get(self.serves)) == "accuracy"


class StoredAnswer(Report):
    """What was answered for one image."""

    content: str = Field(description="the image's digest")
    answers: dict[str, JsonValue] = Field(description="task → a column of `Predictor.predict`")


class StoredAnswers(Report):
    """The answers of one look."""

    version: int
    registered: dict[str, Registered]
    images: dict[str, StoredAnswer]


class LateLabels(Report):
    """The labels that have come when a look is made."""

    labels: dict[str, dict[str, str]] = Field(
        default_factory=dict[str, dict[str, str]], description="image → task → text"
    )
    again: tuple[str, ...] = Field(
        default=(), description="images of earlier looks that are predicted for their labels alone"
    )
    earlier: tuple[str, ...] = Field(default=(), description="looks whose answers are judged too")
    said: tuple[str, ...] = Field(default=(), description="what of the labels is not judged")


class Outcome(Report):
    """What came of a look."""

    state: Literal["waiting", "unshifted", "unjudged", "cooling", "event"]
    images: int
    reason: str | None = None
    unjudged: tuple[str, ...] | None = None
    batch: str | None = None
    page: str | None = None

    def as_json(self) -> dict[str, JsonValue]:
        """Without what a look that waits does not have."""
        return self.model_dump(mode="json", exclude_none=True)
