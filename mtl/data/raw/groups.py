"""What of a data set must stay together: the group that an image is in, or else its copies."""

from __future__ import annotations

import re
from dataclasses import dataclass

from mtl.config.files import GroupedSplit
from mtl.errors import DataError

COPIES = "sha256:"
"""Before the digest of an image: the group of its copies, where they are in no other."""


@dataclass(frozen=True, slots=True)
class Image:
    """What a split may depend on. `content` is the digest of its bytes: copies of an image share a place."""

    id: str
    content: str
    split: str | None = None
    group: str | None = None
    time: str | None = None


def group_of(image: Image, settings: GroupedSplit) -> str | None:
    """What must stay in one split: what its set says, or the expression finds in its id; None if neither is declared.

    Raises:
        DataError: the expression finds none.
    """
    if image.group is not None or not settings.group:
        return image.group
    found = re.search(settings.group, image.id)
    if found is None or found.group(1) is None:
        raise DataError("its id has no group", found=f"{image.id!r} against {settings.group!r}")
    return found.group(1)


def unit_of(image: Image, settings: GroupedSplit) -> str:
    """What is placed as one: the image's group, or else all copies of it."""
    group = group_of(image, settings)
    return f"group\0{group}" if group is not None else f"image\0{image.content}"
