"""One number."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from mtl.data.kinds.base import ArrowType
from mtl.data.prepare.picture import Picture
from mtl.tasks.answers.base import Answer, Columns, Row
from mtl.tasks.base import Task
from mtl.tasks.predictions import Number

if TYPE_CHECKING:
    from mlflow.types import ColSpec


class Value(Answer[Number, float]):
    """A number in the target's unit."""

    name = page = "value"
    late_metric = "mae"
    in_unit = True

    def row(self, name: str, task: Task, prediction: Number, picture: Picture) -> Row:
        return {name: float(prediction["value"])}

    def fields(self, name: str) -> list[tuple[str, ArrowType]]:
        import pyarrow as pa

        return [(name, pa.float64())]

    def columns(self, name: str) -> list[ColSpec]:
        from mlflow.types.schema import ColSpec

        return [ColSpec("double", name)]

    def distance(self, one: float, other: float) -> float:
        """Their difference."""
        return abs(one - other)

    def differ(self, one: float, other: float, distance: float) -> bool:
        return not math.isclose(one, other, rel_tol=1e-6)  # whatever the unit is

    def summary(self, task: Task, predictions: Sequence[Number]) -> Columns:
        return {"value": [one["value"] for one in predictions]}

    def line(self, name: str, task: Task, row: Row) -> str:
        return f"{name}: {row[name]:.2f} {task.target.unit}"
