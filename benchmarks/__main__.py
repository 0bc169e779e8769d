"""All benchmarks, one after the other, each in a process of its own: `make bench`.

    python -m benchmarks [NAME …]      (all that can run here, if none is named; hours)

A benchmark is a module of this folder. One that lacks something here (a GPU, a checkout that has run) is left out, and that is said; one
that fails does not keep the others from running. Each writes its ratios to benchmarks/results.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

FOLDER = Path(__file__).parent
ROOT = FOLDER.parent


def nothing() -> str:
    """It needs nothing."""
    return ""


def a_gpu() -> str:
    """Why what needs a GPU cannot run."""
    import torch

    return "" if torch.cuda.is_available() else "no GPU here"


def prepared() -> str:
    """Why what needs prepared data cannot run."""
    return "" if (ROOT / "outputs/prepared/manifest.json").exists() else "nothing is prepared here: make run"


def a_run() -> str:
    """Why what needs a package cannot run."""
    return "" if (ROOT / "outputs/package/model").exists() else "no run has ended here: make run"


@dataclass(frozen=True)
class Benchmark:
    """What a benchmark is told, and what it needs: why it cannot run here, or nothing."""

    words: tuple[str, ...] = ()
    lacks: Callable[[], str] = field(default=nothing)


NEEDS = {
    "checkpoint": Benchmark(lacks=prepared),
    "compression": Benchmark(lacks=prepared),
    "drift": Benchmark(lacks=a_run),
    "gpu": Benchmark(lacks=a_gpu),
    "loading": Benchmark(lacks=prepared),
    "package": Benchmark(lacks=a_run),
    "recovery": Benchmark(lacks=prepared),
    "scale": Benchmark(("--images", "100000")),
    "simulate": Benchmark(("--images", "100000")),
    "startup": Benchmark((str(ROOT),), a_run),
    "unchanged": Benchmark((str(ROOT),), a_run),
}
"""Of those that need something; the others run as they are."""


def names() -> list[str]:
    """All benchmarks; `x_parts` beside `x` is a part of it."""
    found = sorted(path.stem for path in FOLDER.glob("*.py") if not path.stem.startswith("__"))
    return [name for name in found if not any(name.startswith(f"{other}_") for other in found)]


def main() -> None:
    """Run them; the exit code says whether all that ran came to their end."""
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*", choices=[*names(), []], metavar="NAME")
    chosen = parser.parse_args().names or names()
    ends: dict[str, str] = {}
    for name in chosen:
        benchmark, began = NEEDS.get(name, Benchmark()), time.monotonic()
        if why := benchmark.lacks():
            ends[name] = f"left out: {why}"
            continue
        print(f"== {name}", flush=True)
        code = subprocess.run([sys.executable, "-m", f"benchmarks.{name}", *benchmark.words], cwd=ROOT).returncode
        ends[name] = f"{time.monotonic() - began:.0f} s" if code == 0 else f"failed: exit code {code}"
    print("\n".join(f"{name:<12} {end}" for name, end in ends.items()))
    raise SystemExit(any(end.startswith("failed") for end in ends.values()))


if __name__ == "__main__":
    main()
