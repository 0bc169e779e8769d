"""Edges: where Canny finds them in the image itself. Self-supervised."""

from __future__ import annotations

import cv2
import numpy as np
import torch

from mtl.config.tasks import Edges as EdgesConfig
from mtl.data.loading.loader import Batch, on_device
from mtl.data.prepare.operations import grey
from mtl.data.spec import TargetSpec
from mtl.tasks.predictions import ClassMask
from mtl.tasks.reconstruction import to_pixels
from mtl.tasks.segmentation import Segmentation

EDGES = TargetSpec(kind="mask", classes=("plain", "edge"))


class Edges(Segmentation):
    """Segmentation into two classes whose truth is computed from the image that training sees, augmented as it is.

    OpenCV finds them on the host: the thread that loads waits for the images, not the one that trains.
    """

    kind = None
    answer = "outline"

    def __post_init__(self) -> None:
        self.target = EDGES

    def derive(self, batch: Batch) -> None:
        pixels = to_pixels(batch.originals.cpu(), self.image)
        assert isinstance(self.config, EdgesConfig)
        masks = [(cv2.Canny(grey(image), self.config.low, self.config.high) > 0) for image in pixels]
        device = batch.images.device
        batch.targets[self.target_name] = on_device(np.stack(masks).astype(np.int64), device)
        batch.present[self.target_name] = torch.ones(len(masks), dtype=torch.bool, device=device)

    def draw(self, canvas: np.ndarray, prediction: ClassMask, scale: int) -> np.ndarray:
        return canvas
