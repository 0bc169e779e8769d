"""Average precision under sample weights: COCO's matching and 101-point interpolation, for the bootstrap.

The reported values come from here too; tests hold them to COCO's own evaluation of the same detections. Nothing is rounded
and no threshold is softened: an IoU or a recall that falls on a threshold falls on it here as there. COCO looks at 100
detections per image and class, here all count that are there (`max_detections` of the task limits them).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from mtl.data.kinds.box_table import CROWD, kinds
from mtl.tasks.weighted import group_sums, in_blocks

THRESHOLDS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0.0, 1.0, 101)
MOST_LOCATIONS = 500
"""Boxes that are tried as places where others lie too."""


@dataclass(frozen=True)
class Matches:
    """One image's detections against its boxes.

    scores float [d]; labels int [d]; hits bool [thresholds, d]; num_boxes int [classes], of boxes that count; ignored bool
    [thresholds, d], detections that lie where a box does not count: none if not said.
    """

    scores: np.ndarray
    labels: np.ndarray
    hits: np.ndarray
    num_boxes: np.ndarray
    ignored: np.ndarray = field(default_factory=lambda: np.zeros(0, bool))

    def __post_init__(self) -> None:
        if self.ignored.shape != self.hits.shape:
            object.__setattr__(self, "ignored", np.zeros_like(self.hits))


def iou_matrix(a: np.ndarray, b: np.ndarray, crowd: np.ndarray | None = None) -> np.ndarray:
    """Boxes [m, 4] and [n, 4] → intersection over union, float64 [m, n]; 0 of boxes without area.

    Of crowds (bool [n]) it is the share of the box in `a` that lies in it, as COCO has it.
    """
    a, b = a.astype(np.float64), b.astype(np.float64)
    low, high = np.maximum(a[:, None, :2], b[None, :, :2]), np.minimum(a[:, None, 2:], b[None, :, 2:])
    inner = np.clip(high - low, 0, None).prod(2)
    area_a, area_b = ((boxes[:, 2:] - boxes[:, :2]).prod(1) for boxes in (a, b))
    whole = area_a[:, None] + area_b[None] - inner
    if crowd is not None:
        whole = np.where(crowd[None], area_a[:, None], whole)
    return np.divide(inner, whole, out=np.zeros_like(inner), where=whole > 0)


def match(boxes: np.ndarray, labels: np.ndarray, scores: np.ndarray, truth: np.ndarray, num_classes: int) -> Matches:
    """Match as COCO does: best score first, each to the free box of its class with the highest IoU, of equal ones the last.

    A detection that matches none of them, but a box that does not count (mtl/data/kinds/box_table.py), is ignored; any number may be.

    boxes [d, 4], labels [d], scores [d]; truth [k, 5] with the label last, or [k, 6] with what each box is.
    """
    kind = kinds(truth)
    ious = iou_matrix(boxes, truth[:, :4], kind == CROWD)
    return match_alike(ious, labels, scores, truth[:, 4].astype(np.int64), kind, num_classes)


def match_alike(
    alike: np.ndarray,
    labels: np.ndarray,
    scores: np.ndarray,
    truth_labels: np.ndarray,
    kind: np.ndarray,
    num_classes: int,
) -> Matches:
    """The same by any measure of likeness from 0 to 1: alike [d, k]; labels, scores [d]; truth_labels, kind [k]."""
    order = np.argsort(-scores, kind="stable")
    labels, scores = labels[order], scores[order]
    same = labels[:, None] == truth_labels[None]
    ious = np.where(same, alike[order], 0.0)
    counted, rest = ious[:, kind == 0], ious[:, kind != 0].max(1, initial=0.0)
    hits = np.array([_hits(counted, threshold) for threshold in THRESHOLDS])
    ignored = ~hits & (rest[None] >= THRESHOLDS[:, None])
    return Matches(scores, labels, hits, np.bincount(truth_labels[kind == 0], minlength=num_classes), ignored)


def _hits(ious: np.ndarray, threshold: float) -> np.ndarray:
    """Which detections find a box: IoUs [d, k], 0 of another class, best detection first → bool [d]."""
    hits = np.zeros(len(ious), bool)
    free = np.ones(ious.shape[1], bool)
    for d in np.nonzero(ious.max(1, initial=0.0) >= threshold)[0]:
        row = np.where(free, ious[d], 0.0)[::-1]
        best = len(row) - 1 - int(row.argmax())
        if ious[d, best] >= threshold and free[best]:
            hits[d], free[best] = True, False
    return hits


def common_locations(boxes: np.ndarray, most: int) -> list[tuple[int, np.ndarray]]:
    """At most `most` of some boxes [k, 4] and how many of them each hits at the first threshold, greedily: the one that
    hits most, then the one that hits most of the rest, while it hits another than itself.
    """
    chosen = boxes[np.unique(np.linspace(0, len(boxes) - 1, MOST_LOCATIONS).astype(int))] if len(boxes) else boxes
    hits = iou_matrix(chosen, boxes) >= THRESHOLDS[0]
    found: list[tuple[int, np.ndarray]] = []
    while len(found) < most and len(chosen):
        counts = hits.sum(1)
        best = int(counts.argmax())
        if counts[best] < 2:
            break
        found.append((int(counts[best]), chosen[best]))
        hits &= ~hits[best]
    return found


def average_precisions(
    rows: list[Matches | None], weights: np.ndarray, num_classes: int, num_thresholds: int
) -> np.ndarray:
    """AP by resample, threshold and class: weights [resamples, samples] → [resamples, num_thresholds, classes].

    NaN for a class without boxes. A weight of two is the sample twice in a row, but for detections of one sample and class
    with one score, which COCO would take in turns.
    """
    known = [(i, row) for i, row in enumerate(rows) if row is not None]
    if not known:
        return np.full((len(weights), num_thresholds, num_classes), np.nan)
    images = np.concatenate([np.full(len(row.scores), i) for i, row in known])
    scores = np.concatenate([row.scores for _, row in known])
    labels = np.concatenate([row.labels for _, row in known])
    hits = np.concatenate([row.hits for _, row in known], axis=1)
    ignored = np.concatenate([row.ignored for _, row in known], axis=1)
    num_boxes = np.zeros((len(rows), num_classes))
    for i, row in known:
        num_boxes[i] = row.num_boxes
    order = np.argsort(-scores, kind="stable")
    of_class = [order[labels[order] == c] for c in range(num_classes)]

    def of_some(some: np.ndarray) -> np.ndarray:
        totals, found = some @ num_boxes, np.empty((len(some), num_thresholds, num_classes))
        for c, mine in enumerate(of_class):
            for t in range(num_thresholds):
                there = mine[~ignored[t, mine]]
                found[:, t, c] = _interpolated(some, images[there], hits[t, there], totals[:, c])
        return found

    most = max((int(hits[:, mine].sum(1).max()) for mine in of_class if len(mine)), default=0)
    return in_blocks(of_some, weights, max(most, len(RECALLS)))


def _interpolated(weights: np.ndarray, images: np.ndarray, hits: np.ndarray, totals: np.ndarray) -> np.ndarray:
    """AP [resamples] of detections, best score first.

    Precision is highest at a hit, and only there recall grows: the detections between two hits are summed at once.

    weights [resamples, samples]; images, hits [detections]; totals, of boxes, [resamples].
    """
    ends = np.flatnonzero(hits)
    if not len(ends):
        return np.where(totals > 0, 0.0, np.nan)
    reached = ends[-1] + 1
    before = (np.cumsum(hits) - hits)[:reached]
    seen = group_sums(weights, images[:reached], before, len(ends)).cumsum(0)
    true = weights.T[images[ends]].cumsum(0)
    envelope = np.maximum.accumulate((true / np.maximum(seen, 1e-12))[::-1], axis=0)[::-1]
    places = _first_reaching(true / np.where(totals > 0, totals, 1.0), RECALLS)
    heights = np.take_along_axis(envelope, np.minimum(places, len(ends) - 1), 0)
    area = np.where(places < len(ends), heights, 0.0).sum(0) / len(RECALLS)
    return np.where(totals > 0, area, np.nan)


def _first_reaching(values: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Where each column of `values` [n, columns], which never fall, first reaches each of `wanted` [k]: [k, columns], n where it
    does not. NumPy's `searchsorted` takes one column.
    """
    low = np.zeros((len(wanted), values.shape[1]), np.int64)
    high = np.full_like(low, len(values))
    for _ in range(len(values).bit_length()):
        middle = (low + high) // 2
        there = np.take_along_axis(values, np.minimum(middle, len(values) - 1), 0)
        under = (there < wanted[:, None]) & (low < high)
        low, high = np.where(under, middle + 1, low), np.where(under | (low == high), high, middle)
    return low


def precision_recall(rows: list[Matches | None], num_classes: int) -> list[tuple[float, float]]:
    """(recall, precision) at IoU 0.5, the classes' detections pooled, at 101 recalls."""
    known = [row for row in rows if row is not None]
    if not known:
        return []
    scores = np.concatenate([row.scores[~row.ignored[0]] for row in known])
    hits = np.concatenate([row.hits[0, ~row.ignored[0]] for row in known])[np.argsort(-scores, kind="stable")]
    total = sum(int(row.num_boxes.sum()) for row in known)
    true = np.cumsum(hits)
    precision = true / np.arange(1, len(hits) + 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1] if len(hits) else precision
    places = np.searchsorted(true / max(total, 1), RECALLS, side="left")
    return [(float(r), float(envelope[p]) if p < len(hits) else 0.0) for r, p in zip(RECALLS, places, strict=True)]
