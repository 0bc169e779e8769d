"""Regression: one number per image."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch.nn.functional as F
from jaxtyping import Float, Num
from torch import Tensor, nn

from mtl.config.tasks import Regression as RegressionConfig
from mtl.data.loading.loader import Batch
from mtl.model.heads import MeanPoolHead
from mtl.objective.losses import masked
from mtl.precision import at_least_float32
from mtl.tasks.base import Direction, Scorer, Task
from mtl.tasks.predictions import Number
from mtl.tasks.weighted import weighted_mean


class Regression(Task[RegressionConfig, Number]):
    """Smooth L1 on one number."""

    kind = "value"
    answer = "value"
    primary = "mae"
    directions: ClassVar[dict[str, Direction]] = {"mae": "min", "rmse": "min"}

    def build_head(self, channels: int) -> nn.Module:
        return MeanPoolHead(channels, self.config.hidden)

    def target_counts(self, batch: Batch) -> list[Num[Tensor, ""]]:
        return [batch.present[self.target_name].sum()]

    def loss_terms(self, output: Float[Tensor, " n"], batch: Batch) -> list[Float[Tensor, ""]]:
        present = batch.present[self.target_name]
        found = at_least_float32(output)
        targets = batch.targets[self.target_name].nan_to_num().to(found)
        losses = F.smooth_l1_loss(found, targets, reduction="none", beta=self.config.beta)
        return [masked(losses, present)]

    def predict(self, output: Float[Tensor, " n"]) -> list[Number]:
        return [{"value": value} for value in at_least_float32(output).cpu().tolist()]

    def scorer(self) -> Scorer[Number]:
        return RegressionScorer(self.target_name)

    def blind(self, truths: list[np.ndarray]) -> Number:
        """The median: no number has a smaller mean absolute error."""
        return {"value": float(np.median(truths))}

    def caption(self, prediction: Number, batch: Batch, index: int) -> str:
        return f"{self.name}: {prediction['value']:.1f} (is {float(batch.targets[self.target_name][index]):g})"


class RegressionScorer(Scorer[Number, float]):
    """A row per sample: prediction minus truth."""

    def __init__(self, target: str) -> None:
        super().__init__()
        self.target = target

    def add(self, predictions: list[Number], batch: Batch) -> None:
        truths, present = batch.targets[self.target].tolist(), batch.present[self.target].tolist()
        for prediction, truth, there in zip(predictions, truths, present, strict=True):
            self.rows.append(prediction["value"] - truth if there else None)

    def metrics(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        errors = self._errors()
        return {"mae": weighted_mean(weights, np.abs(errors)), "rmse": np.sqrt(weighted_mean(weights, errors**2))}

    def sample_scores(self) -> np.ndarray:
        return -np.abs(self._errors())

    def _errors(self) -> np.ndarray:
        return np.array([np.nan if row is None else row for row in self.rows], np.float64)
