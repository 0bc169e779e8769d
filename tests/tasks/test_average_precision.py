"""Our average precision against COCO's own evaluation, over random images: ties, whole pixels, crowds, many detections."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import numpy as np
import pytest
from faster_coco_eval import COCO, COCOeval_faster

from mtl.data.kinds.box_table import CROWD, DIFFICULT
from mtl.tasks.average_precision import Matches, average_precisions, iou_matrix, match, precision_recall

Image = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
"""Boxes, labels and scores of detections; the table of true boxes."""
NUM_CLASSES = 3


def coco_eval(images: list[Image]) -> np.ndarray:
    """AP by threshold and class, NaN where a class has no boxes, of COCOeval with all detections."""
    annotations: list[dict[str, Any]] = []
    detections: list[dict[str, Any]] = []
    for number, (boxes, labels, scores, truth) in enumerate(images, 1):
        for x1, y1, x2, y2, label, kind in np.column_stack([truth, np.zeros((len(truth), 6 - truth.shape[1]))]):
            box = [float(x1), float(y1), float(x2) - float(x1), float(y2) - float(y1)]
            annotations.append(
                {"id": len(annotations) + 1, "image_id": number, "category_id": int(label) + 1, "bbox": box}
                | {"area": box[2] * box[3], "iscrowd": int(kind)}
            )
        for (x1, y1, x2, y2), label, value in zip(boxes.astype(float), labels, scores, strict=True):
            box = [x1, y1, x2 - x1, y2 - y1]
            detections.append({"image_id": number, "category_id": int(label) + 1, "bbox": box, "score": float(value)})
    truth_set = {"images": [{"id": i + 1} for i in range(len(images))], "annotations": annotations}
    with contextlib.redirect_stdout(io.StringIO()):
        known = COCO(truth_set | {"categories": [{"id": c + 1, "name": str(c)} for c in range(NUM_CLASSES)]})
        judge = COCOeval_faster(known, known.loadRes(detections), iouType="bbox")
        judge.params.maxDets = [1, 10, 10_000]
        judge.params.areaRng, judge.params.areaRngLbl = [[0, 1e10]], ["all"]
        judge.evaluate()
        judge.accumulate()
    precision = judge.eval["precision"][:, :, :, 0, -1]  # [thresholds, recalls, classes]
    return np.where(precision[:, 0] >= 0, precision.mean(1), np.nan)


def draw_image(rng: np.random.Generator, whole: bool, tied: bool, crowds: bool, most: int) -> Image:
    """Boxes and detections near them; on whole pixels, with tied scores, with crowds, as asked."""
    count = int(rng.integers(0, 7))
    corner, size = rng.uniform(0, 50, (count, 2)), rng.uniform(2, 40, (count, 2))
    truth = np.concatenate([corner, corner + size, rng.integers(0, NUM_CLASSES, (count, 1))], 1)
    if crowds and count:
        truth = np.column_stack([truth, rng.random(count) < 0.3])
    number = int(rng.integers(1, most))
    boxes, labels = rng.uniform(0, 40, (number, 4)), rng.integers(0, NUM_CLASSES, number)
    if count:
        near = rng.integers(0, count, number)
        boxes = truth[near, :4] + rng.normal(0, rng.choice([0.5, 3.0, 8.0]), (number, 4))
        labels = np.where(rng.random(number) < 0.8, truth[near, 4], labels).astype(int)
    if whole:
        truth[:, :4], boxes = truth[:, :4].round(), boxes.round()
    boxes[:, 2:] = np.maximum(boxes[:, 2:], boxes[:, :2] + 1)
    scores = rng.random(number).round(1) if tied else rng.random(number)
    return boxes.astype(np.float32), labels, scores.astype(np.float32), truth.astype(np.float32)


def rows_of(images: list[Image]) -> list[Matches | None]:
    return [match(boxes, labels, scores, truth, NUM_CLASSES) for boxes, labels, scores, truth in images]


def assert_same(found: np.ndarray, wanted: np.ndarray) -> None:
    assert (np.isnan(found) == np.isnan(wanted)).all()
    assert np.nanmax(np.abs(found - wanted), initial=0.0) < 1e-9


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("crowds", [False, True])
def test_it_equals_coco_s_evaluation(whole: bool, tied: bool, crowds: bool) -> None:
    rng = np.random.default_rng([whole, tied, crowds])
    for case in range(25):
        most = 160 if case % 8 == 7 else 15
        images = [draw_image(rng, whole, tied, crowds, most) for _ in range(int(rng.integers(1, 9)))]
        assert_same(
            average_precisions(rows_of(images), np.ones((1, len(images))), NUM_CLASSES, 10)[0], coco_eval(images)
        )


@pytest.mark.parametrize("crowds", [False, True])
def test_weights_equal_coco_s_evaluation_of_repeated_images(crowds: bool) -> None:
    rng = np.random.default_rng(5 + crowds)
    for _ in range(15):
        images = [draw_image(rng, True, False, crowds, 15) for _ in range(6)]
        times = rng.multinomial(6, np.full(6, 1 / 6))
        repeated = [image for image, number in zip(images, times, strict=True) for _ in range(number)]
        found = average_precisions(rows_of(images), times[None].astype(float), NUM_CLASSES, 10)[0]
        assert_same(found, coco_eval(repeated))


def test_a_crowd_takes_any_number_and_is_never_missed() -> None:
    truth = np.array([[10, 10, 30, 30, 0, 0], [50, 0, 100, 100, 0, CROWD]], float)
    boxes = np.array([[60, 10, 80, 30], [60, 40, 80, 60], [10, 10, 30, 30]], float)
    found = match(boxes, np.zeros(3, int), np.array([0.9, 0.8, 0.7]), truth, 1)
    assert found.hits[:, 2].all()
    assert found.ignored[:, :2].all()
    assert found.num_boxes.tolist() == [1]
    assert average_precisions([found], np.ones((1, 1)), 1, 1)[0, 0, 0] == 1.0
    assert precision_recall([found], 1)[-1] == (1.0, 1.0)
    other = match(boxes, np.ones(3, int), np.array([0.9, 0.8, 0.7]), truth, 2)
    assert not other.ignored.any(), "another class' detections count"


def test_a_difficult_box_is_compared_by_its_own_size() -> None:
    """Inside a large difficult object a small detection is wrong; around it one that fits is ignored, twice too."""
    truth = np.array([[0, 0, 40, 40, 0, DIFFICULT]], float)
    boxes = np.array([[5, 5, 15, 15], [0, 0, 40, 38], [0, 0, 40, 36]], float)
    found = match(boxes, np.zeros(3, int), np.array([0.9, 0.8, 0.7]), truth, 1)
    assert found.ignored[0].tolist() == [False, True, True]
    assert not found.hits.any()
    assert np.isnan(average_precisions([found], np.ones((1, 1)), 1, 1)).all(), "no box counts: nothing to judge"


def test_iou_is_exact_however_small_the_boxes() -> None:
    boxes = np.array([[0, 0, 4, 3]], np.float32)
    for scale in (1e-6, 1.0, 1e6):
        assert iou_matrix(boxes * scale, boxes * np.float32(scale) * [1, 1, 1, 0.5])[0, 0] == pytest.approx(0.5)
    assert iou_matrix(boxes, np.zeros((1, 4)))[0, 0] == 0.0
    assert iou_matrix(np.zeros((1, 4)), np.zeros((1, 4)))[0, 0] == 0.0
