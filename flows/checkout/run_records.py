"""What runs write down of themselves in MTL_HOME: how the last one went, and what each process that works has."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

from pydantic import ConfigDict, Field

from mtl.errors import DataError
from mtl.reports.types import Report, parse_json
from mtl.storage import atomic

LAST_RUN = "last_run.json"


class Record(Report):
    """Read by newer programs and older ones: what these add is left out."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    def write(self, path: Path) -> None:
        """Put it in its place as a whole."""
        atomic.write(path, json.dumps(self.model_dump(mode="json", exclude_none=True), indent=1))


class LastRun(Record):
    """How the last run went."""

    state: Literal["Running", "Completed", "Failed", "Cancelled", "Crashed"]
    fingerprint: str | None = None
    flow_run: str | None = Field(default=None, description="id of Prefect's; empty: of none")
    process: str | None = Field(default=None, description="name of its record; None: from before there were such")
    started: str = Field(description="ISO 8601")
    version: int | None = None
    promoted: bool | None = None
    reason: str | None = None
    ended: str | None = Field(default=None, description="ISO 8601; None: it runs, or was killed")


class ProcessRecord(Record):
    """What one process has that nobody else would clear."""

    host: str | None = None
    pid: int | None = None
    began: str | None = Field(default=None, description="ISO 8601")
    lock: str = Field(default="", description="of MTL_HOME/locks, which it holds")
    folders: tuple[str, ...] = Field(default=(), description="of MTL_HOME")
    scratch: str | None = Field(default=None, description="folder of its temporary files")
    mlflow_run: str | None = None
    flow_run: str | None = None
    servers: tuple[tuple[int, float], ...] = Field(
        default=(), description="Prefect's that it embeds: number and birth of each"
    )


def read_last_run(home: Path) -> LastRun | None:
    """How the last run of a home went; None if there was none.

    Raises:
        DataError: what is written of it is damaged.
    """
    path = home / LAST_RUN
    fix = "remove the file: the next run writes it"
    return parse_json(LastRun, path.read_bytes(), str(path), fix=fix) if path.exists() else None


def read_process(path: Path) -> ProcessRecord:
    """The record of a process; an empty one if it was just removed, or is of a full disk."""
    try:
        return parse_json(ProcessRecord, path.read_bytes(), str(path), fix="")
    except (OSError, DataError):
        return ProcessRecord()
