"""`data.source: {type: files}`: data sets of one's own, in the formats that they are kept in.

A path is a folder, an archive (.zip, .tar, .tar.gz), or the URL of either: s3://, gs://, http(s)://.
"""

from __future__ import annotations

import re
from datetime import date
from typing import Annotated, Literal

from pydantic import Field, model_validator

from mtl.config.section import Count, Fraction, Positive, Section

TargetName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]


class FileSet(Section):
    """What every format has."""

    path: str = Field(description="folder, archive or URL; relative to the repository's root")
    id_prefix: str = Field(default="", description="put before every image id: sets with one id are one image")
    licence: str = Field(default="unknown", description="kept in the lineage of every model")


class ImageFolderSet(FileSet):
    """A folder a class, as Keras' flow_from_directory and torchvision's ImageFolder read it; train/val/test above or not."""

    format: Literal["image_folder"]
    target: TargetName = Field(default="label", description="the target that the folders are classes of")
    classes: tuple[str, ...] = Field(default=(), description="the folders in order; all, sorted, if empty")


class Column(Section):
    """A column of a table as a target."""

    column: str
    kind: Literal["label", "labels", "value", "mask", "depth"] = Field(
        description="mask, depth: the cell is a file's path"
    )
    classes: tuple[str, ...] = Field(default=(), description="the cell's values in order; all found, sorted, if empty")
    separator: str = Field(default="|", description="between the labels in a cell of kind labels")
    unit: str = Field(default="", description="of a value or a depth")
    scale: Positive = Field(default=1.0, description="depth of one step of the 16-bit PNG, in `unit`")


class TableSet(FileSet):
    """A CSV or Parquet file with a row an image and any targets as columns; an empty cell is an absent target."""

    format: Literal["table"]
    table: str = Field(default="table.csv", description="the file, inside path")
    image: str = Field(default="image", description="the column of the images' paths, inside path")
    targets: dict[TargetName, Column]
    split: str = Field(default="", description="the column that says train, val or test")
    group: str = Field(default="", description="the column of what must stay in one split, e.g. a patient")
    time: str = Field(default="", description="the column of the time, ISO 8601")
    slices: tuple[str, ...] = Field(default=(), description="columns by which results are told apart")


class CocoSet(FileSet):
    """COCO instances: boxes, and masks of their categories."""

    format: Literal["coco"]
    annotations: str = Field(default="annotations.json", description="the JSON file, inside path")
    images: str = Field(default="", description="folder of the images, inside path")
    boxes: TargetName | None = Field(default="objects", description="the target of the boxes; null for none")
    masks: TargetName | None = Field(default=None, description="the target of the categories' masks; null for none")
    classes: tuple[str, ...] = Field(default=(), description="category names in order; the file's, by id, if empty")
    crowd: bool = Field(default=False, description="keep boxes marked iscrowd")


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


class MaskPairsSet(FileSet):
    """An image and a mask of the same name in two folders; masks hold class indices, grey or palette."""

    format: Literal["mask_pairs"]
    images: str = Field(default="images", description="folder inside path")
    masks: str = Field(default="masks", description="folder inside path")
    target: TargetName = Field(default="regions", description="the masks' target")
    classes: tuple[str, ...] = Field(description="class names in the order of the masks' indices")


class DepthPairsSet(FileSet):
    """An image and a 16-bit PNG of the same name in two folders."""

    format: Literal["depth_pairs"]
    images: str = Field(default="images", description="folder inside path")
    depths: str = Field(default="depths", description="folder inside path")
    target: TargetName = Field(default="depth", description="the depths' target")
    unit: str = Field(default="m", description="of the depth")
    scale: Positive = Field(default=0.001, description="depth of one step of the PNG, in `unit`; 0 is unknown")


class HuggingFaceSet(FileSet):
    """A data set of Hugging Face `datasets`: saved to disk (Arrow), or its Parquet files."""

    format: Literal["huggingface"]
    image: str = Field(default="image", description="the column of the images")
    targets: dict[TargetName, str] = Field(description="target → column: ClassLabel, number, image (mask) or objects")


class WebDatasetSet(FileSet):
    """WebDataset tar files: members of one key are one sample."""

    format: Literal["webdataset"]
    targets: dict[TargetName, Column] = Field(
        description="target → its extension (`column`), e.g. cls, txt or seg.png; `json:key` is a key of the json member"
    )


AnyFileSet = Annotated[
    ImageFolderSet
    | TableSet
    | CocoSet
    | YoloSet
    | VocSet
    | MaskPairsSet
    | DepthPairsSet
    | HuggingFaceSet
    | WebDatasetSet,
    Field(discriminator="format"),
]


class GroupedSplit(Section):
    """What every split has: a group, which a table's column or the id names, is in one split."""

    group: str = Field(
        default="", description="regular expression on the id whose first group must stay in one split, e.g. ^([^/]+)/"
    )

    @model_validator(mode="after")
    def _expression(self) -> GroupedSplit:
        try:
            groups = re.compile(self.group).groups
        except re.error as error:
            raise ValueError(f"group is no regular expression: {error}") from error
        if self.group and groups != 1:
            raise ValueError(f"group must have exactly one (…), found {groups} in {self.group!r}")
        return self


class HashedSplit(GroupedSplit):
    """What splits by hash have: an image's place depends on nothing but itself, so new images move no old one."""

    val: Fraction = Field(default=0.1, description="share of the validation split")
    test: Fraction = Field(default=0.1, description="share of the test split")
    salt: str = Field(default="", description="another one draws other splits")

    @model_validator(mode="after")
    def _shares(self) -> HashedSplit:
        if self.val + self.test >= 1.0:
            raise ValueError(f"val + test must be below 1, found {self.val + self.test:g}: nothing is left to train on")
        return self


class RandomSplit(HashedSplit):
    """By hash of the group, or of the image's content: copies of an image are always in one split."""

    type: Literal["random"]


class StratifiedSplit(HashedSplit):
    """As a table says that `mtl data split` keeps balanced over several targets at once, of its images and what is in their
    groups; the rest by hash."""

    type: Literal["stratified"]
    over: tuple[str, ...] = Field(description="targets whose classes every split gets its share of")
    table: str = Field(default="data/splits.csv", description="id,split and group; commit it: images in it never move")


class FoldsSplit(HashedSplit):
    """k folds by hash: fold `index` is validation; the test split is the same for all."""

    type: Literal["folds"]
    folds: Annotated[int, Field(ge=2)] = 5
    index: Annotated[int, Field(ge=0)] = 0

    @model_validator(mode="after")
    def _index(self) -> FoldsSplit:
        if self.index >= self.folds:
            raise ValueError(f"index must be below folds, found {self.index} of {self.folds}")
        return self


class TimeSplit(GroupedSplit):
    """Train on the past, test on the latest: by the set's time, or by a date in the id. Of a group that goes on into a later split
    than it began in, the later images are left out."""

    type: Literal["time"]
    val_from: date = Field(strict=False, description="the first day of the validation split")
    test_from: date = Field(strict=False, description="the first day of the test split")
    pattern: str = Field(
        default=r"(\d{4})-?(\d{2})-?(\d{2})", description="year, month and day in the id of sets that have no time"
    )

    @model_validator(mode="after")
    def _order(self) -> TimeSplit:
        if self.val_from >= self.test_from:
            raise ValueError(f"val_from must lie before test_from, found {self.val_from} and {self.test_from}")
        return self


class GivenSplit(GroupedSplit):
    """As the sets say: folders train, val and test, a table's column, COCO files named so. A group in several is left out."""

    type: Literal["given"]


Split = Annotated[
    RandomSplit | StratifiedSplit | FoldsSplit | TimeSplit | GivenSplit,
    Field(discriminator="type"),
]


class FilesSource(Section):
    """Files of your own: nine formats, from folders, archives or buckets, joined by image id."""

    type: Literal["files"]
    sets: Annotated[dict[TargetName, AnyFileSet], Field(min_length=1)] = Field(
        description="the sets; targets of one image may lie in several"
    )
    split: Split = Field(default=RandomSplit(type="random"), description="which image is in which split")
    duplicates: Literal["drop", "keep"] = Field(
        default="drop", description="of images with the same bytes, drop all but the first, or keep them"
    )
    threads: Count = Field(default=16, description="files read at a time to take their hashes")
