"""What `mtl data check` finds: a report that a terminal, a page and `--json` show."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from mtl.data.raw.account import FilesOfPath

Name = tuple[str, str]
"""Split and id of a sample."""


class Part(BaseModel):
    """Frozen, with no unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class LeftOut(Part):
    """A sample that cannot be used."""

    id: str
    split: str = Field(description="empty if it was left out before the splits were made")
    reason: str


class Crowd(Part):
    """Images that look alike."""

    number: int
    splits: dict[str, int]
    first: tuple[str, ...] = Field(description="ids")


class Conflict(Part):
    """Near duplicates with different labels, one of them new."""

    images: tuple[Name, Name]
    labels: tuple[tuple[str, str], ...] = Field(description="of each target that differs, as `target class`")


class Patch(Part):
    """A window that many arrivals share."""

    number: int = Field(description="arrivals that have it")
    known: int = Field(description="known images that have it")
    labels: dict[str, int] = Field(description="the most frequent ones of the arrivals → how many")
    first: tuple[Name, ...]


class Suspects(Part):
    """What of the arrivals a person should look at."""

    num_arrived: int
    num_looked_at: int
    conflicts: tuple[Conflict, ...]
    patches: tuple[Patch, ...]


class WrongExtension(Part):
    """An image in another format than its name says."""

    id: str
    file: str
    format: str = Field(alias="is")


class DataReport(Part):
    """What became of every file and annotation, samples by split, what was quarantined and why, copies, leaks, wrong
    extensions, sizes, balance of classes.
    """

    files: tuple[FilesOfPath, ...]
    annotations: tuple[tuple[str, str], ...] = Field(description="[id, reason] of those that cannot be used")
    num_annotations: int
    notes: dict[str, int]
    samples: dict[str, int] = Field(description="split → how many")
    empty: tuple[str, ...] = Field(description="splits that need samples and have none")
    quarantined: tuple[LeftOut, ...]
    copies_dropped: int
    near_duplicates: tuple[tuple[str, str], ...] = Field(description="ids; some of them, if there are many")
    num_near_duplicates: int
    leaks: tuple[tuple[Name, Name], ...] = Field(description="near duplicates in two splits; some of them")
    num_leaks: int
    crowds: tuple[Crowd, ...]
    suspects: Suspects
    plain: tuple[Name, ...] = Field(description="images without structure, which are not compared")
    divided_groups: dict[str, dict[str, int]] = Field(description="group in several splits → split → images")
    wrong_extensions: tuple[WrongExtension, ...]
    first_of_many: tuple[str, ...] = Field(description="ids of images with further pages or frames, which nobody reads")
    sizes: tuple[tuple[int, int, int], ...] = Field(description="[width, height, images]")
    balance: dict[str, dict[str, dict[str, int]]] = Field(
        description="target → class → split → samples (of boxes: boxes; of masks: images that have it)"
    )
    warnings: tuple[str, ...]

    def as_json(self) -> dict[str, object]:
        """As report.json and `--json` have it."""
        return self.model_dump(by_alias=True)

    @property
    def is_clean(self) -> bool:
        """Whether everything that is there can be used, or is declared as not meant."""
        unaccounted = sum(account.unaccounted.number for account in self.files)
        return not (self.quarantined or self.annotations or unaccounted or self.empty)
