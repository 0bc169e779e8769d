"""Semantic segmentation: a class for each pixel."""

from __future__ import annotations

from typing import Any, ClassVar

import cv2
import numpy as np
import torch
from torch import nn

from mtl.data.loader import Batch
from mtl.model.heads import DenseHead
from mtl.objective.losses import IGNORE, dice, pixel_cross_entropy
from mtl.tasks.base import Direction, Scorer, Task, mean_known

COLOURS = np.array(
    [(0, 0, 0), (255, 80, 80), (80, 200, 255), (120, 255, 120), (255, 220, 80), (200, 120, 255), (255, 160, 80)],
    np.uint8,
)


class Segmentation(Task):
    """Cross-entropy plus Dice."""

    kind = "mask"
    primary = "miou"

    directions: ClassVar[dict[str, Direction]] = {"miou": "max"}

    def build_head(self, channels: int) -> nn.Module:
        return DenseHead(channels, self.config.hidden, len(self.target.classes), self.config.stride)

    def counts(self, batch: Batch) -> list[torch.Tensor]:
        return [(batch.targets[self.target_name] != IGNORE).sum(), self.num_present(batch)]

    def num_present(self, batch: Batch) -> torch.Tensor:
        return self._known(batch).sum()

    def terms(self, output: torch.Tensor, batch: Batch) -> list[torch.Tensor]:
        masks, output = batch.targets[self.target_name], self.in_image(output)
        overlap = dice(output, masks, self._known(batch))
        return [pixel_cross_entropy(output, masks), self.config.dice * overlap]

    def _known(self, batch: Batch) -> torch.Tensor:
        """Which images have a pixel that is not ignored: bool [n]."""
        return (batch.targets[self.target_name] != IGNORE).flatten(1).any(1)

    def predict(self, output: torch.Tensor) -> list[Any]:
        return [{"mask": mask} for mask in self.in_image(output).argmax(1).to(torch.uint8).cpu().numpy()]

    def scorer(self) -> Scorer:
        return SegmentationScorer(self.target_name, self.target.classes)

    def caption(self, prediction: Any, batch: Batch, index: int) -> str:
        scorer = self.scorer()
        scorer.rows.append(
            _areas(prediction["mask"], batch.targets[self.target_name][index].numpy(), len(self.target.classes))
        )
        return f"{self.name}: IoU {scorer.value()['miou']:.2f}"

    def draw(self, canvas: np.ndarray, prediction: Any, scale: int) -> np.ndarray:
        mask = cv2.resize(prediction["mask"], canvas.shape[1::-1], interpolation=cv2.INTER_NEAREST)
        colour = COLOURS[mask % len(COLOURS)]
        mixed = (canvas * 0.5 + colour * 0.5).astype(np.uint8)
        return np.where((mask > 0)[..., None], mixed, canvas)


class SegmentationScorer(Scorer):
    """A row a sample: pixels in the intersection and in the union, int64 [2, classes]."""

    def __init__(self, target: str, classes: tuple[str, ...]) -> None:
        super().__init__()
        self.target, self.classes = target, classes

    def add(self, predictions: list[Any], batch: Batch) -> None:
        masks, present = batch.targets[self.target].cpu().numpy(), batch.present[self.target].tolist()
        for prediction, mask, there in zip(predictions, masks, present, strict=True):
            self.rows.append(_areas(prediction["mask"], mask, len(self.classes)) if there else None)

    def metrics(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        areas = self._table()
        intersections = weights @ np.nan_to_num(areas[:, 0])
        unions = weights @ np.nan_to_num(areas[:, 1])
        with np.errstate(invalid="ignore", divide="ignore"):
            ious = np.where(unions > 0, intersections / unions, np.nan)
        return {"miou": mean_known(ious.T), **{f"iou_{name}": ious[:, c] for c, name in enumerate(self.classes)}}

    def goodness(self) -> np.ndarray:
        areas = self._table()
        with np.errstate(invalid="ignore", divide="ignore"):
            ious = np.where(areas[:, 1] > 0, areas[:, 0] / areas[:, 1], np.nan)
        return mean_known(ious.T)

    def _table(self) -> np.ndarray:
        absent = np.full((2, len(self.classes)), np.nan)
        return np.array([absent if row is None else row for row in self.rows], np.float64)


def _areas(predicted: np.ndarray, truth: np.ndarray, num_classes: int) -> np.ndarray:
    """Pixels of intersection and union by class, [2, classes]; ignored pixels do not count."""
    known = truth != IGNORE
    predicted, truth = predicted[known].astype(np.int64), truth[known].astype(np.int64)
    both = np.bincount(truth[truth == predicted], minlength=num_classes)
    either = np.bincount(truth, minlength=num_classes) + np.bincount(predicted, minlength=num_classes) - both
    return np.stack([both, either])
