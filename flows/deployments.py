"""Schedules and concurrency, in one place: settings are params.yaml's `schedule:`."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import timedelta
from typing import Any

from flows.settings import Settings, load_settings
from flows.supervisor import Service, supervise
from flows.ui import end_with_parent, refuse_busy, start_prefect, wait_until_up
from mtl.config import ScheduleConfig, load

NAME = "scheduled"
PORT = 4200
SILENT_SECONDS = 90
"""Three heartbeats (PREFECT_FLOWS_HEARTBEAT_FREQUENCY)."""


def deployment(settings: Settings, schedule: ScheduleConfig) -> Any:
    """The retrain flow with the schedule of params.yaml, one run at a time."""
    from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy
    from prefect.schedules import Cron

    from flows.retrain import retrain

    strategy = {"skip": ConcurrencyLimitStrategy.CANCEL_NEW, "queue": ConcurrencyLimitStrategy.ENQUEUE}
    return retrain.to_deployment(
        name=NAME,
        schedule=Cron(schedule.cron, timezone=schedule.timezone, active=schedule.active, slug=NAME),
        parameters={"root": str(settings.root)},
        concurrency_limit=ConcurrencyLimitConfig(limit=1, collision_strategy=strategy[schedule.overlap]),
        description="Retrain on schedule: unchanged inputs do nothing, the gate decides on promotion.",
        tags=["mtl"],
    )


def crash_silent_runs() -> Any:
    """Flow runs whose process died with its runner: without a heartbeat for a while, they are marked as crashed, so that
    their place is free for the next tick."""
    from prefect.automations import Automation
    from prefect.client.schemas.objects import StateType
    from prefect.events.actions import ChangeFlowRunState
    from prefect.events.schemas.automations import EventTrigger, Posture

    heartbeat = "prefect.flow-run.heartbeat"
    ends = {f"prefect.flow-run.{state}" for state in ("Completed", "Failed", "Cancelled", "Crashed", "Paused")}
    return Automation(
        name="mtl: runs without a heartbeat",
        trigger=EventTrigger(
            after={heartbeat},
            expect={heartbeat} | ends,
            match={"prefect.resource.id": "prefect.flow-run.*"},  # pyright: ignore[reportArgumentType]
            for_each={"prefect.resource.id"},
            posture=Posture.Proactive,
            threshold=1,
            within=timedelta(seconds=SILENT_SECONDS),
        ),
        actions=[
            ChangeFlowRunState(
                name="Crashed", state=StateType.CRASHED, message=f"no heartbeat for {SILENT_SECONDS} s", force=False
            )  # pyright: ignore[reportArgumentType]
        ],
    )


def keep(wanted: Any) -> None:
    """Create an automation, or bring it up to date. One that is as it should be is not touched: an update would let it
    forget the runs whose heartbeats it waits for, and it is started with the runner, just when they are missed."""
    try:
        known = type(wanted).read(name=wanted.name)
    except ValueError:
        wanted.create()
        return
    if _content(known) != _content(wanted):
        wanted.id = known.id
        wanted.update()


def _content(automation: Any) -> dict[str, Any]:
    """What an automation does, without ids and in one order."""
    found = automation.model_dump(mode="json", include={"trigger", "actions", "enabled"})
    found["trigger"].pop("id", None)
    for key in ("after", "expect"):
        found["trigger"][key] = sorted(found["trigger"][key])
    return found


def run_schedule() -> None:
    """The process that makes the schedule's runs: `mtl serve` keeps it alive."""
    from prefect import serve

    end_with_parent()
    settings = load_settings()
    schedule = load(settings.root / "params.yaml").schedule
    keep(crash_silent_runs())
    serve(deployment(settings, schedule), limit=1, pause_on_shutdown=False)


def serve_schedule(settings: Settings) -> None:
    """Keep the schedule, with a Prefect server of our own unless PREFECT_API_URL names one.

    Server and runner are started again when they end. Stopping it leaves the deployment active: the schedule goes on
    when it is started again.
    """
    schedule = load(settings.root / "params.yaml").schedule
    services: list[Service] = []
    if settings.prefect_url is None:
        port = int(os.environ.get("MTL_PREFECT_PORT", PORT))
        refuse_busy(port, "Prefect", "MTL_PREFECT_PORT, or name a running server with PREFECT_API_URL")
        os.environ["PREFECT_API_URL"] = f"http://127.0.0.1:{port}/api"

        def server() -> subprocess.Popen[bytes]:
            process = start_prefect(port)
            wait_until_up(f"http://127.0.0.1:{port}/api/health", process, "Prefect")
            return process

        services.append(Service("the Prefect server", server))
        print(f"Prefect  http://127.0.0.1:{port}", flush=True)
    command = [sys.executable, "-c", "from flows.deployments import run_schedule; run_schedule()"]
    services.append(Service("the runner", lambda: subprocess.Popen(command, cwd=settings.root)))
    print(f"schedule {schedule.cron} ({schedule.timezone}){'' if schedule.active else ', paused'}", flush=True)
    supervise(services, lambda line: print(line, flush=True))
