"""What `evaluate` and `package` read."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator

from mtl.config.evaluate import EvaluateConfig
from mtl.config.model import ModelConfig
from mtl.config.section import Section, Seed
from mtl.config.tasks import AnyTask
from mtl.config.train import TrainConfig

TaskName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]


class ModelTree(Section):
    """The model and its tasks, how it is judged, and (`train`) with how many threads it was made."""

    seed: Seed
    tasks: Annotated[dict[TaskName, AnyTask], Field(min_length=1)]
    model: ModelConfig
    train: TrainConfig
    evaluate: EvaluateConfig

    @field_validator("tasks")
    @classmethod
    def _ordered(cls, tasks: dict[str, AnyTask]) -> dict[str, AnyTask]:
        # Initial weights are drawn task by task: the order of keys in a file must not change them.
        return dict(sorted(tasks.items()))
