"""What a data set holds: its targets, its slices and where it came from."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, JsonValue, model_validator

from mtl.config.masks import ClassValue, MaskValue, check_values
from mtl.config.section import Section

SPLITS = ("train", "val", "test")


class TargetSpec(Section):
    """One target of an image, of one of the kinds of `mtl.data.kinds`."""

    kind: str = Field(description="its name in the table")
    classes: tuple[str, ...] = Field(default=(), description="class names in the order of their indices")
    unit: str = Field(default="", description="unit of a value or a depth")
    values: tuple[ClassValue, ...] = Field(
        default=(),
        description="what a mask's pixels have for the class in this place: a grey value or palette index, a colour "
        "'#rrggbb', or 'transparent', or several of these; 0, 1, 2 … if empty",
    )
    ignored: tuple[MaskValue, ...] = Field(
        default=(), description="further values whose pixels are not known; 255 is, unless it is one of `values`"
    )
    scale: float = Field(default=1.0, description="depth of one step of the 16-bit PNG, in `unit`")

    facts: dict[str, JsonValue] = Field(
        default_factory=dict[str, JsonValue],
        exclude_if=lambda facts: not facts,
        description="what else there is to know of it, which its kind alone reads",
    )

    @model_validator(mode="after")
    def _values(self) -> TargetSpec:
        check_values(self.values, self.ignored, len(self.classes))
        return self

    @model_validator(mode="after")
    def _known(self) -> TargetSpec:
        from mtl.data.kinds import KINDS  # which are of this module's types

        if self.kind not in KINDS:
            raise ValueError(f"a target has no kind {self.kind!r}; there are {', '.join(KINDS)}")
        KINDS[self.kind].check_spec(self)
        return self


class SourceRecord(Section):
    """Where a part of the data came from."""

    name: str
    package: str
    version: str
    licence: str
    sha256: str = Field(description="of the file fetched, or of the file inside an installed package")
    num_items: int


class DatasetSpec(Section):
    """What a data set holds."""

    name: str
    targets: dict[str, TargetSpec]
    slices: tuple[str, ...] = Field(default=(), description="names of the attributes by which samples are told apart")
    sources: tuple[SourceRecord, ...] = ()
    roots: dict[str, str] = Field(default_factory=dict, description="set → path of the files that samples refer to")
    judged_on: Literal["test", "val"] = Field(
        default="test", description="the split that stands for the test split: val where the data set has none"
    )
    notes: dict[str, int] = Field(default_factory=dict, description="counts worth keeping, e.g. duplicates removed")
