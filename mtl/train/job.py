"""What runs on the cluster when a training was handed over: `python -m mtl.train.job STORE`."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from mtl.config import MtlError, parse
from mtl.store import Store
from mtl.train.launch import attempts
from mtl.train.submit import JOB
from mtl.train.worker import say, write_error


def main() -> int:
    """Train on the cluster that this process runs on; an error goes to the store, for whoever handed it over."""
    store = Store(sys.argv[1])
    job = json.loads(store.get(JOB))
    config = parse(job["config"])
    here = config.model_copy(update={"cluster": config.cluster.model_copy(update={"address": "auto"})})
    name = store.url.rstrip("/").rsplit("/", 1)[-1]
    with tempfile.TemporaryDirectory() as scratch:
        job["cache"] = f"{scratch}/downloads"
        try:
            attempts(here, job, Path(scratch, "trainings", name), store, say)
        except KeyboardInterrupt:
            return 0
        except MtlError as error:
            write_error(store, error)
            print(f"error: {error}", file=sys.stderr, flush=True)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
