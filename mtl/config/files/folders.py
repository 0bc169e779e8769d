"""Formats that are folders: what an image shows is where it, or a file of its name, lies."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mtl.config.files.base import FileSet, TargetName
from mtl.config.section import Positive


class ImageFolderSet(FileSet):
    """A folder a class, as Keras' flow_from_directory and torchvision's ImageFolder read it; train/val/test above or not."""

    format: Literal["image_folder"]
    target: TargetName = Field(default="label", description="the target that the folders are classes of")
    classes: tuple[str, ...] = Field(default=(), description="the folders in order; all, sorted, if empty")


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
