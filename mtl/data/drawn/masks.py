"""Masks as shades."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from mtl.config.masks import IGNORE
from mtl.data.drawn.colours import COLOURS
from mtl.data.spec import TargetSpec


def draw(canvas: np.ndarray, value: Any, target: TargetSpec, scale: int) -> np.ndarray:
    """Every class but the first, the background, half transparent."""
    mask = cv2.resize(value, canvas.shape[1::-1], interpolation=cv2.INTER_NEAREST)
    shade = (canvas * 0.5 + COLOURS[mask % len(COLOURS)] * 0.5).astype(np.uint8)
    return np.where(((mask > 0) & (mask != IGNORE))[..., None], shade, canvas)
