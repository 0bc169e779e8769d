"""`data.operations:` what is done to an image before training, in order."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from mtl.config.section import Count, NonNegative, Positive, Section


class Decode(Section):
    """Decode the encoded bytes to RGB or grey."""

    type: Literal["decode"]
    colour: Literal["rgb", "grey"] = Field(
        default="rgb", description="channels of the decoded image; white where transparent"
    )
    bits: Annotated[int, Field(ge=9, le=16)] | None = Field(
        default=None,
        description="used bits of samples of 16, e.g. 12, where files do not declare them; null: refuse files that use few",
    )


class Orient(Section):
    """Turn the image as its EXIF orientation says."""

    type: Literal["orient"]


class Resize(Section):
    """Resize to a fixed size; boxes and masks move along."""

    type: Literal["resize"]
    height: Count = Field(description="pixels")
    width: Count = Field(description="pixels")
    keep_aspect: bool = Field(default=False, description="fit inside, pad the rest with the edge's colour")


class Denoise(Section):
    """Remove noise: median, bilateral or non-local means."""

    type: Literal["denoise"]
    method: Literal["median", "bilateral", "nlmeans"]
    size: Annotated[int, Field(ge=3, le=15)] = Field(default=3, description="window in pixels, odd")
    strength: Positive = Field(default=10.0, description="bilateral sigma, or filter strength of nlmeans")

    @model_validator(mode="after")
    def _odd(self) -> Denoise:
        if self.size % 2 == 0:
            raise ValueError(f"size must be odd, found {self.size}")
        return self


class Binarize(Section):
    """Each pixel becomes 0 or 255: by Otsu's threshold, or by its neighbourhood's mean (text under uneven light)."""

    type: Literal["binarize"]
    invert: bool = Field(default=False, description="dark becomes 255")
    method: Literal["otsu", "adaptive"] = Field(default="otsu", description="one threshold, or one per neighbourhood")
    window: Annotated[int, Field(ge=3)] = Field(default=15, description="adaptive: the neighbourhood in pixels, odd")
    output: Literal["image", "channel"] = Field(
        default="image", description="in the place of the image, or as an extra channel beside it"
    )

    @model_validator(mode="after")
    def _odd(self) -> Binarize:
        if self.window % 2 == 0:
            raise ValueError(f"window must be odd, found {self.window}")
        return self


class Gradients(Section):
    """The length of the lightness' gradient (Sobel) as an extra channel."""

    type: Literal["gradients"]
    size: Literal[1, 3, 5, 7] = Field(default=3, description="of Sobel's kernel, in pixels")


class Edges(Section):
    """Canny edges, as an extra channel or as a segmentation target of two classes."""

    type: Literal["edges"]
    low: NonNegative = Field(default=50.0, description="Canny's lower threshold, of 255")
    high: NonNegative = Field(default=150.0, description="Canny's upper threshold, of 255")
    output: Literal["channel", "target"] = "channel"
    target: str = Field(default="edges", description="the target's name when output is target")


class Equalize(Section):
    """CLAHE on the lightness: contrast equalised locally."""

    type: Literal["equalize"]
    clip_limit: Positive = Field(default=2.0, description="contrast limit of a tile's histogram")
    tiles: Count = Field(default=8, description="tiles per side")


class Standardize(Section):
    """Subtract the mean and divide by the deviation of the training split alone, per channel."""

    type: Literal["standardize"]


Operation = Annotated[
    Decode | Orient | Resize | Denoise | Binarize | Gradients | Edges | Equalize | Standardize,
    Field(discriminator="type"),
]
