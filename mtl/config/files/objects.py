"""Formats of annotated objects: boxes, and outlines where they have them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mtl.config.files.base import FileSet, TargetName


class CocoSet(FileSet):
    """COCO instances: boxes, and masks of their categories."""

    format: Literal["coco"]
    annotations: str = Field(default="annotations.json", description="the JSON file, inside path")
    images: str = Field(default="", description="folder of the images, inside path")
    boxes: TargetName | None = Field(default="objects", description="the target of the boxes; null for none")
    masks: TargetName | None = Field(default=None, description="the target of the categories' masks; null for none")
    classes: tuple[str, ...] = Field(default=(), description="category names in order; the file's, by id, if empty")
    crowd: bool = Field(
        default=False,
        description="boxes marked iscrowd or ignore are objects; if false, what is found there is ignored",
    )
    partial: bool = Field(
        default=False,
        description="of the images that the file lists, those that are not here are meant to be away: counted, no problems",
    )


class CocoPanopticSet(FileSet):
    """COCO panoptic: a PNG a picture, whose colours are segments; a JSON file says of which category each is."""

    format: Literal["coco_panoptic"]
    annotations: str = Field(description="the JSON file, inside path")
    segments: str = Field(
        default="", description="folder of the PNGs, inside path; beside the JSON and called so if empty"
    )
    images: str = Field(default="", description="folder of the images, inside path")
    boxes: TargetName | None = Field(default="objects", description="the target of things' boxes; null for none")
    masks: TargetName | None = Field(
        default="regions", description="the target of all categories' masks; null for none"
    )
    classes: tuple[str, ...] = Field(default=(), description="category names in order; the file's, by id, if empty")
    partial: bool = Field(default=False, description="images that are listed and not here are meant to be away")


class YoloSet(FileSet):
    """YOLO: a text file of boxes beside each image, classes in data.yaml."""

    format: Literal["yolo"]
    boxes: TargetName = Field(default="objects", description="the target of the boxes")
    classes: tuple[str, ...] = Field(default=(), description="class names in order; data.yaml's if empty")


class VocSet(FileSet):
    """Pascal VOC: an XML file of boxes an image, and perhaps masks in SegmentationClass."""

    format: Literal["voc"]
    boxes: TargetName | None = Field(default="objects", description="the target of the boxes; null for none")
    masks: TargetName | None = Field(default=None, description="the target of the masks; null for none")
    classes: tuple[str, ...] = Field(default=(), description="class names in order; all found, sorted, if empty")
    difficult: bool = Field(default=True, description="keep boxes marked difficult")
