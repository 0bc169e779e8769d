"""Schedules and concurrency, in one place: settings are params.yaml's `schedule:`."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from flows.checkout.project import tags_of
from flows.checks import TRAINING, check
from flows.processes.supervisor import Service, supervise
from flows.processes.ui import refuse_busy, start_prefect, wait_until_up
from flows.registry.relocation import refuse_moved
from flows.schedule.ticks import next_ticks, refuse_crons
from flows.settings import Settings
from mtl.config.params import Config, load

_LOG = logging.getLogger(__name__)

NAME, WATCH = "scheduled", "watch"
FILES = {"retrain": "flow", "monitor": "monitor"}
"""Flow → its module in flows/retraining."""
ASKED = "mtl.retrain"
"""Event by which others ask for a retraining: a promotion elsewhere, data that have arrived. All projects on a server hear
it; with a dot and a project's name, that one alone."""
OWN_SERVER = "MTL_OWN_SERVER"
"""Of the runner's environment: no other project is on its server."""
PORT = 4200
REFUSED = 2
"""The runner's exit code when its user must mend something."""
OF_ALL = "mtl: runs without a heartbeat"
SILENT_SECONDS = 90
"""Three heartbeats (PREFECT_FLOWS_HEARTBEAT_FREQUENCY)."""


def deployments(
    config: Config, project: str, *, source: object = None, installed: bool = False, **where: object
) -> list[object]:
    """The retrain flow with the schedule of params.yaml, started by events too; the monitor flow if it has a cron of its own.

    Args:
        project: in whose name: others may keep theirs on the same server.
        source: where a worker finds the code; None: it runs here.
        installed: the source is a project, whose deploy.py names the flows of the mtl that is installed there.
        where: the work pool.
    """
    from flows.retraining.flow import retrain
    from flows.retraining.monitor import monitor

    wanted = [_retraining(_from(retrain, source, installed), config, project, where)]
    if config.monitor.cron:
        wanted.append(_watching(_from(monitor, source, installed), config, project, where))
    return wanted


def _from(flow: Any, source: Any, installed: bool) -> Any:
    file = "deploy.py" if installed else f"flows/retraining/{FILES[flow.name]}.py"
    return flow if source is None else flow.from_source(source, f"{file}:{flow.fn.__name__}")


def _retraining(flow: Any, config: Config, project: str, where: dict[str, Any]) -> Any:
    """One run at a time; what a second one does is `schedule.overlap`."""
    from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy
    from prefect.events import DeploymentEventTrigger
    from prefect.schedules import Cron

    from flows.retraining.monitor import EVENT, resource_of

    schedule = config.schedule
    strategy = {"skip": ConcurrencyLimitStrategy.CANCEL_NEW, "queue": ConcurrencyLimitStrategy.ENQUEUE}
    reason = {"reason": "{{ event.payload.reason }}"}
    asked = {ASKED, f"{ASKED}.{project}"}
    triggers = [DeploymentEventTrigger(name=f"mtl: {project}: asked for", expect=asked, parameters=reason)]
    if config.monitor.retrain:
        match: Any = {"prefect.resource.id": resource_of(project)}
        name = f"mtl: {project}: drift"
        triggers.append(DeploymentEventTrigger(name=name, expect={EVENT}, match=match, parameters=reason))
    return flow.to_deployment(
        name=name_of(NAME, project),
        triggers=triggers,
        schedule=Cron(schedule.cron, timezone=schedule.timezone, active=schedule.active, slug=NAME),
        concurrency_limit=ConcurrencyLimitConfig(limit=1, collision_strategy=strategy[schedule.overlap]),
        description="Retrain on schedule: unchanged inputs do nothing, the gate decides on promotion.",
        tags=tags_of(project),
        **where,
    )


def _watching(flow: Any, config: Config, project: str, where: dict[str, Any]) -> Any:
    from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy
    from prefect.schedules import Cron

    return flow.to_deployment(
        name=name_of(WATCH, project),
        schedule=Cron(
            config.monitor.cron, timezone=config.schedule.timezone, active=config.schedule.active, slug=WATCH
        ),
        concurrency_limit=ConcurrencyLimitConfig(limit=1, collision_strategy=ConcurrencyLimitStrategy.CANCEL_NEW),
        description="Compare production images with what the champion was made with; a shift is an event.",
        tags=tags_of(project),
        **where,
    )


def name_of(kind: str, project: str) -> str:
    """Of a deployment."""
    return f"{kind}-{project}"


def crash_silent_runs(project: str) -> object:
    """A project's flow runs whose process died with its runner: without a heartbeat for a while, they are marked as crashed,
    so that their place is free for the next tick. Others' runs on the same server may have no heartbeats.
    """
    from prefect.automations import Automation
    from prefect.client.schemas.objects import StateType
    from prefect.events.actions import ChangeFlowRunState
    from prefect.events.schemas.automations import EventTrigger, Posture

    heartbeat = "prefect.flow-run.heartbeat"
    ends = {f"prefect.flow-run.{state}" for state in ("Completed", "Failed", "Cancelled", "Crashed", "Paused")}
    return Automation(
        name=f"mtl: {project}: runs without a heartbeat",
        trigger=EventTrigger(
            after={heartbeat},
            expect={heartbeat} | ends,
            match={"prefect.resource.id": "prefect.flow-run.*"},  # pyright: ignore[reportArgumentType]
            match_related={
                "prefect.resource.role": "tag",
                "prefect.resource.id": f"prefect.tag.{tags_of(project)[-1]}",
            },  # pyright: ignore[reportArgumentType]
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


def ensure_automation(wanted: Any) -> None:
    """Create an automation, or bring it up to date; one of all runs, as an earlier version made it, goes. One that is as it
    should be is not touched: an update would let it forget the runs whose heartbeats it waits for, and it is started with the
    runner, just when they are missed.
    """
    with suppress(ValueError):
        type(wanted).read(name=OF_ALL).delete()
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


def serve_schedule(settings: Settings) -> int:
    """Keep the schedule, with a Prefect server of our own unless PREFECT_API_URL names one.

    Server and runner are started again when they end. Stopping it leaves the deployment active: the schedule goes on
    when it is started again. Returns the exit code of what its user must mend: a server that refuses the password.
    """
    refuse_moved(settings)
    config = load(settings.root / "params.yaml")
    refuse_crons(config)
    check(settings, config, TRAINING)
    services: list[Service] = []
    if settings.prefect_url is None:
        port = int(os.environ.get("MTL_PREFECT_PORT", PORT))
        refuse_busy(port, "Prefect", "MTL_PREFECT_PORT, or name a running server with PREFECT_API_URL")
        os.environ["PREFECT_API_URL"] = f"http://127.0.0.1:{port}/api"

        def server() -> subprocess.Popen[bytes]:
            process = start_prefect(port, settings.ensure_login(), config.retention.days)
            wait_until_up(f"http://127.0.0.1:{port}/api/health", process, "Prefect")
            return process

        services.append(Service("the Prefect server", server))
        _LOG.info(f"Prefect  http://127.0.0.1:{port}/login (the password is in {settings.home}/password)")
    command = [sys.executable, "-c", "from flows.schedule.runner import run_schedule; run_schedule()"]
    environment = os.environ | ({OWN_SERVER: "1"} if settings.prefect_url is None else {})
    start = partial(subprocess.Popen, command, cwd=settings.root, env=environment)
    services.append(Service("the runner", start, final=(REFUSED,)))
    _LOG.info(schedule_line(config))
    return supervise(services)


def schedule_line(config: Config) -> str:
    """What is to come, in a line."""
    schedule = config.schedule
    ticks = ", ".join(f"{tick:%a %Y-%m-%d %H:%M %Z}" for tick in next_ticks(schedule, datetime.now(UTC)))
    return f"schedule {schedule.cron} ({schedule.timezone}), {f'next {ticks}' if ticks else 'paused'}"
