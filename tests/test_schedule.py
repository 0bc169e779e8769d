"""`mtl serve`: a tick a minute, by a real Prefect server; stopping it does not pause the schedule."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import clean_environment, free_port, set_params
from tests.test_end_to_end import status


def ask(port: int, path: str, body: dict[str, Any]) -> Any:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/api/{path}", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.load(answer)


@contextlib.contextmanager
def serving(checkout: Path, port: int) -> Iterator[subprocess.Popen[str]]:
    """`mtl serve` in a checkout, with its own Prefect server."""
    process = subprocess.Popen(
        [sys.executable, "-m", "flows.cli", "serve"],
        cwd=checkout,
        env=clean_environment() | {"PYTHONPATH": str(checkout), "MTL_PREFECT_PORT": str(port)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()


def ticks(process: subprocess.Popen[str], port: int, wanted: int) -> list[Any]:
    """The scheduled flow runs that have completed, once there are as many as wanted."""
    done: list[Any] = []
    deadline = time.monotonic() + 300
    while len(done) < wanted and time.monotonic() < deadline and process.poll() is None:
        time.sleep(3)
        try:
            runs = ask(port, "flow_runs/filter", {"flow_runs": {"state": {"type": {"any_": ["COMPLETED"]}}}})
        except OSError:
            continue
        done = [run for run in runs if run["auto_scheduled"]]
    assert len(done) >= wanted, process.stdout.read() if process.poll() is not None and process.stdout else "no ticks"
    return done


@pytest.mark.slow
def test_a_schedule_of_one_tick_a_minute_fires_twice_and_survives_a_restart(retrained: Path) -> None:
    checkout = retrained
    set_params(checkout / "params.yaml", "schedule.cron='* * * * *'")
    port = free_port()
    with serving(checkout, port) as process:
        before = ticks(process, port, 2)
        (deployment,) = ask(port, "deployments/filter", {})
        assert deployment["concurrency_options"]["collision_strategy"] == "CANCEL_NEW"
        assert deployment["schedules"][0]["schedule"]["timezone"] == "Europe/London"
    # Started again, on the same database: the same deployment, still active, goes on ticking.
    with serving(checkout, port) as process:
        after = ticks(process, port, len(before) + 1)
        (again,) = ask(port, "deployments/filter", {})
    assert again["id"] == deployment["id"]
    assert not again["paused"]
    assert {run["id"] for run in before} < {run["id"] for run in after}
    assert status(checkout)["last_run"]["reason"].startswith("unchanged")
