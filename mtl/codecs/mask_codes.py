"""What the pixels of a mask hold, as one whole number each: a grey value, an index into a palette, or a packed colour."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice

import numpy as np

from mtl.codecs.rasters import Raster
from mtl.config.masks import TRANSPARENT
from mtl.errors import DataError

_CLEAR, _HALF = 1 << 24, -1
_TABLE = 1 << 25
"""Codes below it are looked up in a table; above it, by sorting."""


def code_of(value: int | str) -> int:
    """A value as params.yaml has it, as a number: a colour is 65536 · red + 256 · green + blue."""
    if isinstance(value, int):
        return value
    return _CLEAR if value == TRANSPARENT else int(value[1:], 16)


def value_of(code: int, *, coloured: bool) -> int | str:
    """The inverse of `code_of`."""
    if not coloured:
        return code
    return TRANSPARENT if code == _CLEAR else f"#{code:06x}"


def is_grey(raster: Raster) -> bool:
    """Whether it is grey, if with three equal channels."""
    if raster.values.ndim == 2:
        return raster.palette is None
    return all(bool((raster.values[..., 0] == raster.values[..., c]).all()) for c in (1, 2))


def numbers_of(raster: Raster) -> np.ndarray:
    """Whole numbers [height, width]: grey values, or indices into the palette.

    Raises:
        DataError: it has colours, transparent pixels, or values that are not whole.
    """
    if raster.values.ndim == 3 and not is_grey(raster):
        seen = [str(value_of(code, coloured=True)) for code in islice(counted(colours_of(raster)), 4)]
        fix = f"say which colour each class has: values: {seen}"
        raise DataError("a mask has colours, not class indices", found=", ".join(seen), fix=fix)
    if raster.opacity is not None:
        found = f"{int((raster.opacity < raster.header.maximum).sum())} of {raster.opacity.size}"
        raise DataError("a mask has transparent pixels", found=found, fix="export it without transparency")
    values = raster.values[..., 0] if raster.values.ndim == 3 else raster.values
    if values.dtype.kind != "f":
        return values
    if not (np.round(values) == values).all() or np.abs(values).max() >= 1 << 31:
        raise DataError("a mask has values that are not whole", fix="save it as PNG of class indices")
    return values.astype(np.int32)


def colours_of(raster: Raster) -> np.ndarray:
    """int32 [height, width] of what is seen: packed colours, and one code for what is transparent.

    Raises:
        DataError: it has more than 8 bits per sample, or pixels that are transparent in part.
    """
    maximum = raster.header.maximum
    if raster.palette is not None:
        seen = _packed(raster.palette[:, :3])
        opacity = raster.palette[:, 3]
        codes = np.where(opacity == 0, _CLEAR, np.where(opacity == 255, seen, _HALF))[raster.values]
    elif maximum == 0 or 255 % maximum:
        raise DataError("a mask of colours has not 8 bits per channel", found=f"{raster.values.dtype} up to {maximum}")
    else:
        codes = _packed(raster.values if raster.values.ndim == 3 else raster.values[..., None].repeat(3, axis=2))
        codes *= 255 // maximum
        if raster.opacity is not None:
            codes[raster.opacity < maximum] = _HALF
            codes[raster.opacity == 0] = _CLEAR
    half = codes == _HALF
    if half.any():
        fix = "export it without smooth edges"
        raise DataError("a mask has pixels that are transparent in part", found=f"{half.sum()} of {half.size}", fix=fix)
    return codes


def palette_names(palette: np.ndarray) -> list[str]:
    """What each index of a palette shows: '#rrggbb', or 'transparent'."""
    codes = np.where(palette[:, 3] == 0, _CLEAR, _packed(palette[:, :3]))
    return [str(value_of(code, coloured=True)) for code in codes.tolist()]


def _packed(colours: np.ndarray) -> np.ndarray:
    codes = colours[..., 0].astype(np.int32)
    for channel in (1, 2):
        codes <<= 8
        codes |= colours[..., channel]
    return codes


def classes_of(codes: np.ndarray, classes: Mapping[int, int]) -> np.ndarray:
    """int16, of the shape of `codes`: the class of each, −1 where it has none."""
    if codes.min() < 0 or codes.max() >= _TABLE:
        distinct, places = np.unique(codes, return_inverse=True)
        return np.array([classes.get(c, -1) for c in distinct.tolist()], np.int16)[places.reshape(codes.shape)]
    table = np.full(int(codes.max()) + 1, -1, np.int16)
    for code, index in classes.items():
        if 0 <= code < len(table):
            table[code] = index
    return table[codes]


def counted(codes: np.ndarray) -> dict[int, int]:
    """Code → number of pixels, the most frequent first."""
    distinct, counts = np.unique(codes, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    return dict(zip(distinct[order].tolist(), counts[order].tolist(), strict=True))
