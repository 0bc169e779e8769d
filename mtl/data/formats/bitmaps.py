"""Masks that an annotation holds as a small picture of the object alone, and the place of its corner."""

from __future__ import annotations

import base64
import binascii
import io
import zlib
from functools import partial

import numpy as np
from PIL import Image

from mtl.codecs.header import MAX_PIXELS, read_header
from mtl.data.formats.shapes import Shape, box_of
from mtl.errors import DataError


def from_base64(value: object) -> bytes:
    """The bytes of a text.

    Raises:
        DataError: it is none.
    """
    if not isinstance(value, str):
        raise DataError("a mask has no data", found=type(value).__name__)
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as error:
        raise DataError("a mask's data are not base64", found=str(error)) from error


def unpacked(data: bytes) -> bytes:
    """The bytes that zlib packed; as they are if it did not.

    Raises:
        DataError: they are damaged, or more than any mask.
    """
    if data.startswith(b"\x89PNG"):
        return data
    try:
        packer = zlib.decompressobj()
        found = packer.decompress(data, MAX_PIXELS)
        if packer.unconsumed_tail:
            raise DataError("a mask is too large", found=f"more than {MAX_PIXELS} bytes")
    except zlib.error as error:
        raise DataError("a mask's data are damaged", found=str(error)) from error
    return found


def bitmap(what: str, png: bytes, left: int, top: int) -> Shape:
    """An object that a picture of its own shows: where it is not transparent, or not black.

    Raises:
        DataError: the picture is damaged or empty.
    """
    return Shape(what, 0, box_of(_pixels(png), left, top), mask=partial(_placed, png, left, top))


def _pixels(png: bytes) -> np.ndarray:
    """uint8 [height, width] of 0 and 1."""
    read_header(png)
    try:
        with Image.open(io.BytesIO(png)) as image:
            if "transparency" in image.info or image.mode in ("RGBA", "LA", "PA"):
                found = np.asarray(image.convert("RGBA"))[..., 3]
            else:
                found = np.asarray(image.convert("RGB")).max(2)
    except Exception as error:  # whatever PIL makes of damage
        raise DataError("a mask cannot be decoded", found=f"{type(error).__name__}: {error}") from error
    return (found > 0).astype(np.uint8)


def _placed(png: bytes, left: int, top: int, height: int, width: int) -> np.ndarray:
    """uint8 [height, width], the picture's pixels at their place, cut off at the border. It is decoded anew: all objects of an
    image are known before the first is drawn, and small files hold large pictures.
    """
    pixels = _pixels(png)
    found = np.zeros((height, width), np.uint8)
    x1, y1 = max(left, 0), max(top, 0)
    x2, y2 = min(left + pixels.shape[1], width), min(top + pixels.shape[0], height)
    if x1 < x2 and y1 < y2:
        found[y1:y2, x1:x2] = pixels[y1 - top : y2 - top, x1 - left : x2 - left]
    return found
