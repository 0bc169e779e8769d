"""Predictions on a cluster that this machine does not belong to, through Ray's Jobs API; there: `python -m mtl.serving.job STORE`.

Images and results are in buckets; the model travels through the store, and stays there for the next images.
"""

from __future__ import annotations

import hashlib
import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mtl.config import Config, DataError
from mtl.serving.batch import model_digest, predict_all
from mtl.serving.sources import Chosen
from mtl.store import Store
from mtl.train.handed import do
from mtl.train.handed import hand_over as hand
from mtl.train.submit import Work
from mtl.train.worker import say


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
    counts: dict[str, int] = hand(config, Work("predict", "mtl.serving.job", job, store, key), say)
    return counts


def run(config: Config, job: dict[str, Any], store: Store) -> dict[str, int]:
    """On the cluster: bring the model here, and predict."""
    models = Store(f"{store.url.rpartition('/')[0]}/models/{job['model']}")
    with tempfile.TemporaryDirectory() as scratch:
        bundle = Path(scratch, "artifacts", "bundle")
        bundle.mkdir(parents=True)
        for name in models.names():
            (bundle / name).write_bytes(models.get(name))
        chosen = [Chosen(**one) for one in job["chosen"]]
        return predict_all(config, Path(scratch), chosen, job["out"], job["formats"], say)


if __name__ == "__main__":
    sys.exit(do(run))
