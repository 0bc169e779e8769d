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
    keypoints: TargetName | None = Field(
        default=None, description="the target of the keypoints of categories that have them; null for none"
    )
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
    """COCO panoptic: a PNG per picture, whose colours are segments; a JSON file says of which category each is."""

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
    """YOLO: a text file per image, of boxes, outlines or oriented boxes; classes in data.yaml, obj.names or classes.txt."""

    format: Literal["yolo"]
    data: str = Field(
        default="", description="the file of classes and splits (data.yaml, obj.data, classes.txt); looked for if empty"
    )
    boxes: TargetName | None = Field(default="objects", description="the target of the boxes; null for none")
    masks: TargetName | None = Field(default=None, description="the target of the outlines' masks; null for none")
    classes: tuple[str, ...] = Field(
        default=(), description="names to take, in order, of those that `data` declares; if it declares none, all names"
    )
    background: bool = Field(
        default=True,
        description="an image without a text file shows nothing, as YOLO has it; false: it is not labelled",
    )
    encoding: str = Field(default="", description="of the text files, where it is not UTF-8: gb2312, latin-1 …")


class VocSet(FileSet):
    """Pascal VOC: an XML file of objects per image, and perhaps masks in SegmentationClass."""

    format: Literal["voc"]
    boxes: TargetName | None = Field(default="objects", description="the target of the boxes; null for none")
    masks: TargetName | None = Field(
        default=None, description="the target of the masks in SegmentationClass, else of outlines; null for none"
    )
    classes: tuple[str, ...] = Field(
        default=(), description="class names in order; those of labelmap.txt, else all found, if empty"
    )
    difficult: bool = Field(
        default=False,
        description="take what is marked difficult for objects; if not, it is ignored as VOC's metrics do",
    )
    first_pixel: Literal[0, 1] | None = Field(
        default=None,
        description="what the first pixel is called; if null, 1 as in VOC, unless a box begins at 0 or all have decimals",
    )


class KittiSet(FileSet):
    """KITTI's objects: a text file per image, with a line per object; what lies in DontCare does not count."""

    format: Literal["kitti"]
    boxes: TargetName = Field(default="objects", description="the target of the boxes")
    classes: tuple[str, ...] = Field(
        default=(), description="types to take, in order; all found, in KITTI's order, if empty"
    )


class CvatSet(FileSet):
    """CVAT for images 1.1: an XML file of boxes, polygons, masks, ellipses and cuboids."""

    format: Literal["cvat"]
    annotations: str = Field(default="annotations.xml", description="the XML file, inside path")
    images: str = Field(default="", description="folder of the images, inside path; they are looked for if empty")
    boxes: TargetName | None = Field(default="objects", description="the target of the boxes; null for none")
    masks: TargetName | None = Field(default=None, description="the target of the shapes' masks; null for none")
    classes: tuple[str, ...] = Field(default=(), description="labels in order; the file's, as it has them, if empty")
