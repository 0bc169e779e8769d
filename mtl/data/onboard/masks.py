"""What masks of nobody's description may mean."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from mtl.config import DataError
from mtl.data.maps import decode_mask
from mtl.data.place import Place
from mtl.data.raw import FileRef


def mask_section(place: Place, masks: Iterable[FileRef | bytes]) -> dict[str, Any]:
    """What a Column has to say of masks: a name for every index up to the largest in some, 255 aside; nothing if they hold no
    indices of classes."""
    largest = 0
    try:
        for mask in masks:
            indices = decode_mask(place.read(mask.name) if isinstance(mask, FileRef) else mask, 256)
            largest = max(largest, int(indices[indices != 255].max(initial=0)))
    except DataError:
        return {}
    return {"classes": ["background", *(f"class_{number}" for number in range(1, largest + 1))]} if largest else {}
