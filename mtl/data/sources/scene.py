"""A scene: drawings placed on a crop of a photograph where they hide nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np

# Sizes are shares of the image's side; 25-35 and 20-31 of 64 pixels.
DIGIT_SIZE, ANIMAL_SIZE = (0.39, 0.55), (0.31, 0.48)
MAX_ROTATION = 12.0  # degrees
MIN_CONTRAST = 60.0  # of 255, in luminance, between an object and what is behind it
MAX_OVERLAP = 0.12  # of the smaller of two boxes
LUMINANCE = np.array([0.299, 0.587, 0.114])


@dataclass
class Canvas:
    """pixels float32 [size, size, 3]; regions uint8 [size, size]; boxes [x1, y1, x2, y2, label] in pixels."""

    background: str
    pixels: np.ndarray
    regions: np.ndarray
    boxes: list[list[float]] = field(default_factory=list[list[float]])

    @classmethod
    def on(cls, photographs: dict[str, np.ndarray], rng: np.random.Generator, size: int) -> Canvas:
        """An empty scene on a random crop of a random photograph."""
        names = list(photographs)
        background = names[rng.integers(len(names))]
        pixels = _crop(photographs[background], rng, size).astype(np.float32)
        return cls(background, pixels, np.zeros((size, size), np.uint8))

    @classmethod
    def plain(cls, rng: np.random.Generator, size: int) -> Canvas:
        """An empty scene of one random colour."""
        pixels = np.broadcast_to(rng.uniform(0.0, 255.0, 3), (size, size, 3)).astype(np.float32)
        return cls("plain", pixels, np.zeros((size, size), np.uint8))

    def draw(
        self, rng: np.random.Generator, glyph: np.ndarray, label: int, region: int, sizes: tuple[float, float]
    ) -> bool:
        """Draw one glyph where it hides nothing; False if no place was found."""
        for _ in range(40):
            alpha = _warp(glyph, rng, len(self.pixels), sizes)
            ys, xs = np.nonzero(alpha > 0.5)
            if len(ys) < 12:
                continue
            box = [float(xs.min()), float(ys.min()), float(xs.max() + 1), float(ys.max() + 1)]
            if any(_overlap(box, other) > MAX_OVERLAP for other in self.boxes):
                continue
            behind = float((self.pixels[ys, xs] @ LUMINANCE).mean())
            self.pixels += alpha[..., None] * (_colour(rng, behind) - self.pixels)
            self.regions[alpha > 0.5] = region
            self.boxes.append([*box, float(label)])
            return True
        return False

    def encoded(self, rng: np.random.Generator) -> bytes:
        """The scene with noise, as PNG."""
        self.pixels += rng.normal(0.0, rng.uniform(0.0, 8.0), self.pixels.shape)
        return png(cv2.cvtColor(self.pixels.clip(0, 255).astype(np.uint8), cv2.COLOR_RGB2BGR))


def _crop(photograph: np.ndarray, rng: np.random.Generator, size: int) -> np.ndarray:
    height, width = photograph.shape[:2]
    side = int(rng.integers(min(size, height, width), min(height, width, 3 * size // 2) + 1))
    top, left = rng.integers(height - side + 1), rng.integers(width - side + 1)
    return cv2.resize(photograph[top : top + side, left : left + side], (size, size), interpolation=cv2.INTER_AREA)


def _warp(glyph: np.ndarray, rng: np.random.Generator, size: int, sizes: tuple[float, float]) -> np.ndarray:
    """The glyph's ink as coverage 0 to 1 on the canvas, at a random place inside it."""
    side = rng.uniform(*sizes) * size
    matrix = cv2.getRotationMatrix2D((14.0, 14.0), rng.uniform(-MAX_ROTATION, MAX_ROTATION), side / 28.0)
    matrix[:, 2] += rng.uniform(side / 2, size - side / 2, 2) - 14.0
    return cv2.warpAffine(glyph, matrix, (size, size), flags=cv2.INTER_LINEAR).astype(np.float32) / 255.0


def _colour(rng: np.random.Generator, behind: float) -> np.ndarray:
    """A random colour far enough in luminance from what is behind it."""
    for _ in range(50):
        colour = rng.uniform(0.0, 255.0, 3)
        if abs(float(colour @ LUMINANCE) - behind) >= MIN_CONTRAST:
            return colour
    return np.full(3, 255.0 if behind < 128 else 0.0)


def _overlap(a: list[float], b: list[float]) -> float:
    """Intersection over the smaller box."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    smaller = min((a[2] - a[0]) * (a[3] - a[1]), (b[2] - b[0]) * (b[3] - b[1]))
    return width * height / smaller


def png(image: Any) -> bytes:
    """Encode an image in OpenCV's order of channels."""
    ok, data = cv2.imencode(".png", image)
    assert ok
    return data.tobytes()
