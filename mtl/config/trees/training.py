"""What `train` reads."""

from __future__ import annotations

from pydantic import model_validator

from mtl.config.augment import AugmentConfig
from mtl.config.objective import ObjectiveConfig
from mtl.config.order import WholeOrder
from mtl.config.together import check_changes, check_together
from mtl.config.trees.evaluation import EvaluationTree


class TrainingTree(EvaluationTree):
    """All that the weights depend on, and where they are trained."""

    objective: ObjectiveConfig
    augment: AugmentConfig

    @model_validator(mode="after")
    def _together(self) -> TrainingTree:
        check_together(self.model, self.objective, self.train, list(self.tasks))
        check_changes(self.augment, self.tasks)
        if self.cluster.shards == "stream" and isinstance(self.train.order, WholeOrder):
            raise ValueError(
                "cluster.shards: stream reads shards in turn, and train.order: whole needs all of them at any time; set train.order to "
                "{type: window, shards: 64}"
            )
        if all(task.auxiliary for task in self.tasks.values()):
            raise ValueError("every task is auxiliary: the gate would have nothing to compare")
        return self
