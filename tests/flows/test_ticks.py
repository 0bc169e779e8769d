"""A tick a minute for a quarter of an hour, with overlaps, a pause, a killed server and a killed runner: each is accounted for."""

from __future__ import annotations

import json
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT, free_port, mtl, set_params
from tests.flows.test_schedule import ask, kill, runs, serving, wait
from tests.servers import ask as tell

MINUTES = 15


@pytest.mark.long
@pytest.mark.timeout(1500)
def test_every_tick_is_accounted_for(retrained: Path) -> None:
    set_params(retrained / "params.yaml", "schedule.cron='* * * * *'", "schedule.overlap=skip")
    port = free_port()
    events: list[tuple[datetime, str]] = []

    def note(what: str) -> None:
        events.append((datetime.now(UTC), what))

    with serving(retrained, port) as served:
        wait(lambda: runs(port, "COMPLETED"), 240, served)
        began = datetime.now(UTC).replace(second=0, microsecond=0) + timedelta(minutes=1)

        def at(minute: float) -> None:
            time.sleep(max(0.0, (began + timedelta(minutes=minute) - datetime.now(UTC)).total_seconds()))

        at(-0.2)
        (deployment,) = ask(port, "deployments/filter", {})
        address = f"http://127.0.0.1:{port}/api/deployments/{deployment['id']}"
        set_params(retrained / "params.yaml", "train.epochs=90", "train.patience=90")  # some minutes: ticks overlap
        note("a longer training")
        at(5.3)
        note("paused")
        tell(f"{address}/pause_deployment", body={})
        at(8.3)
        tell(f"{address}/resume_deployment", body={})
        note("resumed")
        at(9.7)
        kill(served, "flows.processes.guard prefect")
        note("server killed")
        at(11.7)
        kill(served, "run_schedule")
        note("runner killed")
        at(MINUTES - 1)
        ended = began + timedelta(minutes=MINUTES - 1)
        wait(lambda: settled(port, began, ended), 300, served)
        ticks = table(port, began, ended)
    rows = [{"tick": str(tick), "outcome": outcome} for tick, outcome in ticks.items()]
    told = [{"time": when.isoformat(timespec="seconds"), "event": what} for when, what in events]
    found = {"ticks": rows, "events": told}
    (ROOT / "reports").mkdir(exist_ok=True)
    (ROOT / "reports" / "ticks.json").write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found, indent=1))
    counts = Counter(ticks.values())
    assert set(counts) <= {"ran", "unchanged", "cancelled: one was running", "paused"}, counts
    assert counts["ran"] == 1
    assert counts["unchanged"] >= 4
    assert counts["cancelled: one was running"] >= 1
    assert 2 <= counts["paused"] <= 4
    versions = json.loads(mtl(retrained, "status", "--json").stdout)
    assert versions["last_run"]["version"] == 2


def scheduled(port: int, began: datetime, ended: datetime) -> list[dict[str, Any]]:
    """The schedule's runs of ticks from one to another, both included."""
    body = {"sort": "EXPECTED_START_TIME_ASC", "limit": 200}
    found = [run for run in ask(port, "flow_runs/filter", body) if run["auto_scheduled"]]
    return [run for run in found if began <= datetime.fromisoformat(run["expected_start_time"]) <= ended]


def settled(port: int, began: datetime, ended: datetime) -> bool:
    """Whether none of the runs is to start or running."""
    try:
        return all(
            run["state_type"] not in ("SCHEDULED", "PENDING", "RUNNING") for run in scheduled(port, began, ended)
        )
    except OSError:
        return False


def table(port: int, began: datetime, ended: datetime) -> dict[datetime, str]:
    """Tick → what became of it. A tick without a run was in the pause, or it is lost."""
    by_tick: dict[datetime, list[dict[str, Any]]] = {}
    for run in scheduled(port, began, ended):
        by_tick.setdefault(datetime.fromisoformat(run["expected_start_time"]), []).append(run)
    found: dict[datetime, str] = {}
    tick = began
    while tick <= ended:
        same = by_tick.get(tick, [])
        paused = 5 <= (tick - began).total_seconds() / 60 <= 9
        if len(same) > 1:
            found[tick] = "doubled"
        elif same:
            found[tick] = outcome(port, same[0])
        else:
            found[tick] = "paused" if paused else "lost"
        tick += timedelta(minutes=1)
    return found


def outcome(port: int, run: dict[str, Any]) -> str:
    """Of one run, by its state and its lines."""
    if run["state_type"] == "CANCELLED":
        return "cancelled: one was running"
    if run["state_type"] != "COMPLETED":
        return str(run["state_name"])
    lines = ask(port, "logs/filter", {"logs": {"flow_run_id": {"any_": [run["id"]]}}, "limit": 200})
    return "unchanged" if any("unchanged:" in line["message"] for line in lines) else "ran"
