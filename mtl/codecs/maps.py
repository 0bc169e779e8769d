"""Dense targets as encoded images, the way data sets ship them: classes, distances and directions.

All are given as a viewer shows them: a map's own orientation is applied.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Literal

import cv2
import numpy as np

from mtl.codecs.mask_codes import classes_of, code_of, colours_of, counted, is_grey, numbers_of, palette_names, value_of
from mtl.codecs.rasters import read_raster, turned, turned_vectors
from mtl.config.masks import IGNORE, ClassValue, each
from mtl.errors import DataError

_NO_DIRECTION = 0.5
"""A vector below this length is rounding around mid grey, not a direction."""

_NO_UNIT = 0.1
"""How far lengths may be from 1, at the median: rounding to 8 bits makes 0.01, a photograph's colours 0.1 to 0.6."""

MAX_VALUES = 256
"""Values of one mask that are named: a photograph has a hundred thousand."""


@dataclass(frozen=True)
class MaskValues:
    """Which values one encoded mask has."""

    kind: Literal["grey", "palette", "colour"]
    """One with three equal channels is grey; one with transparent pixels has colours."""
    values: Mapping[int | str, int]
    """Value → number of pixels, the most frequent first, at most `MAX_VALUES`: a grey value or an index; of `colour`,
    '#rrggbb' or 'transparent'."""
    num_values: int
    colours: Mapping[int, str]
    """Of a palette: index → '#rrggbb' or 'transparent', of the indices in `values`."""
    format: str
    """A key of `header.SUFFIXES`."""
    lossless: bool
    """False of JPEG and the like, whose values are not those that were drawn: `decode_mask` refuses them."""


def mask_values(data: bytes) -> MaskValues:
    """Which values or colours one encoded mask has, whatever they mean.

    Raises:
        DataError: it cannot be decoded, or has pixels that are transparent in part.
    """
    raster = read_raster(data)
    coloured = raster.palette is None and (not is_grey(raster) or raster.opacity is not None)
    found = counted(colours_of(raster) if coloured else numbers_of(raster))
    values = {value_of(c, coloured=coloured): n for c, n in islice(found.items(), MAX_VALUES)}
    names = [] if raster.palette is None else palette_names(raster.palette)
    colours = {code: names[code] for code in found} if names else {}
    kind = "colour" if coloured else "grey" if raster.palette is None else "palette"
    return MaskValues(kind, values, len(found), colours, raster.header.format, raster.header.lossless)


def decode_mask(
    data: bytes, num_classes: int, values: Sequence[ClassValue] = (), ignored: Sequence[int | str] = ()
) -> np.ndarray:
    """An encoded mask → uint8 [height, width] of class indices, as a viewer shows it; 255 is not known.

    Args:
        values: what pixels have for the class in this place: a grey value or an index into the palette; or, '#rrggbb' or
            'transparent', what is seen; or several of them. Empty: 0, 1, 2 …
        ignored: further values of pixels that are not known; 255 is one, unless `values` has it. Of two classes it has
            to be named here, for a mask of black and white may mean either.

    Raises:
        DataError: it cannot be decoded, its compression changes values, or a value is no class.
    """
    raster = read_raster(data)
    if not raster.header.lossless:
        raise DataError(
            f"a mask is saved as {raster.header.format}, which may change values",
            found="pixels that may not have the class that was drawn",
            fix="export the masks as PNG; of black and white, taking what is above half the range restores them",
        )
    if num_classes > IGNORE + 1:
        raise DataError("a mask has more classes than it can tell apart", found=str(num_classes), fix="at most 255")
    coloured = any(isinstance(one, str) for value in values for one in each(value))
    codes = colours_of(raster) if coloured else numbers_of(raster)
    classes = {} if coloured else {IGNORE: IGNORE}
    classes |= {code_of(value): IGNORE for value in ignored}
    classes |= {code_of(one): index for index, value in enumerate(values or range(num_classes)) for one in each(value)}
    if not (coloured or values or IGNORE in ignored) and num_classes <= 2:
        _refuse_black_and_white(codes)
    mask = classes_of(codes, classes)
    if mask.min() < 0:
        allowed = ", ".join(str(one) for value in values for one in each(value)) or f"0 to {num_classes - 1}, or 255"
        raise _no_class(codes[mask < 0], codes.size, coloured, allowed)
    return np.ascontiguousarray(turned(mask, raster.header.orientation), np.uint8)


def _refuse_black_and_white(codes: np.ndarray) -> None:
    """White is the object in most such masks, and not known in some: taken for the latter, nothing is ever learnt."""
    white = codes == IGNORE
    if white.any() and (white | (codes == 0)).all():
        raise DataError(
            "a mask of two classes is black and white, and does not say what white is",
            found=f"255 in {int(white.sum())} of {white.size} pixels, 0 in the rest",
            fix="values: [0, 255] if white is the second class; ignored: [255] if it is not known",
        )


def _no_class(codes: np.ndarray, total: int, coloured: bool, allowed: str) -> DataError:
    counts = counted(codes)
    named = [f"{value_of(c, coloured=coloured)} in {n} of {total} pixels" for c, n in islice(counts.items(), 3)]
    more = f" and {len(counts) - 3} more values" if len(counts) > 3 else ""
    return DataError(
        f"a mask has a {'colour' if coloured else 'value'} that is no class",
        found=", ".join(named) + more,
        fix=f"{allowed}; or name it among the set's `values` (of classes) or `ignored`",
    )


def encode_mask(mask: np.ndarray) -> bytes:
    """uint8 [height, width] of class indices → PNG."""
    return cv2.imencode(".png", mask)[1].tobytes()


def decode_depth(data: bytes, scale: float) -> np.ndarray:
    """A depth map → float32 [height, width], as a viewer shows it, NaN where it is not known.

    Of more than 8 bits, grey, as PNG, TIFF or PGM: whole steps of `scale`, 0 where it is not known. Fractions
    (TIFF) are distances themselves, in the target's unit, not known where they are not finite or not above 0.

    Raises:
        DataError: it is anything else, such as 8 bits, which are a picture of depth; or it has fractions and a scale.
    """
    raster = read_raster(data)
    steps, header = raster.values, raster.header
    fractions = steps.dtype.kind == "f"
    if steps.ndim == 3 or steps.dtype.itemsize == 1 or raster.opacity is not None or not header.lossless:
        found = f"{header.format}, {steps.dtype} of up to {header.maximum}, {'colour' if steps.ndim == 3 else 'grey'}"
        raise DataError("a depth map is not grey of 16 bits without loss", found=found, fix="PNG of 16 bits, in steps")
    if fractions and scale != 1.0:
        found, fix = f"{steps.dtype}, scale {scale:g}", "scale: 1, if they are in the target's unit"
        raise DataError("a depth map of fractions has distances, and no steps to be scaled", found=found, fix=fix)
    depth = np.ascontiguousarray(turned(steps, header.orientation))
    return np.where(np.isfinite(depth) & (depth > 0), depth * scale, np.nan).astype(np.float32)


def encode_depth(depth: np.ndarray, scale: float) -> bytes:
    """float [height, width], NaN unknown → a 16-bit PNG in steps of `scale`, 0 unknown; what is nearer than a step is one, and what
    is farther than 16 bits reach is 65,535.
    """
    steps = np.where(np.isnan(depth), 0.0, np.round(depth / scale).clip(1, 65535))
    return cv2.imencode(".png", steps.astype(np.uint16))[1].tobytes()


def decode_normals(data: bytes) -> np.ndarray:
    """Colours of 255 · (n + 1) / 2 → unit vectors float32 [height, width, 3], as a viewer shows them, x to the right and
    y down; of 16 bits likewise. NaN where nothing is known: black, transparent, or no direction at all, as mid grey.

    Raises:
        DataError: it has no colours, its compression changes values, or most of its colours are no unit vectors.
    """
    raster = read_raster(data)
    colours, header = raster.values, raster.header
    if colours.ndim != 3 or header.maximum not in (0xFF, 0xFFFF) or not header.lossless:
        found = f"{header.format}, {'colour' if colours.ndim == 3 else 'grey'} of up to {header.maximum}"
        raise DataError("a map of normals is not a PNG of colours", found=found, fix="save it as RGB of 8 or 16 bits")
    vectors = colours.astype(np.float32) * (2.0 / header.maximum) - 1.0
    lengths = np.linalg.norm(vectors, axis=2)
    known = colours.any(2) & (lengths > _NO_DIRECTION)
    known &= True if raster.opacity is None else raster.opacity > 0
    if known.any() and np.median(np.abs(lengths[known] - 1.0)) > _NO_UNIT:
        found = f"vectors of length {np.median(lengths[known]):.2f} in most pixels"
        raise DataError("a map of normals holds no unit vectors", found=found, fix="255 · (n + 1) / 2 per channel")
    vectors /= np.maximum(lengths, _NO_DIRECTION)[..., None]
    vectors[~known] = np.nan
    return turned_vectors(vectors, header.orientation)


def encode_normals(normals: np.ndarray) -> bytes:
    """Unit vectors [height, width, 3], NaN unknown → an RGB PNG."""
    colours = np.nan_to_num(np.round((normals + 1.0) * 127.5)).clip(0, 255).astype(np.uint8)
    return cv2.imencode(".png", cv2.cvtColor(colours, cv2.COLOR_RGB2BGR))[1].tobytes()
