"""How many workers `train.num_workers: auto` is, on this machine, and what it has for them. Whoever reads params.yaml has the number."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from functools import cache
from typing import Any

AUTO, ON_CPUS = "auto", 2
SECONDS = 20


def settled(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Plain values with a number in the place of `auto`: a worker per GPU, else two on processors; fewer where the batch
    cannot be divided by so many. Of a cluster of other machines nothing is known here: two.
    """
    train, cluster = values.get("train"), values.get("cluster")
    if not isinstance(train, Mapping) or train.get("num_workers", AUTO) != AUTO:
        return values
    cluster = cluster if isinstance(cluster, Mapping) else {}
    here = cluster.get("address", "local") == "local" and cluster.get("use_gpu", AUTO) == AUTO
    most = (gpus() if here else 0) or ON_CPUS
    images, shares = train.get("batch_size"), train.get("accumulate", 1)
    if train.get("parallelism") == "tasks":
        most = min(most, len(values.get("tasks", ())) or most)
    elif isinstance(images, int) and isinstance(shares, int) and images > 0 and shares > 0:
        most = next((n for n in range(most, 0, -1) if images % (n * shares) == 0), most)
    return {**values, "train": {**train, "num_workers": most}}


def cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@cache
def gpus() -> int:
    """NVIDIA GPUs that a process started here may use; asked of the driver, for torch would take seconds."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return 0
    try:
        done = subprocess.run([tool, "-L"], capture_output=True, text=True, timeout=SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return 0
    found = sum(line.startswith("GPU ") for line in done.stdout.splitlines())
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return found if visible is None else min(found, len([name for name in visible.split(",") if name.strip()]))
