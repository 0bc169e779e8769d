"""Not in dvc.yaml: packaged models on images. The job comes as JSON on the command line, the result goes to a file.

python -m mtl.stages.predict '{"packages": […], "images": […], "out": …, "formats": […], "result": FILE}'
"""

from __future__ import annotations

import json
import sys
from functools import partial
from pathlib import Path
from typing import Any

from mtl.config.params import load
from mtl.package import BUNDLE
from mtl.serving.sources import choose
from mtl.stages import home, run_stage
from mtl.store import Store


def main() -> None:
    """Predict with one package; with two, both and how far they disagree."""
    job, config = json.loads(sys.argv[1]), load()
    packages = [Path(package) for package in job["packages"]]
    chosen = choose(job["images"])
    # Not above: torch takes seconds, and that there is no such image is said before.
    from mtl.package.bundle import read_bundle
    from mtl.serving.batch import predict_all
    from mtl.serving.disagreement import write_disagreement
    from mtl.serving.gathered import write_coco, write_table
    from mtl.serving.job import hand_over

    outs = [job["out"]] if len(packages) == 1 else [f"{job['out']}/{label}" for label in job["labels"]]
    counts: dict[str, int] = {}
    for package, out in zip(packages, outs, strict=True):
        run = partial(hand_over, home=home()) if config.cluster.by_jobs else predict_all
        counts = run(config, package, chosen, out, job["formats"])
        store = Store(out)
        if "parquet" in job["formats"]:
            write_table(store)
        if "coco" in job["formats"]:
            write_coco(store, read_bundle(package / BUNDLE)[1])
    result: dict[str, Any] = counts | {"out": job["out"]}
    if len(packages) == 2:
        stores = (Store(outs[0]), Store(outs[1]))
        result |= write_disagreement(Path(job["out"]), (packages[0], packages[1]), chosen, stores)
    Path(job["result"]).write_text(json.dumps(result), encoding="utf-8")


if __name__ == "__main__":
    run_stage(main)
