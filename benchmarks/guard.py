"""Whether anything became slower: quick ratios beside those that are kept, in less than a minute; it warns, and fails nothing.

    python -m benchmarks.guard               (compares with benchmarks/results/guard.json)
    python -m benchmarks.guard --keep 8      (measures eight times, each in a process of its own, and keeps that)

Each ratio is of CPU seconds, on one thread, of ours to those of what cannot be done without, in turns: what else the machine does
counts little. A ratio is slower than kept when it lies above what another measurement of the kept code would exceed in one of a
hundred whole comparisons: Student's prediction interval of the logarithms of the kept repetitions, divided among the ratios.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from scipy.stats import t as student

from benchmarks.measuring.by_hand import forward, tuned_loop
from benchmarks.measuring.product import Product, settings
from benchmarks.measuring.scenes import data_settings, write_scenes
from benchmarks.measuring.timing import CPU, Step, in_turns
from mtl.data.prepare.build import Builder
from mtl.data.prepare.prepare import Order, prepare
from mtl.data.raw.rows import read_spec, read_split
from mtl.data.shards.manifest import ShardRecord

RESULT = Path(__file__).parent / "results" / "guard.json"
CHANCE = 0.01
"""Of a comparison in which nothing changed to warn nevertheless, were the ratios' logarithms normal."""
ROUNDS, SCENES, SIDE = 7, 64, 64
TRAINING = ["train.batch_size=4", "train.threads_per_worker=1", "train.precision=float32", "evaluate.batch_size=4"]
METHODS = {
    "famo": "{weighting: {type: famo}}",
    "upgrad, features": "{weighting: {type: fixed}, aggregator: {type: upgrad}, level: features}",
    "upgrad, parameters": "{weighting: {type: fixed}, aggregator: {type: upgrad}, level: parameters}",
}


def one_core(builder: Builder, orders: Iterable[Order]) -> Iterator[ShardRecord]:
    """Prepare in this process: starting others is another matter."""
    return map(builder.build, orders)


def measure() -> dict[str, float]:
    """All ratios, by name."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        prepared = write_scenes(folder, SIDE, SCENES, 16, runner=one_core)
        found = training_ratios(prepared) | preparing_ratio(folder)
    return found | starting_ratio()


def training_ratios(prepared: Path) -> dict[str, float]:
    """A step, its methods, its batch and scoring."""

    def made(*more: str) -> Product:
        return Product(settings([*TRAINING, *more]), prepared, CPU)

    product = made()
    batch, training = product.batch, product.training
    images = np.random.default_rng(0).integers(0, 255, (SCENES, SIDE, SIDE, 3), np.uint8)
    steps: dict[str, Step] = {
        "product": product.stay,
        "by hand": tuned_loop(product.config, training.tasks, batch, channels_last=False),
        "loading": product.load,
        "copy": lambda: [images[product.order[:4]].astype(np.float32) for _ in range(100)],
        "scoring": product.score,
        "forward": _repeated(forward(training.model, batch), 4),
        **{name: made(f"objective={section}").stay for name, section in METHODS.items()},
    }
    least = _cpu_seconds(steps)
    return {
        "a step by the same by hand": least["product"] / least["by hand"],
        "loading a batch by copying it a hundred times": least["loading"] / least["copy"],
        "scoring by its forward passes": least["scoring"] / least["forward"],
        **{f"a step with {name} by the sum's": least[name] / least["product"] for name in METHODS},
    }


def preparing_ratio(folder: Path) -> dict[str, float]:
    """Preparing scenes by decoding and resizing them."""
    samples = read_split(folder / "raw", "train", read_spec(folder / "raw"))
    encoded = [np.frombuffer(s.image, np.uint8) for s in samples if isinstance(s.image, bytes)]

    def bare() -> None:
        for data in encoded:
            image = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR_RGB))
            cv2.resize(image, (SIDE // 2, SIDE // 2), interpolation=cv2.INTER_AREA).tobytes()

    def ours() -> None:
        prepare(data_settings(SIDE // 2), folder / "raw", folder / "again", one_core)
        shutil.rmtree(folder / "again")

    least = _cpu_seconds({"ours": ours, "bare": bare})
    return {"preparing by decoding and resizing": least["ours"] / least["bare"]}


def starting_ratio() -> dict[str, float]:
    """`mtl --help` by a Python that imports argparse and json."""
    words = {"help": ["-m", "flows.cli", "--help"], "python": ["-c", "import argparse, json"]}
    found: dict[str, list[float]] = {name: [] for name in words}
    for _ in range(3):
        for name, rest in words.items():
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            subprocess.run([sys.executable, *rest], cwd=RESULT.parents[2], capture_output=True, check=True)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            found[name].append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return {"`mtl --help` by an empty Python": min(found["help"]) / min(found["python"])}


def _cpu_seconds(steps: Mapping[str, Step]) -> dict[str, float]:
    """The least of some rounds: whatever else a machine does only adds."""
    return {name: min(found) for name, found in in_turns(steps, 1, ROUNDS, clock=time.process_time).items()}


def _repeated(step: Step, times: int) -> Step:
    def run() -> None:
        for _ in range(times):
            step()

    return run


def bounds(values: Sequence[float], share: float) -> tuple[float, float]:
    """Between which another measurement of the same lies, but for that share of times below and as many above."""
    logs = np.log(values)
    width = float(student.ppf(1 - share, len(logs) - 1)) * logs.std(ddof=1) * (1 + 1 / len(logs)) ** 0.5
    return float(np.exp(logs.mean() - width)), float(np.exp(logs.mean() + width))


def compared(found: Mapping[str, float], kept: Mapping[str, Sequence[float]]) -> list[str]:
    """A line for each ratio; one that is slower than kept begins with `warning:`."""
    lines: list[str] = []
    for name, value in found.items():
        if name not in kept:
            lines.append(f"{name:<44} {value:6.2f}, none is kept")
            continue
        low, high = bounds(kept[name], CHANCE / len(kept))
        said = f"{name:<44} {value:6.2f}, kept {statistics.median(kept[name]):.2f} ({low:.2f} to {high:.2f})"
        lines.append(f"warning: slower than kept: {said}" if value > high else said)
        if value < low:
            lines[-1] += "; faster: keep it by `python -m benchmarks.guard --keep 8`"
    return lines


def machine() -> dict[str, Any]:
    """What changes ratios beside the code."""
    vector = torch.backends.cpu.get_cpu_capability()
    return {"cores": os.cpu_count(), "processor": f"{platform.machine()}, {vector}", "torch": torch.__version__}


def keep(times: int) -> None:
    """Measure some times, each in a process of its own, and write all of it."""
    words = [sys.executable, "-m", "benchmarks.guard", "--json"]
    run = partial(subprocess.run, words, cwd=RESULT.parents[2], capture_output=True, text=True, check=True)
    found: list[dict[str, float]] = []
    for _ in range(times):
        found.append(json.loads(run().stdout))
        print(json.dumps(found[-1]), flush=True)
    document = {"machine": machine(), "ratios": {name: [one[name] for one in found] for name in found[0]}}
    RESULT.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    """Compare, or keep."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--keep", type=int, default=0, metavar="TIMES", help="measure so often, and keep it")
    parser.add_argument("--json", action="store_true", help="the ratios alone")
    options = parser.parse_args()
    if options.keep:
        return keep(options.keep)
    began, found = time.monotonic(), measure()
    if options.json:
        return print(json.dumps(found))
    kept = json.loads(RESULT.read_text(encoding="utf-8"))
    print("\n".join(compared(found, kept["ratios"])))
    if kept["machine"] != machine():
        print(f"kept on another machine, so differences may be its own: {kept['machine']}, here {machine()}")
    print(f"{time.monotonic() - began:.0f} s; what is slower fails nothing: is the change worth it?")
    return None


if __name__ == "__main__":
    main()
