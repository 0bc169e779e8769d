"""Formats that are folders: what an image shows is where it, or a file of its name, lies."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from mtl.config.files.base import FileSet, TargetName
from mtl.config.masks import ClassValue, MaskValue, check_values
from mtl.config.section import Positive


class ImageFolderSet(FileSet):
    """A folder per class, as Keras' flow_from_directory and torchvision's ImageFolder read it; train/val/test above or not."""

    format: Literal["image_folder"]
    target: TargetName = Field(default="label", description="the target that the folders are classes of")
    classes: tuple[str, ...] = Field(default=(), description="the folders in order; all, sorted, if empty")


class PairsSet(FileSet):
    """What pairs of files have: an image and a map whose paths differ in a folder, or in what is put around a common name."""

    images: str = Field(default="images", description="the images' folder: images/train/a.png, or train/images/a.png")
    image_name: str = Field(
        default="{}", description="an image's name without extension; {} is what it has in common with its map"
    )

    @field_validator("image_name", "mask_name", "depth_name", check_fields=False)
    @classmethod
    def _one_place(cls, value: str) -> str:
        if value.count("{}") != 1:
            raise ValueError(f"it must have {{}} once, for what both names have in common, found {value!r}")
        return value


class MaskPairsSet(PairsSet):
    """An image and a mask of one name in two folders, or of two names in one; masks hold class indices, values or colours."""

    format: Literal["mask_pairs"]
    masks: str = Field(default="masks", description="the masks' folder, in the place of the images'")
    mask_name: str = Field(default="{}", description="a mask's name without extension, e.g. {}_mask")
    target: TargetName = Field(default="regions", description="the masks' target")
    classes: tuple[str, ...] = Field(description="class names in the order of the masks' indices, or of `values`")
    values: tuple[ClassValue, ...] = Field(
        default=(),
        description="what pixels have for the class in this place: a grey value or palette index, a colour '#rrggbb', or a list of "
        "several; 0, 1, 2 … if empty; [0, 255] of black and white masks",
    )
    ignored: tuple[MaskValue, ...] = Field(
        default=(), description="values whose pixels are not known; 255 is one, unless a class has it"
    )

    @model_validator(mode="after")
    def _values(self) -> MaskPairsSet:
        check_values(self.values, self.ignored, len(self.classes))
        return self


class DepthPairsSet(PairsSet):
    """An image and a 16-bit PNG of one name in two folders, or of two names in one."""

    format: Literal["depth_pairs"]
    depths: str = Field(default="depths", description="the depths' folder, in the place of the images'")
    depth_name: str = Field(default="{}", description="a depth's name without extension, e.g. {}_depth")
    target: TargetName = Field(default="depth", description="the depths' target")
    unit: str = Field(default="m", description="of the depth")
    scale: Positive = Field(default=0.001, description="depth of one step of the PNG, in `unit`; 0 is unknown")
