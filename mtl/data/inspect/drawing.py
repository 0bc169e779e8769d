"""Pixels to look at, of data and of predictions."""

from __future__ import annotations

import numpy as np


def as_rgb(pixels: np.ndarray) -> np.ndarray:
    """uint8 [h, w, c] of one, three or more channels → [h, w, 3] to look at."""
    return pixels[..., :3] if pixels.shape[2] >= 3 else np.repeat(pixels[..., :1], 3, axis=2)


def mosaic(tiles: list[np.ndarray], columns: int) -> np.ndarray:
    """Tiles of one size, row by row; the last row is filled up with white."""
    filled = tiles + [np.full_like(tiles[0], 255)] * (-len(tiles) % columns)
    return np.vstack([np.hstack(filled[i : i + columns]) for i in range(0, len(filled), columns)])
