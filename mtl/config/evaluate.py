"""`evaluate:` how the test split is judged."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from mtl.config.section import Count, Section

Corruption = Literal["noise", "blur", "brightness", "contrast", "jpeg"]


class EvaluateConfig(Section):
    """How the test split is judged."""

    batch_size: Count = Field(description="images per forward pass")
    num_resamples: Annotated[int, Field(ge=100)] = Field(description="bootstrap resamples of the test split")
    confidence: Annotated[float, Field(gt=0.5, lt=1.0)] = Field(description="of the intervals")
    num_pictures: Count = Field(description="predictions drawn, half good and half bad")
    corruptions: tuple[Corruption, ...] = Field(default=(), description="damages of test images, for robustness")
    num_corrupted: Count = Field(default=250, description="test images that each corruption is tried on")
