"""CPU seconds, user and system, of what people start all day: each command with all its processes, in a checkout with two versions.

    python -m benchmarks.startup CHECKOUT [--code CHECKOUT_WITH_OTHER_CODE] [--repeats 3]

The endpoint is measured until its first answer. Seconds on the clock are given too; they depend on what else the machine does.
"""

from __future__ import annotations

import argparse
import os
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import httpx
import psutil

from tests.conftest import clean_environment, free_port
from tests.data.small_sets import encoded, pictures

LOOKS = (["--help"], ["status"], ["history"], ["lineage", "1"], ["diff", "1", "2"], ["metrics"])
Measured = tuple[float, float]
"""Seconds of CPU, and on the clock."""


def command(checkout: Path, code: Path, words: Sequence[str]) -> Measured:
    """A command, to its end."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run(_words(words), cwd=checkout, env=_environment(code), capture_output=True, check=False)
    assert done.returncode == 0, (words, done.stderr[-2000:])
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return cpu, time.monotonic() - began


def endpoint(checkout: Path, code: Path) -> Measured:
    """The endpoint, to its first answer."""
    port, image, began = free_port(), encoded(1, (64, 64)), time.monotonic()
    words = _words(["endpoint", "--port", str(port)])
    process = subprocess.Popen(words, cwd=checkout, env=_environment(code), stdout=subprocess.DEVNULL)
    try:
        while not _answers(port, image):
            assert process.poll() is None
            time.sleep(0.1)
        seconds, own = time.monotonic() - began, psutil.Process(process.pid)
        return sum(_cpu(one) for one in (own, *own.children(recursive=True))), seconds
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(120)


def _answers(port: int, image: bytes) -> bool:
    try:
        headers = {"content-type": "image/png"}
        return httpx.post(f"http://127.0.0.1:{port}/predict", content=image, headers=headers, timeout=120).is_success
    except httpx.HTTPError:
        return False


def _cpu(process: psutil.Process) -> float:
    """Of a process, and of those of its children that have ended."""
    found = process.cpu_times()
    return found.user + found.system + found.children_user + found.children_system


def _words(words: Sequence[str]) -> list[str]:
    return [sys.executable, "-m", "flows.cli", *words]


def _environment(code: Path) -> dict[str, str]:
    return clean_environment() | {"PYTHONPATH": str(code), "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")}


def main() -> None:
    """Print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkout", type=Path)
    parser.add_argument("--code", type=Path)
    parser.add_argument("--repeats", type=int, default=3)
    asked = parser.parse_args()
    checkout, code = asked.checkout.resolve(), (asked.code or asked.checkout).resolve()
    rows: dict[str, Callable[[], Measured]] = {
        f"`mtl {' '.join(words)}`": lambda words=words: command(checkout, code, words) for words in LOOKS
    }
    with tempfile.TemporaryDirectory() as scratch:
        pictures(Path(scratch, "in"), [f"{number}.png" for number in range(20)], (64, 64))

        def predict() -> Measured:
            with tempfile.TemporaryDirectory() as out:
                return command(checkout, code, ["predict", f"{scratch}/in", "--out", out])

        rows |= {"`mtl predict`, 20 images": predict, "`mtl endpoint`, first answer": lambda: endpoint(checkout, code)}
        print("| command | CPU, s | clock, s |\n|---|---|---|")
        for name, measure in rows.items():
            found = [measure() for _ in range(asked.repeats)]
            cpu, clock = (statistics.median(column) for column in zip(*found, strict=True))
            print(f"| {name} | {cpu:.2f} | {clock:.1f} |", flush=True)


if __name__ == "__main__":
    main()
