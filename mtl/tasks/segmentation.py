"""Semantic segmentation: a class for each pixel."""

from __future__ import annotations

from typing import ClassVar

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, Num
from torch import Tensor, nn

from mtl.config.masks import IGNORE
from mtl.config.tasks import Edges as EdgesConfig
from mtl.config.tasks import Segmentation as SegmentationConfig
from mtl.data.loading.loader import Batch
from mtl.model.heads import DenseHead
from mtl.objective.losses import dice, pixel_cross_entropy
from mtl.tasks import blocks
from mtl.tasks.base import Direction, Scorer, Task
from mtl.tasks.predictions import ClassMask
from mtl.tasks.weighted import mean_known

COLOURS = np.array(
    [(0, 0, 0), (255, 80, 80), (80, 200, 255), (120, 255, 120), (255, 220, 80), (200, 120, 255), (255, 160, 80)],
    np.uint8,
)


class Segmentation(Task[SegmentationConfig | EdgesConfig, ClassMask]):
    """Cross-entropy plus Dice."""

    kind = "mask"
    answer = "mask"
    primary = "miou"

    directions: ClassVar[dict[str, Direction]] = {"miou": "max"}

    def build_head(self, channels: int) -> nn.Module:
        return DenseHead(channels, self.config.hidden, len(self.target.classes), self.config.stride)

    def target_counts(self, batch: Batch) -> list[Num[Tensor, ""]]:
        return [(batch.targets[self.target_name] != IGNORE).sum(), self.num_present(batch)]

    def num_present(self, batch: Batch) -> Num[Tensor, ""]:
        return self._known(batch).sum()

    def loss_terms(self, output: Float[Tensor, "n classes rows columns"], batch: Batch) -> list[Float[Tensor, ""]]:
        masks, output = batch.targets[self.target_name], self.in_image(output)
        overlap = dice(output, masks, self._known(batch))
        return [pixel_cross_entropy(output, masks), self.config.dice * overlap]

    def _known(self, batch: Batch) -> Bool[Tensor, " n"]:
        """Which images have a pixel that is not ignored."""
        return (batch.targets[self.target_name] != IGNORE).flatten(1).any(1)

    def predict(self, output: Float[Tensor, "n classes rows columns"]) -> list[ClassMask]:
        return [{"mask": mask} for mask in self.in_image(output).argmax(1).to(torch.uint8).cpu().numpy()]

    def scorer(self) -> Scorer[ClassMask]:
        return SegmentationScorer(self.target_name, self.target.classes)

    def blind(self, truths: list[np.ndarray]) -> ClassMask:
        """The best of some masks: one class everywhere, or in each pixel (a block, where too few images know a pixel) the
        class that is most frequent there, rare ones made as frequent as others by more or less.
        """
        classes = len(self.target.classes)
        counts = np.zeros((classes, *truths[0].shape))
        for mask in truths:
            for c in range(classes):
                counts[c] += mask == c
        total = counts.sum((1, 2))
        around = np.empty_like(counts)
        for side, chosen in blocks.smallest(counts.sum(0), len(truths)):
            around[:, chosen] = blocks.on_pixels(blocks.sums_of(counts, side), side, counts.shape)[:, chosen]
        maps = [np.full(truths[0].shape, c) for c in range(classes)]
        maps += [
            (around / np.maximum(total, 1.0)[:, None, None] ** power).argmax(0) for power in (0, 0.25, 0.5, 0.75, 1)
        ]
        return {"mask": max(maps, key=lambda found: _expected_miou(found, counts)).astype(np.uint8)}

    def caption(self, prediction: ClassMask, batch: Batch, index: int) -> str:
        scorer = self.scorer()
        scorer.rows.append(
            _areas(prediction["mask"], batch.targets[self.target_name][index].numpy(), len(self.target.classes))
        )
        return f"{self.name}: IoU {scorer.value()['miou']:.2f}"

    def draw(self, canvas: np.ndarray, prediction: ClassMask, scale: int) -> np.ndarray:
        mask = cv2.resize(prediction["mask"], canvas.shape[1::-1], interpolation=cv2.INTER_NEAREST)
        colour = COLOURS[mask % len(COLOURS)]
        mixed = (canvas * 0.5 + colour * 0.5).astype(np.uint8)
        return np.where((mask > 0)[..., None], mixed, canvas)


def _expected_miou(mask: np.ndarray, counts: np.ndarray) -> float:
    """Of one mask [h, w] for all images; counts [classes, h, w], how many of them have each class in a pixel."""
    ious: list[float] = []
    for c, mine in enumerate(counts):
        chosen = mask == c
        both = mine[chosen].sum()
        union = counts[:, chosen].sum() + mine.sum() - both
        ious += [float(both / union)] if union > 0 else []
    return float(np.mean(ious)) if ious else 0.0


class SegmentationScorer(Scorer[ClassMask, np.ndarray]):
    """A row per sample: pixels in the intersection, in the union and in the truth, int64 [3, classes]."""

    def __init__(self, target: str, classes: tuple[str, ...]) -> None:
        super().__init__()
        self.target, self.classes = target, classes

    def add(self, predictions: list[ClassMask], batch: Batch) -> None:
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

    def support(self) -> dict[str, int]:
        counts = (np.nan_to_num(self._table()[:, 2]) > 0).sum(0)
        return dict(zip(self.classes, counts.tolist(), strict=True))

    def sample_scores(self) -> np.ndarray:
        areas = self._table()
        with np.errstate(invalid="ignore", divide="ignore"):
            ious = np.where(areas[:, 1] > 0, areas[:, 0] / areas[:, 1], np.nan)
        return mean_known(ious.T)

    def _table(self) -> np.ndarray:
        absent = np.full((3, len(self.classes)), np.nan)
        rows = [absent if row is None else row for row in self.rows]
        return np.array(rows, np.float64).reshape(-1, 3, len(self.classes))


def _areas(predicted: np.ndarray, truth: np.ndarray, num_classes: int) -> np.ndarray:
    """Pixels of intersection, union and truth by class, [3, classes]; ignored pixels do not count."""
    known = truth != IGNORE
    predicted, truth = predicted[known].astype(np.int64), truth[known].astype(np.int64)
    both = np.bincount(truth[truth == predicted], minlength=num_classes)
    true = np.bincount(truth, minlength=num_classes)
    return np.stack([both, true + np.bincount(predicted, minlength=num_classes) - both, true])
