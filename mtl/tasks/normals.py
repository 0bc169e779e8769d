"""Surface normals: a direction per pixel."""

from __future__ import annotations

from typing import ClassVar

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Num
from torch import Tensor, nn

from mtl.config.tasks import Normals as NormalsConfig
from mtl.data.loading.loader import Batch
from mtl.model.heads import DenseHead
from mtl.precision import at_least_float32
from mtl.tasks import blocks
from mtl.tasks.base import Direction, Scorer, Task
from mtl.tasks.pixels import PixelScorer
from mtl.tasks.predictions import NormalMap


class Normals(Task[NormalsConfig, NormalMap]):
    """1 - cosine over the known pixels."""

    kind = "normals"
    answer = "normals"
    primary = "angle"
    directions: ClassVar[dict[str, Direction]] = {"angle": "min", "within_11": "max", "within_30": "max"}
    units: ClassVar[dict[str, str]] = {"angle": "°", "within_11": "share", "within_30": "share"}

    def build_head(self, channels: int) -> nn.Module:
        return DenseHead(channels, self.config.hidden, 3, self.config.stride)

    def target_counts(self, batch: Batch) -> list[Num[Tensor, ""]]:
        return [torch.isfinite(batch.targets[self.target_name][:, 0]).sum()]

    def num_present(self, batch: Batch) -> Num[Tensor, ""]:
        return torch.isfinite(batch.targets[self.target_name][:, 0]).flatten(1).any(1).sum()

    def loss_terms(self, output: Float[Tensor, "n 3 rows columns"], batch: Batch) -> list[Float[Tensor, ""]]:
        found, truth = at_least_float32(self.in_image(output)), batch.targets[self.target_name]
        known = torch.isfinite(truth[:, 0])
        # Divided by a length of at least a little: where nothing is predicted the direction has no gradient.
        losses = 1.0 - F.cosine_similarity(found, truth.nan_to_num().to(found), dim=1, eps=1e-6)
        return [torch.where(known, losses, torch.zeros_like(losses)).sum()]

    def predict(self, output: Float[Tensor, "n 3 rows columns"]) -> list[NormalMap]:
        found = F.normalize(at_least_float32(self.in_image(output)), dim=1)
        return [{"normals": n} for n in found.permute(0, 2, 3, 1).cpu().numpy()]

    def scorer(self) -> Scorer[NormalMap]:
        return PixelScorer(self.target_name, _map, _sums, ("angle", "within_11", "within_30"))

    def blind(self, truths: list[np.ndarray]) -> NormalMap:
        """Each pixel's median direction, near which the mean angle is smallest; a block's where too few images know a
        pixel.
        """
        stacked = np.stack(truths)
        known = np.isfinite(stacked[:, 0])
        stacked = np.where(known[:, None], stacked, 0.0)
        found = np.empty(stacked.shape[1:], np.float32)
        for side, chosen in blocks.smallest(known.sum(0), len(truths)):
            median = _median_direction(blocks.values_of(stacked, side, 0.0))
            found[:, chosen] = blocks.on_pixels(median, side, found.shape)[:, chosen]
        return {"normals": found.transpose(1, 2, 0)}

    def caption(self, prediction: NormalMap, batch: Batch, index: int) -> str:
        row = _sums(prediction["normals"], batch.targets[self.target_name][index].cpu().numpy())
        return f"{self.name}: off by {row[1] / max(row[0], 1):.1f} degrees"

    def draw(self, canvas: np.ndarray, prediction: NormalMap, scale: int) -> np.ndarray:
        shown = ((prediction["normals"] + 1) * 127.5).astype(np.uint8)
        return cv2.resize(shown, canvas.shape[1::-1], interpolation=cv2.INTER_NEAREST)


def _map(prediction: NormalMap) -> np.ndarray:
    return prediction["normals"]


def _median_direction(vectors: np.ndarray) -> np.ndarray:
    """Unit vectors [n, 3, h, w], 0 where unknown → those [3, h, w] whose distances to them have the smallest sum (Weiszfeld
    1937, ten steps from the mean).
    """
    found = vectors.sum(0)
    for _ in range(10):
        found = found / np.maximum(np.linalg.norm(found, axis=0), 1e-12)
        found = (vectors / np.maximum(np.linalg.norm(vectors - found, axis=1, keepdims=True), 1e-2)).sum(0)
    return found / np.maximum(np.linalg.norm(found, axis=0), 1e-12)


def _sums(found: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Known pixels; angle in degrees, within 11.25° and 30°. found [h, w, 3], truth [3, h, w] with NaN unknown."""
    truth = truth.transpose(1, 2, 0)
    known = np.isfinite(truth[..., 0])
    cosines = (found[known].astype(np.float64) * truth[known]).sum(1).clip(-1, 1)
    angles = np.degrees(np.arccos(cosines))
    return np.array([len(angles), angles.sum(), (angles < 11.25).sum(), (angles < 30).sum()], np.float64)
