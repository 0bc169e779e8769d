"""Ticks of the schedule, as Prefect makes them: the next ones, and the last if it was missed."""

from __future__ import annotations

import asyncio
import logging
import time
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from flows.checkout.run_records import read_last_run
from mtl.config.params import Config
from mtl.config.schedule import ScheduleConfig
from mtl.errors import ConfigError

_LOG = logging.getLogger(__name__)
CATCH_UP_SECONDS = 10.0
"""After its start, the runner listens."""
_LOOKED_BACK = (1 / 24, 1, 32, 366, 5 * 366)
"""Days, from few to many: Prefect gives a thousand ticks at most, the earliest."""


def refuse_crons(config: Config) -> None:
    """Raise ConfigError if Prefect could not make the ticks of `schedule.cron` or `monitor.cron`."""
    for key, cron in (("schedule.cron", config.schedule.cron), ("monitor.cron", config.monitor.cron)):
        if cron:
            try:
                _ticks(cron, config.schedule.timezone, datetime.now(ZoneInfo("UTC")), count=2)
            except ValueError as error:
                lines = [line.strip() for line in str(error).splitlines()]
                found = next((line for line in lines if line.startswith("Value error")), lines[0])
                fix = "minute hour day-of-month month day-of-week, as in 0 3 * * 1; and a day that comes"
                raise ConfigError(f"Prefect cannot keep {key}: {cron}", found=found.split(" [")[0], fix=fix) from error


def next_ticks(schedule: ScheduleConfig, now: datetime, count: int = 3) -> list[datetime]:
    """In the schedule's time zone; none while it is paused."""
    return _ticks(schedule.cron, schedule.timezone, now, count=count) if schedule.active else []


def missed(schedule: ScheduleConfig, home: Path, now: datetime) -> datetime | None:
    """The last tick, if no run has begun since it, and one was there before (the first start has missed nothing)."""
    if schedule.catch_up == "none" or not schedule.active or (last := read_last_run(home)) is None:
        return None
    began = datetime.fromisoformat(last.started)
    for days in _LOOKED_BACK:
        start = max(began, now - timedelta(days=days))
        ticks = [tick for tick in _ticks(schedule.cron, schedule.timezone, start, end=now) if began < tick <= now]
        if ticks:
            return ticks[-1]
    return None


def _ticks(
    cron: str, timezone: str, start: datetime, *, end: datetime | None = None, count: int | None = None
) -> list[datetime]:
    """Prefect's own, from one time on, in the time zone.

    Raises:
        ValueError: it cannot make them.
    """
    from prefect.server.schemas.schedules import CronSchedule

    schedule: object = CronSchedule(cron=cron, timezone=timezone)
    return [tick.astimezone(ZoneInfo(timezone)) for tick in asyncio.run(schedule.get_dates(count, start, end))]


def catch_up(deployment: str, tick: datetime) -> None:
    """Start the run of a missed tick once the runner listens."""
    from prefect.deployments import run_deployment

    time.sleep(CATCH_UP_SECONDS)
    reason = f"catching up: the tick of {tick:%Y-%m-%d %H:%M %Z} was missed"
    run_deployment(deployment, parameters={"reason": reason}, timeout=0, as_subflow=False)
    _LOG.info(reason)
