"""`augment:` random changes of training images. Names and ranges are torchvision's, timm's and Ultralytics' where they have one."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from mtl.config.section import Fraction, NonNegative, Positive, Section

Photometric = Literal[
    "identity",
    "brightness",
    "contrast",
    "saturation",
    "hue",
    "sharpness",
    "posterize",
    "solarize",
    "autocontrast",
    "equalize",
]
"""An operation on colours alone: no pixel moves."""
CHANGES = ("crop", "rand_augment", "erasing", "mixup", "cutmix", "mosaic")
"""Those that not every target follows: `TaskConfig.follows`."""
Share = Annotated[float, Field(gt=0.0, le=1.0, strict=False)]
"""A number above 0, at most 1."""


def _rising(pair: tuple[float, float]) -> tuple[float, float]:
    if pair[0] > pair[1]:
        raise ValueError(f"the smallest comes first, found {list(pair)}")
    return pair


Shares = Annotated[tuple[Share, Share], AfterValidator(_rising)]
"""The smallest and the largest share."""
Ratios = Annotated[tuple[Positive, Positive], AfterValidator(_rising)]
"""The smallest and the largest ratio."""


class Crop(Section):
    """A random part of each image, resized to the whole image's size: torchvision's RandomResizedCrop."""

    scale: Shares = Field(
        default=(0.08, 1.0), description="area of the part, smallest and largest, as a share of the image's"
    )
    ratio: Ratios = Field(
        default=(0.75, 4 / 3), description="width by height of the part, in shares of the image's; drawn on a log scale"
    )


class RandAugment(Section):
    """Some operations on the colours of each image, all of one magnitude: RandAugment (1909.13719) without those that move."""

    num_ops: Annotated[int, Field(ge=1, le=10)] = Field(
        default=2, description="operations of each image, one after the other"
    )
    magnitude: Annotated[int, Field(ge=0, le=30)] = Field(default=9, description="how strong each is, of 30")
    operations: Annotated[tuple[Photometric, ...], Field(min_length=1)] = Field(
        default=Photometric.__args__,  # type: ignore[attr-defined]
        description="what is drawn from, each as likely",
    )


class Erasing(Section):
    """A rectangle of an image is filled: torchvision's and timm's RandomErasing (1708.04896). Targets stay as they are."""

    probability: Fraction = Field(default=0.25, description="share of the images")
    scale: Shares = Field(default=(0.02, 0.33), description="area of the rectangle, as a share of the image's")
    ratio: Ratios = Field(default=(0.3, 3.3), description="width by height, in shares of the image's")
    fill: Literal["mean", "random"] = Field(
        default="mean",
        description="the training split's mean colour (torchvision's 0), or a colour of its own (timm's rand)",
    )


class Mixup(Section):
    """An image and another of the batch, one through the other, classes by their shares: torchvision's and timm's (1710.09412)."""

    probability: Fraction = Field(default=0.5, description="share of the images")
    alpha: Positive = Field(default=0.2, description="the share of the image itself is drawn from Beta(alpha, alpha)")


class CutMix(Section):
    """A rectangle of another image of the batch lies on an image, and its targets in it: torchvision's and timm's (1905.04899)."""

    probability: Fraction = Field(default=0.5, description="share of the images")
    alpha: Positive = Field(
        default=1.0, description="the share that is left of the image is drawn from Beta(alpha, alpha)"
    )


class Mosaic(Section):
    """Four images of the batch around a random point, zoomed out by up to a half, with their targets: as YOLOv4 and Ultralytics."""

    probability: Fraction = Field(default=0.5, description="share of the images")


class SourceAugment(Section):
    """What is another thing for the images of one source; what is left out is as for all."""

    flip: Fraction | None = Field(default=None, description="as for all")
    translate: Fraction | None = Field(default=None, description="as for all")
    scale: Fraction | None = Field(default=None, description="as for all")
    rotate: NonNegative | None = Field(default=None, description="as for all")
    brightness: Fraction | None = Field(default=None, description="as for all")
    contrast: Fraction | None = Field(default=None, description="as for all")
    saturation: Fraction | None = Field(default=None, description="as for all")
    crop: Crop | Literal["off"] | None = Field(default=None, description="as for all; 'off': none")
    rand_augment: RandAugment | Literal["off"] | None = Field(default=None, description="as for all; 'off': none")
    erasing: Erasing | Literal["off"] | None = Field(default=None, description="as for all; 'off': none")
    mixup: Mixup | Literal["off"] | None = Field(default=None, description="as for all; 'off': none")
    cutmix: CutMix | Literal["off"] | None = Field(default=None, description="as for all; 'off': none")
    mosaic: Mosaic | Literal["off"] | None = Field(default=None, description="as for all; 'off': none")


class AugmentConfig(Section):
    """Random changes of a training image; boxes and masks move with it."""

    flip: Fraction = Field(description="probability of a horizontal flip")
    translate: Fraction = Field(description="largest shift, as a share of the image")
    scale: Fraction = Field(description="largest zoom in or out, as a share")
    rotate: NonNegative = Field(description="largest turn, in degrees")
    brightness: Fraction = Field(description="largest change, as a share of the range")
    contrast: Fraction = Field(description="largest change, as a share")
    saturation: Fraction = Field(description="largest change, as a share")
    crop: Crop | None = Field(default=None, description="a random part in the place of the whole; null: none")
    rand_augment: RandAugment | None = Field(default=None, description="operations on colours; null: none")
    erasing: Erasing | None = Field(default=None, description="a rectangle is filled; null: none")
    mixup: Mixup | None = Field(default=None, description="two images by shares; null: none")
    cutmix: CutMix | None = Field(default=None, description="a rectangle of another image; null: none")
    mosaic: Mosaic | None = Field(default=None, description="four images in one; null: none")
    sources: dict[str, SourceAugment] = Field(
        default_factory=dict[str, SourceAugment], description="source → what is another thing for its images"
    )

    @model_validator(mode="after")
    def _one_join(self) -> AugmentConfig:
        for source in ("", *self.sources):
            if (total := sum(self.of(source).joins.values())) > 1.0:
                where = f"sources.{source}: " if source else ""
                raise ValueError(
                    f"{where}the probabilities of mixup, cutmix and mosaic add up to {total:g}: an image has one of them at most"
                )
        return self

    def of(self, source: str) -> AugmentConfig:
        """As it is for the images of a source."""
        own = self.sources.get(source)
        given: dict[str, Any] = {} if own is None else {name: v for name, v in own if v is not None}
        return self.model_copy(update={name: None if v == "off" else v for name, v in given.items()} | {"sources": {}})

    @property
    def changes(self) -> list[str]:
        """What is on of those that not every target follows (`TaskConfig.follows`)."""
        return [name for name in CHANGES if getattr(self, name) is not None]

    @property
    def joins(self) -> dict[str, float]:
        """Of those that make one image of several: their probabilities."""
        found = {"mixup": self.mixup, "cutmix": self.cutmix, "mosaic": self.mosaic}
        return {name: part.probability if part else 0.0 for name, part in found.items()}
