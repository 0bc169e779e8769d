"""`augment:` random changes of training images."""

from __future__ import annotations

from pydantic import Field

from mtl.config.section import Fraction, NonNegative, Section


class AugmentConfig(Section):
    """Random changes of a training image; boxes and masks move with it."""

    flip: Fraction = Field(description="probability of a horizontal flip")
    translate: Fraction = Field(description="largest shift, as a share of the image")
    scale: Fraction = Field(description="largest zoom in or out, as a share")
    rotate: NonNegative = Field(description="largest turn, in degrees")
    brightness: Fraction = Field(description="largest change, as a share of the range")
    contrast: Fraction = Field(description="largest change, as a share")
    saturation: Fraction = Field(description="largest change, as a share")
