"""Predictions on a cluster that this machine does not belong to, through Ray's Jobs API; there: `python -m mtl.serving.job STORE`.

Images and results are in buckets; the model travels through the store, and stays there for the next images.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from pydantic import Field

from mtl.cluster.handoff import do, result_of, store_of
from mtl.cluster.protocol import Job
from mtl.cluster.transfer import bring, send
from mtl.config.params import Config
from mtl.errors import DataError
from mtl.package import BUNDLE
from mtl.reports.prediction import Counts
from mtl.serving.batch import model_digest, predict_all
from mtl.serving.sources import Chosen
from mtl.storage.seal import Seal, seal_of
from mtl.storage.store import Store


class PredictJob(Job):
    """Images to be answered."""

    model: str = Field(description="its digest")
    chosen: tuple[Chosen, ...]
    out: str
    formats: tuple[str, ...]


def hand_over(
    config: Config,
    package: Path,
    chosen: Sequence[Chosen],
    out: str,
    formats: Sequence[str],
    home: Path,
) -> Counts:
    """As `predict_all`, on the cluster of `cluster.address`.

    Raises:
        DataError: images or results are on this machine.
        MtlError: what the job wrote down, or that the cluster refuses or is out of reach.
        KeyboardInterrupt: this process was told to end; what is done stays done.
    """
    here = next((place for place in (out, *(one.root for one in chosen)) if "://" not in place), None)
    if here is not None:
        raise DataError(
            f"the cluster at {config.cluster.address} cannot reach this machine's files",
            found=here,
            fix="put images and results in a bucket (s3://…), or set cluster.address to local",
        )
    bundle = package / BUNDLE
    job = PredictJob(
        config=config.model_dump(mode="json"),
        model=model_digest(bundle),
        chosen=tuple(chosen),
        out=out,
        formats=tuple(formats),
    )
    seal = seal_of("predictions", home)
    store = store_of(config, "predictions", job, seal)
    with tempfile.TemporaryDirectory() as scratch:
        send(_models(store, job), Path(shutil.copytree(bundle, Path(scratch, "bundle"))), seal)
    return Counts.model_validate(result_of(config, "predict", "mtl.serving.job", job, store, seal))


def _models(store: Store, job: PredictJob) -> Store:
    """Where the model of predictions is: beside them, by its digest."""
    return store.parent.child(f"models/{job.model}")


def run(config: Config, job: PredictJob, store: Store, seal: Seal) -> dict[str, int]:
    """On the cluster: bring the model here, and predict."""
    with tempfile.TemporaryDirectory() as scratch:
        bundle = Path(scratch, BUNDLE)
        bundle.mkdir(parents=True)
        bring(_models(store, job), bundle, seal)
        return predict_all(config, Path(scratch), job.chosen, job.out, job.formats).model_dump()


if __name__ == "__main__":
    sys.exit(do(run, Config, PredictJob))
