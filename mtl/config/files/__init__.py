"""`data.source: {type: files}`: data sets of one's own, in the formats that they are kept in.

A path is a folder, an archive (.zip, .tar, .tar.gz), a folder in one (photos.zip/train), or the URL of either: s3://, gs://, http(s)://.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from mtl.config.files.base import Column, FileSet, TargetName
from mtl.config.files.folders import DepthPairsSet, ImageFolderSet, MaskPairsSet
from mtl.config.files.objects import CocoPanopticSet, CocoSet, CvatSet, KittiSet, VocSet, YoloSet
from mtl.config.files.splits import (
    FoldsSplit,
    GivenSplit,
    GroupedSplit,
    HashedSplit,
    RandomSplit,
    Split,
    StratifiedSplit,
    TimeSplit,
)
from mtl.config.files.tables import BoxTableSet, ClassListSet, HuggingFaceSet, TableSet, Tabular, WebDatasetSet
from mtl.config.files.tools import CreateMlSet, DatumaroSet, LabelMeSet, LabelStudioSet, SuperviselySet, ViaSet
from mtl.config.section import Count, Section

__all__ = [
    "AnyFileSet",
    "BoxTableSet",
    "ClassListSet",
    "CocoPanopticSet",
    "CocoSet",
    "Column",
    "CreateMlSet",
    "CvatSet",
    "DatumaroSet",
    "DepthPairsSet",
    "FileSet",
    "FilesSource",
    "FoldsSplit",
    "GivenSplit",
    "GroupedSplit",
    "HashedSplit",
    "HuggingFaceSet",
    "ImageFolderSet",
    "KittiSet",
    "LabelMeSet",
    "LabelStudioSet",
    "MaskPairsSet",
    "RandomSplit",
    "Split",
    "StratifiedSplit",
    "SuperviselySet",
    "TableSet",
    "Tabular",
    "TimeSplit",
    "ViaSet",
    "VocSet",
    "WebDatasetSet",
    "YoloSet",
]

AnyFileSet = Annotated[
    ImageFolderSet
    | TableSet
    | BoxTableSet
    | ClassListSet
    | CocoSet
    | CocoPanopticSet
    | YoloSet
    | VocSet
    | KittiSet
    | CvatSet
    | LabelMeSet
    | LabelStudioSet
    | SuperviselySet
    | CreateMlSet
    | ViaSet
    | DatumaroSet
    | MaskPairsSet
    | DepthPairsSet
    | HuggingFaceSet
    | WebDatasetSet,
    Field(discriminator="format"),
]


class FilesSource(Section):
    """Files of your own: many formats, from folders, archives or buckets, joined by image id."""

    type: Literal["files"]
    sets: Annotated[dict[TargetName, AnyFileSet], Field(min_length=1)] = Field(
        description="the sets; targets of one image may lie in several"
    )
    split: Split = Field(default=RandomSplit(type="random"), description="which image is in which split")
    duplicates: Literal["drop", "keep"] = Field(
        default="drop", description="of images with the same bytes, drop all but the first, or keep them"
    )
    threads: Count = Field(default=16, description="files read at a time to take their hashes")
