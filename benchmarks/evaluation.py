"""What a test costs: replicates as products of matrices beside loops, and scoring in this process beside workers of a local Ray.

    python -m benchmarks.evaluation [bootstrap] [workers]      (both, if none is named; minutes)

Replicates: CPU seconds of one thread for all metrics of a task on 1,000 resamples of 10,000 test samples of chance. Workers: the default
model with weights of chance on scenes drawn here, as many as params.yaml tests on. Starting Ray is told apart: it is what a test of
few images takes. Writes benchmarks/results/evaluation.json.
"""

from __future__ import annotations

import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks.measuring.product import settings
from benchmarks.measuring.scenes import write_scenes
from mtl.config.params import Config
from mtl.data.loading.loader import CPU, Split
from mtl.evaluate.bootstrap import resample_counts
from mtl.evaluate.launch import over_workers
from mtl.evaluate.passes import passes_of, score_pass
from mtl.evaluate.placement import as_served
from mtl.tasks import Task, build_model, build_tasks, image_spec
from tests.evaluate.loops import LOOPS, filled

RESULT = Path(__file__).parent / "results" / "evaluation.json"
SAMPLES, RESAMPLES, CLASSES = 10_000, 1_000, 20
IMAGES = 2_000


def took(run: Callable[[], object], clock: Callable[[], float]) -> float:
    began = clock()
    run()
    return round(clock() - began, 2)


def bootstrap() -> dict[str, dict[str, float]]:
    """Task type → seconds by loops and as they are, and the ratio."""
    counts = resample_counts(0, RESAMPLES, SAMPLES)
    found: dict[str, dict[str, float]] = {}
    for kind, loop in LOOPS.items():
        scorer = filled(kind, SAMPLES, CLASSES, digits=9)
        before = took(partial(loop, scorer, counts), time.process_time)
        after = took(partial(scorer.metrics, counts), time.process_time)
        found[kind] = {"loops": before, "matrices": after, "ratio": round(after / before, 3)}
        print(kind, found[kind], flush=True)
    return found


def workers() -> dict[str, float]:
    """Seconds in this process, and over one and two workers: until they have begun, and from then on."""
    found: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as scratch:
        prepared = write_scenes(Path(scratch), 64, 8, IMAGES)
        split = Split(prepared, "test")
        config = settings([])
        tasks = build_tasks(config.tasks, split.spec.targets, image_spec(split.manifest))
        model = build_model(config.model, tasks)
        few = split.only(np.arange(len(split)) < config.evaluate.batch_size)
        for threads in (1, 2):
            as_served(threads)
            found[f"here, {threads} threads"] = took(partial(here, model, tasks, split, config), time.perf_counter)
        for number in (1, 2):
            shared = config.model_copy(update={"train": config.train.model_copy(update={"num_workers": number})})
            over = partial(over_workers, shared, model, tasks, list(tasks), home=Path(scratch))
            start = took(partial(over, few), time.perf_counter)
            found |= {f"{number} workers, start": start}
            found[f"{number} workers"] = round(took(partial(over, split), time.perf_counter) - start, 2)
    found["two workers to one"] = round(found["2 workers"] / found["1 workers"], 3)
    print(found)
    return found


def here(model: nn.Module, tasks: dict[str, Task], split: Split, config: Config) -> None:
    """As `evaluate_model` does it without a cluster."""
    for one in passes_of(len(split), config.evaluate):
        score_pass(model, tasks, split, one, config.evaluate.batch_size, CPU)


def main() -> None:
    """Measure, print, keep."""
    torch.set_num_threads(1)
    wanted = sys.argv[1:] or ["bootstrap", "workers"]
    document: dict[str, Any] = json.loads(RESULT.read_text()) if RESULT.exists() else {}
    document["machine"] = {"cores": os.cpu_count(), "python": platform.python_version()}
    for name, measure in (("bootstrap", bootstrap), ("workers", workers)):
        if name in wanted:
            document[name] = measure()
            RESULT.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
