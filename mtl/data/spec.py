"""What a data set holds: its targets, its slices and where it came from."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from mtl.config.masks import ClassValue, MaskValue, check_values
from mtl.config.section import Section

IGNORE = 255
"""The class index of a mask's pixel that no loss and no metric counts."""

SPLITS = ("train", "val", "test")

TargetKind = Literal["label", "labels", "boxes", "mask", "value", "depth", "normals"]


class TargetSpec(Section):
    """One target of an image.

    `label`: a class; `labels`: any number of classes; `value`: a number; `boxes`: labelled boxes, of which some may not
    count; `mask`: a class a pixel; `depth`: a number a pixel; `normals`: a direction a pixel, x to the right and y down as in
    the image.
    """

    kind: TargetKind
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

    @model_validator(mode="after")
    def _values(self) -> TargetSpec:
        check_values(self.values, self.ignored, len(self.classes))
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
