"""What one Ray Train process does: join the group, train, write the outcome."""

from __future__ import annotations

import json
import logging
import traceback
from functools import partial
from pathlib import Path

import torch
from pydantic import Field, JsonValue
from safetensors.torch import save

from mtl.cluster.protocol import ERROR, Job, write_error
from mtl.config.checking import pick
from mtl.config.train import TrainConfig
from mtl.config.trees.training import TrainingTree
from mtl.data.shards.node import shards_of_node
from mtl.data.shards.staging import ShardManifest
from mtl.data.shards.stream import StreamAddress
from mtl.errors import MtlError, StageError, TrainingError
from mtl.logs import of, set_up_logging
from mtl.reports import EpochRow
from mtl.reports.events import EpochEvent
from mtl.storage.digest import bytes_sha256
from mtl.storage.seal import Seal
from mtl.storage.store import Store
from mtl.tasks import network_cost
from mtl.train.checkpoint import Checkpoints, write_manifest
from mtl.train.energy import Meter
from mtl.train.loop import Stopped, run
from mtl.train.preemption import Preemption
from mtl.train.process_group import ProcessGroup
from mtl.train.training import Progress, Training, parameter_counts

_LOG = logging.getLogger(__name__)

FINAL, FAILURE = "final", "failure.json"
WEIGHTS, HISTORY = "weights.safetensors", "training.json"
PROGRAMMING_ERRORS = (
    TypeError,
    ValueError,
    LookupError,
    AttributeError,
    AssertionError,
    NotImplementedError,
    ImportError,
)


class TrainJob(Job):
    """A training."""

    prepared: str
    shard_manifest: ShardManifest | None = Field(description="by which a node that does not see `prepared` fetches it")
    stream: StreamAddress | None = Field(default=None, description="by which a node streams the shards, if it is to")
    store: str = Field(description="a folder that every node sees, or a bucket")
    cache: str = Field(description="folder of downloads, of this node")


class WorkerJob(TrainJob):
    """A worker's part in it."""

    gpu: bool


def train_worker(config: dict[str, JsonValue], *, seal: Seal) -> None:
    """Ray Train's loop function.

    Args:
        config: a `WorkerJob` as JSON, for that is what Ray hands on.
        seal: of the training; not in the job, which Ray shows and a bucket keeps.

    What another try cannot mend is written to the store, not raised: Ray would try again in vain.
    """
    import ray.train

    set_up_logging("plain")  # the driver streams the lines
    job = WorkerJob.model_validate(config)
    context = ray.train.get_context()
    rank, size = context.get_world_rank(), context.get_world_size()
    device = torch.device("cuda", torch.cuda.current_device()) if job.gpu else torch.device("cpu")
    store = Store(job.store)

    if ERROR in store:
        return  # of an attempt before: the driver tells it
    notice = Preemption(store, rank == 0, _drained)
    training: Training | None = None
    meter = Meter(device, context.get_local_rank() == 0)
    try:
        training = _set_up(job, ProcessGroup(rank, size, device))
        checkpoints = Checkpoints(store.child("checkpoints"), training.config.train.keep_checkpoints, seal)
        report = partial(_report, training.config.train.epochs if rank == 0 else None)
        progress = run(training, checkpoints, report=report, notice=notice)
        metered = [part for part in training.world.gather(meter.joules()) if part is not None]
        if rank == 0:
            write_final(store.child(FINAL), seal, training, progress, sum(metered) if metered else None)
    except Stopped:
        return
    except StageError:
        raise  # Ray tries again, then the flow
    except MtlError as error:
        write_error(store, seal, error)  # all workers have it, and end together
    except torch.OutOfMemoryError as error:
        write_error(store, seal, out_of_memory(pick(TrainingTree, job.config).train, str(error), size))
        raise  # the others must not wait for this one
    except PROGRAMMING_ERRORS as error:
        # The same code on the same data does it again.
        found = "".join(traceback.format_exception(error)[-4:]).strip()
        write_error(store, seal, TrainingError(f"a mistake in the program: {type(error).__name__}", found=found))
        raise
    except Exception as error:
        _note_failure(store, seal, training.progress.total_steps if training else -1, error)
        raise
    finally:
        notice.close()


def _set_up(job: TrainJob, world: ProcessGroup) -> Training:
    """The training, or one error for all workers."""
    problem: MtlError | None = None
    training: Training | None = None
    try:
        config = pick(TrainingTree, job.config)
        prepared = Path(job.prepared)
        found = shards_of_node(config.cluster, config.train.order, prepared, job.shard_manifest, job.stream)
        if found.said and world.first:
            _LOG.info(f"train: {found.said}")
        training = Training(config, found.folder, world, Path(job.cache))
    except MtlError as error:
        problem = error
    problem = next((found for found in world.gather(problem) if found), None)
    if problem is not None:
        raise problem
    assert training is not None
    return training


def _drained() -> bool:
    """Whether Ray is about to take away a worker's node. The public call would be a barrier every step."""
    from ray.train.v2._internal.execution.context import get_train_context

    return get_train_context().preemption_context.preemption_info is not None


def write_final(store: Store, seal: Seal, training: Training, progress: Progress, joules: float | None = None) -> None:
    """The best averaged weights and the history; complete once their manifest is there."""
    weights = save({name: value.cpu().contiguous() for name, value in sorted(training.best.items())})
    document = {
        "history": progress.history,
        "best_epoch": progress.best_epoch,
        "steps": progress.total_steps,
        "seconds": round(progress.seconds, 1),
        "joules": joules,
        "bf16": training.method.bf16,
        "deterministic": training.deterministic,
        "compiled": training.compiling.mode,
        "world_size": training.world.size,
        "worlds": progress.worlds,
        "device": torch.cuda.get_device_name() if training.world.device.type == "cuda" else "cpu",
        "parameters": parameter_counts(training.model),
        "cost": network_cost(training.config.model, training.tasks),
        "pretrained": training.pretrained,
    }
    files = {WEIGHTS: weights, HISTORY: json.dumps(document, indent=1).encode()}
    for name, data in files.items():
        store.put(name, data)
    write_manifest(store, seal, {name: bytes_sha256(data) for name, data in files.items()})


def out_of_memory(train: TrainConfig, found: str, num_workers: int) -> TrainingError:
    """The error, with the batch size to try."""
    half = max(num_workers, train.batch_size // 2 // num_workers * num_workers)
    fix = f"set train.batch_size to {half}, or train.accumulate to {2 * train.accumulate}"
    return TrainingError(f"out of memory with batches of {train.batch_size} images", found=found, fix=fix)


def _report(epochs: int | None, row: dict[str, float]) -> None:
    """Tell Ray of an epoch; the first worker, which has their number, its user as well."""
    import ray.train

    if epochs is not None:
        _announce(row, epochs)
    ray.train.report(row)


def _announce(row: dict[str, float], epochs: int) -> None:
    metrics = [
        f"{key.split('/')[1]} {value:.3f}" for key, value in row.items() if key.count("/") == 2 and "val/" in key
    ]
    line = f"train: epoch {row['epoch'] + 1}/{epochs} · score {row['val/score']:.4f} · " + " · ".join(metrics)
    _LOG.info(line, extra=of(EpochEvent(epochs=epochs, row=EpochRow.model_validate(row))))


def _note_failure(store: Store, seal: Seal, step: int, error: Exception) -> None:
    """A failure that comes again at the same step in the same words is none of the machines'."""
    present = {"step": step, "error": f"{type(error).__name__}: {error}"}
    before = seal.read(store, FAILURE) if FAILURE in store else None
    if present == before:
        what = f"the same failure twice at step {step}: {type(error).__name__}"
        write_error(store, seal, TrainingError(what, found=str(error)[:1000], fix="trying again gives the same"))
    seal.write(store, FAILURE, present)
