"""Scores of tasks with a prediction per pixel: sums over an image's known pixels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

import numpy as np

from mtl.data.loading.loader import Batch
from mtl.tasks.base import Scorer

Mapped = TypeVar("Mapped")
"""A prediction that has a map."""


class PixelScorer(Scorer[Mapped, np.ndarray], Generic[Mapped]):
    """A row per sample: its known pixels, and a sum over them for each metric.

    Args:
        target: the target's name.
        predicted: the map of a prediction.
        sums: (predicted map, true map) → [1 + metrics], the number of known pixels first.
        names: of the metrics, the first being an error; those in `roots` are the root of their mean.
    """

    def __init__(
        self,
        target: str,
        predicted: Callable[[Mapped], np.ndarray],
        sums: Callable[[np.ndarray, np.ndarray], np.ndarray],
        names: tuple[str, ...],
        roots: tuple[str, ...] = (),
    ) -> None:
        super().__init__()
        self.target, self.predicted, self.sums, self.names, self.roots = target, predicted, sums, names, roots

    def add(self, predictions: list[Mapped], batch: Batch) -> None:
        truths, present = batch.targets[self.target].cpu().numpy(), batch.present[self.target].tolist()
        for prediction, truth, there in zip(predictions, truths, present, strict=True):
            self.rows.append(self.sums(self.predicted(prediction), truth) if there else None)

    def metrics(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        means = _means(weights @ self._table())
        found = dict(zip(self.names, means.T, strict=True))
        return found | {name: np.sqrt(found[name]) for name in self.roots}

    def sample_scores(self) -> np.ndarray:
        return -_means(self._table())[:, 0]

    def _table(self) -> np.ndarray:
        width = 1 + len(self.names)
        return np.array([np.zeros(width) if row is None else row for row in self.rows], np.float64).reshape(-1, width)


def _means(sums: np.ndarray) -> np.ndarray:
    """[rows, 1 + metrics] → [rows, metrics], NaN where no pixel counts."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(sums[:, :1] > 0, sums[:, 1:] / sums[:, :1], np.nan)
