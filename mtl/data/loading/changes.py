"""What is done to each sample of a batch: a few numbers per image, on the host (`mtl.data.loading.draws` draws them)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

import numpy as np

from mtl.config.augment import Photometric

PHOTOMETRIC: tuple[str, ...] = get_args(Photometric)
"""Operations on colours, in the order of their numbers."""


@dataclass(frozen=True)
class Rectangles:
    """A rectangle in each of n images: float64 [n, 4], width and height, as shares of the image's, and its place, from 0 to 1, among
    those where it lies in the image.
    """

    rows: np.ndarray

    def at(self, samples: np.ndarray) -> Rectangles:
        """Those of some samples."""
        return Rectangles(self.rows[samples])

    def on(self, height: int, width: int) -> np.ndarray:
        """In whole pixels of an image of a size: int64 [n, 4], left, top, width, height. One without area stays so."""
        size = np.array([width, height])
        sides = np.where(self.rows[:, :2] > 0, np.clip(np.round(self.rows[:, :2] * size), 1, size), 0)
        corners = np.minimum(np.floor(self.rows[:, 2:] * (size - sides + 1)), size - sides)
        return np.concatenate([corners, sides], 1).astype(np.int64)


@dataclass(frozen=True)
class Operations:
    """Operations on the colours of n images, in order: those at a place of all images are made together.

    which: int64 [n, most], indices of `Photometric`; amounts: float32 [n, most], from -1 to 1, of the largest.
    """

    which: np.ndarray
    amounts: np.ndarray

    def at(self, samples: np.ndarray) -> Operations:
        """Those of some samples."""
        return Operations(self.which[samples], self.amounts[samples])


@dataclass(frozen=True)
class Erased:
    """What of n images is filled, and with what: float32 [n, 4] of standardized images: three colours, and all other channels."""

    areas: Rectangles
    fill: np.ndarray

    def at(self, samples: np.ndarray) -> Erased:
        """Of some samples."""
        return Erased(self.areas.at(samples), self.fill[samples])


@dataclass(frozen=True)
class Joins:
    """How each of n samples of a global batch comes together with others of it.

    how: int64 [n], indices of `WAYS`; others: int64 [n, 3], their places in the global batch; shares: float64 [n], of the image itself;
    middles: float64 [n, 2], x and y from 0 to 1, of a rectangle or a mosaic; zooms: float64 [n], from 0 to 1, of a mosaic: from as small
    as covers the image to its own size.
    """

    how: np.ndarray
    others: np.ndarray
    shares: np.ndarray
    middles: np.ndarray
    zooms: np.ndarray

    def at(self, samples: np.ndarray) -> Joins:
        """Those of some samples."""
        return Joins(*(part[samples] for part in (self.how, self.others, self.shares, self.middles, self.zooms)))


WAYS = ("alone", "mixup", "cutmix", "mosaic")


@dataclass(frozen=True)
class Cells:
    """Where n changed images lie in what is made of several.

    zooms: float64 [n]; corners: float64 [n, 2], x and y in pixels of their first corner; seen: float32 [n, 4], x1, y1, x2, y2 in whole
    pixels of what is seen of each.
    """

    zooms: np.ndarray
    corners: np.ndarray
    seen: np.ndarray


@dataclass(frozen=True)
class Changes:
    """What is done to each of n samples.

    matrix: float32 [n, 2, 3], from output to input in coordinates -1 to 1, of square images: see `on`.
    colour: float32 [n, 3]: added brightness (of 1), factor of contrast, factor of saturation.
    draws: float64 [n], from 0 to 1, for tasks that make their own targets.
    parts: the part of each image that is changed in the place of the whole; None: the whole.
    operations, erased, joins: None: nothing.
    cells: where the changed images lie in others; None: nowhere.
    """

    matrix: np.ndarray
    colour: np.ndarray
    draws: np.ndarray
    parts: Rectangles | None = None
    operations: Operations | None = None
    erased: Erased | None = None
    joins: Joins | None = None
    cells: Cells | None = None

    def at(self, samples: np.ndarray) -> Changes:
        """Those of some samples: their indices in the global batch. They are not yet in cells."""
        return Changes(
            self.matrix[samples],
            self.colour[samples],
            self.draws[samples],
            self.parts and self.parts.at(samples),
            self.operations and self.operations.at(samples),
            self.erased and self.erased.at(samples),
            self.joins and self.joins.at(samples),
        )

    def turns(self, height: int, width: int) -> np.ndarray:
        """The matrices of all but the parts, for images of a size: float32 [n, 2, 3], as `affine_grid` takes them.

        From -1 to 1 are as many pixels as a side has; so that a turn is one in pixels, it is another matrix where sides
        differ. Shifts are rounded to whole pixels: a mask knows no halves, and would lie beside its image.
        """
        found = self.matrix.copy()
        found[:, 0, 1] *= height / width
        found[:, 1, 0] *= width / height
        half = np.array([width, height], np.float32) / 2
        found[:, :, 2] = np.round(found[:, :, 2] * half) / half
        return found

    def on(self, height: int, width: int) -> np.ndarray:
        """The matrices for images of a size: float32 [n, 2, 3]. The part comes first: it is what is turned and shifted, and
        what lies beside it in the image may come to be seen. The cell comes last.
        """
        found, size = self.turns(height, width), np.array([width, height])
        if self.parts is not None:
            parts = self.parts.on(height, width)
            found = found * (parts[:, 2:] / size)[:, :, None]
            found[:, :, 2] += (2 * parts[:, :2] + parts[:, 2:]) / size - 1
        if self.cells is not None:
            zooms = self.cells.zooms[:, None]
            shifts = (1 - 2 * self.cells.corners / size) / zooms - 1
            found = np.concatenate(
                [found[:, :, :2] / zooms[..., None], found[:, :, 2:] + found[:, :, :2] @ shifts[..., None]], 2
            )
        return found.astype(np.float32)
