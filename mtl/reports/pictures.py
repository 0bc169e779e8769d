"""Test images with what the model says of them, as a page shows them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mtl.reports.types import Report

NAME = "pictures.json"


class Picture(Report):
    """One test image."""

    id: str
    kind: Literal["good", "bad"] = Field(description="whether it is of those that went best or worst")
    drawn: str = Field(description="PNG in base64: the image with predictions on it")
    beside: str | None = Field(default=None, description="PNG in base64: its reconstruction; None: no task makes one")
    lines: tuple[str, ...] = Field(description="for each task that the image has a target of: prediction and truth")


class Pictures(Report):
    """Those of one test run, the worst first."""

    pictures: tuple[Picture, ...]
