"""The process that makes the schedule's runs: `mtl serve` keeps it alive. It follows params.yaml."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from flows.checkout.leftovers import clear
from flows.checkout.project import project_of
from flows.processes.ui import end_with_parent
from flows.schedule.deployments import (
    NAME,
    REFUSED,
    crash_silent_runs,
    deployments,
    ensure_automation,
    name_of,
    schedule_line,
)
from flows.schedule.pauses import as_paused, note_applied, remove_unwanted
from flows.schedule.ticks import catch_up, missed, refuse_crons
from flows.settings import Settings, enter_checkout, reach_prefect
from mtl.config.params import Config, load
from mtl.errors import MtlError, StageError

_LOG = logging.getLogger(__name__)
FOLLOW_SECONDS = 5.0
"""Between two looks at params.yaml."""
LIMIT = 2
"""Runs at a time: each deployment has one."""


def run_schedule() -> None:
    """Register the deployments and make their runs, until told to end."""
    from prefect.exceptions import PrefectHTTPStatusError, TerminationSignal
    from prefect.runner import Runner

    end_with_parent()
    settings = enter_checkout()
    try:
        reach_prefect(settings)
        config = load(settings.root / "params.yaml")
        project = project_of(settings, config)
        clear(settings, prefect=True)
        ensure_automation(crash_silent_runs(project))
        runner: object = Runner(pause_on_shutdown=False, limit=LIMIT)
        _register(runner, settings, config, project)
    except (MtlError, PrefectHTTPStatusError) as error:
        _LOG.error(f"error: {error}")
        sys.exit(REFUSED if isinstance(error, MtlError) and not isinstance(error, StageError) else 1)
    tick = missed(config.schedule, settings.home, datetime.now(UTC))
    if tick is not None:
        deployment = f"retrain/{name_of(NAME, project)}"
        threading.Thread(target=catch_up, args=(deployment, tick), daemon=True).start()
    with suppress(KeyboardInterrupt, TerminationSignal):
        asyncio.run(_serve(runner, settings, config, project))


def _register(runner: Any, settings: Settings, config: Config, project: str) -> None:
    """Bring the server's deployments up to date.

    Raises:
        ConfigError: Prefect cannot keep the schedule.
    """
    refuse_crons(config)
    wanted = as_paused(deployments(config, project), config, settings.home)
    for one in wanted:
        runner.add_deployment(one)
    remove_unwanted(wanted, project)
    note_applied(config, settings.home)


async def _serve(runner: Any, settings: Settings, config: Config, project: str) -> None:
    following = asyncio.create_task(_follow(runner, settings, config, project))
    try:
        await runner.start()
    finally:
        following.cancel()


async def _follow(runner: object, settings: Settings, config: Config, project: str) -> None:
    """Take up what params.yaml says of schedule and monitor, as it changes; one that cannot be used is said once."""
    said = ""
    while True:
        await asyncio.sleep(FOLLOW_SECONDS)
        try:
            now = load(settings.root / "params.yaml")
            if (now.schedule, now.monitor) != (config.schedule, config.monitor):
                await asyncio.to_thread(_register, runner, settings, now, project)
                _LOG.info(schedule_line(now))
                config = now
            said = ""
        except Exception as error:  # the schedule goes on, whatever is wrong with the file or the server
            if str(error) != said:
                said = str(error)
                _LOG.warning(f"the schedule stays as it is: {said}")
