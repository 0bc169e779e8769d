"""Which views the images of a micro-batch are made of, and where each is seen: what of mixup, cutmix and mosaic the host knows.

A view is an image with its own changes, at its place in an image.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mtl.data.loading.changes import WAYS, Cells, Joins

MIXUP, CUTMIX, MOSAIC = (WAYS.index(way) for way in ("mixup", "cutmix", "mosaic"))
MARGIN = 0.25
"""Of a side, that the middle of a mosaic keeps to the border."""


@dataclass(frozen=True)
class Plan:
    """The views of n images.

    places: int64 [m], of each view's sample in the global batch; the first n are the images' own; cells: theirs.
    views: int64 [n, most], the views of each image, its own first; its own again where it has fewer.
    windows: int64 [n, most, 4], what each view covers: x1, y1, x2, y2 in pixels; nothing of the first, and of those that are none.
    shares: float32 [n, most], of each view in the image.
    blended, tiled: bool [n], of which images one view is seen through another, and which are four side by side.
    """

    places: np.ndarray
    cells: Cells
    views: np.ndarray
    windows: np.ndarray
    shares: np.ndarray
    blended: np.ndarray
    tiled: np.ndarray

    @classmethod
    def of(cls, joins: Joins, places: np.ndarray, height: int, width: int, *, clips: bool = True) -> Plan:
        """For the samples at some places of a global batch.

        Args:
            clips: whether a target is clipped to what is seen of its image, as boxes are: else a rectangle is cut out of the view
                that an image of the batch is anyway.
        """
        mine, number, size = joins.at(places), len(places), np.array([width, height])
        mixup, cutmix, mosaic = (mine.how == way for way in (MIXUP, CUTMIX, MOSAIC))
        most = 4 if mosaic.any() else 2
        slots = np.arange(most)
        images, extra = np.nonzero(((slots == 1) & (mine.how > 0)[:, None]) | ((slots > 1) & mosaic[:, None]))
        windows, cells = np.zeros((number, most, 4), np.int64), _cells(mine, size)
        windows[cutmix, 1] = _patches(mine, size)[cutmix]
        windows[mosaic, 1:] = cells[mosaic, 1:most]
        views = np.repeat(np.arange(number)[:, None], most, 1)
        own = _own(places, mine.others[images, extra - 1], mosaic)
        shared = (own >= 0) & (mixup | (cutmix & (not clips)))[images]
        views[images[shared], extra[shared]] = own[shared]
        images, extra = images[~shared], extra[~shared]
        views[images, extra] = number + np.arange(len(images))
        owners, slot = np.concatenate([np.arange(number), images]), np.concatenate([np.zeros(number, np.int64), extra])
        seen = np.tile([0, 0, width, height], (len(owners), 1))
        of_patch, of_cell = cutmix[owners] & (slot == 1), mosaic[owners]
        seen[of_patch], seen[of_cell] = windows[owners, slot][of_patch], cells[owners, slot][of_cell]
        found = Cells(*_placed(mine, owners, slot, cells, size), seen.astype(np.float32))
        who = np.concatenate([places, mine.others[images, extra - 1]])
        return cls(who, found, views, windows, _shares(mine, windows, size), mixup, mosaic)


def read_for(joins: Joins | None, indices: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Indices of all samples that the batch of some places of a global batch is made of."""
    if joins is None:
        return indices[places]
    mine = joins.at(places)
    others = [mine.others[mine.how > 0, 0], mine.others[mine.how == MOSAIC, 1:].ravel()]
    return indices[np.concatenate([places, *others])]


def _own(places: np.ndarray, wanted: np.ndarray, mosaic: np.ndarray) -> np.ndarray:
    """Which of the images' own views shows all of each wanted sample: int64 [wanted], -1 for none."""
    order = np.argsort(places)
    at = order[np.searchsorted(places, wanted, sorter=order).clip(max=len(places) - 1)]
    return np.where((places[at] == wanted) & ~mosaic[at], at, -1)


def _shares(joins: Joins, windows: np.ndarray, size: np.ndarray) -> np.ndarray:
    """float32 [n, most], of each view in the image: of what is seen, or as drawn."""
    shares = (windows[..., 2:] - windows[..., :2]).prod(-1) / size.prod()
    mixup = joins.how == MIXUP
    shares[mixup, 1] = 1 - joins.shares[mixup]
    shares[:, 0] = 1 - shares[:, 1:].sum(1)
    return shares.astype(np.float32)


def _patches(joins: Joins, size: np.ndarray) -> np.ndarray:
    """Rectangles of cutmix: int64 [n, 4], around their middles, cut at the border, as torchvision's."""
    half = (0.5 * np.sqrt(1 - joins.shares)[:, None] * size).astype(np.int64)
    middles = np.floor(joins.middles * size).astype(np.int64)
    return np.concatenate([np.maximum(middles - half, 0), np.minimum(middles + half, size)], 1)


def _cells(joins: Joins, size: np.ndarray) -> np.ndarray:
    """Of mosaics: int64 [n, 4, 4], above on the left and on the right, then below."""
    middles = np.round((MARGIN + (1 - 2 * MARGIN) * joins.middles) * size).astype(np.int64)
    (x, y), zero = middles.T, np.zeros(len(middles), np.int64)
    width, height = zero + size[0], zero + size[1]
    cells = [(zero, zero, x, y), (x, zero, width, y), (zero, y, x, height), (x, y, width, height)]
    return np.stack([np.stack(cell, 1) for cell in cells], 1)


def _placed(
    joins: Joins, owners: np.ndarray, slots: np.ndarray, cells: np.ndarray, size: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Zoom and first corner of each view [m], [m, 2]: in a mosaic a corner of it lies on the middle, and it covers its cell."""
    middles = cells[owners, 0, 2:]
    least = (np.maximum(middles, size - middles) / size).max(1)
    zooms = least + (1 - least) * joins.zooms[owners]
    before = np.stack([slots % 2 == 0, slots < 2], 1)  # the view ends at the middle, along x and along y
    corners = middles - before * zooms[:, None] * size
    tiled = joins.how[owners] == MOSAIC
    return np.where(tiled, zooms, 1.0), np.where(tiled[:, None], corners, 0.0)
