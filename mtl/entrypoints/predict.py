"""Not in dvc.yaml: packaged models on images. A PredictRequest comes as JSON on the command line, the Prediction goes to its file."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

from mtl.config.params import load
from mtl.package import BUNDLE
from mtl.reports.prediction import Counts, Prediction
from mtl.reports.requests import PredictRequest, asked
from mtl.serving.sources import choose
from mtl.stages import home, run_stage
from mtl.storage.store import Store


def main() -> None:
    """Predict with one package; with two, both and how far they disagree."""
    job, config = asked(PredictRequest, sys.argv[1]), load()
    packages = [Path(package) for package in job.packages]
    chosen = choose(list(job.images))
    # Not above: torch takes seconds, and that there is no such image is said before.
    from mtl.package.bundle import read_bundle
    from mtl.serving.batch import predict_all
    from mtl.serving.disagreement import write_disagreement
    from mtl.serving.export import write_coco, write_table
    from mtl.serving.job import hand_over

    outs = [job.out] if len(packages) == 1 else [f"{job.out}/{label}" for label in job.labels]
    counts: list[Counts] = []
    for package, out in zip(packages, outs, strict=True):
        run = partial(hand_over, home=home()) if config.cluster.by_jobs else predict_all
        counts.append(run(config, package, chosen, out, job.formats))
        store = Store(out)
        if "parquet" in job.formats:
            write_table(store)
        if "coco" in job.formats:
            write_coco(store, read_bundle(package / BUNDLE)[1])
    differ = None
    if len(packages) == 2:
        stores = (Store(outs[0]), Store(outs[1]))
        differ = write_disagreement(Path(job.out), (packages[0], packages[1]), chosen, stores)
    result = Prediction(counts=counts[-1], out=job.out, disagreements=differ)
    Path(job.result).write_text(result.model_dump_json(), encoding="utf-8")


if __name__ == "__main__":
    run_stage(main)
