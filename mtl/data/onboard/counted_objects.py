"""Masks of single objects, each with a number of its own: they look like masks of classes, and are none."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import cv2
import numpy as np

from mtl.codecs.maps import MaskValues
from mtl.codecs.mask_codes import numbers_of
from mtl.codecs.rasters import read_raster

ENOUGH = 6
"""Masks that must say so."""
MOST = 16
"""Masks of which each object is looked at."""
WHOLE = 0.9
"""The share of the numbers that must be one piece each: an object may be covered in its middle."""


def counts_objects(masks: Sequence[MaskValues], data: Sequence[bytes]) -> bool:
    """Whether masks number objects from 1, as many as each picture has: in each, the values are 1, 2 … without a gap, in some more
    than in others, and a value is one piece. Of classes, some are missing here and there, or all are there everywhere.

    Args:
        data: the same masks, encoded.
    """
    last = [_last(one) for one in masks]
    if any(number is None for number in last):
        return False
    filled = [number for number in last if number]
    if len(filled) < ENOUGH or max(filled) < 3 or len({*filled}) < 3:
        return False
    several = [one for one, number in zip(data, last, strict=True) if number and number > 1][:MOST]
    whole = [is_one for one in several for is_one in _pieces(one)]
    return bool(whole) and sum(whole) >= WHOLE * len(whole)


def _last(one: MaskValues) -> int | None:
    """The largest value, if all from 1 to it are there; None if one is missing."""
    values = sorted(value for value in one.values if isinstance(value, int) and value)
    return len(values) if values == [*range(1, len(values) + 1)] else None


def _pieces(data: bytes) -> Iterator[bool]:
    """Of each value whether its pixels hang together."""
    numbers = numbers_of(read_raster(data))
    for value in range(1, int(numbers.max()) + 1):
        number, _ = cv2.connectedComponents((numbers == value).astype(np.uint8), connectivity=8)
        yield number == 2
