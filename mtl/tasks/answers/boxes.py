"""Any number of labelled boxes with scores."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Generic, Literal, TypedDict

import numpy as np
from typing_extensions import TypeVar

from mtl.data.kinds.base import ArrowType
from mtl.data.prepare.picture import Picture
from mtl.tasks.answers.base import Answer, Columns, Row
from mtl.tasks.average_precision import iou_matrix
from mtl.tasks.base import Task
from mtl.tasks.detection import SHOWN
from mtl.tasks.predictions import Objects

if TYPE_CHECKING:
    from mlflow.types import ColSpec

SIDES: tuple[Literal["x1"], Literal["y1"], Literal["x2"], Literal["y2"]] = ("x1", "y1", "x2", "y2")


class Box(TypedDict):
    """One object, in pixels of the image that came in."""

    label: str
    score: float
    x1: float
    y1: float
    x2: float
    y2: float


Found = TypeVar("Found", bound=Objects, default=Objects)
Told = TypeVar("Told", bound=Box, default=Box)


class ObjectAnswer(Answer[Found, list[Told]], Generic[Found, Told]):
    """A list of objects, each with a box."""

    on_top = True
    in_coco = True

    def row(self, name: str, task: Task, prediction: Found, picture: Picture) -> Row:
        """Clipped to the image that came in; what lies in the padding alone is none."""
        boxes = picture.boxes_back(prediction["boxes"])
        found: list[Box] = [
            {"label": task.target.classes[label], "score": score, "x1": x1, "y1": y1, "x2": x2, "y2": y2}
            for (x1, y1, x2, y2), label, score in zip(
                boxes.tolist(), prediction["labels"].tolist(), prediction["scores"].tolist(), strict=True
            )
            if x1 < x2 and y1 < y2
        ]
        return {name: found}

    def distance(self, one: list[Told], other: list[Told]) -> float:
        """1 - F1 of pairs of one class that are alike by 0.5 at least (boxes: their IoU), of boxes above the score from which they are drawn."""
        first, second = ([b for b in boxes if b["score"] >= SHOWN] for boxes in (one, other))
        if not first or not second:
            return float(bool(first or second))
        same = np.array([[a["label"] == b["label"] for b in second] for a in first])
        ious = np.where(same, self.alike(first, second), 0.0)
        pairs = 0
        while ious.max() >= 0.5:
            i, j = np.unravel_index(int(ious.argmax()), ious.shape)
            ious[i], ious[:, j] = 0.0, 0.0
            pairs += 1
        return 1 - 2 * pairs / (len(first) + len(second))

    @abstractmethod
    def alike(self, first: list[Told], second: list[Told]) -> np.ndarray:
        """Of every pair, from 0 to 1: [first, second]."""

    def summary(self, task: Task, predictions: Sequence[Found]) -> Columns:
        return {
            "num_boxes": [(one["scores"] >= SHOWN).sum() for one in predictions],
            "score": [one["scores"].max(initial=0.0) for one in predictions],
        }

    def objects(self, answer: list[Told], numbers: dict[str, int]) -> Iterator[dict[str, object]]:
        for box in answer:
            width, height = box["x2"] - box["x1"], box["y2"] - box["y1"]
            yield {
                "category_id": numbers[box["label"]],
                "bbox": [box["x1"], box["y1"], width, height],
                "area": width * height,
                "iscrowd": 0,
                "score": box["score"],
            }


class Boxes(ObjectAnswer[Objects, Box]):
    """A list of {label, score, x1, y1, x2, y2}."""

    name = page = "boxes"

    def fields(self, name: str) -> list[tuple[str, ArrowType]]:
        import pyarrow as pa

        box = pa.struct([("label", pa.string()), *((key, pa.float64()) for key in ("score", *SIDES))])
        return [(name, pa.list_(box))]

    def columns(self, name: str) -> list[ColSpec]:
        from mlflow.types.schema import Array, ColSpec, DataType, Object, Property

        numbers = (Property(field, DataType.double) for field in ("score", *SIDES))
        return [ColSpec(Array(Object([Property("label", DataType.string), *numbers])), name)]

    def alike(self, first: list[Box], second: list[Box]) -> np.ndarray:
        """Of every pair, from 0 to 1: [first, second]."""
        corners = [np.array([[b[k] for k in SIDES] for b in boxes]) for boxes in (first, second)]
        return iou_matrix(*corners)

    def drawn(self, task: Task, answer: list[Box]) -> Objects:
        return as_objects(task, answer)


def as_objects(task: Task, answer: Sequence[Box]) -> Objects:
    """Boxes as tasks predict them."""
    return {
        "boxes": np.array([[box[key] for key in SIDES] for box in answer]).reshape(-1, 4),
        "labels": np.array([task.target.classes.index(box["label"]) for box in answer], int),
        "scores": np.array([box["score"] for box in answer]),
    }
