"""The table of how kinds of targets are drawn on their image, of those that can be. Only what draws imports it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from mtl.data.drawn import boxes, keypoints, masks
from mtl.data.spec import TargetSpec

Drawing = Callable[[np.ndarray, Any, TargetSpec, int], np.ndarray]
"""uint8 RGB [h·scale, w·scale, 3], what `Kind.unpack` gives, its target, scale → the same with it drawn."""

DRAWINGS: dict[str, Drawing] = {"boxes": boxes.draw, "mask": masks.draw, "keypoints": keypoints.draw}
