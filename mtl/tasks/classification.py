"""Classification: one label per image."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from jaxtyping import Float, Num
from torch import Tensor, nn

from mtl.config.tasks import Classification as ClassificationConfig
from mtl.config.tasks import Rotation as RotationConfig
from mtl.data.loading.loader import Batch
from mtl.intervals import NORMAL, wilson
from mtl.model.heads import VotingHead
from mtl.objective.losses import cross_entropy
from mtl.precision import at_least_float32
from mtl.tasks.base import Curves, Direction, Scorer, Task
from mtl.tasks.predictions import OneLabel
from mtl.tasks.weighted import group_sums, mean_known, weighted_mean

NUM_BINS = 10
LEAST = 1e-7
"""A probability below it counts as it in the negative log-likelihood, as float32 tells no smaller one from 0."""


class Classification(Task[ClassificationConfig | RotationConfig, OneLabel]):
    """Softmax over classes for which all places vote."""

    kind = "label"
    answer = "label"
    primary = "accuracy"
    directions: ClassVar[dict[str, Direction]] = {"accuracy": "max", "macro_f1": "max", "ece": "min", "nll": "min"}

    def build_head(self, channels: int) -> nn.Module:
        return VotingHead(channels, self.config.hidden, len(self.target.classes))

    def target_counts(self, batch: Batch) -> list[Num[Tensor, ""]]:
        return [batch.present[self.target_name].sum()]

    def loss_terms(self, output: Float[Tensor, "n classes"], batch: Batch) -> list[Float[Tensor, ""]]:
        labels, present = batch.targets[self.target_name], batch.present[self.target_name]
        return [cross_entropy(output, labels, present, self.config.label_smoothing)]

    def predict(self, output: Float[Tensor, "n classes"]) -> list[OneLabel]:
        probabilities = at_least_float32(output).softmax(1).cpu().numpy()
        return [
            {"label": self.target.classes[int(p.argmax())], "index": int(p.argmax()), "scores": p.tolist()}
            for p in probabilities
        ]

    def scorer(self) -> Scorer[OneLabel]:
        return ClassificationScorer(self.target_name, self.target.classes)

    def blind(self, truths: list[np.ndarray]) -> OneLabel:
        """The most frequent class, each class scored by its share."""
        shares = np.bincount(truths, minlength=len(self.target.classes)) / len(truths)
        index = int(shares.argmax())
        return {"label": self.target.classes[index], "index": index, "scores": shares.tolist()}

    def caption(self, prediction: OneLabel, batch: Batch, index: int) -> str:
        truth = self.target.classes[int(batch.targets[self.target_name][index])]
        score = max(prediction["scores"])
        return f"{self.name}: {prediction['label']} {score:.2f}" + (
            f" (is {truth})" if truth != prediction["label"] else ""
        )


class ClassificationScorer(Scorer[OneLabel, tuple[int, int, float, float]]):
    """A row per sample: true index, predicted index, the prediction's probability, the truth's probability."""

    def __init__(self, target: str, classes: tuple[str, ...]) -> None:
        super().__init__()
        self.target, self.classes = target, classes

    def add(self, predictions: list[OneLabel], batch: Batch) -> None:
        truths = batch.targets[self.target].tolist()
        for prediction, truth, present in zip(predictions, truths, batch.present[self.target].tolist(), strict=True):
            scores, index = prediction["scores"], prediction["index"]
            self.rows.append((truth, index, scores[index], scores[truth]) if present else None)

    def metrics(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        truth, predicted, confidence, likelihood = self._columns()
        weights = np.asfortranarray(weights)
        correct = np.where(np.isnan(truth), np.nan, truth == predicted)
        total = weights @ (~np.isnan(truth)).astype(np.float64)
        with np.errstate(invalid="ignore", divide="ignore"):
            ece = np.abs(self._gaps(weights, confidence, correct)).sum(1) / total
        return {
            "accuracy": weighted_mean(weights, correct),
            "macro_f1": self._macro_f1(weights, truth, predicted),
            "ece": ece,
            "nll": weighted_mean(weights, -np.log(np.maximum(likelihood, LEAST))),
        }

    def support(self) -> dict[str, int]:
        truth = self._columns()[0]
        counts = np.bincount(truth[~np.isnan(truth)].astype(int), minlength=len(self.classes))
        return dict(zip(self.classes, counts.tolist(), strict=True))

    def own_intervals(self, counts: np.ndarray, tail: float) -> dict[str, tuple[float, float]]:
        """Accuracy: Wilson's, for resamples show too little spread near 1.

        ECE: a sum of absolute values is too large by chance, and larger still on resamples, whose percentiles lie above
        the truth. But the noise of each bin is known. The truth is not smaller than the sum found by more than the sum of
        the noises' absolute values; and not larger by more than their sum with the true gaps' signs, whatever those are.
        """
        truth, predicted, confidence, _ = self._columns()
        known = ~np.isnan(truth)
        correct = np.where(known, truth == predicted, np.nan)
        total = counts @ known.astype(np.float64)
        if not known.any() or not total.all():
            return {}
        gap = self._gaps(np.ones((1, len(truth))), confidence, correct)[0] / known.sum()
        noise = self._gaps(counts, confidence, correct) / total[:, None] - gap
        ece = float(np.abs(gap).sum())
        below = float(np.quantile(np.abs(noise).sum(1), 1 - tail))
        above = -NORMAL.inv_cdf(tail) * float(noise.var(0, ddof=1).sum()) ** 0.5
        accuracy = wilson(float(correct[known].mean()), int(known.sum()), tail)
        return {"accuracy": accuracy, "ece": (max(ece - below, 0.0), min(ece + above, 1.0))}

    def sample_scores(self) -> np.ndarray:
        return self._columns()[3]

    def curves(self) -> Curves:
        truth, predicted, confidence, _ = self._columns()
        known = ~np.isnan(truth)
        names = self.classes
        confusion: list[dict[str, str | float]] = [
            {"actual": names[int(t)], "predicted": names[int(p)]}
            for t, p in zip(truth[known], predicted[known], strict=True)
        ]
        reliability: list[dict[str, str | float]] = []
        bins = _bins(confidence)
        for b in range(NUM_BINS):
            here = known & (bins == b)
            if here.any():
                correct = float((truth[here] == predicted[here]).mean())
                row: dict[str, str | float] = {
                    "confidence": float(confidence[here].mean()),
                    "accuracy": correct,
                    "count": int(here.sum()),
                }
                reliability.append(row)
        return {"confusion": confusion, "reliability": reliability}

    def _columns(self) -> np.ndarray:
        absent = (np.nan,) * 4
        return np.array([absent if row is None else row for row in self.rows], np.float64).reshape(-1, 4).T

    def _macro_f1(self, weights: np.ndarray, truth: np.ndarray, predicted: np.ndarray) -> np.ndarray:
        known = np.flatnonzero(~np.isnan(truth))
        true, guess, number = truth[known].astype(int), predicted[known].astype(int), len(self.classes)
        right = true == guess
        hits = group_sums(weights, known[right], true[right], number)
        total = group_sums(weights, np.concatenate([known, known]), np.concatenate([true, guess]), number)
        return mean_known(np.where(total > 0, 2 * hits / np.maximum(total, 1e-12), np.nan))

    def _gaps(self, weights: np.ndarray, confidence: np.ndarray, correct: np.ndarray) -> np.ndarray:
        """Summed confidence minus number right by bin of confidence: [resamples, bins]."""
        known = np.flatnonzero(~np.isnan(correct))
        return group_sums(weights, known, _bins(confidence[known]), NUM_BINS, (confidence - correct)[known]).T


def _bins(confidence: np.ndarray) -> np.ndarray:
    return np.minimum((np.nan_to_num(confidence) * NUM_BINS).astype(int), NUM_BINS - 1)
