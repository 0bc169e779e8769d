"""Preprocessing: the ordered operations of `data.operations`, on one image and its targets. OpenCV does the work."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np

from mtl.codecs.header import read_header
from mtl.codecs.pixels import decode as decode  # from here, too
from mtl.codecs.pixels import decoded
from mtl.codecs.rasters import turned, turned_vectors
from mtl.config.operations import (
    Binarize,
    Decode,
    Denoise,
    Edges,
    Equalize,
    Gradients,
    Operation,
    Orient,
    Resize,
    Standardize,
)
from mtl.data.prepare.geometry import Fit
from mtl.data.prepare.picture import Picture
from mtl.errors import DataError


def run(operations: Sequence[Operation], picture: Picture) -> Picture:
    """Apply the operations in order, in place.

    Raises:
        DataError: the bytes cannot be decoded, or a mask has another size than its image.
    """
    compared = False
    for operation in operations:
        if not compared and not isinstance(operation, Decode | Orient):
            _refuse_other_sizes(picture)
            compared = True
        _RUN[type(operation)](picture, operation)
    return picture


def num_channels(operations: Sequence[Operation]) -> int:
    """Channels of the image that the operations give."""
    colour = next(o.colour for o in operations if isinstance(o, Decode))
    extra = sum(isinstance(o, Gradients) or getattr(o, "output", "") == "channel" for o in operations)
    return (3 if colour == "rgb" else 1) + extra


def image_size(operations: Sequence[Operation]) -> tuple[int, int]:
    """Height and width in pixels of the image that the operations give."""
    last = [o for o in operations if isinstance(o, Resize)][-1]
    return last.height, last.width


def _decode(picture: Picture, operation: Decode) -> None:
    header = read_header(picture.encoded)
    picture.orientation = header.orientation
    picture.image = decoded(picture.encoded, header, operation.colour, operation.bits)


def _orient(picture: Picture, operation: Orient) -> None:
    """The image turns, and so do maps that have its stored size alone; boxes are given as a viewer shows it."""
    stored, orientation = picture.image.shape[:2], picture.orientation
    picture.image = np.ascontiguousarray(turned(picture.image, orientation))
    shown = picture.image.shape[:2]
    for maps in (picture.masks, picture.maps):
        for name, values in maps.items():
            if values.shape[:2] == stored != shown:
                values = (turned_vectors if values.ndim == 3 else turned)(values, orientation)
                maps[name] = np.ascontiguousarray(values)


def _refuse_other_sizes(picture: Picture) -> None:
    for name, mask in {**picture.masks, **picture.maps}.items():
        if mask.shape[:2] != picture.image.shape[:2]:
            found = f"{mask.shape[:2]}, {picture.image.shape[:2]}"
            raise DataError(f"the mask {name!r} has another size than its image", found=found)


def _resize(picture: Picture, operation: Resize) -> None:
    height, width = picture.image.shape[:2]
    fit = Fit.of((height, width), (operation.height, operation.width), keep_aspect=operation.keep_aspect)
    picture.image = fit.image(picture.image)
    picture.masks = {name: fit.classes(mask) for name, mask in picture.masks.items()}
    picture.maps = {name: fit.measures(values) for name, values in picture.maps.items()}
    picture.points = {name: fit.points(points) for name, points in picture.points.items()}
    picture.fits.append(fit)


def _denoise(picture: Picture, operation: Denoise) -> None:
    image, size, strength = picture.image, operation.size, operation.strength
    if operation.method == "median":
        image = np.dstack([cv2.medianBlur(p, size) for p in _together(image, (1, 3, 4))])
    elif operation.method == "bilateral":
        planes = [cv2.bilateralFilter(p, size, strength, strength) for p in _together(image, (1, 3))]
        image = np.dstack(planes)
    else:
        image = np.dstack([cv2.fastNlMeansDenoising(p, None, strength, size, 21) for p in cv2.split(image)])
    picture.image = _channels(image)


def _together(image: np.ndarray, numbers: tuple[int, ...]) -> list[np.ndarray]:
    """The image if it has as many channels as a filter of OpenCV takes, else each channel by itself."""
    return [image] if image.shape[2] in numbers else list(cv2.split(image))


def _binarize(picture: Picture, operation: Binarize) -> None:
    kind = cv2.THRESH_BINARY_INV if operation.invert else cv2.THRESH_BINARY
    if operation.method == "otsu":
        _, binary = cv2.threshold(grey(picture.image), 0, 255, kind | cv2.THRESH_OTSU)
    else:
        # 2: so much darker than its neighbourhood a pixel must be, which keeps an empty page empty.
        around = cv2.ADAPTIVE_THRESH_GAUSSIAN_C
        binary = cv2.adaptiveThreshold(grey(picture.image), 255, around, kind, operation.window, 2)
    if operation.output == "channel":
        picture.image = np.dstack([picture.image, binary])
    else:
        picture.image = np.repeat(binary[..., None], picture.image.shape[2], axis=2)


def _gradients(picture: Picture, operation: Gradients) -> None:
    light = grey(picture.image)
    slopes = [cv2.Sobel(light, cv2.CV_32F, *axis, ksize=operation.size) for axis in ((1, 0), (0, 1))]
    # Scaled so that the steepest possible slope is 255.
    steepest = 255.0 * np.sqrt(2.0) * np.abs(cv2.getDerivKernels(1, 0, operation.size)[0]).sum() / 2.0
    steepest *= np.abs(cv2.getDerivKernels(1, 0, operation.size)[1]).sum()
    length = cv2.magnitude(*slopes) * (255.0 / steepest)
    picture.image = np.dstack([picture.image, length.round().clip(0, 255).astype(np.uint8)])


def _edges(picture: Picture, operation: Edges) -> None:
    edges = cv2.Canny(grey(picture.image), operation.low, operation.high)
    if operation.output == "channel":
        picture.image = np.dstack([picture.image, edges])
    else:
        picture.masks[operation.target] = (edges > 0).astype(np.uint8)


def _equalize(picture: Picture, operation: Equalize) -> None:
    clahe = cv2.createCLAHE(operation.clip_limit, (operation.tiles, operation.tiles))
    image = picture.image
    if image.shape[2] >= 3:
        lab = cv2.cvtColor(np.ascontiguousarray(image[..., :3]), cv2.COLOR_RGB2LAB)
        lab[..., 0] = clahe.apply(np.ascontiguousarray(lab[..., 0]))
        picture.image = np.dstack([cv2.cvtColor(lab, cv2.COLOR_LAB2RGB), image[..., 3:]])
    else:
        picture.image = np.dstack([clahe.apply(np.ascontiguousarray(image[..., 0])), image[..., 1:]])


def _standardize(picture: Picture, operation: Standardize) -> None:
    """Nothing here: shards keep bytes; `prepare` measures the statistics and the loader applies them."""


def grey(image: np.ndarray) -> np.ndarray:
    """uint8 [height, width] of an image with one, three or more channels: its lightness, or its first channel."""
    if image.shape[2] >= 3:
        return cv2.cvtColor(np.ascontiguousarray(image[..., :3]), cv2.COLOR_RGB2GRAY)
    return np.ascontiguousarray(image[..., 0])


def _channels(image: np.ndarray) -> np.ndarray:
    """OpenCV drops a last axis of one channel."""
    return image if image.ndim == 3 else image[..., None]


_RUN: dict[type, Callable[[Picture, Any], None]] = {
    Decode: _decode,
    Orient: _orient,
    Resize: _resize,
    Denoise: _denoise,
    Binarize: _binarize,
    Gradients: _gradients,
    Edges: _edges,
    Equalize: _equalize,
    Standardize: _standardize,
}
