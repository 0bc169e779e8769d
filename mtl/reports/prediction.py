"""What came of predicting many images."""

from __future__ import annotations

from pydantic import Field, JsonValue

from mtl.reports.types import Report


class Counts(Report):
    """How many images were answered."""

    images: int
    failed: int = Field(description="that could not be read")
    made: int = Field(description="in this run: the others were there already")


class Disagreement(Report):
    """How far two versions' answers to one task differ."""

    mean: float
    changed: float = Field(description="share of the images whose answers differ")
    unit: str
    images: int


class Disagreements(Report):
    """How far two versions differ."""

    tasks: dict[str, Disagreement]
    only_one_has: tuple[str, ...] = Field(description="tasks")
    most_different: tuple[str, ...] = Field(description="images, the most different first")
    picture: str | None = Field(default=None, description="file; None: no image differs")

    def as_json(self) -> dict[str, JsonValue]:
        """Without a picture that there is not."""
        return self.model_dump(mode="json", exclude_none=True)


class Prediction(Report):
    """What one version, or two, answered."""

    versions: tuple[int, ...] = ()
    counts: Counts
    out: str
    disagreements: Disagreements | None = None

    def as_json(self) -> dict[str, object]:
        """As `mtl predict --json` and `mtl shadow --json` print it."""
        differ = self.disagreements.as_json() if self.disagreements else {}
        return {"versions": list(self.versions), **self.counts.model_dump(), "out": self.out, **differ}
