"""Dense regression: a number per pixel, such as depth."""

from __future__ import annotations

from typing import ClassVar

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Num
from torch import Tensor, nn

from mtl.config.tasks import Depth as DepthConfig
from mtl.data.loading.loader import Batch
from mtl.model.heads import DenseHead
from mtl.precision import at_least_float32
from mtl.tasks import blocks
from mtl.tasks.base import Direction, Scorer, Task
from mtl.tasks.pixels import PixelScorer
from mtl.tasks.predictions import NumberMap


class Depth(Task[DepthConfig, NumberMap]):
    """L1 over the known pixels."""

    kind = "depth"
    answer = "depth"
    primary = "mae"
    directions: ClassVar[dict[str, Direction]] = {"mae": "min", "rmse": "min", "abs_rel": "min", "delta1": "max"}
    units: ClassVar[dict[str, str]] = {"abs_rel": "share", "delta1": "share"}

    def build_head(self, channels: int) -> nn.Module:
        return DenseHead(channels, self.config.hidden, 1, self.config.stride)

    def target_counts(self, batch: Batch) -> list[Num[Tensor, ""]]:
        return [torch.isfinite(batch.targets[self.target_name]).sum()]

    def num_present(self, batch: Batch) -> Num[Tensor, ""]:
        return torch.isfinite(batch.targets[self.target_name]).flatten(1).any(1).sum()

    def loss_terms(self, output: Float[Tensor, "n 1 rows columns"], batch: Batch) -> list[Float[Tensor, ""]]:
        found, truth = at_least_float32(self.in_image(output))[:, 0], batch.targets[self.target_name]
        losses = F.l1_loss(found, truth.nan_to_num().to(found), reduction="none")
        return [torch.where(torch.isfinite(truth), losses, torch.zeros_like(losses)).sum()]

    def predict(self, output: Float[Tensor, "n 1 rows columns"]) -> list[NumberMap]:
        return [{"map": depth} for depth in at_least_float32(self.in_image(output))[:, 0].cpu().numpy()]

    def scorer(self) -> Scorer[NumberMap]:
        return PixelScorer(self.target_name, _map, _sums, ("mae", "rmse", "abs_rel", "delta1"), ("rmse",))

    def blind(self, truths: list[np.ndarray]) -> NumberMap:
        """Each pixel's median, which has the smallest mean absolute error; a block's where too few images know a pixel."""
        stacked = np.stack(truths)
        found = np.empty(stacked.shape[1:], np.float32)
        for side, chosen in blocks.smallest(np.isfinite(stacked).sum(0), len(truths)):
            medians = _medians(blocks.values_of(stacked, side))
            found[chosen] = blocks.on_pixels(medians, side, found.shape)[chosen]
        return {"map": found}

    def caption(self, prediction: NumberMap, batch: Batch, index: int) -> str:
        row = _sums(prediction["map"], batch.targets[self.target_name][index].cpu().numpy())
        return f"{self.name}: off by {row[1] / max(row[0], 1):.3g} {self.target.unit}"

    def draw(self, canvas: np.ndarray, prediction: NumberMap, scale: int) -> np.ndarray:
        depth = prediction["map"]
        grey = ((depth - depth.min()) / max(float(np.ptp(depth)), 1e-6) * 255).astype(np.uint8)
        shown = cv2.cvtColor(cv2.applyColorMap(grey, cv2.COLORMAP_VIRIDIS), cv2.COLOR_BGR2RGB)
        return cv2.resize(shown, canvas.shape[1::-1], interpolation=cv2.INTER_NEAREST)


def _map(prediction: NumberMap) -> np.ndarray:
    return prediction["map"]


def _medians(values: np.ndarray) -> np.ndarray:
    """Along the first axis, without NaN: NumPy's own takes ten times as long."""
    ordered = np.sort(values, axis=0)  # NaN last
    known = np.isfinite(ordered).sum(0)
    low, high = (np.take_along_axis(ordered, k[None], 0)[0] for k in (np.maximum(known - 1, 0) // 2, known // 2))
    return (low + high) / 2


def _sums(found: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Known pixels; |error|, error², |error| / truth, within a factor of 1.25. NaN in the truth is unknown, and so is what is
    not above 0, as in the files: nothing is relative to it. No number here has a unit.
    """
    known = np.isfinite(truth) & (truth > 0)
    found, truth = found[known].astype(np.float64), truth[known].astype(np.float64)
    error = np.abs(found - truth)
    close = (found < 1.25 * truth) & (truth < 1.25 * found)
    return np.array([len(truth), error.sum(), (error**2).sum(), (error / truth).sum(), close.sum()], np.float64)
