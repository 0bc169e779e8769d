"""Any number of labelled boxes with scores and named points."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, TypedDict

import numpy as np

from mtl.data.kinds.base import ArrowType
from mtl.data.kinds.keypoints import AREA, POINTS
from mtl.data.kinds.skeleton import skeleton_of
from mtl.data.prepare.picture import Picture
from mtl.tasks.answers.base import Columns, Row
from mtl.tasks.answers.boxes import SIDES, Box, ObjectAnswer, as_objects
from mtl.tasks.base import Task
from mtl.tasks.detection import SHOWN
from mtl.tasks.oks import oks, sigmas_of
from mtl.tasks.predictions import ObjectsWithPoints

if TYPE_CHECKING:
    from mlflow.types import ColSpec


class Point(TypedDict):
    """In pixels of the image that came in."""

    name: str
    x: float
    y: float
    score: float


class PosedBox(Box):
    """An object with its points."""

    points: list[Point]


class Keypoints(ObjectAnswer[ObjectsWithPoints, PosedBox]):
    """A list of {label, score, x1, y1, x2, y2, points}; points: a list of {name, x, y, score}. A point's score is the height of
    its own heatmap, 0 where it shows none and its object alone says where it is.
    """

    name = "keypoints"
    page = "boxes"

    def row(self, name: str, task: Task, prediction: ObjectsWithPoints, picture: Picture) -> Row:
        """Points are not clipped: their image may go on where the picture ends."""
        names = skeleton_of(task.target).points
        places = picture.points_back(prediction["points"][..., :2].reshape(-1, 2)).reshape(-1, len(names), 2)
        area = picture.boxes_back(prediction["boxes"])
        sound = (area[:, 0] < area[:, 2]) & (area[:, 1] < area[:, 3])
        found = super().row(name, task, prediction, picture)[name]
        heights = prediction["points"][..., 2]
        for one, place, height in zip(found, places[sound], heights[sound], strict=True):
            triples = zip(names, place.tolist(), height.tolist(), strict=True)
            one["points"] = [{"name": point, "x": x, "y": y, "score": score} for point, (x, y), score in triples]
        return {name: found}

    def fields(self, name: str) -> list[tuple[str, ArrowType]]:
        import pyarrow as pa

        point = pa.struct([("name", pa.string()), *((key, pa.float64()) for key in ("x", "y", "score"))])
        sides = ((key, pa.float64()) for key in ("score", *SIDES))
        return [(name, pa.list_(pa.struct([("label", pa.string()), *sides, ("points", pa.list_(point))])))]

    def columns(self, name: str) -> list[ColSpec]:
        from mlflow.types.schema import Array, ColSpec, DataType, Object, Property

        numbers = (Property(field, DataType.double) for field in ("score", *SIDES))
        place = (Property(field, DataType.double) for field in ("x", "y", "score"))
        points = Property("points", Array(Object([Property("name", DataType.string), *place])))
        return [ColSpec(Array(Object([Property("label", DataType.string), *numbers, points])), name)]

    def alike(self, first: list[PosedBox], second: list[PosedBox]) -> np.ndarray:
        """OKS, the second's taken for the truth."""
        names = [point["name"] for point in second[0]["points"]]
        rows = np.array([[*(one[side] for side in SIDES), 0, 0, 0, *_flat(one, 2)] for one in second])
        rows[:, AREA] = (rows[:, 2:4] - rows[:, :2]).prod(1)
        assert rows.shape[1] == POINTS + 3 * len(names)
        places = np.array([[[point["x"], point["y"]] for point in one["points"]] for one in first])
        return oks(places, rows, sigmas_of(names))

    def summary(self, task: Task, predictions: Sequence[ObjectsWithPoints]) -> Columns:
        shown = [one["points"][one["scores"] >= SHOWN][..., 2] for one in predictions]
        return {
            **{key.replace("boxes", "objects"): column for key, column in super().summary(task, predictions).items()},
            "point_score": [found.mean() if found.size else np.nan for found in shown],
        }

    def drawn(self, task: Task, answer: list[PosedBox]) -> ObjectsWithPoints:
        number = len(skeleton_of(task.target).points)
        points = [[[point["x"], point["y"], point["score"]] for point in one["points"]] for one in answer]
        return {**as_objects(task, answer), "points": np.array(points).reshape(-1, number, 3)}

    def facts(self, task: Task) -> dict[str, object]:
        return {"edges": [list(edge) for edge in skeleton_of(task.target).edges]}

    def objects(self, answer: list[PosedBox], numbers: dict[str, int]) -> Iterator[dict[str, object]]:
        for one, found in zip(answer, super().objects(answer, numbers), strict=True):
            yield {**found, "keypoints": _flat(one, 2), "num_keypoints": len(one["points"])}

    def category(self, task: Task) -> dict[str, object]:
        skeleton = skeleton_of(task.target)
        return {"keypoints": list(skeleton.points), "skeleton": [[a + 1, b + 1] for a, b in skeleton.edges]}


def _flat(one: PosedBox, visibility: int) -> list[float]:
    """x, y, visibility of each point, as COCO has them."""
    return [value for point in one["points"] for value in (point["x"], point["y"], visibility)]
