"""Schedules and concurrency, in one place: settings are params.yaml's `schedule:`."""

from __future__ import annotations

import os
import subprocess
from typing import Any

from flows.settings import Settings
from flows.ui import refuse_busy, start_prefect, wait_until_up
from mtl.config import ScheduleConfig, load

NAME = "scheduled"
PORT = 4200


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


def serve_schedule(settings: Settings) -> None:
    """Keep the deployment, with a Prefect server of our own unless PREFECT_API_URL names one.

    Stopping it leaves the deployment active: the schedule goes on when it is started again.
    """
    schedule = load(settings.root / "params.yaml").schedule
    server: subprocess.Popen[bytes] | None = None
    try:
        if settings.prefect_url is None:
            port = int(os.environ.get("MTL_PREFECT_PORT", PORT))
            refuse_busy(port, "Prefect", "MTL_PREFECT_PORT, or name a running server with PREFECT_API_URL")
            server = start_prefect(port)
            wait_until_up(f"http://127.0.0.1:{port}/api/health", server, "Prefect")
            os.environ["PREFECT_API_URL"] = f"http://127.0.0.1:{port}/api"
            print(f"Prefect  http://127.0.0.1:{port}", flush=True)
        from prefect import serve

        print(f"schedule {schedule.cron} ({schedule.timezone}){'' if schedule.active else ', paused'}", flush=True)
        serve(deployment(settings, schedule), limit=1, pause_on_shutdown=False)
    finally:
        if server is not None:
            server.terminate()
            server.wait(30)
