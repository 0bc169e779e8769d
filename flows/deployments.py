"""Schedules and concurrency, in one place: settings are params.yaml's `schedule:`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from cronsim import CronSim

from flows.settings import Settings, load_settings, reach_prefect
from flows.supervisor import Service, supervise
from flows.ui import end_with_parent, refuse_busy, start_prefect, wait_until_up
from mtl.config import MonitorConfig, MtlError, ScheduleConfig, StageError, load

NAME = "scheduled"
ASKED = "mtl.retrain"
"""Event by which others ask for a retraining: a promotion elsewhere, data that have arrived."""
PORT = 4200
CATCH_UP_SECONDS = 10.0
"""After its start, the runner listens."""
REFUSED = 2
"""The runner's exit code when its user must mend something."""
SILENT_SECONDS = 90
"""Three heartbeats (PREFECT_FLOWS_HEARTBEAT_FREQUENCY)."""


def deployment(
    settings: Settings,
    schedule: ScheduleConfig,
    monitor: MonitorConfig,
    *,
    source: Any = None,
    root: str = "",
    **where: Any,
) -> Any:
    """The retrain flow with the schedule of params.yaml, one run at a time; started by a shift, too.

    Args:
        source: where a worker finds the code; None: it runs here.
        root: the checkout there.
        where: the work pool.
    """
    from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy
    from prefect.events import DeploymentEventTrigger
    from prefect.schedules import Cron

    from flows.monitor import EVENT
    from flows.retrain import retrain

    strategy = {"skip": ConcurrencyLimitStrategy.CANCEL_NEW, "queue": ConcurrencyLimitStrategy.ENQUEUE}
    parameters = {"root": root or str(settings.root)}
    reason = parameters | {"reason": "{{ event.payload.reason }}"}
    events = {ASKED, EVENT} if monitor.retrain else {ASKED}
    triggers = [DeploymentEventTrigger(name="mtl: drift, or asked for", expect=events, parameters=reason)]
    flow: Any = retrain if source is None else retrain.from_source(source, "flows/retrain.py:retrain")
    return flow.to_deployment(
        name=NAME,
        triggers=triggers,
        schedule=Cron(schedule.cron, timezone=schedule.timezone, active=schedule.active, slug=NAME),
        parameters=parameters,
        concurrency_limit=ConcurrencyLimitConfig(limit=1, collision_strategy=strategy[schedule.overlap]),
        description="Retrain on schedule: unchanged inputs do nothing, the gate decides on promotion.",
        tags=["mtl"],
        **where,
    )


def watch(
    settings: Settings,
    schedule: ScheduleConfig,
    monitor: MonitorConfig,
    *,
    source: Any = None,
    root: str = "",
    **where: Any,
) -> Any:
    """The monitor flow with its own cron, one run at a time; arguments as of `deployment`."""
    from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy
    from prefect.schedules import Cron

    from flows.monitor import monitor as look

    flow: Any = look if source is None else look.from_source(source, "flows/monitor.py:monitor")
    return flow.to_deployment(
        name="watch",
        schedule=Cron(monitor.cron, timezone=schedule.timezone, active=schedule.active, slug="watch"),
        parameters={"root": root or str(settings.root)},
        concurrency_limit=ConcurrencyLimitConfig(limit=1, collision_strategy=ConcurrencyLimitStrategy.CANCEL_NEW),
        description="Compare production images with what the champion was made with; a shift is an event.",
        tags=["mtl"],
        **where,
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


def missed(schedule: ScheduleConfig, home: Path, now: datetime) -> datetime | None:
    """The last tick, if no run has begun since it, and one was there before (the first start has missed nothing)."""
    last = home / "last_run.json"
    if schedule.catch_up == "none" or not schedule.active or not last.exists():
        return None
    tick = next(CronSim(schedule.cron, now.astimezone(ZoneInfo(schedule.timezone)), reverse=True))
    began = datetime.fromisoformat(json.loads(last.read_text(encoding="utf-8"))["started"])
    return tick if began < tick else None


def _catch_up(tick: datetime) -> None:
    """Start the run of a missed tick once the runner listens."""
    from prefect.deployments import run_deployment

    time.sleep(CATCH_UP_SECONDS)
    reason = f"catching up: the tick of {tick:%Y-%m-%d %H:%M %Z} was missed"
    run_deployment(f"retrain/{NAME}", parameters={"reason": reason}, timeout=0, as_subflow=False)
    print(reason, flush=True)


def run_schedule() -> None:
    """The process that makes the schedule's runs: `mtl serve` keeps it alive."""
    from prefect import serve

    end_with_parent()
    settings = load_settings()
    try:
        reach_prefect(settings)
    except MtlError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        sys.exit(1 if isinstance(error, StageError) else REFUSED)
    config = load(settings.root / "params.yaml")
    keep(crash_silent_runs())
    wanted = [deployment(settings, config.schedule, config.monitor)]
    tick = missed(config.schedule, settings.home, datetime.now(UTC))
    if tick is not None:
        threading.Thread(target=_catch_up, args=(tick,), daemon=True).start()
    if config.monitor.cron:
        wanted.append(watch(settings, config.schedule, config.monitor))
    serve(*wanted, limit=len(wanted), pause_on_shutdown=False)


def serve_schedule(settings: Settings) -> int:
    """Keep the schedule, with a Prefect server of our own unless PREFECT_API_URL names one.

    Server and runner are started again when they end. Stopping it leaves the deployment active: the schedule goes on
    when it is started again. Returns the exit code of what its user must mend: a server that refuses the password.
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
    services.append(Service("the runner", lambda: subprocess.Popen(command, cwd=settings.root), final=(REFUSED,)))
    print(f"schedule {schedule.cron} ({schedule.timezone}){'' if schedule.active else ', paused'}", flush=True)
    return supervise(services, lambda line: print(line, flush=True))
