"""Two models on the same images: how far they disagree, by task and by image, and the images where they do most."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from mtl.data.inspect.drawing import mosaic
from mtl.package import BUNDLE
from mtl.package.predictor import Predictor
from mtl.reports.prediction import Disagreement, Disagreements
from mtl.serving.export import ERROR, PATH, tables
from mtl.serving.overlay import SIDE, draw
from mtl.serving.sources import Chosen, Reader
from mtl.storage.store import Store
from mtl.tasks import Task
from mtl.tasks.answers import answer_of

NUM_PICTURES = 12


def compare(first: Store, second: Store, tasks: dict[str, Task]) -> tuple[dict[str, Any], list[str]]:
    """Per task the mean disagreement and the share of images with any; and the images, most different first.

    Tasks that are not in both results are named and left out.
    """
    answers = {name: answer_of(task) for name, task in tasks.items()}
    scores: dict[str, dict[str, float]] = {name: {} for name in tasks}
    changed = dict.fromkeys(tasks, 0)
    for one, other in zip(tables(first), tables(second), strict=True):
        shared = [name for name in tasks if name in one.column_names and name in other.column_names]
        for a, b in zip(one.to_pylist(), other.to_pylist(), strict=True):
            if a[ERROR] is None and b[ERROR] is None:
                for name in shared:
                    scores[name][a[PATH]] = answers[name].distance(a[name], b[name])
                    changed[name] += answers[name].differ(a[name], b[name], scores[name][a[PATH]])
    found = {
        name: Disagreement(
            mean=float(np.mean(list(values.values()))),
            changed=changed[name] / len(values),
            unit=tasks[name].target.unit if answers[name].in_unit else "",
            images=len(values),
        )
        for name, values in scores.items()
        if values
    }
    total: dict[str, float] = {}
    for name, values in scores.items():
        largest = max(values.values(), default=0.0) if answers[name].in_unit else 1.0
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
        encoded = reader.read(one.root, one.name)
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
