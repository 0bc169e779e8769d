"""Encoded images as the numbers that they hold, before anybody says whether these are light, classes or metres."""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image

from mtl.config import DataError
from mtl.data.header import Header, read_header
from mtl.data.netpbm import netpbm_values

_INVERSE = {6: 8, 8: 6}
AS_PNG = "save it as PNG of 8 or 16 bits, grey or RGB"


@dataclass
class Raster:
    """The first image of a file, as it is stored: not turned."""

    values: np.ndarray
    """[height, width] of grey or of indices into the palette, or [height, width, 3] of red, green and blue."""
    header: Header
    palette: np.ndarray | None = None
    """uint8 [n, 4]: red, green, blue and opacity of each index."""
    opacity: np.ndarray | None = None
    """[height, width], of the maximum that `values` have; None where nothing is transparent."""

    @property
    def is_colour(self) -> bool:
        """Whether it has red, green and blue, and no palette."""
        return self.values.ndim == 3


def read_raster(data: bytes) -> Raster:
    """Decode without scaling anything: a sample of 2 bits is 0 to 3, one of 12 bits 0 to 4095.

    Raises:
        DataError: not an image, damaged, too large, or in a format or mode that is not decoded.
    """
    header = read_header(data)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            raster = _read(data, header)
    except DataError:
        raise
    except Exception as error:  # whatever the decoders make of damage
        raise DataError("an image cannot be decoded", found=f"{type(error).__name__}: {error}") from error
    if raster.opacity is not None and (raster.opacity == header.maximum).all():
        raster.opacity = None
    return raster


def turned(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """[height, width, …] as a viewer shows it, of an image whose EXIF orientation this is; a view."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return pixels


def _read(data: bytes, header: Header) -> Raster:
    if header.format == "PPM":
        return Raster(netpbm_values(data), header)
    with Image.open(io.BytesIO(data), formats=(header.format.replace("MPO", "JPEG"),)) as image:
        if header.maximum > 255 and not image.mode.startswith("I"):
            return _deep(data, header)
        image.load()
        raster = _from_pil(image, header)
    if header.format == "TIFF":  # PIL has turned it
        back = _INVERSE.get(header.orientation, header.orientation)
        raster.values = turned(raster.values, back)
        raster.opacity = None if raster.opacity is None else turned(raster.opacity, back)
    return raster


def _from_pil(image: Image.Image, header: Header) -> Raster:
    transparent = image.info.get("transparency")
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
    if image.mode in ("1", "L") and 0 < header.maximum < 255:  # PIL stretches them to 255
        values = values.astype(np.uint8) // (255 // header.maximum if image.mode == "L" else 1)
    if transparent is not None and opacity is None and isinstance(transparent, int | tuple):
        same = values == np.array(transparent)
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


def _deep(data: bytes, header: Header) -> Raster:
    """More than 8 bits and several channels: PIL would keep the upper 8."""
    values = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if values is None or values.dtype != np.uint16 or values.ndim != 3 or values.shape[2] not in (3, 4):
        found = "nothing that can be decoded" if values is None else f"{values.dtype} {values.shape}"
        raise DataError("an image has samples of a kind that is not decoded", found=found, fix=AS_PNG)
    return Raster(values[..., 2::-1], header, opacity=values[..., 3] if values.shape[2] == 4 else None)
