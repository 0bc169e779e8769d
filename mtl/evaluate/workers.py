"""Scoring over the workers of a Ray cluster: a part of a pass is a task of Ray's, and a part whose worker or node is lost another's."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import Field, JsonValue
from safetensors.torch import load
from torch import nn

from mtl.cluster.protocol import Job
from mtl.cluster.session import cluster, gpu_for_each
from mtl.config.checking import pick
from mtl.config.order import WindowOrder
from mtl.config.trees.evaluation import EvaluationTree
from mtl.data.loading.loader import Split
from mtl.data.shards.manifest import Statistics
from mtl.data.shards.node import shards_of_node
from mtl.data.shards.staging import ShardManifest
from mtl.data.shards.stream import StreamAddress
from mtl.data.spec import TargetSpec
from mtl.errors import MtlError, StageError
from mtl.evaluate.passes import Pass, Rows, passes_of, score_pass
from mtl.evaluate.placement import as_served
from mtl.logs import of
from mtl.reports.events import ProgressEvent
from mtl.tasks import Task, build_model, build_tasks
from mtl.tasks.base import ImageSpec

_LOG = logging.getLogger(__name__)

PARTS = 4
"""That a worker has of a test: all end at about the same time, and a lost worker costs no more than one."""
IN_ORDER = WindowOrder(type="window", shards=1)
"""A test is read in order: a node may stream it whatever the order of the training is."""


class EvaluationJob(Job):
    """What a worker must know, on whatever node: the model but its weights, and where the samples are."""

    prepared: str
    shard_manifest: ShardManifest | None = Field(description="by which a node that does not see `prepared` fetches it")
    stream: StreamAddress | None = Field(description="by which a node streams the shards, if it is to")
    split: str
    places: tuple[int, ...] | None = Field(description="the samples of the split that are judged; None: all")
    num_samples: int
    targets: dict[str, dict[str, JsonValue]] = Field(description="a `TargetSpec` of each that the model has learnt")
    image: ImageSpec
    judged: tuple[str, ...] = Field(description="the tasks that the split can judge")
    weights: str = Field(description="their SHA-256")


@dataclass(frozen=True)
class _Opened:
    """What a process of Ray's keeps from one part to the next."""

    job: EvaluationJob
    config: EvaluationTree
    model: nn.Module
    tasks: dict[str, Task]
    split: Split
    device: torch.device


_opened: list[_Opened] = []


def score_on_cluster(config: EvaluationTree, job: EvaluationJob, weights: bytes) -> list[Rows]:
    """The rows of each pass, in order, from as many workers as the training has, on GPUs if it has.

    Raises:
        StageError: workers were lost more often than `train.max_failures` allows.
        MtlError: what went wrong on a node.
    """
    wanted, workers = passes_of(job.num_samples, config.evaluate), config.train.num_workers
    batch, total = config.evaluate.batch_size, sum(len(one.indices) for one in wanted)
    samples = batch * max(1, -(-total // (batch * workers * PARTS)))
    parts = [(place, part) for place, one in enumerate(wanted) for part in one.parts(samples)]
    with cluster(config, workers) as ray:
        gpu = gpu_for_each(ray, config)
        _LOG.info(f"evaluate: {len(parts)} parts over {workers} workers on {'GPUs' if gpu else 'CPUs'}")
        # A process lives from one part to the next, with its model; Ray would end one that has used a GPU.
        options: dict[str, Any] = {"num_cpus": 1, "num_gpus": int(gpu), "max_calls": 0}
        remote = ray.remote(**options, max_retries=config.train.max_failures)(score_part)
        sent = (ray.put(job), ray.put(weights), gpu)
        found = dict(_done(ray, remote, sent, [part for _, part in parts], workers))
    joined: dict[int, list[Rows]] = {}
    for number, (place, _) in enumerate(parts):
        joined.setdefault(place, []).append(found[number])
    return [Rows.joined(joined[place]) for place in range(len(wanted))]


def _done(
    ray: Any, remote: Any, sent: tuple[Any, ...], parts: Sequence[Pass], workers: int
) -> Iterator[tuple[int, Rows]]:
    """Each part's number and rows, as they come; no more are asked for at a time than there are workers."""
    waiting, running, done = deque(enumerate(parts)), dict[Any, int](), 0
    total, told = sum(len(part.indices) for part in parts), 0
    while waiting or running:
        while waiting and len(running) < workers:
            number, part = waiting.popleft()
            running[remote.remote(*sent, part)] = number
        (ready,), _ = ray.wait(list(running), num_returns=1)
        number = running.pop(ready)
        yield number, _got(ray, ready)
        done += len(parts[number].indices)
        if (tenth := 10 * done // total) > told:
            told, event = tenth, ProgressEvent(done=done, total=total, unit="images")
            _LOG.info(f"evaluate: {done}/{total} images", extra=of(event))


def _got(ray: Any, ready: Any) -> Rows:
    try:
        return ray.get(ready)
    except ray.exceptions.RayTaskError as error:
        cause = error.cause
        raise (cause if isinstance(cause, MtlError) else error) from None
    except ray.exceptions.RayError as error:
        raise StageError(
            "evaluation's workers were lost more often than train.max_failures allows",
            found=str(error).strip().splitlines()[0][:300],
            fix="the log has their lines; run again",
        ) from error


def score_part(job: EvaluationJob, weights: bytes, gpu: bool, part: Pass) -> Rows:
    """In a process of Ray's: a part of a pass, by a model that stays for the next."""
    if not _opened or _opened[0].job != job:
        _opened[:] = [_open(job, weights, torch.device("cuda" if gpu else "cpu"))]
    one = _opened[0]
    as_served(one.config.train.threads_per_worker)
    size = one.config.evaluate.batch_size
    one.split.expect(part.indices[start : start + size] for start in range(0, len(part.indices), size))
    known = {name: task for name, task in one.tasks.items() if name in job.judged}
    return score_pass(one.model, known, one.split, part, size, one.device)


def _open(job: EvaluationJob, weights: bytes, device: torch.device) -> _Opened:
    config = pick(EvaluationTree, job.config)
    found = shards_of_node(config.cluster, IN_ORDER, Path(job.prepared), job.shard_manifest, job.stream)
    split = Split(found.folder, job.split)
    if job.places is not None:
        split = split.only(np.isin(np.arange(len(split)), job.places))
    own = Statistics(mean=job.image.mean, std=job.image.std)  # the model's: a champion has others than today's data
    split.manifest = split.manifest.model_copy(update={"statistics": own})
    targets = {name: TargetSpec.model_validate(found, strict=False) for name, found in job.targets.items()}
    tasks = build_tasks(config.tasks, targets, job.image)
    model = build_model(config.model, tasks)
    model.load_state_dict(load(weights))
    return _Opened(job, config, model.to(device), tasks, split, device)
