"""Start Ray, or join it, and train."""

from __future__ import annotations

import json
import logging
import os
import shutil
import threading
import time
import uuid
from collections.abc import Callable
from functools import partial
from pathlib import Path

from filelock import FileLock

from mtl.cluster.handoff import hand_over, no_result, signals
from mtl.cluster.protocol import ERROR, STOP, raise_written
from mtl.cluster.session import cluster, gpu_for_each
from mtl.cluster.submit import Work
from mtl.config.trees.training import TrainingTree
from mtl.config.workers import cores
from mtl.data.shards.node import published
from mtl.data.shards.staging import shard_manifest
from mtl.errors import StageError
from mtl.storage.digest import bytes_sha256
from mtl.storage.seal import Seal, seal_of
from mtl.storage.store import REFUSED, Store, refused
from mtl.train.checkpoint import MANIFEST, verified, write_manifest
from mtl.train.content import code_and_data
from mtl.train.worker import FAILURE, FINAL, TrainJob, out_of_memory

_LOG = logging.getLogger(__name__)

# Sections of params.yaml on which the weights depend.
SECTIONS = ("seed", "tasks", "model", "objective", "augment", "train", "evaluate")
# Unfinished trainings hold checkpoints; finished ones only their weights and history.
KEEP_UNFINISHED, KEEP_FINISHED = 4, 64
NO_MEMORY = ("OutOfMemoryError", "low on memory")
"""What Ray says when it ends a worker before the machine runs out."""
RESIZE_SECONDS = 10.0
"""Between two looks for machines that came back."""
STOP_SECONDS = 10.0
"""That workers have for a last checkpoint when the run is interrupted."""


def training_key(config: TrainingTree, prepared: Path) -> str:
    """Content key of a training: what it computes depends on this alone, so a resume can never mix two."""
    values = config.model_dump(mode="json")
    chosen = json.dumps({name: values[name] for name in SECTIONS}, sort_keys=True)
    return bytes_sha256((code_and_data(prepared) + chosen).encode())[:16]


def train(config: TrainingTree, prepared: Path, home: Path, *, from_scratch: bool) -> Path:
    """Train and return the folder with `weights.safetensors` and `training.json`.

    A training that was interrupted goes on from its last complete checkpoint; one that is complete is taken as it is.

    Raises:
        TrainingError: the training cannot go on until its user mends something; the message says what.
        StageError: workers or the cluster were lost more often than `train.max_failures` allows; run again to go on.
        KeyboardInterrupt: this process was told to end; a checkpoint of the last step is written if workers ran.
    """
    trainings = home / "trainings"
    folder = trainings / training_key(config, prepared)
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(trainings / f"{folder.name}.lock"):  # a run of the same waits, and finds it complete
        seal = seal_of(folder.name, home)
        store = _place(config, folder, seal)
        if from_scratch:
            shutil.rmtree(folder, ignore_errors=True)
            for name in (FINAL, "checkpoints"):
                store.remove(name)
        if _take(store, folder / FINAL, seal):
            _LOG.info(f"train: complete already ({folder.name})")
            return folder / FINAL
        for name in (ERROR, FAILURE, STOP):
            store.remove(name)
        folder.mkdir(parents=True, exist_ok=True)
        os.utime(folder)
        _prune(trainings)
        job = _describe(config, prepared.resolve(), folder.resolve(), store)
        if config.cluster.by_jobs:
            work = Work("train", "mtl.train.job", job, store, seal, f"{seal.name}-{folder.name}")
            hand_over(config, work, STOP_SECONDS)
            if not _take(store, folder / FINAL, seal):
                raise no_result()
        else:
            attempts(config, job, folder.resolve(), store, seal)
        store.remove("checkpoints")
    return folder / FINAL


def _place(config: TrainingTree, folder: Path, seal: Seal) -> Store:
    """Where the training's files are: in its folder, or in the shared storage, apart from those of another MTL_HOME."""
    if not config.cluster.storage:
        return Store(str(folder))
    shared = Store(config.cluster.storage.rstrip("/")).child(folder.name)
    others = sorted({name.split("/")[0] for name in shared.names()} - {seal.name})
    if others:
        _LOG.info(
            f"train: {shared.url} has files of another MTL_HOME or version ({', '.join(others)}): they cannot be verified, none is used"
        )
    return shared.child(seal.name)


def _take(store: Store, folder: Path, seal: Seal) -> bool:
    """Whether a result is there, as a whole; from a bucket it is brought into the folder."""
    there = store.child(FINAL)
    found = verified(there, seal)
    if found is not None and there.url != str(folder):
        here = Store(str(folder))
        for name, data in found.items():
            here.put(name, data)
        write_manifest(here, seal, {name: bytes_sha256(data) for name, data in found.items()})
    return found is not None


def _describe(config: TrainingTree, prepared: Path, folder: Path, store: Store) -> TrainJob:
    """What a worker must know, on whatever node: plain values."""
    given = shard_manifest(Path.cwd(), prepared)
    return TrainJob(
        config=config.model_dump(mode="json"),
        prepared=str(prepared),
        shard_manifest=given,
        stream=published(config.cluster, config.train.order, prepared, given),
        store=store.url,
        cache=str(folder.parents[1] / "downloads"),
    )


def attempts(config: TrainingTree, job: TrainJob, folder: Path, store: Store, seal: Seal) -> None:
    """Train until there is a result. Ray replaces lost workers itself; what ends its whole run is tried again here.

    Raises:
        TrainingError, StageError: as `train`.
        KeyboardInterrupt: the training was told to stop, and has.
    """
    failure: Exception | None = None
    for attempt in range(config.train.max_failures + 1):
        if attempt:
            pause = min(60.0, 2.0**attempt)
            _LOG.info(f"train: tries again in {pause:.0f} s, from the last checkpoint ({_first_line(failure)})")
            time.sleep(pause)
        failure = _fit(config, job, folder.name, store, seal)
        raise_written(store, seal)
        if _take(store, folder / FINAL, seal):
            return
        if STOP in store:  # told from elsewhere: the workers have written a checkpoint and ended
            raise KeyboardInterrupt
        if any(sign in str(failure) for sign in NO_MEMORY):
            num_workers = config.train.num_workers
            raise out_of_memory(config.train, _first_line(failure), num_workers) from failure
        if any(sign in str(failure) for sign in REFUSED):
            raise refused(store.url, failure) from failure
        if type(failure).__name__ == "WorkerGroupError":
            break  # Ray has tried as often as it may
    raise StageError(
        f"the training failed more than {config.train.max_failures} times (train.max_failures)",
        found=_first_line(failure),
        fix="the log has its lines; run again to go on from the last checkpoint",
    )


def _first_line(failure: Exception | None) -> str:
    return str(failure or "no error from Ray").strip().splitlines()[0][:300]


def _prune(trainings: Path) -> None:
    """Remove the oldest trainings beyond what is kept."""
    folders = sorted((p for p in trainings.iterdir() if p.is_dir()), key=lambda p: p.stat().st_mtime)
    finished = [p for p in folders if (p / FINAL / MANIFEST).exists()]
    unfinished = [p for p in folders if p not in finished]
    for old in finished[:-KEEP_FINISHED] + unfinished[:-KEEP_UNFINISHED]:
        shutil.rmtree(old, ignore_errors=True)


def _crowded(config: TrainingTree) -> str:
    """What it costs to have more workers than this machine has processors; empty: there are enough, or a cluster has them."""
    most = config.train.num_workers
    there = cores()
    if config.cluster.address != "local" or most <= there:
        return ""
    return (
        f"train: {most} workers take turns on {there} processors, which is no faster: set train.num_workers to {there}"
    )


def _fit(config: TrainingTree, job: TrainJob, name: str, store: Store, seal: Seal) -> Exception | None:
    """Run Ray Train once; what went wrong, if anything did."""
    with cluster(config, config.train.num_workers) as ray:
        from ray.train import CheckpointConfig, FailureConfig, RunConfig, ScalingConfig
        from ray.train.torch import TorchTrainer

        from mtl.train.worker import train_worker
        from mtl.train.worker_group import OF_GPUS, GroupConfig

        gpu = gpu_for_each(ray, config)
        most, fewest = config.train.num_workers, config.train.min_workers or config.train.num_workers
        number = f"{most}" if fewest == most else f"{fewest} to {most}"
        _LOG.info(f"train: {number} workers on {'GPUs' if gpu else 'CPUs'} ({config.cluster.address})")
        if not gpu and (line := _crowded(config)):
            _LOG.warning(line)
        _say_idle(int(ray.cluster_resources().get("GPU", 0)), most if gpu else 0, config)
        trainer = TorchTrainer(
            partial(train_worker, seal=seal),
            train_loop_config={**job.model_dump(mode="json"), "gpu": gpu},
            torch_config=GroupConfig(backend=OF_GPUS if gpu else "gloo"),
            scaling_config=ScalingConfig(
                num_workers=most if fewest == most else (fewest, most),
                use_gpu=gpu,
                resources_per_worker={"GPU": 1, "CPU": 1} if gpu else {"CPU": 1},
                elastic_resize_monitor_interval_s=RESIZE_SECONDS,
            ),
            run_config=RunConfig(
                # A name that was never used: resuming is our checkpoints' business, whose manifests are written last.
                name=f"{name}-{uuid.uuid4().hex[:8]}",
                storage_path=(rays := store.arrow("ray"))[0],
                storage_filesystem=rays[1],
                failure_config=FailureConfig(max_failures=config.train.max_failures),
                checkpoint_config=CheckpointConfig(num_to_keep=1),
            ),
        )
        try:
            return _until_told(trainer.fit, store)
        finally:
            store.remove("ray")


def _until_told(fit: Callable[[], object], store: Store) -> Exception | None:
    """Run Ray's part in a thread, so that a signal to this process asks the workers for a last checkpoint."""
    failures: list[Exception] = []

    def work() -> None:
        try:
            fit()
        except Exception as error:  # Ray's: TrainingFailedError, and others when the cluster itself is lost
            failures.append(error)

    thread = threading.Thread(target=work, daemon=True)
    told = threading.Event()
    with signals(told):
        thread.start()
        while thread.is_alive() and not told.wait(0.2):
            pass
        if told.is_set():
            store.put(STOP, b"")
            thread.join(STOP_SECONDS)
            raise KeyboardInterrupt
    return failures[0] if failures else None


def _say_idle(there: int, used: int, config: TrainingTree) -> None:
    """Nobody is to find out by the bill."""
    if config.cluster.use_gpu == "auto" and there > used:
        wanted = config.train.num_workers
        what = "is idle" if there - used == 1 else "are idle"
        _LOG.info(
            f"train: {there - used} of {there} GPUs {what}: train.num_workers is {wanted}; auto takes one per GPU here"
        )
