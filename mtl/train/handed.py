"""Both ends of work that a cluster does through Ray's Jobs API and whose result is JSON: handing it over, and doing it there."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable
from typing import Any

from mtl.config import Config, MtlError, StageError, parse
from mtl.store import Store
from mtl.train.launch import raise_written, signals
from mtl.train.submit import JOB, Work, submit
from mtl.train.worker import ERROR, write_error

RESULT = "result.json"


def hand_over(config: Config, work: Work, say: Callable[[str], None]) -> Any:
    """Let the cluster of `cluster.address` do it, and wait; its result.

    Raises:
        MtlError: what the job wrote down, or that the cluster refuses or is out of reach.
        KeyboardInterrupt: this process was told to end; the job was stopped, what is done stays done.
    """
    for name in (ERROR, RESULT):
        work.store.remove(name)
    told = threading.Event()
    with signals(told):
        submit(config, work, say, told.is_set, stop_seconds=0.0)
    if told.is_set():
        raise KeyboardInterrupt
    raise_written(work.store)
    if RESULT not in work.store:
        raise StageError("the cluster's job ended without a result", fix="see its lines above; run again to go on")
    return json.loads(work.store.get(RESULT))


def do(run: Callable[[Config, dict[str, Any], Store], Any]) -> int:
    """On the cluster, with the store's address as argument: run with the settings of whoever handed it over, and keep the result
    or the error in the store; the exit code."""
    store = Store(sys.argv[1])
    job = json.loads(store.get(JOB))
    config = parse(job["config"])
    here = config.model_copy(update={"cluster": config.cluster.model_copy(update={"address": "auto"})})
    try:
        result = run(here, job, store)
    except MtlError as error:
        write_error(store, error)
        print(f"error: {error}", file=sys.stderr, flush=True)
        return 1
    store.put(RESULT, json.dumps(result).encode())
    return 0
