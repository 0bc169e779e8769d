"""Pictures, as PNG in base64: classes of pixels, depths, directions, or the image itself."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import TYPE_CHECKING, Generic

import cv2
import numpy as np

from mtl.codecs.maps import encode_depth, encode_normals
from mtl.data.kinds.base import ArrowType
from mtl.data.prepare.picture import Picture
from mtl.tasks.answers.base import Answer, Columns, Row
from mtl.tasks.base import Prediction, Task
from mtl.tasks.predictions import ClassMask, NormalMap, NumberMap, Pixels

if TYPE_CHECKING:
    from mlflow.types import ColSpec


class PngAnswer(Answer[Prediction, str], Generic[Prediction]):
    """A picture in one column."""

    def fields(self, name: str) -> list[tuple[str, ArrowType]]:
        import pyarrow as pa

        return [(name, pa.string())]

    def columns(self, name: str) -> list[ColSpec]:
        from mlflow.types.schema import ColSpec

        return [ColSpec("string", name)]

    def distance(self, one: str, other: str) -> float:
        """The mean difference of their pixels, 1 for white and black."""
        first, second = decode_picture(one), decode_picture(other)
        return self._apart(first, second) if first.shape == second.shape else 1.0

    def _apart(self, first: np.ndarray, second: np.ndarray) -> float:
        return float(np.abs(first.astype(float) - second.astype(float)).mean() / np.iinfo(first.dtype).max)


class Image(PngAnswer[Pixels]):
    """The image as the model has it, at its own size: `pixels`, uint8 [height, width, channels]."""

    name = "picture"

    def row(self, name: str, task: Task, prediction: Pixels, picture: Picture) -> Row:
        pixels = prediction["pixels"]
        colour = cv2.cvtColor(pixels[..., :3], cv2.COLOR_RGB2BGR) if pixels.shape[2] >= 3 else pixels[..., 0]
        return {name: _png(colour)}


class Outline(PngAnswer[ClassMask]):
    """Class indices, which the page and drawings show as a picture beside the image."""

    name = "outline"

    def row(self, name: str, task: Task, prediction: ClassMask, picture: Picture) -> Row:
        return {name: _png(picture.classes_back(prediction["mask"]))}


class Mask(Outline):
    """Class indices, which lie on the image."""

    name = page = "mask"
    is_file = True

    def _apart(self, first: np.ndarray, second: np.ndarray) -> float:
        """The share of pixels with another class."""
        return float((first != second).mean())

    def summary(self, task: Task, predictions: Sequence[ClassMask]) -> Columns:
        names = task.target.classes
        return {f"share_{name}": [(p["mask"] == c).mean() for p in predictions] for c, name in enumerate(names)}

    def drawn(self, task: Task, answer: str) -> ClassMask | None:
        return {"mask": decode_picture(answer)}


class Depth(PngAnswer[NumberMap]):
    """16 bits in steps of the target's scale; 0 is unknown."""

    name = "depth"

    def row(self, name: str, task: Task, prediction: NumberMap, picture: Picture) -> Row:
        data = encode_depth(picture.measures_back(prediction["map"]), task.target.scale)
        return {name: base64.b64encode(data).decode()}

    def summary(self, task: Task, predictions: Sequence[NumberMap]) -> Columns:
        return {"mean": [np.nanmean(one["map"]) for one in predictions]}


class Normals(PngAnswer[NormalMap]):
    """Directions as colours."""

    name = "normals"

    def row(self, name: str, task: Task, prediction: NormalMap, picture: Picture) -> Row:
        data = encode_normals(picture.measures_back(prediction["normals"]))
        return {name: base64.b64encode(data).decode()}


def decode_picture(text: str) -> np.ndarray:
    """A picture of a row (PNG in base64) as an array."""
    image = cv2.imdecode(np.frombuffer(base64.b64decode(text), np.uint8), cv2.IMREAD_UNCHANGED)
    assert image is not None
    return image


def _png(image: np.ndarray) -> str:
    ok, data = cv2.imencode(".png", image)  # the default is the fastest
    assert ok
    return base64.b64encode(data.tobytes()).decode()
