"""An image on its way to the model's size, with what moves along; and the way back for what is predicted on it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from mtl.data.prepare.geometry import Fit


@dataclass
class Picture:
    """An image on its way through the operations, with the targets that move with it."""

    image: np.ndarray
    """uint8 [height, width, channels]; RGB first, then extra channels. Encoded bytes before `decode`."""
    points: dict[str, np.ndarray] = field(default_factory=dict[str, np.ndarray])
    """float32 [n, 2]: x, y in pixels of `image`; a box is two of them."""
    masks: dict[str, np.ndarray] = field(default_factory=dict[str, np.ndarray])
    """uint8 [height, width] class indices; 255 is ignored."""
    maps: dict[str, np.ndarray] = field(default_factory=dict[str, np.ndarray])
    """float32 [height, width] or [height, width, 3]; NaN is unknown."""
    fits: list[Fit] = field(default_factory=list[Fit])
    """How the picture, as it was decoded and turned, was set into others until it was `image`."""
    encoded: bytes = b""
    orientation: int = 1
    """As EXIF counts it, of the decoded image."""

    @property
    def scale(self) -> tuple[float, float]:
        """Pixels of `image` per pixel of the picture: x, y."""
        x, y = 1.0, 1.0
        for fit in self.fits:
            x, y = x * fit.scale[0], y * fit.scale[1]
        return x, y

    @property
    def offset(self) -> tuple[float, float]:
        """Where the picture's corner lies in `image`: x, y in pixels."""
        x, y = 0.0, 0.0
        for fit in self.fits:
            x, y = x * fit.scale[0] + fit.left, y * fit.scale[1] + fit.top
        return x, y

    @property
    def region(self) -> tuple[float, float, float, float]:
        """Where the picture lies in `image`: x1, y1, x2, y2 in pixels; beside it is padding."""
        height, width = self.fits[0].source if self.fits else self.image.shape[:2]
        (left, top), (across, down) = self.offset, self.scale
        return left, top, left + width * across, top + height * down

    def points_back(self, points: np.ndarray) -> np.ndarray:
        """Points [n, 2] of `image` in pixels of the picture; one that lies beside it stays there."""
        for fit in reversed(self.fits):
            points = fit.points_back(points)
        return points

    def boxes_back(self, boxes: np.ndarray) -> np.ndarray:
        """Boxes [n, 4] of `image` in pixels of the picture, clipped to it: one that lies beside it has no area."""
        for fit in reversed(self.fits):
            boxes = fit.boxes_back(boxes)
        return boxes

    def classes_back(self, mask: np.ndarray) -> np.ndarray:
        """A mask of `image` as one of the picture, of exactly its size."""
        for fit in reversed(self.fits):
            mask = fit.classes_back(mask)
        return mask

    def measures_back(self, values: np.ndarray) -> np.ndarray:
        """Numbers or directions of `image` as the picture's, of exactly its size."""
        for fit in reversed(self.fits):
            values = fit.measures_back(values)
        return values
