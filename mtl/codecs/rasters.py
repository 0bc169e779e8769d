"""Encoded images as the numbers that they hold, before anybody says whether these are light, classes or metres."""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from PIL import Image

from mtl.codecs.header import Header, read_header
from mtl.codecs.netpbm import netpbm_values
from mtl.errors import DataError

AS_PNG = "save it as PNG of 8 or 16 bits, grey or RGB"

_INVERSE = {6: 8, 8: 6}
_PHOTOMETRIC, _PLANES, _EXTRA = 262, 284, 338
_WHITE_IS_ZERO, _SEPARATE, _PREMULTIPLIED, _UNSPECIFIED = 0, 2, 1, 0


@dataclass
class Raster:
    """The first image of a file, as it is stored: not turned."""

    values: np.ndarray
    """[height, width] of grey or of indices into the palette, or [height, width, 3] of red, green and blue."""
    header: Header
    palette: np.ndarray | None = None
    """uint8 [256, 4]: red, green, blue and opacity of each index."""
    opacity: np.ndarray | None = None
    """[height, width], of the range that `values` have; None where nothing is transparent, or a palette says it."""


def read_raster(data: bytes, header: Header | None = None) -> Raster:
    """Decode without scaling anything: a sample of 2 bits is 0 to 3, one of 12 bits 0 to 4095.

    Args:
        header: the image's, if it has been read.

    Raises:
        DataError: not an image, damaged, too large, or in a format or mode that is not decoded.
    """
    header = header or read_header(data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            raster = _read(data, header)
        except DataError:
            raise
        except Exception as error:  # whatever the decoders make of damage
            raise DataError("an image cannot be decoded", found=f"{type(error).__name__}: {error}") from error
    refuse_other_size(raster.values, header)
    if raster.opacity is not None and (raster.opacity == header.maximum).all():
        raster.opacity = None
    return raster


def refuse_other_size(pixels: np.ndarray, header: Header) -> None:
    """Boxes and masks are laid out by what the header says.

    Raises:
        DataError: the decoder gave another size.
    """
    if pixels.shape[:2] != (header.height, header.width):
        found = f"{pixels.shape[1]}×{pixels.shape[0]}, declared {header.width}×{header.height}"
        raise DataError("an image has another size than it declares", found=found)


def turned(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """[height, width, …] as a viewer shows it, of an image whose EXIF orientation this is; a view."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return pixels


def turned_vectors(vectors: np.ndarray, orientation: int) -> np.ndarray:
    """[height, width, 3] of directions, x to the right and y down: they turn and flip with the image that they lie on."""
    x, y, z = (turned(vectors[..., axis], orientation) for axis in range(3))
    if orientation in (5, 6, 7, 8):
        x, y = y, x
    return np.stack([-x if orientation in (2, 3, 6, 7) else x, -y if orientation in (3, 4, 7, 8) else y, z], axis=2)


def _read(data: bytes, header: Header) -> Raster:
    if header.format == "PPM":
        return Raster(netpbm_values(data), header)
    with Image.open(io.BytesIO(data), formats=(header.format,)) as image:
        tags: Mapping[int, Any] = getattr(image, "tag_v2", {})
        extra: Any = tags.get(_EXTRA, ())
        if header.maximum != 255 and header.format == "JPEG2000":
            raster = _deep(data, header)
        elif header.maximum > 255 and not image.mode.startswith("I"):
            if tags.get(_PLANES) == _SEPARATE:  # OpenCV mixes them up
                raise DataError("a TIFF of 16 bits has its colours in separate planes", fix=AS_PNG)
            raster = _deep(data, header)
            if raster.opacity is not None and _PREMULTIPLIED in extra:
                share = np.maximum(raster.opacity, 1)[..., None]
                straight = raster.values.astype(np.uint32) * header.maximum // share
                raster.values = straight.clip(0, header.maximum).astype(np.uint16)
            raster.opacity = None if _UNSPECIFIED in extra else raster.opacity
        else:
            white_is_zero = header.maximum > 255 and tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO
            image.load()
            raster = _from_pil(image, header)
            raster.values = header.maximum - raster.values if white_is_zero else raster.values
    if header.format == "TIFF":  # both PIL and OpenCV turn it
        back = _INVERSE.get(header.orientation, header.orientation)
        raster.values = turned(raster.values, back)
        raster.opacity = None if raster.opacity is None else turned(raster.opacity, back)
    return raster


def _deep(data: bytes, header: Header) -> Raster:
    """By OpenCV: PIL keeps 8 bits of several channels, and of a JPEG 2000 lets white overflow to black."""
    values = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if values is None or values.dtype.kind != "u" or (values.ndim == 3 and values.shape[2] not in (3, 4)):
        found = "nothing that can be decoded" if values is None else f"{values.dtype} {values.shape}"
        raise DataError("an image has samples of a kind that is not decoded", found=found, fix=AS_PNG)
    if values.ndim == 2:
        return Raster(values, header)
    return Raster(values[..., 2::-1], header, opacity=values[..., 3] if values.shape[2] == 4 else None)


def _from_pil(image: Image.Image, header: Header) -> Raster:
    transparent: Any = image.info.get("transparency")
    if image.mode == "P":
        return Raster(np.asarray(image), header, palette=_palette(image, transparent))
    if image.mode in ("La", "RGBa", "PA"):
        image = image.convert("LA" if image.mode == "La" else "RGBA")
    elif image.mode in ("CMYK", "YCbCr", "RGBX"):
        image = image.convert("RGB")
    if image.mode not in ("1", "L", "LA", "RGB", "RGBA", "F") and not image.mode.startswith("I"):
        raise DataError("an image has colours of a kind that is not decoded", found=f"mode {image.mode}", fix=AS_PNG)
    values = np.asarray(image)
    opacity = values[..., -1] if image.mode.endswith("A") else None
    values = values[..., :-1] if opacity is not None else values
    values = values[..., 0] if image.mode == "LA" else values
    if image.mode in ("1", "L") and 0 < header.maximum < 255:  # PIL stretches L to 255
        values = values.astype(np.uint8) // (255 // header.maximum if image.mode == "L" else 1)
    if isinstance(transparent, int | tuple) and opacity is None:
        same = values == (np.array(transparent) if image.mode != "1" else bool(transparent))
        opacity = np.where(same.all(-1) if values.ndim == 3 else same, 0, header.maximum)
    return Raster(values, header, opacity=opacity)


def _palette(image: Image.Image, transparent: int | bytes | None) -> np.ndarray:
    colours = np.array(image.getpalette("RGB") or [], np.uint8).reshape(-1, 3)
    palette = np.zeros((256, 4), np.uint8)
    palette[: len(colours), :3] = colours
    palette[:, 3] = 255
    if isinstance(transparent, bytes):
        palette[: len(transparent), 3] = np.frombuffer(transparent, np.uint8)
    elif transparent is not None:
        palette[transparent, 3] = 0
    return palette
