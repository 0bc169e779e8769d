"""One class, or any number of classes, with scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from mtl.data.kinds.base import ArrowType
from mtl.data.prepare.picture import Picture
from mtl.tasks.answers.base import Answer, Columns, Row
from mtl.tasks.base import Task
from mtl.tasks.predictions import ManyLabels, OneLabel

if TYPE_CHECKING:
    from mlflow.types import ColSpec


class Label(Answer[OneLabel, str]):
    """A class, and its score in a column of its own."""

    name = page = "label"
    late_metric = "accuracy"
    has_classes = True

    def row(self, name: str, task: Task, prediction: OneLabel, picture: Picture) -> Row:
        return {name: prediction["label"], f"{name}_score": float(max(prediction["scores"]))}

    def fields(self, name: str) -> list[tuple[str, ArrowType]]:
        import pyarrow as pa

        return [(name, pa.string()), (f"{name}_score", pa.float64())]

    def columns(self, name: str) -> list[ColSpec]:
        from mlflow.types.schema import ColSpec

        return [ColSpec("string", name), ColSpec("double", f"{name}_score")]

    def distance(self, one: str, other: str) -> float:
        """0 or 1."""
        return float(one != other)

    def summary(self, task: Task, predictions: Sequence[OneLabel]) -> Columns:
        return {"score": [max(one["scores"]) for one in predictions]}

    def indices(self, predictions: Sequence[OneLabel]) -> np.ndarray | None:
        return np.array([one["index"] for one in predictions], np.int64)

    def line(self, name: str, task: Task, row: Row) -> str:
        return f"{name}: {row[name]} {row[f'{name}_score']:.2f}"


class Labels(Answer[ManyLabels, list[str]]):
    """A list of classes, and the scores of all classes in a column of its own."""

    name = page = "labels"

    def row(self, name: str, task: Task, prediction: ManyLabels, picture: Picture) -> Row:
        return {name: prediction["labels"], f"{name}_scores": [float(score) for score in prediction["scores"]]}

    def fields(self, name: str) -> list[tuple[str, ArrowType]]:
        import pyarrow as pa

        return [(name, pa.list_(pa.string())), (f"{name}_scores", pa.list_(pa.float64()))]

    def columns(self, name: str) -> list[ColSpec]:
        from mlflow.types.schema import Array, ColSpec, DataType

        return [ColSpec(Array(DataType.string), name), ColSpec(Array(DataType.double), f"{name}_scores")]

    def distance(self, one: list[str], other: list[str]) -> float:
        """1 - intersection / union."""
        first, second = set(one), set(other)
        return 1 - len(first & second) / max(len(first | second), 1) if first | second else 0.0

    def summary(self, task: Task, predictions: Sequence[ManyLabels]) -> Columns:
        return {
            "num_labels": [len(one["labels"]) for one in predictions],
            "score": [np.mean(one["scores"]) for one in predictions],
        }

    def line(self, name: str, task: Task, row: Row) -> str:
        return f"{name}: {', '.join(row[name]) or 'none'}"
