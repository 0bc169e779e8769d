"""What an encoded image says of itself, read before any pixel is decoded."""

from __future__ import annotations

import io
import warnings
from typing import NamedTuple

from PIL import Image, UnidentifiedImageError

from mtl.config import DataError

MAX_PIXELS = 64_000_000
"""Pixels of the largest image that is decoded: above it, a file is taken for a decompression bomb."""

_ORIENTATION = 0x0112


class Header(NamedTuple):
    """Width and height in pixels as stored, the EXIF orientation (1 to 8), and the format's name."""

    width: int
    height: int
    orientation: int
    format: str


def read_header(data: bytes) -> Header:
    """Read an image's header; a PNG's checksums too, for OpenCV would fill a damaged one with grey.

    Raises:
        DataError: not an image, damaged, or too large.
    """
    if not data:
        raise DataError("an image is empty", found="0 bytes")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data)) as image:
                (width, height), kind = image.size, image.format or ""
                if kind == "PNG":
                    image.verify()  # after it, nothing else can be asked
                orientation = 1 if kind == "PNG" else image.getexif().get(_ORIENTATION, 1)
            if kind == "PNG" and (b"eXIf" in data or b"exif" in data):
                with Image.open(io.BytesIO(data)) as image:
                    orientation = image.getexif().get(_ORIENTATION, 1)
    except UnidentifiedImageError as error:  # whose own words are an address in memory
        found = f"{len(data)} bytes beginning {data[:8].hex(' ')}"
        raise DataError("an image cannot be decoded: no known format", found=found) from error
    except Exception as error:  # whatever PIL makes of damage
        raise DataError("an image cannot be decoded", found=f"{type(error).__name__}: {error}") from error
    if width * height > MAX_PIXELS:
        raise DataError("an image is too large", found=f"{width}×{height} pixels; {MAX_PIXELS} are allowed")
    return Header(width, height, orientation if orientation in range(1, 9) else 1, kind)
