"""Predictions on a cluster that this machine does not belong to, through Ray's Jobs API; there: `python -m mtl.serving.job STORE`.

Images and results are in buckets; the model travels through the store, and stays there for the next images.
"""

from __future__ import annotations

import hashlib
import json
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from mtl.config import Config, DataError, MtlError, StageError, parse
from mtl.serving.batch import model_digest, predict_all
from mtl.serving.sources import Chosen
from mtl.store import Store
from mtl.train.launch import raise_written, signals
from mtl.train.submit import JOB, Work, submit
from mtl.train.worker import ERROR, say, write_error

RESULT = "result.json"


def hand_over(
    config: Config,
    package: Path,
    chosen: Sequence[Chosen],
    out: str,
    formats: Sequence[str],
    say: Callable[[str], None],
) -> dict[str, int]:
    """As `predict_all`, on the cluster of `cluster.address`.

    Raises:
        DataError: images or results are on this machine.
        MtlError: what the job wrote down, or that the cluster refuses or is out of reach.
        KeyboardInterrupt: this process was told to end; what is done stays done.
    """
    here = next((place for place in (out, *(one.place for one in chosen)) if "://" not in place), None)
    if here is not None:
        raise DataError(
            f"the cluster at {config.cluster.address} cannot reach this machine's files",
            found=here,
            fix="put images and results in a bucket (s3://…), or set cluster.address to local",
        )
    bundle = package / "artifacts" / "bundle"
    job = {
        "config": config.model_dump(mode="json"),
        "model": model_digest(bundle),
        "chosen": [asdict(one) for one in chosen],
        "out": out,
        "formats": list(formats),
    }
    key = hashlib.sha256(json.dumps(job, sort_keys=True).encode()).hexdigest()[:16]
    root = Store(f"{config.cluster.storage.rstrip('/')}/predictions")
    store, models = root.child(key), root.child(f"models/{job['model']}")
    for path in bundle.iterdir():
        if path.name not in models:
            models.put_file(path.name, path)
    for name in (ERROR, RESULT):
        store.remove(name)
    told = threading.Event()
    with signals(told):
        submit(config, Work("predict", "mtl.serving.job", job, store, key), say, told.is_set, stop_seconds=0.0)
    if told.is_set():
        raise KeyboardInterrupt
    raise_written(store)
    if RESULT not in store:
        raise StageError("the cluster's job ended without a result", fix="see its lines above; run again to go on")
    return json.loads(store.get(RESULT))


def main() -> int:
    """Predict on the cluster that this process runs on; an error goes to the store, for whoever handed it over."""
    store = Store(sys.argv[1])
    job = json.loads(store.get(JOB))
    config = parse(job["config"])
    here = config.model_copy(update={"cluster": config.cluster.model_copy(update={"address": "auto"})})
    models = Store(f"{store.url.rpartition('/')[0]}/models/{job['model']}")
    with tempfile.TemporaryDirectory() as scratch:
        bundle = Path(scratch, "artifacts", "bundle")
        bundle.mkdir(parents=True)
        try:
            for name in models.names():
                (bundle / name).write_bytes(models.get(name))
            chosen = [Chosen(**one) for one in job["chosen"]]
            result = predict_all(here, Path(scratch), chosen, job["out"], job["formats"], say)
        except MtlError as error:
            write_error(store, error)
            print(f"error: {error}", file=sys.stderr, flush=True)
            return 1
    store.put(RESULT, json.dumps(result).encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
