"""Points with the lines between them."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from mtl.data.drawn.colours import IGNORED, colour_of
from mtl.data.kinds.keypoints import KIND, LABEL, POINTS
from mtl.data.kinds.skeleton import skeleton_of
from mtl.data.spec import TargetSpec


def draw(canvas: np.ndarray, value: Any, target: TargetSpec, scale: int) -> np.ndarray:
    """The labelled points of every object in its class's colour; hidden ones are hollow."""
    edges = skeleton_of(target).edges
    for row in value:
        colour = colour_of(int(row[LABEL])) if row[KIND] == 0 else IGNORED
        points = row[POINTS:].reshape(-1, 3)
        places = [(round(float(x) * scale), round(float(y) * scale)) for x, y, _ in points]
        for a, b in edges:
            if points[a, 2] and points[b, 2]:
                cv2.line(canvas, places[a], places[b], colour, 1, cv2.LINE_AA)
        for place, seen in zip(places, points[:, 2], strict=True):
            if seen:
                cv2.circle(canvas, place, 2, colour, -1 if seen == 2 else 1)
    return canvas
