"""Dense targets as encoded images, the way data sets ship them: classes, distances and directions.

All are given as a viewer shows them: a map's own orientation is applied.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Literal

import cv2
import numpy as np

from mtl.config import DataError
from mtl.data.header import read_header
from mtl.data.mask_codes import classes_of, code_of, colours_of, counted, is_grey, numbers_of, value_of
from mtl.data.rasters import read_raster, turned

IGNORE = 255
"""The class index of a pixel that no loss and no metric counts."""

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
        DataError: it cannot be decoded.
    """
    raster = read_raster(data)
    coloured = raster.palette is None and (not is_grey(raster) or raster.opacity is not None)
    found = counted(colours_of(raster) if coloured else numbers_of(raster))
    values = {value_of(c, coloured=coloured): n for c, n in islice(found.items(), MAX_VALUES)}
    colours: dict[int, str] = {}
    if raster.palette is not None:
        shown = colours_of(replace(raster, values=np.array([[*found]])))[0].tolist()
        colours = {c: str(value_of(s, coloured=True)) for c, s in zip(found, shown, strict=True)}
    kind = "colour" if coloured else "grey" if raster.palette is None else "palette"
    return MaskValues(kind, values, len(found), colours, raster.header.format, raster.header.lossless)


def decode_mask(
    data: bytes, num_classes: int, values: Sequence[int | str] = (), ignored: Sequence[int | str] = ()
) -> np.ndarray:
    """An encoded mask → uint8 [height, width] of class indices, as a viewer shows it; 255 is not known.

    Args:
        values: what pixels have for the class in this place: a grey value or an index into the palette; or, '#rrggbb' or
            'transparent', what is seen. Empty: 0, 1, 2 …
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
    coloured = any(isinstance(value, str) for value in values)
    codes = colours_of(raster) if coloured else numbers_of(raster)
    classes = {} if coloured else {IGNORE: IGNORE}
    classes |= {code_of(value): IGNORE for value in ignored}
    classes |= {code_of(value): index for index, value in enumerate(values or range(num_classes))}
    if not (coloured or values or IGNORE in ignored) and num_classes <= 2:
        _refuse_black_and_white(codes)
    mask = classes_of(codes, classes)
    if mask.min() < 0:
        raise _no_class(codes[mask < 0], codes.size, coloured, values or range(num_classes))
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


def _no_class(codes: np.ndarray, total: int, coloured: bool, values: Sequence[int | str]) -> DataError:
    counts = counted(codes)
    named = [f"{value_of(c, coloured=coloured)} in {n} of {total} pixels" for c, n in islice(counts.items(), 3)]
    more = f" and {len(counts) - 3} more values" if len(counts) > 3 else ""
    allowed = f"0 to {len(values) - 1}, or 255" if isinstance(values, range) else ", ".join(map(str, values))
    return DataError(
        f"a mask has a {'colour' if coloured else 'value'} that is no class",
        found=", ".join(named) + more,
        fix=f"{allowed}; or name it among the set's `values` (of classes) or `ignored`",
    )


def encode_mask(mask: np.ndarray) -> bytes:
    """uint8 [height, width] of class indices → PNG."""
    return cv2.imencode(".png", mask)[1].tobytes()


def decode_depth(data: bytes, scale: float) -> np.ndarray:
    """A 16-bit PNG in steps of `scale` → float32 [height, width], NaN where it is 0.

    Raises:
        DataError: not a 16-bit grey image.
    """
    read_header(data)
    steps = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if steps is None or steps.dtype != np.uint16 or steps.ndim != 2:
        found = "nothing that can be decoded" if steps is None else f"{steps.dtype} {steps.shape}"
        raise DataError("a depth map is not a 16-bit grey PNG", found=found)
    return np.where(steps == 0, np.nan, steps * scale).astype(np.float32)


def encode_depth(depth: np.ndarray, scale: float) -> bytes:
    """float [height, width], NaN unknown → a 16-bit PNG in steps of `scale`."""
    steps = np.nan_to_num(np.round(depth / scale)).clip(0, 65535).astype(np.uint16)
    return cv2.imencode(".png", steps)[1].tobytes()


def decode_normals(data: bytes) -> np.ndarray:
    """An RGB PNG of 255 · (n + 1) / 2 → unit vectors float32 [height, width, 3], NaN where it is black.

    Raises:
        DataError: not an 8-bit colour image.
    """
    read_header(data)
    colours = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
    if colours is None:
        raise DataError("a map of normals cannot be decoded", found=f"{len(data)} bytes")
    vectors = colours.astype(np.float32) / 127.5 - 1.0
    vectors /= np.maximum(np.linalg.norm(vectors, axis=2, keepdims=True), 1e-6)
    return np.where(colours.any(2, keepdims=True), vectors, np.nan).astype(np.float32)


def encode_normals(normals: np.ndarray) -> bytes:
    """Unit vectors [height, width, 3], NaN unknown → an RGB PNG."""
    colours = np.nan_to_num(np.round((normals + 1.0) * 127.5)).clip(0, 255).astype(np.uint8)
    return cv2.imencode(".png", cv2.cvtColor(colours, cv2.COLOR_RGB2BGR))[1].tobytes()
