"""A model and a split → what workers of a Ray cluster must know to score it: this machine's own, one that it belongs to, or, by a
job, another.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from safetensors.torch import save
from torch import nn

from mtl.config.trees.evaluation import EvaluationTree
from mtl.data.loading.loader import Split
from mtl.data.shards.node import published
from mtl.data.shards.staging import shard_manifest
from mtl.evaluate.job import score_by_job
from mtl.evaluate.passes import Rows
from mtl.evaluate.workers import IN_ORDER, EvaluationJob, score_on_cluster
from mtl.storage.digest import bytes_sha256
from mtl.tasks import Task


def over_workers(
    config: EvaluationTree,
    model: nn.Module,
    tasks: dict[str, Task],
    judged: Sequence[str],
    split: Split,
    home: Path,
) -> list[Rows]:
    """The rows of each pass over a split; nodes have its shards as for a training.

    Args:
        tasks: all of the model's; judged: those that the split can judge.

    Raises:
        StageError: workers or the cluster were lost more often than `train.max_failures` allows.
        MtlError: what went wrong on a node.
    """
    weights = save({name: value.cpu().contiguous() for name, value in sorted(model.state_dict().items())})
    job = describe(config, tasks, judged, split, bytes_sha256(weights))
    if config.cluster.by_jobs:
        return score_by_job(config, job, weights, home)
    return score_on_cluster(config, job, weights)


def describe(
    config: EvaluationTree, tasks: dict[str, Task], judged: Sequence[str], split: Split, weights: str
) -> EvaluationJob:
    """What workers must know; weights: their SHA-256."""
    folder = split.folder.resolve()
    given = shard_manifest(Path.cwd(), folder)
    # What was prepared for this evaluation alone is known to nobody else, and comes to nodes through the storage.
    unseen = given is None and (config.cluster.by_jobs or folder.is_relative_to(tempfile.gettempdir()))
    places, learnt = split.places, {task.config.target or name: task for name, task in tasks.items() if task.kind}
    return EvaluationJob(
        config=config.model_dump(mode="json"),
        prepared=str(folder),
        shard_manifest=given,
        stream=published(config.cluster, IN_ORDER if unseen else config.train.order, folder, given),
        split=split.name,
        places=None if places is None else tuple(places.tolist()),
        num_samples=len(split),
        targets={name: task.target.model_dump(mode="json") for name, task in learnt.items()},
        image=next(iter(tasks.values())).image,
        judged=tuple(judged),
        weights=weights,
    )
