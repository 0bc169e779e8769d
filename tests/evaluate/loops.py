"""Metrics on resamples by loops over classes, thresholds and resamples, as the scorers had them before they were products of
matrices: what tests hold the scorers to, and what benchmarks/evaluation.py measures them against. And rows to try both on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from mtl.tasks.average_precision import RECALLS, Matches
from mtl.tasks.base import Scorer
from mtl.tasks.classification import LEAST, NUM_BINS, ClassificationScorer
from mtl.tasks.detection import NUM_FINE_RESAMPLES, DetectionScorer
from mtl.tasks.multilabel import MultiLabelScorer
from mtl.tasks.weighted import mean_known

Metrics = dict[str, np.ndarray]


def mean(weights: np.ndarray, values: np.ndarray) -> np.ndarray:
    known = ~np.isnan(values)
    with np.errstate(invalid="ignore", divide="ignore"):
        return weights[:, known] @ values[known] / weights[:, known].sum(1)


def classification(scorer: ClassificationScorer, weights: np.ndarray) -> Metrics:
    truth, predicted, confidence, likelihood = scorer._columns()
    known = ~np.isnan(truth)
    correct = np.where(known, truth == predicted, np.nan)
    scores, gaps = list[np.ndarray](), list[np.ndarray]()
    for c in range(len(scorer.classes)):
        true, guess = truth == c, (predicted == c) & known
        hits, total = weights[:, true & guess].sum(1), weights[:, true].sum(1) + weights[:, guess].sum(1)
        scores.append(np.where(total > 0, 2 * hits / np.maximum(total, 1e-12), np.nan))
    bins = np.minimum((np.nan_to_num(confidence) * NUM_BINS).astype(int), NUM_BINS - 1)
    for b in range(NUM_BINS):
        here = known & (bins == b)
        gaps.append(weights[:, here] @ (confidence - correct)[here])
    with np.errstate(invalid="ignore", divide="ignore"):
        ece = np.abs(np.stack(gaps, 1)).sum(1) / weights[:, known].sum(1)
    nll = mean(weights, -np.log(np.maximum(likelihood, LEAST)))
    return {"accuracy": mean(weights, correct), "macro_f1": mean_known(np.stack(scores)), "ece": ece, "nll": nll}


def detection(scorer: DetectionScorer, weights: np.ndarray) -> Metrics:
    number = len(scorer.classes)
    blocks = [weights[i : i + 100] for i in range(0, len(weights), 100)]
    coarse = np.concatenate([precisions(scorer.rows, block, number, 1) for block in blocks])
    blocks = [weights[:NUM_FINE_RESAMPLES][i : i + 100] for i in range(0, min(len(weights), NUM_FINE_RESAMPLES), 100)]
    fine = np.concatenate([precisions(scorer.rows, block, number, 10) for block in blocks])
    return {"map50": mean_known(coarse[:, 0].T), "map50_95": mean_known(fine.mean(1).T)}


def precisions(rows: list[Matches | None], weights: np.ndarray, num_classes: int, num_thresholds: int) -> np.ndarray:
    known = [(i, row) for i, row in enumerate(rows) if row is not None]
    images = np.concatenate([np.full(len(row.scores), i) for i, row in known])
    scores, labels = (np.concatenate([getattr(row, name) for _, row in known]) for name in ("scores", "labels"))
    hits, ignored = (np.concatenate([getattr(row, name) for _, row in known], axis=1) for name in ("hits", "ignored"))
    num_boxes = np.zeros((len(rows), num_classes))
    for i, row in known:
        num_boxes[i] = row.num_boxes
    totals, result = weights @ num_boxes, np.empty((len(weights), num_thresholds, num_classes))
    for c in range(num_classes):
        mine = np.nonzero(labels == c)[0]
        mine = mine[np.argsort(-scores[mine], kind="stable")]
        for t in range(num_thresholds):
            there = mine[~ignored[t, mine]]
            result[:, t, c] = interpolated(weights[:, images[there]], hits[t, there], totals[:, c])
    return result


def interpolated(weights: np.ndarray, hits: np.ndarray, totals: np.ndarray) -> np.ndarray:
    found = np.where(totals > 0, 0.0, np.nan)
    if not len(hits):
        return found
    true = np.cumsum(weights * hits, axis=1)
    precision = true / np.maximum(np.cumsum(weights, axis=1), 1e-12)
    envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    for r in np.nonzero(totals > 0)[0]:
        places = np.searchsorted(true[r] / totals[r], RECALLS, side="left")
        found[r] = envelope[r, places[places < len(hits)]].sum() / len(RECALLS)
    return found


def multilabel(scorer: MultiLabelScorer, weights: np.ndarray) -> Metrics:
    known, table = scorer._table()
    weights, scores, truth = weights[:, known], table[:, 0], table[:, 1]
    areas: list[np.ndarray] = []
    for c in range(scores.shape[1]):
        order = np.argsort(-scores[:, c], kind="stable")
        ends = np.append(np.flatnonzero(np.diff(scores[order, c])), len(order) - 1)
        true = np.cumsum(weights[:, order] * truth[order, c], 1)[:, ends]
        precision = true / np.maximum(np.cumsum(weights[:, order], 1)[:, ends], 1e-12)
        area = (precision * np.diff(true, axis=1, prepend=0.0)).sum(1)
        areas.append(np.where(true[:, -1] > 0, area / np.maximum(true[:, -1], 1e-12), np.nan))
    said = scores >= scorer.threshold
    hits, total = weights @ (said & (truth > 0)).sum(1), weights @ (said.sum(1) + truth.sum(1))
    micro_f1 = np.where(weights.sum(1) > 0, 2 * hits / np.maximum(total, 1e-12), np.nan)
    return {"map": mean_known(np.stack(areas)), "micro_f1": micro_f1}


LOOPS: dict[str, Callable[[Any, np.ndarray], Metrics]] = {
    "classification": classification,
    "detection": detection,
    "multilabel": multilabel,
}


def filled(kind: str, count: int, num_classes: int = 5, digits: int = 2) -> Scorer:
    """A scorer with rows of chance: some samples lack the target, scores of few digits are often alike, the last class never
    comes.
    """
    rng = np.random.default_rng(0)
    classes, names = max(num_classes - 1, 1), tuple(f"class {c}" for c in range(num_classes))
    scorer: Any
    if kind == "classification":
        scorer = ClassificationScorer("x", names)
        truths, guesses = rng.integers(classes, size=(2, count))
        guesses = np.where(rng.random(count) < 0.7, truths, guesses)
        rows: list[Any] = [(int(t), int(g), rng.random(), rng.random()) for t, g in zip(truths, guesses, strict=True)]
    elif kind == "multilabel":
        scorer = MultiLabelScorer("x", 0.5, names)
        truth = (rng.random((count, num_classes)) < 0.2) & (np.arange(num_classes) < classes)
        scores = np.round(0.5 * rng.random(truth.shape) + 0.4 * truth, digits)
        rows = list(np.stack([scores, truth], 1).astype(np.float64))
    else:
        scorer = DetectionScorer("x", names)
        rows = [matches(rng, classes, num_classes, digits) for _ in range(count)]
    scorer.rows = [None if rng.random() < 0.1 else row for row in rows]
    return scorer


def matches(rng: np.random.Generator, classes: int, num_classes: int, digits: int) -> Matches:
    """One image's: a dozen detections; stricter thresholds hit less."""
    number = int(rng.integers(0, 25))
    quality, crowded = rng.random(number), rng.random(number) < 0.05
    hits = (quality[None] > np.linspace(0.6, 0.95, 10)[:, None]) & ~crowded
    labels = rng.integers(classes, size=number)
    scores = np.sort(np.round(0.3 * rng.random(number) + 0.6 * quality, digits))[::-1]
    boxes = np.bincount(labels[hits[0]], minlength=num_classes) + rng.integers(0, 2, num_classes)
    boxes[classes:] = 0
    return Matches(scores, labels, hits, boxes, np.broadcast_to(crowded, hits.shape).copy())
