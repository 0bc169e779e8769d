"""Formats in which annotation tools write what people drew. Boxes and outlines become boxes and masks; what is said of a whole
picture becomes labels and values.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mtl.config.files.base import Column, FileSet, TargetName


class DrawnSet(FileSet):
    """What every tool's format has."""

    annotations: str = Field(
        default="", description="the file, or the folder of the files, inside path; all of this format if empty"
    )
    boxes: TargetName | None = Field(default="objects", description="the target of the boxes; null for none")
    masks: TargetName | None = Field(
        default=None,
        description="the target of the outlines' masks; null for none. Of what has a box alone, they are 255",
    )
    classes: tuple[str, ...] = Field(
        default=(), description="class names in order; if empty, all: as the files list them, or sorted"
    )


class LabelMeSet(DrawnSet):
    """LabelMe: a JSON file per picture, with polygons, rectangles, circles and masks; XML of the old one on the web, too."""

    format: Literal["labelme"]
    flags: TargetName | None = Field(
        default=None, description="the target of a picture's flags, of which any number are set; null for none"
    )


class LabelStudioSet(DrawnSet):
    """Label Studio: JSON or JSON-MIN, with boxes, polygons, brushes and choices."""

    format: Literal["label_studio"]
    image: str = Field(default="", description="the key of a task's picture; the one that names pictures if empty")
    targets: dict[TargetName, Column] = Field(
        default={}, description="target → its control (`column`): choices are label or labels; number and rating value"
    )


class SuperviselySet(DrawnSet):
    """Supervisely: a project's meta.json, and datasets of img/ and ann/, with rectangles, polygons, bitmaps and tags."""

    format: Literal["supervisely"]
    tags: TargetName | None = Field(
        default=None, description="the target of a picture's tags without a value, any number of them; null for none"
    )
    targets: dict[TargetName, Column] = Field(default={}, description="target → a tag with a value (`column`)")


class CreateMlSet(DrawnSet):
    """CreateML: a JSON list of pictures, with boxes by their centres, or with a label alone."""

    format: Literal["createml"]
    label: TargetName | None = Field(
        default=None, description="the target of labels that have no box, one per picture; null for none"
    )


class ViaSet(DrawnSet):
    """VGG Image Annotator 1 and 2: a project, JSON or CSV of regions, with a class in one of their attributes."""

    format: Literal["via"]
    attribute: str = Field(default="", description="the regions' attribute that is their class; if empty, the only one")
    targets: dict[TargetName, Column] = Field(default={}, description="target → an attribute of files (`column`)")


class DatumaroSet(DrawnSet):
    """Datumaro's own JSON: annotations/, and images/; boxes, polygons, masks and labels."""

    format: Literal["datumaro"]
    label: TargetName | None = Field(
        default=None, description="the target of labels of whole pictures, one per picture; null for none"
    )
    labels: TargetName | None = Field(default=None, description="the same, any number per picture; null for none")
