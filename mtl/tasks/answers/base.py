"""What a kind of answer is: what users of a packaged model get for one task, in every form in which they get it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Generic

import numpy as np
from typing_extensions import TypeVar

from mtl.data.kinds.base import ArrowType
from mtl.data.prepare.picture import Picture
from mtl.tasks.base import Prediction, Task

if TYPE_CHECKING:
    from mlflow.types import ColSpec

Told = TypeVar("Told", default=Any)
"""What a row says of one task, in its first column."""
Row = dict[str, Any]
"""A picture's answers of all tasks, by column."""
Columns = dict[str, list[float | np.number]]
"""Numbers by name, one per prediction."""


class Answer(ABC, Generic[Prediction, Told]):
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
    def row(self, name: str, task: Task, prediction: Prediction, picture: Picture) -> Row:
        """The task's columns; coordinates are of the image that came in."""

    @abstractmethod
    def fields(self, name: str) -> list[tuple[str, ArrowType]]:
        """The columns and their pyarrow types."""

    @abstractmethod
    def columns(self, name: str) -> list[ColSpec]:
        """The columns as MLflow's ColSpec."""

    @abstractmethod
    def distance(self, one: Told, other: Told) -> float:
        """How far two answers to one picture are apart."""

    def differ(self, one: Told, other: Told, distance: float) -> bool:
        """Whether they differ by more than rounding."""
        return distance > 1e-6

    def summary(self, task: Task, predictions: Sequence[Prediction]) -> Columns:
        """Numbers, one per prediction, that say how a task answers without knowing whether it is right."""
        return {}

    def indices(self, predictions: Sequence[Prediction]) -> np.ndarray | None:
        """Of answers that are one class each: its index, int64 [predictions]."""
        return None

    def line(self, name: str, task: Task, row: Row) -> str:
        """A line below a drawn picture; empty for none."""
        return ""

    def drawn(self, task: Task, answer: Told) -> Prediction | None:
        """The answer as the task itself predicts it, for `Task.draw`, in pixels of the row's image; None for nothing."""
        return None

    def facts(self, task: Task) -> dict[str, object]:
        """What else the page must know of the task: `edges`, pairs of points of an object that it joins by a line."""
        return {}

    def objects(self, answer: Told, numbers: dict[str, int]) -> Iterator[dict[str, object]]:
        """Annotations of COCO without their ids and their image; numbers: category ids by class."""
        yield from ()

    def category(self, task: Task) -> dict[str, object]:
        """What COCO's categories have beside an id and a name."""
        return {}
