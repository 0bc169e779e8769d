"""Training on one GPU beside the same network, losses and optimizer by hand, in at most five minutes.

    python -m benchmarks.gpu [--seconds 300] [--out benchmarks/results/gpu.json]
    python -m benchmarks.gpu --tiny            (on a CPU, at sizes that say nothing about a GPU: only whether it runs)

Needs torch, torchvision, timm, OpenCV and what mtl's training imports; neither Ray, Prefect, DVC nor MLflow, and no download: it draws
its own scenes (benchmarks/measuring/scenes.py). Each part runs in a process of its own and is ended when its share of the time is over; what it
had measured until then counts, and what was cut is said. What is written is a JSON of ratios; the table beside it has the bars.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.one_gpu.bars import judged, ratios, table
from benchmarks.one_gpu.cases import CASES, FIRST

RESULT = Path(__file__).parent / "results" / "gpu.json"
Found = tuple[list[dict[str, Any]], list[str]]
"""Rows, and what is missing, a line each."""
PREFIX = "ROW "
GRACE = 5.0
"""Seconds at the end for writing the result."""


@dataclass(frozen=True)
class Part:
    """One process's work, and its share of the time. What earlier parts leave over is for the later ones."""

    name: str
    share: float
    gpu_only: bool = False


PARTS = (
    Part("scenes", 0.10),
    *(Part(case.name, share) for case, share in zip(CASES, (0.06, 0.12, 0.07, 0.10), strict=True)),
    Part("methods", 0.16),
    Part("evaluation", 0.05),
    Part("codecs", 0.04),
    Part("recomputed", 0.03),
    # Compiling takes longest, and may not end: last.
    *(Part(f"compiled {c.name}", s, gpu_only=True) for c, s in zip(CASES, (0.07, 0.08, 0.04, 0.05), strict=True)),
    Part("compiled methods", 0.03, gpu_only=True),
)


def run_part(name: str, folder: Path, *, tiny: bool) -> Iterator[dict[str, Any]]:
    """The rows of a part, as they are measured."""
    import torch

    from benchmarks.one_gpu import parts

    device = torch.device("cuda" if torch.cuda.is_available() and not tiny else "cpu")
    place = parts.Place(folder, device, tiny)
    cases = {case.name: case.at(tiny=tiny) for case in CASES}
    if name in ("scenes", "evaluation", "codecs", "recomputed"):
        yield from getattr(parts, name)(place)
    elif name == "methods":
        yield from parts.methods(place, FIRST if tiny else ())
    elif name == "compiled methods":
        yield from parts.compiled_methods(place)
    elif name.startswith("compiled "):
        yield from parts.compiled(place, cases[name.removeprefix("compiled ")])
    else:
        yield from parts.eager(place, cases[name])


def in_child(words: Sequence[str], limit: float) -> Found:
    """A command's rows, and why it did not come to its end, if so. It is ended in time, with all that it started."""
    why: list[str] = []
    root = Path(__file__).parents[1]
    environment = os.environ | {"PYTHONPATH": str(root), "PYTHONUNBUFFERED": "1"}
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as errors:
        child = subprocess.Popen(words, cwd=root, env=environment, stdout=out, stderr=errors, start_new_session=True)
        try:
            child.wait(limit)
        except subprocess.TimeoutExpired:
            why = [f"its {limit:.0f} s were over"]
        finally:
            _end(child)
        out.seek(0)
        errors.seek(0)
        complete = [line for line in out.read().splitlines(keepends=True) if line.endswith("\n")]
        rows = [json.loads(line.removeprefix(PREFIX)) for line in complete if line.startswith(PREFIX)]
        if child.returncode and not why:
            why = [f"it failed: {(errors.read().strip().splitlines() or ['without a word'])[-1]}"]
    return rows, why


def _end(child: subprocess.Popen[bytes]) -> None:
    """End a child and its compile workers, which are in its session."""
    if child.poll() is None:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def measure(parts: Sequence[Part], total: float, run: Callable[[Part, float], Found]) -> Found:
    """The rows of some parts within `total` seconds, and what was cut, a line each."""
    began, planned = time.monotonic(), 0.0
    rows: list[dict[str, Any]] = []
    cut: list[str] = []
    for part in parts:
        planned += part.share * (total - GRACE)
        limit = began + planned - time.monotonic()  # with what earlier parts left over
        found, why = run(part, limit)
        rows += found
        cut += [f"{part.name}: {one}" for one in why]
        print(f"{part.name}: {len(found)} rows, {time.monotonic() - began:.0f} s", flush=True)
    return rows, cut


def machine(*, tiny: bool) -> dict[str, Any]:
    """What it was measured on."""
    import torch

    name = torch.cuda.get_device_name() if torch.cuda.is_available() and not tiny else "CPU, tiny sizes"
    return {"device": name, "cores": os.cpu_count(), "torch": torch.__version__, "cuda": torch.version.cuda}


def main(words: Sequence[str] | None = None) -> None:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--tiny", action="store_true", help="on the CPU, as a test")
    parser.add_argument("--out", type=Path, help="the result; of a GPU benchmarks/results/gpu.json if not said")
    parser.add_argument("--parts", nargs="+", choices=[part.name for part in PARTS], help="all if not said")
    parser.add_argument("--part", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(words)
    if options.part:
        for row in run_part(options.part, options.folder, tiny=options.tiny):
            print(PREFIX + json.dumps(row), flush=True)
        return
    on = machine(tiny=options.tiny)
    if on["device"].startswith("CPU") and not options.tiny:
        raise SystemExit("error: no GPU here, and a CPU says nothing about one\n  fix:   --tiny tries whether it runs")
    with tempfile.TemporaryDirectory() as scratch:
        run = _here if options.tiny else _in_children
        chosen = [part for part in PARTS if part.name in (options.parts or [part.name])]
        rows, cut = measure(chosen, options.seconds, partial(run, Path(scratch)))
    bars = judged(rows, on["device"])
    print("\n".join(table(on, rows, bars, cut)))
    out = options.out or (None if options.tiny else RESULT)
    if out:
        document = {"machine": on, "ratios": ratios(rows), "bars": bars, "cut": cut, "rows": rows}
        out.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def _in_children(folder: Path, part: Part, limit: float) -> Found:
    if limit < GRACE:
        return [], ["no time was left"]
    words = [sys.executable, "-m", "benchmarks.gpu", "--part", part.name, "--folder", str(folder)]
    return in_child(words, limit)


def _here(folder: Path, part: Part, limit: float) -> Found:
    """In this process, at tiny sizes: starting others would take longer than what they measure."""
    if part.gpu_only:
        return [], ["not at tiny sizes"]
    return list(run_part(part.name, folder, tiny=True)), []


if __name__ == "__main__":
    main()
