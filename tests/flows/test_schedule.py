"""`mtl serve`: a tick a minute, by a real Prefect server; what of it is killed comes back, what is cancelled stops."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests import servers
from tests.conftest import clean_environment, free_port, set_params
from tests.end_to_end.test_end_to_end import status
from tests.flows.watch import Watched

HOMES: dict[int, Path] = {}
"""Of the servers' ports."""


def ask(port: int, path: str, body: dict[str, Any]) -> Any:
    return servers.ask(f"http://127.0.0.1:{port}/api/{path}", servers.basic_of(HOMES[port]), body)


@contextlib.contextmanager
def serving(checkout: Path, port: int) -> Iterator[Watched]:
    """`mtl serve` in a checkout, with its own Prefect server; nothing of it is left afterwards."""
    HOMES[port] = checkout / ".mtl"
    environment = clean_environment() | {"PYTHONPATH": str(checkout), "MTL_PREFECT_PORT": str(port)}
    served = Watched([sys.executable, "-m", "flows.cli", "serve"], checkout, environment)
    try:
        yield served
    finally:
        started = psutil.Process(served.process.pid).children(recursive=True)
        served.end(seconds=120)
        _, alive = psutil.wait_procs(started, timeout=30)
        assert not alive, alive


def runs(port: int, state: str) -> list[Any]:
    """The scheduled flow runs in a state; none while the server is away."""
    try:
        found = ask(port, "flow_runs/filter", {"flow_runs": {"state": {"type": {"any_": [state]}}}})
    except OSError:
        return []
    return [run for run in found if run["auto_scheduled"]]


def wait(what: Callable[[], Any], seconds: float, served: Watched) -> Any:
    """What comes true within some time."""
    deadline = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < deadline, "".join(line for line in list(served.lines.queue) if line)[-3000:]
        time.sleep(2)
    return found


def family(served: Watched, text: str) -> list[psutil.Process]:
    """Processes of the schedule that have a text in their command."""
    found: list[psutil.Process] = []
    for process in psutil.Process(served.process.pid).children(recursive=True):
        with contextlib.suppress(psutil.Error):  # it has ended meanwhile
            if text in " ".join(process.cmdline()):
                found.append(process)
    return found


def kill(served: Watched, text: str) -> None:
    """kill -9 of a process of the schedule."""
    found = family(served, text)
    assert found, f"no process has {text} in its command"
    found[0].kill()


@pytest.mark.long
def test_a_schedule_of_one_tick_per_minute_survives_kills(retrained: Path) -> None:
    checkout = retrained
    set_params(checkout / "params.yaml", "schedule.cron='* * * * *'")
    port = free_port()
    with serving(checkout, port) as served:
        before = wait(lambda: runs(port, "COMPLETED"), 240, served)
        (deployment,) = ask(port, "deployments/filter", {})
        assert deployment["concurrency_options"]["collision_strategy"] == "CANCEL_NEW"
        assert deployment["schedules"][0]["schedule"]["timezone"] == "Europe/London"
        kill(served, "flows.processes.guard prefect")
        kill(served, "run_schedule")
        wait(lambda: len(runs(port, "COMPLETED")) > len(before), 240, served)
    # Started again, on the same database: the same deployment, still active, goes on ticking.
    with serving(checkout, port) as served:
        seen = len(wait(lambda: runs(port, "COMPLETED"), 240, served))
        wait(lambda: len(runs(port, "COMPLETED")) > seen, 240, served)
        (again,) = ask(port, "deployments/filter", {})
        assert again["id"] == deployment["id"]
        assert not again["paused"]
        assert status(checkout)["last_run"]["reason"].startswith("unchanged")


@pytest.mark.slow
def test_dead_runs_are_found_and_cancelled_ones_checkpoint(retrained: Path) -> None:
    # No catching up: that run would not be the schedule's own.
    set_params(retrained / "params.yaml", "schedule.cron='* * * * *'", "schedule.active=true", "schedule.catch_up=none")
    port = free_port()
    with serving(retrained, port) as served:
        _kill_runner_and_flow(retrained, port, served)
        _cancel(retrained, port, served)


def _kill_runner_and_flow(checkout: Path, port: int, served: Watched) -> None:
    """Nobody is left to say that the run is over: without its heartbeat it is taken for dead, and the next one goes on."""
    set_params(checkout / "params.yaml", "train.epochs=500", "train.patience=500", "train.checkpoint_every=10")
    served.until("train: step 30/", 240)
    (run,) = runs(port, "RUNNING")
    kill(served, "run_schedule")
    kill(served, "prefect.engine")
    wait(lambda: run["id"] in [crashed["id"] for crashed in runs(port, "CRASHED")], 200, served)
    served.until("train: goes on from step", 240)


def _cancel(checkout: Path, port: int, served: Watched) -> None:
    """A cancelled run ends Ray's work and leaves a checkpoint of its last step."""
    (run,) = runs(port, "RUNNING")
    ask(port, f"flow_runs/{run['id']}/set_state", {"state": {"type": "CANCELLING"}})
    served.until("for the run is to stop", 60)
    wait(lambda: run["id"] in [cancelled["id"] for cancelled in runs(port, "CANCELLED")], 120, served)
    set_params(checkout / "params.yaml", "schedule.active=false", "train.epochs=1")
    wait(lambda: not family(served, "RayTrainWorker") and not family(served, "mtl.stages"), 60, served)
    assert list((checkout / ".mtl" / "trainings").glob("*/checkpoints/step-*/manifest.json"))
