"""Ticks of the schedule: the next ones, and the last if it was missed."""

from __future__ import annotations

import json
import time
from datetime import datetime
from itertools import islice
from pathlib import Path
from zoneinfo import ZoneInfo

from cronsim import CronSim

from mtl.config import ScheduleConfig

CATCH_UP_SECONDS = 10.0
"""After its start, the runner listens."""


def next_ticks(schedule: ScheduleConfig, now: datetime, count: int = 3) -> list[datetime]:
    """In the schedule's time zone; none while it is paused."""
    if not schedule.active:
        return []
    return list(islice(CronSim(schedule.cron, now.astimezone(ZoneInfo(schedule.timezone))), count))


def missed(schedule: ScheduleConfig, home: Path, now: datetime) -> datetime | None:
    """The last tick, if no run has begun since it, and one was there before (the first start has missed nothing)."""
    last = home / "last_run.json"
    if schedule.catch_up == "none" or not schedule.active or not last.exists():
        return None
    tick = next(CronSim(schedule.cron, now.astimezone(ZoneInfo(schedule.timezone)), reverse=True))
    began = datetime.fromisoformat(json.loads(last.read_text(encoding="utf-8"))["started"])
    return tick if began < tick else None


def catch_up(deployment: str, tick: datetime) -> None:
    """Start the run of a missed tick once the runner listens."""
    from prefect.deployments import run_deployment

    time.sleep(CATCH_UP_SECONDS)
    reason = f"catching up: the tick of {tick:%Y-%m-%d %H:%M %Z} was missed"
    run_deployment(deployment, parameters={"reason": reason}, timeout=0, as_subflow=False)
    print(reason, flush=True)
