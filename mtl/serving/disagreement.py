"""Two models on the same images: how far they disagree, by task and by image, and the images where they do most."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from mtl.data.drawing import mosaic
from mtl.package import BUNDLE
from mtl.package.predictor import Predictor
from mtl.reports.prediction import Disagreement, Disagreements
from mtl.serving.gathered import ERROR, PATH, tables
from mtl.serving.overlay import SIDE, decode_picture, draw
from mtl.serving.sources import Chosen, Reader
from mtl.store import Store
from mtl.tasks import Task
from mtl.tasks.average_precision import iou_matrix
from mtl.tasks.detection import SHOWN

NUM_PICTURES = 12


def disagreement(task: Task, one: Any, other: Any) -> float:
    """0 for the same answer, 1 for none in common.

    Label: 0 or 1. Labels: 1 - intersection / union. Boxes above the drawing score: 1 - F1 of pairs of one class with an IoU
    of at least 0.5. Mask: share of pixels with another class. Value: difference, in the target's unit (not from 0 to 1).
    Other pictures: mean difference of pixels, 1 for 255.
    """
    if task.serves == "label":
        return float(one != other)
    if task.serves == "labels":
        first, second = set(one), set(other)
        return 1 - len(first & second) / max(len(first | second), 1) if first | second else 0.0
    if task.serves == "value":
        return abs(one - other)
    if task.serves == "boxes":
        return _boxes(one, other)
    first, second = decode_picture(one), decode_picture(other)
    if first.shape != second.shape:
        return 1.0
    if task.kind == "mask":
        return float((first != second).mean())
    return float(np.abs(first.astype(float) - second.astype(float)).mean() / np.iinfo(first.dtype).max)


def _differ(task: Task, one: Any, other: Any, score: float) -> bool:
    """Whether two answers differ by more than rounding: of a value, whatever its unit is."""
    return not math.isclose(one, other, rel_tol=1e-6) if task.serves == "value" else score > 1e-6


def _boxes(one: list[dict[str, Any]], other: list[dict[str, Any]]) -> float:
    first, second = ([b for b in boxes if b["score"] >= SHOWN] for boxes in (one, other))
    if not first or not second:
        return float(bool(first or second))
    corners = [np.array([[b[k] for k in ("x1", "y1", "x2", "y2")] for b in boxes]) for boxes in (first, second)]
    same = np.array([[a["label"] == b["label"] for b in second] for a in first])
    ious = np.where(same, iou_matrix(*corners), 0.0)
    pairs = 0
    while ious.max() >= 0.5:
        i, j = np.unravel_index(int(ious.argmax()), ious.shape)
        ious[i], ious[:, j] = 0.0, 0.0
        pairs += 1
    return 1 - 2 * pairs / (len(first) + len(second))


def compare(first: Store, second: Store, tasks: dict[str, Task]) -> tuple[dict[str, Disagreement], list[str]]:
    """Per task the mean disagreement and the share of images with any; and the images, most different first.

    Tasks that are not in both results are named and left out.
    """
    scores: dict[str, dict[str, float]] = {name: {} for name in tasks}
    changed = dict.fromkeys(tasks, 0)
    for one, other in zip(tables(first), tables(second), strict=True):
        shared = [name for name in tasks if name in one.column_names and name in other.column_names]
        for a, b in zip(one.to_pylist(), other.to_pylist(), strict=True):
            if a[ERROR] is None and b[ERROR] is None:
                for name in shared:
                    scores[name][a[PATH]] = disagreement(tasks[name], a[name], b[name])
                    changed[name] += _differ(tasks[name], a[name], b[name], scores[name][a[PATH]])
    found = {
        name: Disagreement(
            mean=float(np.mean(list(values.values()))),
            changed=changed[name] / len(values),
            unit=tasks[name].target.unit if tasks[name].serves == "value" else "",
            images=len(values),
        )
        for name, values in scores.items()
        if values
    }
    total: dict[str, float] = {}
    for name, values in scores.items():
        largest = max(values.values(), default=0.0) if tasks[name].serves == "value" else 1.0
        if not tasks[name].config.auxiliary:
            for image, value in values.items():
                total[image] = total.get(image, 0.0) + value / max(largest, 1e-9)
    return found, [image for image in sorted(total, key=lambda i: (-total[i], i)) if total[image] > 0]


def draw_most_different(
    path: Path, images: list[str], chosen: list[Chosen], first: tuple[Predictor, Store], second: tuple[Predictor, Store]
) -> bool:
    """A sheet with what the two say of each image side by side; False if there is nothing to show."""
    where, reader = {one.label: one for one in chosen}, Reader()
    rows = [_rows_of(store, set(images[:NUM_PICTURES])) for _, store in (first, second)]
    tiles: list[np.ndarray] = []
    for label in images[:NUM_PICTURES]:
        one = where[label]
        encoded = reader.read(one.place, one.name)
        pair = [
            draw(predictor.shown(encoded), found[label], predictor.tasks)
            for (predictor, _), found in zip((first, second), rows, strict=True)
        ]
        height = max(picture.shape[0] for picture in pair)
        padded = [
            cv2.copyMakeBorder(p, 0, height - p.shape[0], 4, 4, cv2.BORDER_CONSTANT, value=(255,) * 3) for p in pair
        ]
        tiles.append(np.hstack(padded))
    if not tiles:
        return False
    width, height = (max(tile.shape[axis] for tile in tiles) for axis in (1, 0))
    width, height = max(width, 2 * SIDE), height + 12
    even = [
        cv2.copyMakeBorder(t, 6, height - 6 - t.shape[0], 0, width - t.shape[1], cv2.BORDER_CONSTANT, value=(255,) * 3)
        for t in tiles
    ]
    cv2.imwrite(str(path), cv2.cvtColor(mosaic(even, 2), cv2.COLOR_RGB2BGR))
    return True


def _rows_of(store: Store, images: set[str]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for table in tables(store):
        found |= {row[PATH]: row for row in table.to_pylist() if row[PATH] in images}
    return found


def write_disagreement(
    folder: Path, packages: tuple[Path, Path], chosen: list[Chosen], stores: tuple[Store, Store]
) -> Disagreements:
    """disagreement.json and disagreement.png of two finished batch predictions, in `folder`."""
    predictors = [Predictor(package / BUNDLE) for package in packages]
    tasks = {name: task for name, task in predictors[0].tasks.items() if name in predictors[1].tasks}
    found, images = compare(*stores, tasks)
    only = sorted(predictors[0].tasks.keys() ^ predictors[1].tasks.keys())
    pairs = ((predictors[0], stores[0]), (predictors[1], stores[1]))
    picture = folder / "disagreement.png"
    result = Disagreements(
        tasks=found,
        only_one_has=tuple(only),
        most_different=tuple(images[:NUM_PICTURES]),
        picture=str(picture) if draw_most_different(picture, images, chosen, *pairs) else None,
    )
    (folder / "disagreement.json").write_text(json.dumps(result.as_json(), indent=1) + "\n", encoding="utf-8")
    return result
