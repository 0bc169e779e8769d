"""What masks of nobody's description may mean."""

from __future__ import annotations

from collections.abc import Iterable

from mtl.config import DataError
from mtl.data.maps import decode_mask
from mtl.data.place import Place
from mtl.data.raw import FileRef


def mask_classes(place: Place, masks: Iterable[FileRef | bytes]) -> list[str]:
    """A name for every index up to the largest in some masks, 255 aside; none if they are no indices."""
    largest = 0
    try:
        for mask in masks:
            indices = decode_mask(place.read(mask.name) if isinstance(mask, FileRef) else mask, 256)
            largest = max(largest, int(indices[indices != 255].max(initial=0)))
    except DataError:
        return []
    return ["background", *(f"class_{number}" for number in range(1, largest + 1))] if largest else []
