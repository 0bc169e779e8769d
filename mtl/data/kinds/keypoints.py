"""`keypoints`: objects with named points, as COCO has them: where each is, and whether anybody said so.

A row is x1, y1, x2, y2, label, kind, area and x, y, visibility of each point: pixels; kind as in mtl/data/kinds/box_table.py; the area that
COCO measures distances by; visibility 0 where a point is not labelled, of which nothing is known, 1 where it is hidden, 2 where
it is seen.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mtl.data.kinds.base import Arrays, ArrowType, Kind, Layers, Motion, OfObjects, PlacedObject
from mtl.data.kinds.boxes import check_boxes, clipped, covered, stays
from mtl.data.kinds.skeleton import check_labelled, skeleton_of, skeleton_of_category, triples
from mtl.data.spec import TargetSpec
from mtl.errors import DataError

if TYPE_CHECKING:
    from torch import Tensor

    from mtl.data.prepare.picture import Picture

LABEL, KIND, AREA, POINTS = 4, 5, 6, 7
"""Columns of a row; the points' are from POINTS on."""


class Keypoints(Kind[list[list[float]], np.ndarray, "Tensor"], OfObjects):
    """Rows of a box, what it is, and points."""

    name = "keypoints"
    task = "keypoints"
    rows = True
    balanced = True
    setting = "keypoints"

    def column(self) -> ArrowType:
        import pyarrow as pa

        return pa.list_(pa.list_(pa.float64()))

    def check_spec(self, spec: TargetSpec) -> None:
        skeleton_of(spec)

    def faults(self, spec: TargetSpec, values: Sequence[list[list[float]]]) -> str:
        labelled = any(any(row[POINTS + 2 :: 3]) for value in values for row in value)
        return "" if labelled else "no image has a labelled point; no task"

    def classes_of(self, value: list[list[float]]) -> list[int]:
        return [int(row[LABEL]) for row in value if not row[KIND]]

    def of_categories(self, categories: Sequence[Mapping[str, Any]]) -> TargetSpec:
        found = {c["name"]: skeleton_of_category(c) for c in categories if c.get("keypoints")}
        if not found:
            raise DataError(
                "no category has keypoints",
                found=f"categories {', '.join(c['name'] for c in categories) or 'none'}",
                fix="give the file whose categories have a list `keypoints` of names, or leave `keypoints` of the set out",
            )
        names, skeletons = [*found], [*found.values()]
        other = next((name for name in names if found[name] != skeletons[0]), None)
        if other:
            raise DataError(
                f"the categories {names[0]} and {other} have different keypoints",
                found=f"{', '.join(skeletons[0].points[:6])} … and {', '.join(found[other].points[:6])} …",
                fix="a set and a target each: `classes` chooses the categories of a set",
            )
        return TargetSpec(kind=self.name, classes=tuple(names), facts=skeletons[0].model_dump(mode="json"))

    def points(self, annotation: Mapping[str, Any], spec: TargetSpec) -> list[list[float]]:
        return [triple[:2] for triple in triples(annotation, len(skeleton_of(spec).points))]

    def row(
        self, annotation: Mapping[str, Any], spec: TargetSpec, placed: PlacedObject, points: np.ndarray
    ) -> list[float] | None:
        if placed.category not in spec.classes:
            return None
        seen = [triple[2] for triple in triples(annotation, len(points))]
        check_labelled(annotation, seen, points, placed.size)
        x1, y1, x2, y2 = placed.box
        area = (x2 - x1) * (y2 - y1)
        given = annotation.get("area")
        if isinstance(given, int | float) and math.isfinite(given) and given > 0:
            area = float(given) * placed.area
        row = [x1, y1, x2, y2, float(spec.classes.index(placed.category)), placed.kind, area]
        for (x, y), mark in zip(points.tolist(), seen, strict=True):
            row += [x, y, mark] if mark else [0.0, 0.0, 0.0]
        return row

    def enter(self, name: str, value: list[list[float]], spec: TargetSpec, picture: Picture) -> bool:
        table = _table(name, value, spec)
        picture.points[name] = np.concatenate([table[:, :4].reshape(-1, 2), table[:, POINTS:].reshape(-1, 3)[:, :2]])
        return bool(len(table))

    def leave(self, name: str, value: list[list[float]], spec: TargetSpec, picture: Picture) -> np.ndarray:
        table = _table(name, value, spec)
        moved, (x, y) = picture.points[name], picture.scale
        table[:, :4] = moved[: 2 * len(table)].reshape(-1, 4)
        points = table[:, POINTS:].reshape(len(table), len(skeleton_of(spec).points), 3).copy()
        points[..., :2] = moved[2 * len(table) :].reshape(points.shape[:2] + (2,))
        points[points[..., 2] == 0] = 0.0
        table[:, POINTS:] = points.reshape(len(table), -1) if len(table) else 0.0
        table[:, AREA] *= x * y
        check_boxes(name, table, len(spec.classes), picture.region)
        return table

    def pack(
        self, name: str, values: Sequence[np.ndarray | None], spec: TargetSpec, size: tuple[int, int]
    ) -> dict[str, np.ndarray]:
        nothing = np.zeros((0, POINTS + 3 * len(skeleton_of(spec).points)), np.float32)
        rows = [nothing if v is None else v for v in values]
        return {
            f"{name}.rows": np.concatenate(rows).astype(np.float32),
            f"{name}.offsets": np.cumsum([0, *(len(r) for r in rows)]).astype(np.int64),
        }

    def unpack(self, arrays: Arrays, name: str, index: int) -> np.ndarray:
        """float32 [objects, 7 + 3 · points]."""
        begin, end = arrays[f"{name}.offsets"][index : index + 2]
        return np.array(arrays[f"{name}.rows"][begin:end])

    def move(self, value: Tensor, motion: Motion, spec: TargetSpec) -> Tensor:
        """Boxes as boxes move; points that have left the image are not labelled any more; in a mirror left is right."""
        moved, visible = clipped(value, motion)
        moved[..., AREA] *= motion.scale()[:, None].square()
        points = value[..., POINTS:].unflatten(-1, (-1, 3))
        places = motion.points(points[..., :2].flatten(1, 2)).unflatten(1, points.shape[1:3])
        first, last = (corner.unsqueeze(-2) for corner in motion.window())
        inside = ((places >= first) & (places < last)).all(-1) & (points[..., 2] > 0)
        known = points.clone()
        known[..., :2] = places
        known *= inside[..., None]
        moved[..., POINTS:] = motion.exchanged(known, skeleton_of(spec).twins).flatten(2)
        return moved * stays(value, visible, value[..., KIND] == 0)[..., None]

    def join(self, value: Tensor, present: Tensor, layers: Layers, spec: TargetSpec) -> tuple[Tensor, Tensor]:
        return layers.together(value, _hidden), layers.all(present) & ~layers.blended

    def count(self, arrays: Arrays, name: str, spec: TargetSpec) -> Counter[int]:
        rows = arrays[f"{name}.rows"]
        return Counter(rows[rows[:, KIND] == 0, LABEL].astype(int).tolist())

    def has(self, value: np.ndarray, label: int) -> bool:
        return bool((value[value[:, KIND] == 0, LABEL] == label).any())

    def words(self, value: np.ndarray, spec: TargetSpec) -> str:
        counted = value[value[:, KIND] == 0]
        return f"{len(counted)} objects, {int((counted[:, POINTS + 2 :: 3] > 0).sum())} points"


def _hidden(rows: Tensor, window: Tensor) -> Tensor:
    """Points behind the window are not labelled any more."""
    found, share = covered(rows, window)
    points = rows[..., POINTS:].unflatten(-1, (-1, 3))
    corners = window[..., None, :]
    behind = ((points[..., :2] >= corners[..., :2]) & (points[..., :2] < corners[..., 2:])).all(-1)
    found[..., POINTS:] = (points * ~behind[..., None]).flatten(2)
    return found * stays(rows, share, rows[..., KIND] == 0)[..., None]


def _table(name: str, rows: Sequence[Sequence[float]], spec: TargetSpec) -> np.ndarray:
    """Rows of a raw data set as float32 [objects, 7 + 3 · points]."""
    width = POINTS + 3 * len(skeleton_of(spec).points)
    if {len(row) for row in rows} - {width}:
        found = f"rows of {sorted({len(row) for row in rows})} numbers"
        raise DataError(f"{name} has an object that is no box with points", found=found, fix=f"{width} numbers in all")
    return np.array(rows, np.float32).reshape(-1, width)
