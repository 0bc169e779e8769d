"""Data that have arrived, and what looks at production have found."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from flows.home.versions import VersionRow
from flows.retraining.looks import Looks
from mtl.data.raw.listings import FOLDER
from mtl.errors import DataError
from mtl.reports.monitoring import MonitorReport
from mtl.reports.types import read_report

SHOWN = 10


@dataclass(frozen=True)
class Arrival:
    """Something new: a set whose listing changed, or a version that was made of other data."""

    at: datetime | None
    what: str


@dataclass(frozen=True)
class Look:
    """One look at production images; None: its report is gone."""

    batch: str
    at: str
    images: int
    report: MonitorReport | None

    @property
    def verdict(self) -> str:
        """In words; what was not judged is not said to be well."""
        if self.report is None:
            return "its report is gone"
        reasons = [*self.report.reasons, *self.report.late_reasons]
        return "; ".join(reasons) or ("nothing has shifted" if self.report.judged else "nothing could be judged")


def arrivals(root: Path, versions: Sequence[VersionRow]) -> list[Arrival]:
    """The last ones, newest first."""
    found = [
        Arrival(row.registered, f"version {row.number} was made of new data ({row.data[:12]})")
        for row in versions
        if row.new_data
    ]
    for path in sorted((root / FOLDER / ".remote").glob("*.json")):
        at = datetime.fromtimestamp(path.stat().st_mtime, UTC)
        try:
            number = f"{len(json.loads(path.read_bytes())['files'])} files"
        except (ValueError, KeyError, TypeError):
            number = "a listing that cannot be read"
        found.append(Arrival(at, f"set {path.stem}: {number}"))
    return sorted(found, key=lambda one: one.at or datetime.min.replace(tzinfo=UTC), reverse=True)[:SHOWN]


def last_looks(folder: Path) -> list[Look]:
    """The last ones, newest first.

    Raises:
        DataError: what is written of them is damaged.
    """
    recent = Looks.read(folder).recent[-SHOWN:]
    return [Look(past.batch, past.at, len(past.images), _report(folder / past.batch)) for past in reversed(recent)]


def _report(folder: Path) -> MonitorReport | None:
    try:
        return read_report(MonitorReport, folder / "report.json", fix="look again: mtl monitor")
    except DataError:
        return None
