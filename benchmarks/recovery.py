"""How long a training stands still when one of its workers is killed (kill -9).

    python -m benchmarks.recovery [REPEATS]      (in a checkout whose data are prepared, with a training of some minutes)

Trains from scratch, kills the second worker at step 100, and takes the seconds until the first step after it, and the
steps that are trained again. Side by side with what cannot be avoided: a fresh Python process that imports what a worker
does. Writes benchmarks/results/recovery.json.
"""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

import psutil

IMPORTS = "import ray.train.torch, mtl.train.worker"


def main() -> None:
    """Measure, print, keep."""
    repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    floor = statistics.median(imports() for _ in range(repeats))
    rows = [recovery() for _ in range(repeats)]
    for row in rows:
        print(
            f"training again after {row['seconds']:.1f} s ({row['seconds'] / floor:.1f} × the imports), {row['steps_lost']} steps lost"
        )
    print(f"a fresh process's imports: {floor:.1f} s")
    document = {"cores": os.cpu_count(), "imports_seconds": floor, "kills": rows}
    Path("benchmarks/results/recovery.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def imports() -> float:
    """Seconds of a fresh process that imports what a worker does."""
    began = time.monotonic()
    subprocess.run([sys.executable, "-c", IMPORTS], check=True)
    return time.monotonic() - began


def recovery() -> dict[str, float]:
    """One kill."""
    environment = os.environ | {"MTL_FROM_SCRATCH": "1", "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        [sys.executable, "-m", "mtl.stages.train"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    killed, resumed = 0.0, 0
    try:
        for line in process.stdout:
            if "train: step 100/" in line and not killed:
                workers = [p for p in psutil.Process(process.pid).children(recursive=True) if is_worker(p)]
                max(workers, key=lambda p: p.pid).kill()
                killed = time.monotonic()
            elif "train: goes on from step" in line:
                resumed = int(line.split("step ")[1].split()[0])
            elif killed and resumed and "train: step " in line:
                # The line comes every ten steps; the first step was earlier.
                return {"seconds": time.monotonic() - killed, "steps_lost": 100 - resumed}
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)
    raise SystemExit("the training ended too early: give it more epochs")


def is_worker(process: psutil.Process) -> bool:
    """Whether a process is one of Ray Train's."""
    try:
        return "RayTrainWorker" in " ".join(process.cmdline())
    except psutil.Error:
        return False


if __name__ == "__main__":
    main()
