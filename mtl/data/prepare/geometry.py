"""Where a picture lies in another of a fixed size: one affine map for the image, its boxes, masks and maps, and back.

Coordinates are of points: pixel i reaches from i to i + 1, its centre is i + 0.5. Every pixel of a result is made of what the
map lays under it, so nothing shifts: where a side shrinks, of all that it covers; where a side grows, of what is at its centre.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from mtl.config.masks import IGNORE

Size = tuple[int, int]
"""Height and width in pixels."""
MOST_CHANNELS = 4
"""Of an array that OpenCV resizes."""
BLOCK = 1 << 20
"""Pixels of a mask whose classes are counted together."""


@dataclass(frozen=True)
class Fit:
    """A picture of the size `source`, stretched to `inner` and set into a frame of `size`: its corner at row `top`, column
    `left`. Around it the image is continued by its edge, and nothing is known of masks and maps.
    """

    source: Size
    size: Size
    inner: Size
    top: int = 0
    left: int = 0

    @classmethod
    def of(cls, source: Size, size: Size, *, keep_aspect: bool) -> Fit:
        """Stretched to the whole frame, or as large as fits and in its middle."""
        if not keep_aspect:
            return cls(source, size, size)
        factor = min(size[0] / source[0], size[1] / source[1])
        inner = (max(1, round(source[0] * factor)), max(1, round(source[1] * factor)))
        return cls(source, size, inner, (size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2)

    @property
    def scale(self) -> tuple[float, float]:
        """Pixels of the frame per pixel of the picture: x, y."""
        return self.inner[1] / self.source[1], self.inner[0] / self.source[0]

    def image(self, image: np.ndarray) -> np.ndarray:
        """uint8 [height, width, channels]."""
        fitted = resample(image, self.inner)
        if self.inner == self.size:
            return fitted
        top, left = self.top, self.left
        below, right = self.size[0] - self.inner[0] - top, self.size[1] - self.inner[1] - left
        return cv2.copyMakeBorder(fitted, top, below, left, right, cv2.BORDER_REPLICATE).reshape(*self.size, -1)

    def classes(self, mask: np.ndarray) -> np.ndarray:
        """uint8 [height, width] of class indices."""
        return self._framed(resample_classes(mask, self.inner), IGNORE)

    def measures(self, values: np.ndarray) -> np.ndarray:
        """float32 [height, width] of numbers or [height, width, 3] of directions, NaN unknown."""
        return self._framed(resample_measures(values, self.inner), np.nan)

    def points(self, points: np.ndarray) -> np.ndarray:
        """float32 [n, 2], x, y."""
        found = points * np.array(self.scale) + np.array([self.left, self.top])
        return found.astype(np.float32)

    def points_back(self, points: np.ndarray) -> np.ndarray:
        """Points of the frame as points of the picture, beside it if they lie beside it."""
        return (points - np.array([self.left, self.top])) / np.array(self.scale)

    def classes_back(self, mask: np.ndarray) -> np.ndarray:
        """A mask of the frame as one of the picture, of exactly its size."""
        return resample_classes(self._inside(mask), self.source)

    def measures_back(self, values: np.ndarray) -> np.ndarray:
        """A map of the frame as one of the picture, of exactly its size."""
        return resample_measures(self._inside(values), self.source)

    def boxes_back(self, boxes: np.ndarray) -> np.ndarray:
        """Boxes of the frame as boxes of the picture, clipped to it: one that lies beside it has no area."""
        found = self.points_back(boxes.reshape(-1, 2)).reshape(-1, 4)
        return found.clip(0.0, np.array([*self.source[::-1]] * 2))

    def _inside(self, values: np.ndarray) -> np.ndarray:
        """A view of what of the frame is the picture."""
        return values[self.top : self.top + self.inner[0], self.left : self.left + self.inner[1]]

    def _framed(self, values: np.ndarray, unknown: float) -> np.ndarray:
        if self.inner == self.size:
            return values
        frame = np.full((*self.size, *values.shape[2:]), unknown, values.dtype)
        self._inside(frame)[:] = values
        return frame


def resample(values: np.ndarray, size: Size) -> np.ndarray:
    """uint8 or float32 [height, width] or [height, width, channels] at another size: means over the area along a side that
    shrinks, linear along one that grows. One after the other, for OpenCV's mean takes no side that grows.
    """
    layers, shrunk = values.shape[2:], _shrunk(values, size)
    if layers and layers[0] > MOST_CHANNELS:
        parts = [values[..., c : c + MOST_CHANNELS] for c in range(0, layers[0], MOST_CHANNELS)]
        return np.concatenate([resample(part, size) for part in parts], axis=2)
    if shrunk != values.shape[:2]:
        values = cv2.resize(values, shrunk[::-1], interpolation=cv2.INTER_AREA)
    if shrunk != size:
        values = cv2.resize(values, size[::-1], interpolation=cv2.INTER_LINEAR)
    return values.reshape(*size, *layers)


def resample_classes(mask: np.ndarray, size: Size) -> np.ndarray:
    """uint8 [height, width] at another size: each pixel has the class that most of its area has; of equal ones that which
    is rarer in the mask, so that what is thin stays, and ignored last.
    """
    shrunk = _shrunk(mask, size)
    if shrunk != mask.shape:
        mask = _majority(mask, shrunk)
    if shrunk != size:
        mask = cv2.resize(mask, size[::-1], interpolation=cv2.INTER_NEAREST_EXACT)
    return mask


def _majority(mask: np.ndarray, size: Size) -> np.ndarray:
    """For a size that is larger along no side. Exact: areas are whole numbers once they are multiplied by both sizes."""
    rows, columns = _Footprints.of(mask.shape[0], size[0]), _Footprints.of(mask.shape[1], size[1])
    lowest, highest = (_over(mask, rows, columns, extreme) for extreme in (cv2.erode, cv2.dilate))
    ys, xs = np.divmod(np.flatnonzero(lowest != highest), size[1])
    if not len(ys):
        return lowest
    counts = cv2.calcHist([mask], [0], None, [256], [0, 256]).ravel()
    order = np.array(sorted(np.flatnonzero(counts), key=lambda label: (label == IGNORE, counts[label])), np.uint8)
    place = np.zeros(256, np.int64)
    place[order] = np.arange(len(order))
    block = max(1, BLOCK // (rows.weights.shape[1] * columns.weights.shape[1]))
    for y, x in zip(
        np.split(ys, range(block, len(ys), block)), np.split(xs, range(block, len(xs), block)), strict=True
    ):
        under = mask[rows.pixels[y][:, :, None], columns.pixels[x][:, None]]
        areas = rows.weights[y][:, :, None] * columns.weights[x][:, None]
        cells = place[under] + len(order) * np.arange(len(y))[:, None, None]
        shares = np.bincount(cells.ravel(), areas.ravel(), len(y) * len(order)).reshape(len(y), -1)
        lowest[y, x] = order[shares.argmax(1)]  # the first of equal ones
    return lowest


@dataclass(frozen=True)
class _Footprints:
    """What lies under each of `m` pixels that cover `n`, along one side: `pixels` int64 [m, k], and of each the length that is
    covered, in 1/m: `weights` float64 [m, k], 0 where a footprint has fewer than k.
    """

    pixels: np.ndarray
    weights: np.ndarray

    @classmethod
    @lru_cache(maxsize=256)
    def of(cls, n: int, m: int) -> _Footprints:
        """Data sets have few sizes: each is computed once."""
        begin, end = np.arange(m) * n, np.arange(1, m + 1) * n
        first = begin // m
        under = first[:, None] + np.arange(int((-(-end // m) - first).max()))
        length = np.minimum(end[:, None], (under + 1) * m) - np.maximum(begin[:, None], under * m)
        return cls(np.minimum(under, n - 1), length.clip(0).astype(np.float64))


def _over(mask: np.ndarray, rows: _Footprints, columns: _Footprints, extreme: Callable[..., np.ndarray]) -> np.ndarray:
    """The lowest (`cv2.erode`) or the highest (`cv2.dilate`) index under each pixel, or a pixel beside its footprint."""
    down = extreme(mask, np.ones((rows.pixels.shape[1], 1), np.uint8), anchor=(0, 0))[rows.pixels[:, 0]]
    across = extreme(down, np.ones((1, columns.pixels.shape[1]), np.uint8), anchor=(0, 0))
    return across.take(columns.pixels[:, 0], axis=1)


def resample_measures(values: np.ndarray, size: Size) -> np.ndarray:
    """float32 [height, width], or [height, width, 3] of unit vectors, at another size: the mean of what is known, where that
    is half of a pixel's area at least, else NaN. Means of directions are directions again.
    """
    if values.shape[:2] == size:
        return values
    known = np.isfinite(values) if values.ndim == 2 else np.logical_and.reduce(np.isfinite(cv2.split(values)))
    if known.all():
        found = resample(values, size)
    else:
        there = known.view(np.uint8)
        weight = resample(there.astype(np.float32), size)
        total = resample(cv2.copyTo(values, there), size)  # zeros where nothing is known
        weight = weight if values.ndim == 2 else weight[..., None]
        found = np.where(weight > 0.5 - 1e-4, total / np.maximum(weight, 1e-4), np.float32(np.nan))
    if values.ndim == 2:
        return found
    length = np.sqrt(np.einsum("hwc,hwc->hw", found, found))[..., None]
    return np.where(length > 1e-3, found / np.maximum(length, 1e-3), np.float32(np.nan))


def _shrunk(values: np.ndarray, size: Size) -> Size:
    return min(values.shape[0], size[0]), min(values.shape[1], size[1])
