"""Both ends of a job: handing it over and waiting for it, and doing it on the cluster."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Generator
from types import FrameType
from typing import TypeVar

from pydantic import JsonValue

from mtl.cluster.protocol import ERROR, JOB, RESULT, Job, raise_written, write_error
from mtl.cluster.submit import VARIABLE, Work, submit
from mtl.config.checking import pick
from mtl.config.trees.cluster import ClusterTree
from mtl.errors import MtlError, StageError
from mtl.logs import set_up_logging
from mtl.storage.digest import bytes_sha256
from mtl.storage.seal import Seal
from mtl.storage.store import Store

_LOG = logging.getLogger(__name__)

Tree = TypeVar("Tree", bound=ClusterTree)
AnyJob = TypeVar("AnyJob", bound=Job)


def hand_over(config: ClusterTree, work: Work, stop_seconds: float = 0.0) -> None:
    """Let the cluster of `cluster.address` do it, and wait.

    Args:
        stop_seconds: that it has to end by itself once this process is told to end.

    Raises:
        MtlError: what the job wrote down, that another wrote there, or that the cluster refuses or is out of reach.
        KeyboardInterrupt: this process was told to end; the job was stopped, what is done stays done.
    """
    told = threading.Event()
    with signals(told):
        submit(config, work, told.is_set, stop_seconds)
    if told.is_set():
        raise KeyboardInterrupt
    raise_written(work.store, work.seal)


def no_result() -> StageError:
    """The error of a job that ended, and left nothing."""
    return StageError("the cluster's job ended without a result", fix="the log has its lines; run again to go on")


def store_of(config: ClusterTree, kind: str, job: Job, seal: Seal) -> Store:
    """Where the job of this content is: the same has the same, whichever process of this MTL_HOME hands it over."""
    key = bytes_sha256(json.dumps(job.model_dump(mode="json"), sort_keys=True).encode())[:16]
    return Store(f"{config.cluster.storage.rstrip('/')}/{kind}/{seal.name}/{key}")


def result_of(config: ClusterTree, name: str, module: str, job: Job, store: Store, seal: Seal) -> JsonValue:
    """As `hand_over`, of a job whose `do` gives a result, which is JSON; its result.

    Args:
        store: as `store_of` says it; whatever else the job needs is there already.

    Raises:
        SealError: what lies there is not the job's.
    """
    for left in (ERROR, RESULT):
        store.remove(left)
    hand_over(config, Work(name, module, job, store, seal, f"{seal.name}-{store.name}"))
    if RESULT not in store:
        raise no_result()
    return seal.read(store, RESULT)[RESULT]


def do(run: Callable[[Tree, AnyJob, Store, Seal], object], tree: type[Tree], kind: type[AnyJob]) -> int:
    """On the cluster, with the store's address as argument: run with those settings of whoever handed it over that the
    tree has, and keep the result, if there is one (as JSON can say it), or the error in the store; the exit code.
    """
    set_up_logging("plain")  # who handed the work over passes the lines on
    store, seal = Store(sys.argv[1]), Seal(bytes.fromhex(os.environ[VARIABLE]))
    try:
        job = kind.model_validate(seal.read(store, JOB))  # sealed by this code's other end, so it fits
        config = pick(tree, job.config)
        here = config.model_copy(update={"cluster": config.cluster.model_copy(update={"address": "auto"})})
        result = run(here, job, store, seal)
    except MtlError as error:
        write_error(store, seal, error)
        _LOG.error(f"error: {error}")
        return 1
    if result is not None:
        seal.write(store, RESULT, {RESULT: result})
    return 0


@contextlib.contextmanager
def signals(told: threading.Event) -> Generator[None]:
    """SIGINT and SIGTERM set the event, in a process's main thread."""

    def tell(number: int, frame: FrameType | None) -> None:
        told.set()

    wanted = (signal.SIGINT, signal.SIGTERM) if threading.current_thread() is threading.main_thread() else ()
    before = {number: signal.signal(number, tell) for number in wanted}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
