"""What was paused in Prefect's page stays so when deployments are registered again."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from mtl.config.params import Config
from mtl.storage.store import Store

APPLIED = "applied.json"


def as_paused(wanted: list[Any], config: Config, home: Path) -> list[Any]:
    """Deployments, as paused as the server has them; unless params.yaml says otherwise than when they were registered last."""
    from prefect.client.orchestration import get_client
    from prefect.exceptions import ObjectNotFound

    path = home / APPLIED
    before = json.loads(path.read_text(encoding="utf-8"))["active"] if path.exists() else config.schedule.active
    if before != config.schedule.active:
        return wanted
    with get_client(sync_client=True) as client:
        for one in wanted:
            try:
                known = client.read_deployment_by_name(one.full_name)
            except ObjectNotFound:
                continue
            one.paused = known.paused
            active = {schedule.slug: schedule.active for schedule in known.schedules}
            for schedule in one.schedules or []:
                schedule.active = active.get(schedule.slug, schedule.active)
    return wanted


def note_applied(config: Config, home: Path) -> None:
    """Remember what params.yaml said when the deployments were registered."""
    Store(str(home)).put(APPLIED, json.dumps({"active": config.schedule.active}).encode())


def remove_unwanted(wanted: list[Any], project: str) -> None:
    """Let go of a project's deployments that params.yaml no longer has, and on a server of our own of those that earlier
    versions made under other names: their ticks would go on.
    """
    from prefect.client.orchestration import get_client
    from prefect.exceptions import ObjectNotFound

    from flows.schedule.deployments import NAME, OWN_SERVER, WATCH, name_of

    names = {f"monitor/{name_of(WATCH, project)}"}
    if os.environ.get(OWN_SERVER):
        names |= {f"retrain/{NAME}", f"monitor/{WATCH}"}
    with get_client(sync_client=True) as client:
        for name in names - {one.full_name for one in wanted}:
            with suppress(ObjectNotFound):
                client.delete_deployment(client.read_deployment_by_name(name).id)
