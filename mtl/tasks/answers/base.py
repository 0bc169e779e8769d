"""What a kind of answer is: what users of a packaged model get for one task, in every form in which they get it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from mtl.data.prepare.picture import Picture
from mtl.tasks.base import Task

if TYPE_CHECKING:
    import pyarrow as pa
    from mlflow.types import ColSpec

Row = dict[str, Any]
"""A picture's answers of all tasks, by column."""


class Answer(ABC):
    """One kind of answer. It has no state: the task knows its classes and its unit."""

    name: ClassVar[str]
    page: ClassVar[str] = "picture"
    """How the endpoint's page shows it: label, labels, value, boxes, mask or picture; `lines` says `line` alone."""
    late_metric: ClassVar[str] = ""
    """The metric that labels which come late are judged by; none can be if empty."""
    has_classes: ClassVar[bool] = False
    """Whether an answer is one of the target's classes: a label that is none of them can be judged by nobody."""
    in_unit: ClassVar[bool] = False
    """Whether a distance is in the target's unit; it is from 0, the same, to 1, nothing in common, if not."""
    on_top: ClassVar[bool] = False
    """Whether it is drawn after what covers areas."""
    is_file: ClassVar[bool] = False
    """Whether it is a picture that batch predictions write as a file, too."""
    in_coco: ClassVar[bool] = False
    """Whether `objects` gives annotations of COCO."""

    @abstractmethod
    def row(self, name: str, task: Task, prediction: Any, picture: Picture) -> Row:
        """The task's columns; coordinates are of the image that came in."""

    @abstractmethod
    def fields(self, name: str) -> list[tuple[str, pa.DataType]]:
        """The columns and their pyarrow types."""

    @abstractmethod
    def columns(self, name: str) -> list[ColSpec]:
        """The columns as MLflow's ColSpec."""

    @abstractmethod
    def distance(self, one: Any, other: Any) -> float:
        """How far two answers to one picture are apart."""

    def differ(self, one: Any, other: Any, distance: float) -> bool:
        """Whether they differ by more than rounding."""
        return distance > 1e-6

    def summary(self, task: Task, predictions: Sequence[Any]) -> dict[str, list[Any]]:
        """Numbers, one per prediction, that say how a task answers without knowing whether it is right."""
        return {}

    def indices(self, predictions: Sequence[Any]) -> np.ndarray | None:
        """Of answers that are one class each: its index, int64 [predictions]."""
        return None

    def line(self, name: str, task: Task, row: Row) -> str:
        """A line below a drawn picture; empty for none."""
        return ""

    def drawn(self, task: Task, answer: Any) -> Any:
        """The answer as the task itself predicts it, for `Task.draw`, in pixels of the row's image; None for nothing."""
        return None

    def facts(self, task: Task) -> dict[str, Any]:
        """What else the page must know of the task: `edges`, pairs of points of an object that it joins by a line."""
        return {}

    def objects(self, answer: Any, numbers: dict[str, int]) -> Iterator[dict[str, Any]]:
        """Annotations of COCO without their ids and their image; numbers: category ids by class."""
        yield from ()

    def category(self, task: Task) -> dict[str, Any]:
        """What COCO's categories have beside an id and a name."""
        return {}
