"""`mtl serve`: a tick a minute, by a real Prefect server; stopping it does not pause the schedule."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from mtl.config import apply_overrides, read_params
from tests.conftest import clean_environment
from tests.test_end_to_end import status


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def ask(port: int, path: str, body: dict[str, Any]) -> Any:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/api/{path}", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.load(answer)


def test_a_schedule_of_one_tick_a_minute_fires_twice(checkout: Path) -> None:
    from ruamel.yaml import YAML

    if status(checkout)["champion"] is None:
        pytest.skip("the end-to-end tests make the version that ticks find unchanged")
    values = read_params(checkout / "params.yaml")
    apply_overrides(values, ["schedule.cron='* * * * *'"])
    with (checkout / "params.yaml").open("w") as file:
        YAML(typ="safe", pure=True).dump(values, file)
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "flows.cli", "serve"],
        cwd=checkout,
        env=clean_environment() | {"PYTHONPATH": str(checkout), "MTL_PREFECT_PORT": str(port)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    done: list[Any] = []
    try:
        deadline = time.monotonic() + 300
        while len(done) < 2 and time.monotonic() < deadline and process.poll() is None:
            time.sleep(3)
            try:
                runs = ask(port, "flow_runs/filter", {"flow_runs": {"state": {"type": {"any_": ["COMPLETED"]}}}})
            except OSError:
                continue
            done = [run for run in runs if run["auto_scheduled"]]
        assert len(done) >= 2, process.stdout.read() if process.poll() is not None and process.stdout else "no ticks"
        (deployment,) = ask(port, "deployments/filter", {})
        assert deployment["concurrency_options"]["collision_strategy"] == "CANCEL_NEW"
        assert deployment["schedules"][0]["schedule"]["timezone"] == "Europe/London"
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
    found = status(checkout)
    assert found["last_run"]["reason"].startswith("unchanged")
