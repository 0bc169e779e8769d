"""Encoded images to 8 bits per channel, as a person sees them.

Containers are told apart by their content. Of files with several images (animations, pages) the first is read. Colour
profiles are not applied, as no training framework does.

Transparent pixels show white. Frameworks drop the opacity and train on whatever colours lie below it: black in most
cut-out pictures, anything in others. People who draw the labels see a page through them.

Samples of more than 8 bits are scaled by what the file declares (bits of a TIFF or a JPEG 2000, the largest value of a
PGM, sBIT of a PNG), never by what an image happens to hold: that would be another exposure for each image. Of files that
declare 16 bits and use fewer than 15, nobody can tell which are dark and which come from a sensor of 10, 12 or 14 bits:
they are refused until `bits` says.
"""

from __future__ import annotations

import cv2
import numpy as np

from mtl.codecs.header import Header, read_header
from mtl.codecs.rasters import Raster, read_raster, refuse_other_size
from mtl.errors import DataError

DARK = 1 << 14
"""A sample of 16 bits below it is that of a sensor with fewer bits, or very dark."""

_WHITE = 255


def decode(data: bytes, colour: str = "rgb", bits: int | None = None) -> np.ndarray:
    """Bytes of an encoded image to uint8 [height, width, 3 or 1], as stored: its orientation is not applied.

    Args:
        bits: how many of 16 bits are used, of files that do not declare it.

    Raises:
        DataError: not an image, damaged, too large, of samples whose range is not known, or beyond `bits`.
    """
    return decoded(data, read_header(data), colour, bits)


def decoded(data: bytes, header: Header, colour: str, bits: int | None) -> np.ndarray:
    """The same, of an image whose header has been read."""
    if header.format in ("JPEG", "MPO"):
        return _jpeg(data, header, colour)
    raster = read_raster(data, header)
    pixels = _shown(raster, bits)
    if colour == "grey":
        return (pixels if pixels.ndim == 2 else cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY))[..., None]
    return np.ascontiguousarray(pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=2))


def _jpeg(data: bytes, header: Header, colour: str) -> np.ndarray:
    """By OpenCV: PIL's pixels in two thirds of its time."""
    flags = (cv2.IMREAD_COLOR_RGB if colour == "rgb" else cv2.IMREAD_GRAYSCALE) | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        raise DataError("an image cannot be decoded", found=str(error).strip()) from error
    if image is None:
        raise DataError("an image cannot be decoded", found=f"{len(data)} bytes of JPEG, damaged or cut off")
    refuse_other_size(image, header)
    return image if image.ndim == 3 else image[..., None]


def _shown(raster: Raster, bits: int | None) -> np.ndarray:
    """uint8 [height, width] or [height, width, 3]."""
    if raster.palette is not None:
        seen = raster.palette[raster.values]
        opaque = bool((seen[..., 3] == _WHITE).all())
        return np.ascontiguousarray(seen[..., :3]) if opaque else _on_white(seen[..., :3], seen[..., 3])
    top = _top(raster, bits)
    pixels = _scaled(raster.values, top)
    if raster.opacity is None:
        return pixels
    opacity_top = top if raster.opacity.max() <= top else raster.header.maximum
    return _on_white(pixels, _scaled(raster.opacity, opacity_top))


def _top(raster: Raster, bits: int | None) -> int:
    """The value of a sample that is white.

    Raises:
        DataError: nobody says.
    """
    values, maximum = raster.values, raster.header.maximum
    if not 0 < maximum < 1 << 16 or values.dtype.kind not in "ub":
        raise DataError(
            "an image has samples whose range nobody declares",
            found=f"{values.dtype} from {values.min()} to {values.max()}",
            fix="save it with 8 or 16 bits: of fractions and signed numbers, black and white could be anything",
        )
    largest = int(values.max())
    if maximum < (1 << 16) - 1:
        if largest > maximum:
            raise DataError("an image has a larger value than it declares", found=f"{largest} of {maximum}")
        return maximum
    bits = bits or _low_bits(values, largest, raster.header.significant_bits)
    if bits is not None:
        if largest >= 1 << bits:
            fix = "correct `bits` of the operation decode"
            raise DataError(f"an image has more than {bits} bits", found=f"largest value {largest}", fix=fix)
        return (1 << bits) - 1
    if 0 < largest < DARK:
        fits = next(b for b in (8, 10, 12, 14) if largest < 1 << b)
        raise DataError(
            "an image of 16 bits uses few of them, and does not declare how many",
            found=f"largest value {largest} of {maximum}",
            fix=f"`bits` of the operation decode: {max(fits, 9)} if the camera has {fits} bits, 16 if images are that dark",
        )
    return maximum


def _low_bits(values: np.ndarray, largest: int, significant: int) -> int | None:
    """How many lower bits are used, where a PNG says that so many are significant. By its standard those are the upper
    ones, and the lower hold filling; some writers leave the upper ones empty, and then the lower hold more than filling.
    """
    lower = largest < 1 << significant and bool((values & ((1 << (16 - significant)) - 1)).any())
    return significant if lower and significant < 16 else None


def _scaled(values: np.ndarray, top: int) -> np.ndarray:
    if top == _WHITE and values.dtype == np.uint8:
        return values
    table = np.round(np.arange(top + 1) * (_WHITE / top)).astype(np.uint8)
    return table[values.astype(np.uint8) if values.dtype == np.bool_ else values]


def _on_white(colours: np.ndarray, opacity: np.ndarray) -> np.ndarray:
    share = (opacity[..., None] if colours.ndim == 3 else opacity).astype(np.uint16)
    return ((colours * share + _WHITE * (_WHITE - share) + _WHITE // 2) // _WHITE).astype(np.uint8)
