"""Multi-label classification: any number of classes per image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch.nn.functional as F
from jaxtyping import Float, Float64, Num
from torch import Tensor, nn

from mtl import seeds
from mtl.config.tasks import MultiLabel as MultiLabelConfig
from mtl.data.loading.loader import Batch
from mtl.model.heads import VotingHead
from mtl.objective.losses import masked
from mtl.precision import at_least_float32
from mtl.tasks.base import Direction, Scorer, Task
from mtl.tasks.predictions import ManyLabels
from mtl.tasks.weighted import group_sums, in_blocks, mean_known

TIE = 1e-9
"""Of a score: enough to break ties, too little to change what is said."""


class MultiLabel(Task[MultiLabelConfig, ManyLabels]):
    """A sigmoid per class, for which all places vote; binary cross-entropy, a mean over classes."""

    kind = "labels"
    answer = "labels"
    primary = "map"
    directions: ClassVar[dict[str, Direction]] = {"map": "max", "micro_f1": "max"}

    def build_head(self, channels: int) -> nn.Module:
        return VotingHead(channels, self.config.hidden, len(self.target.classes))

    def target_counts(self, batch: Batch) -> list[Num[Tensor, ""]]:
        return [batch.present[self.target_name].sum()]

    def loss_terms(self, output: Float[Tensor, "n classes"], batch: Batch) -> list[Float[Tensor, ""]]:
        found = at_least_float32(output)
        truth = batch.targets[self.target_name].to(found)
        losses = F.binary_cross_entropy_with_logits(found, truth, reduction="none").mean(1)
        return [masked(losses, batch.present[self.target_name])]

    def predict(self, output: Float[Tensor, "n classes"]) -> list[ManyLabels]:
        rows = at_least_float32(output).sigmoid().cpu().numpy()
        return [{"labels": self._said(row), "scores": row.tolist()} for row in rows]

    def _said(self, scores: np.ndarray) -> list[str]:
        return [self.target.classes[i] for i in np.nonzero(scores >= self.config.threshold)[0]]

    def scorer(self) -> Scorer[ManyLabels]:
        return MultiLabelScorer(self.target_name, self.config.threshold, self.target.classes)

    def blind(self, truths: list[np.ndarray]) -> ManyLabels:
        """Each class as probable as it is frequent."""
        shares = np.mean(truths, axis=0)
        return {"labels": self._said(shares), "scores": shares.tolist()}

    def blind_answers(self, answer: ManyLabels, draws: Float64[Tensor, " n"]) -> list[ManyLabels]:
        """In an order of chance: on few samples the average precision of a random order is above a class's share."""
        found: list[ManyLabels] = []
        for draw in draws.tolist():
            rng = seeds.tie(draw)
            found.append({**answer, "scores": (np.array(answer["scores"]) + TIE * rng.random(len(answer["scores"])))})
        return found

    def caption(self, prediction: ManyLabels, batch: Batch, index: int) -> str:
        truth = np.nonzero(batch.targets[self.target_name][index].cpu().numpy())[0]
        return f"{self.name}: {', '.join(prediction['labels'])} (is {', '.join(self.target.classes[i] for i in truth)})"


class MultiLabelScorer(Scorer[ManyLabels, np.ndarray]):
    """A row per sample: scores and truth, float64 [2, classes]."""

    def __init__(self, target: str, threshold: float, classes: tuple[str, ...] = ()) -> None:
        super().__init__()
        self.target, self.threshold, self.classes = target, threshold, classes

    def add(self, predictions: list[ManyLabels], batch: Batch) -> None:
        truths, present = batch.targets[self.target].cpu().numpy(), batch.present[self.target].tolist()
        for prediction, truth, there in zip(predictions, truths, present, strict=True):
            self.rows.append(np.array([prediction["scores"], truth], np.float64) if there else None)

    def metrics(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        known, table = self._table()
        weights = weights if known.all() else weights[:, known]
        scores, truth = table[:, 0], table[:, 1] > 0
        steps = [_Steps.of(scores[:, c], truth[:, c]) for c in range(scores.shape[1])]

        def precisions(some: np.ndarray) -> np.ndarray:
            return np.stack([_average_precision(some, found) for found in steps], 1)

        said = scores >= self.threshold
        hits = weights @ (said & truth).sum(1).astype(np.float64)
        total = weights @ (said.sum(1) + truth.sum(1)).astype(np.float64)
        micro_f1 = np.where(weights.sum(1) > 0, 2 * hits / np.maximum(total, 1e-12), np.nan)
        widest = max(found.number for found in steps)
        return {"map": mean_known(in_blocks(precisions, weights, widest).T), "micro_f1": micro_f1}

    def support(self) -> dict[str, int]:
        counts = (self._table()[1][:, 1] > 0).sum(0).tolist()
        return dict(zip(self.classes, counts, strict=True)) if len(counts) == len(self.classes) else {}

    def sample_scores(self) -> np.ndarray:
        """Share of the classes that are right."""
        known, table = self._table()
        found = np.full(len(self.rows), np.nan)
        found[known] = ((table[:, 0] >= self.threshold) == (table[:, 1] > 0)).mean(1)
        return found

    def _table(self) -> tuple[np.ndarray, np.ndarray]:
        known = np.array([row is not None for row in self.rows], bool)
        rows = [row for row in self.rows if row is not None]
        return known, np.array(rows, np.float64) if rows else np.zeros((0, 2, 1))


@dataclass(frozen=True)
class _Steps:
    """The steps of a class's precision-recall curve, one per distinct score that a true sample has, highest first.

    number: of them; true, seen: samples that are true, and those that have such a score or a higher one than the lowest;
    true_at, seen_at: the step of each, the first that is reached with it.
    """

    number: int
    true: np.ndarray
    true_at: np.ndarray
    seen: np.ndarray
    seen_at: np.ndarray

    @staticmethod
    def of(scores: np.ndarray, truth: np.ndarray) -> _Steps:
        """scores float [samples], truth bool [samples]."""
        _, level = np.unique(-scores, return_inverse=True)
        levels = np.unique(level[truth])
        at = np.searchsorted(levels, level)
        true, seen = np.flatnonzero(truth), np.flatnonzero(at < len(levels))
        return _Steps(len(levels), true, at[true], seen, at[seen])


def _average_precision(weights: np.ndarray, steps: _Steps) -> np.ndarray:
    """Area under the precision-recall steps of one class: weights [resamples, samples] → [resamples].

    As scikit-learn has it: samples of one score count alike, whatever their order.
    """
    gained = group_sums(weights, steps.true, steps.true_at, steps.number)
    seen = group_sums(weights, steps.seen, steps.seen_at, steps.number).cumsum(0)
    area, total = (gained.cumsum(0) / np.maximum(seen, 1e-12) * gained).sum(0), gained.sum(0)
    return np.where(total > 0, area / np.maximum(total, 1e-12), np.nan)
