"""Three sources in one training against a training of each alone, with the same number of steps.

    python benchmarks/sources.py [--mixing equal] [--epochs 3] [--seeds 1]

The settings are docs/examples/sources.yaml's. A source alone is trained twice: with its share of the batch, so that it
sees as many of its images as in the mixture (`alone`), and with the whole batch, three times as many (`alone, 3×`).
Prints the test metrics side by side and writes benchmarks/results/sources.json.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
TASKS = {"digits": ("digit",), "animals": ("species", "animals"), "trees": ("trees",)}


def train(job: dict[str, Any]) -> dict[str, Any]:
    """One training in one process: its test metrics."""
    import torch

    from mtl.compare.plan import Trial
    from mtl.compare.trial import run_trial
    from mtl.config.params import load
    from mtl.data.prepare.prepare import prepare
    from mtl.data.sources.mixed import fetch_sources
    from mtl.storage.seal import seal_of

    torch.set_num_threads(1)
    name, folder = job["name"], Path(job["folder"])
    overrides = [f"@{ROOT}/docs/examples/sources.yaml", "train.num_workers=1", f"seed={job['seed']}"]
    if name == "all":
        overrides += [f"train.mixing={job['mixing']}", f"train.epochs={job['epochs']}"]
    else:
        # As many steps: an epoch of one source has a third of the mixture's images.
        share = {"alone": (job["epochs"], round(32 / 3)), "alone, 3×": (3 * job["epochs"], 32)}[job["kind"]]
        overrides += ["train.mixing={type: natural}", f"train.epochs={share[0]}", f"train.batch_size={share[1]}"]
    config = load(ROOT / "params.yaml", overrides)
    source = config.data.source.model_copy(update={"only": name})
    config = config.model_copy(update={"data": config.data.model_copy(update={"source": source})})
    if name != "all":
        config = config.model_copy(update={"tasks": {n: config.tasks[n] for n in TASKS[name]}})
    fetch_sources(config.data.source, 0, folder / "raw", ROOT / ".mtl" / "downloads")  # type: ignore[arg-type]
    prepare(config.data, folder / "raw", folder / "prepared")
    began = time.monotonic()
    result = run_trial(
        Trial(name, config.train.learning_rate, job["seed"], config),
        folder / "prepared",
        str(folder),
        seal_of("benchmark", folder),
    )
    return {**job, "seconds": time.monotonic() - began, **result.as_json()}


def main() -> None:
    """Run all, two at a time, and print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--mixing", default="equal")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=1)
    options = parser.parse_args()
    mixing = f"{{type: {options.mixing}}}"
    with tempfile.TemporaryDirectory() as scratch:
        jobs = [
            {
                "name": n,
                "kind": k,
                "seed": s,
                "mixing": mixing,
                "epochs": options.epochs,
                "folder": f"{scratch}/{n}-{k}-{s}",
            }
            for s in range(options.seeds)
            for n, k in [("all", "together"), *((n, k) for n in TASKS for k in ("alone", "alone, 3×"))]
        ]
        with multiprocessing.get_context("spawn").Pool(min(2, os.cpu_count() or 1)) as pool:
            results = pool.map(train, jobs, chunksize=1)
    rows: dict[str, Any] = {}
    for source, tasks in TASKS.items():
        for task in tasks:
            values = {
                kind: [r["test"][task] for r in results if (r["name"], r["kind"]) == (name, kind)]
                for name, kind in (("all", "together"), (source, "alone"), (source, "alone, 3×"))
            }
            metric = next(r["metrics"][task] for r in results if r["name"] == "all")
            rows[task] = {"source": source, "metric": metric, **values}
            shown = "  ".join(f"{kind} {sum(v) / len(v):.4f}" for kind, v in values.items())
            print(f"{source:<8} {task:<8} {metric:<9} {shown}")
    document = {"mixing": options.mixing, "epochs": options.epochs, "rows": rows}
    document["seconds"] = {f"{r['name']}, {r['kind']}": r["seconds"] for r in results}
    path = Path(__file__).parent / "results" / "sources.json"
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
