"""Object keypoint similarity, as COCO has it (Ronchi & Perona 2017; pycocotools' computeOks), and the scorer that goes by it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mtl.data.kinds.keypoints import AREA, KIND, LABEL, POINTS
from mtl.data.loading.loader import Batch
from mtl.tasks.average_precision import Matches, match_alike
from mtl.tasks.detection import NUM_FINE_RESAMPLES, DetectionScorer
from mtl.tasks.predictions import ObjectsWithPoints
from mtl.tasks.weighted import mean_known

PRIMARY = "oks_map"
SIGMAS = {
    "nose": 0.026,
    "eye": 0.025,
    "ear": 0.035,
    "shoulder": 0.079,
    "elbow": 0.072,
    "wrist": 0.062,
    "hip": 0.107,
    "knee": 0.087,
    "ankle": 0.089,
}
"""Of COCO's points, of both sides: how far annotators are from each other, as a share of the root of the object's area."""


def sigmas_of(points: Sequence[str], given: Sequence[float] = ()) -> np.ndarray:
    """Of each point: those given, else COCO's if all are COCO's names, else 1 / points, as Ultralytics has it."""
    names = [name.removeprefix("left_").removeprefix("right_") for name in points]
    known = [SIGMAS[name] for name in names if name in SIGMAS]
    return np.array(given or (known if len(known) == len(names) else [1 / len(names)] * len(names)), np.float64)


def oks(points: np.ndarray, truth: np.ndarray, sigmas: np.ndarray) -> np.ndarray:
    """The mean over labelled points of exp(-d² / (2 · area · (2 σ)²)): points [d, k, 2], rows [m, 7 + 3 · k] → [d, m].

    Of an object without a labelled point all of them are taken: 0 from it within its box, doubled.
    """
    places = truth[:, POINTS:].reshape(len(truth), len(sigmas), 3).astype(np.float64)
    known = places[..., 2] > 0
    apart = points[:, None].astype(np.float64) - places[None, ..., :2]
    corner, side = truth[:, None, :2].astype(np.float64), (truth[:, 2:4] - truth[:, :2])[:, None].astype(np.float64)
    low, high = corner - side, corner + 2 * side
    outside = np.maximum(low - points[:, None], 0) + np.maximum(points[:, None] - high, 0)
    any_known = np.asarray(known.any(1))[:, None]
    squared = (np.where(any_known[..., None], apart, outside) ** 2).sum(-1)
    error = squared / (2 * sigmas) ** 2 / (truth[:, AREA].astype(np.float64)[:, None] + np.spacing(1)) / 2
    used = np.where(any_known, known, True)
    return (np.exp(-error) * used).sum(-1) / np.maximum(used.sum(-1), 1)


class KeypointScorer(DetectionScorer[ObjectsWithPoints]):
    """A row per sample: its objects matched to the true ones by OKS. Crowds and objects without a labelled point do not count."""

    def __init__(self, target: str, classes: tuple[str, ...], sigmas: np.ndarray) -> None:
        super().__init__(target, classes)
        self.sigmas = sigmas

    def add(self, predictions: list[ObjectsWithPoints], batch: Batch) -> None:
        tables, present = batch.targets[self.target], batch.present[self.target].tolist()
        for prediction, table, there in zip(predictions, tables, present, strict=True):
            self.rows.append(self._matched(prediction, table.cpu().numpy()) if there else None)

    def _matched(self, prediction: ObjectsWithPoints, truth: np.ndarray) -> Matches:
        labelled = (truth[:, POINTS + 2 :: 3] > 0).sum(1) > 0
        alike = oks(prediction["points"][..., :2], truth, self.sigmas)
        kind = np.where(labelled, truth[:, KIND], 1.0)
        labels, scores = prediction["labels"], prediction["scores"]
        return match_alike(alike, labels, scores, truth[:, LABEL].astype(np.int64), kind, len(self.classes))

    def metrics(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        coarse, fine = self.precisions(weights, 1), self.precisions(weights[:NUM_FINE_RESAMPLES], 10)
        return {"oks_map": mean_known(fine.mean(1).T), "oks_map50": mean_known(coarse[:, 0].T)}

    def primary(self, weights: np.ndarray, name: str) -> np.ndarray:
        if name == PRIMARY:
            return mean_known(self.precisions(weights, 10).mean(1).T)
        return mean_known(self.precisions(weights, 1)[:, 0].T)
