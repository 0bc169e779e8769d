"""Settings that exclude each other, each refused with its reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mtl.config.augment import AugmentConfig
from mtl.config.model import ModelConfig
from mtl.config.objective import ObjectiveConfig
from mtl.config.order import WindowOrder
from mtl.config.tasks import TaskConfig
from mtl.config.train import TrainConfig


def check_together(model: ModelConfig, objective: ObjectiveConfig, train: TrainConfig, tasks: Sequence[str]) -> None:
    """Raise ValueError with the first combination that cannot work."""
    shares = train.num_workers * train.accumulate if train.parallelism == "data" else train.accumulate
    if train.batch_size % shares:
        workers = f"train.num_workers ({train.num_workers})" if train.parallelism == "data" else "1"
        raise ValueError(
            f"train.batch_size ({train.batch_size}) must be a multiple of {workers} × train.accumulate "
            f"({train.accumulate})"
        )
    if isinstance(train.order, WindowOrder):
        _check_window(train, train.order)
    if train.min_workers is not None and train.min_workers > train.num_workers:
        raise ValueError(
            f"train.min_workers ({train.min_workers}) is more than train.num_workers ({train.num_workers})"
        )
    if objective.compares_gradients and objective.level == "features":
        _check_features(model, objective, train)
    if train.parallelism == "tasks" and train.num_workers > len(tasks):
        raise ValueError(f"train.parallelism: {train.num_workers} workers cannot divide {len(tasks)} tasks")
    if train.sharding == "fsdp":
        _check_sharded(model, objective, train)


def check_changes(augment: AugmentConfig, tasks: Mapping[str, TaskConfig]) -> None:
    """Raise ValueError with what no source could follow; which targets each source has, its images say (`mtl.train.augmenting`)."""
    everywhere = [augment, *(augment.of(source) for source in augment.sources)]
    for change in augment.changes:
        if all(change in part.changes for part in everywhere):
            refused = {name: why for name, task in tasks.items() if (why := task.refusal(change))}
            if refused:
                raise ValueError(refused_change(change, refused))


def refused_change(change: str, refused: Mapping[str, str]) -> str:
    """What to say of a change that the targets of some tasks do not follow.

    Args:
        refused: task → why.
    """
    why = "; ".join(f"tasks.{name}: {reason}" for name, reason in refused.items())
    return f"augment.{change} does not go with {', '.join(refused)} ({why})"


def _check_window(train: TrainConfig, order: WindowOrder) -> None:
    if train.batch_size % order.lanes:
        raise ValueError(
            f"train.batch_size ({train.batch_size}) must be a multiple of train.order.lanes ({order.lanes})"
        )
    if train.mixing.type != "natural":
        raise ValueError(
            f"train.order: window reads shards in turn, and train.mixing: {train.mixing.type} draws from all of a source's "
            "images; choose natural, or order whole"
        )


def _check_features(model: ModelConfig, objective: ObjectiveConfig, train: TrainConfig) -> None:
    sharing = model.sharing
    instead = "set objective.level to parameters"
    if not sharing.cut:
        raise ValueError(
            f"{sharing.type} parts the tasks nowhere: there is no one place to compare gradients; {instead}"
        )
    if sharing.entangled and objective.weighting.needs_gramian:
        raise ValueError(
            f"{objective.weighting.type} weighs by gradients at the features, and {sharing.type} trains parameters "
            f"behind them by these weights; {instead}"
        )
    if train.parallelism == "tasks":
        raise ValueError(
            f"train.parallelism: with tasks on different workers the features' gradients would have to travel; {instead}"
        )


def _check_sharded(model: ModelConfig, objective: ObjectiveConfig, train: TrainConfig) -> None:
    if objective.compares_gradients:
        raise ValueError(
            "train.sharding: fsdp reduces gradients during the one backward pass, so that no worker ever holds a "
            "task's own; choose aggregator sum and a weighting that does not compare gradients"
        )
    if not model.sharing.shardable:
        raise ValueError(f"train.sharding: fsdp is for hard sharing; {model.sharing.type} opens modules from outside")
    if train.parallelism == "tasks":
        raise ValueError(
            "train.sharding: fsdp goes with parallelism data: each worker has a part of every task's weights"
        )
