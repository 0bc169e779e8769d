"""Versions for pages: what each is, how it did, and what was decided."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from markupsafe import Markup

from mtl.errors import RegistryError
from mtl.registry.registry import Registry, Version
from mtl.reports.change import Change
from mtl.reports.charts import Point, lines
from mtl.reports.evaluation import EvalReport

SHOWN = 40
"""The last versions that the home page shows."""


@dataclass(frozen=True)
class VersionRow:
    """One version."""

    number: int
    run: str
    registered: datetime | None
    """As MLflow says."""
    champion: bool
    promoted: bool
    """Whether it ever was champion, by the signed history."""
    decision: str
    reason: str
    data: str
    new_data: bool
    """Whether its data are others than those of the version before."""
    unverified: str
    evaluation: EvalReport | None
    """None: it is not there, or cannot be read."""


@dataclass
class Versions:
    """Rows of versions; an evaluation is read once, for it does not change."""

    _evaluations: dict[tuple[int, str], EvalReport | None] = field(
        default_factory=dict[tuple[int, str], EvalReport | None]
    )

    def rows(self, registry: Registry, changes: Sequence[Change], last: int | None = SHOWN) -> list[VersionRow]:
        """The last ones, oldest first.

        Args:
            changes: of the champion, oldest first.
            last: how many; None: all.

        Raises:
            RegistryError: the registry is out of reach.
        """
        raw = registry.raw_versions()
        born = {int(one.version): one.creation_timestamp for one in raw}
        counted = [change for change in changes if change.unverified is None]
        champions, now = {change.to for change in counted}, counted[-1].to if counted else None
        rows: list[VersionRow] = []
        before = ""
        for version in registry.versions(raw)[-(last or 0) :]:
            tags, at = version.tags, born.get(version.number)
            data = tags.get("mtl.data", "")
            row = VersionRow(
                number=version.number,
                run=version.run,
                registered=datetime.fromtimestamp(at / 1000, UTC) if at else None,
                champion=version.number == now,
                promoted=version.number in champions,
                decision=tags.get("mtl.decision", ""),
                reason=tags.get("mtl.reason", ""),
                data=data,
                new_data=bool(rows) and data != before,
                unverified=version.doubt.why if version.doubt else "",
                evaluation=self._evaluation(registry, version),
            )
            rows.append(row)
            before = data
        return rows

    def _evaluation(self, registry: Registry, version: Version) -> EvalReport | None:
        key = (version.number, version.run)
        if key not in self._evaluations:
            try:
                self._evaluations[key] = registry.evaluation(version, shown=True)
            except RegistryError:
                return None  # it may be there later
        return self._evaluations[key]


def charts(rows: Sequence[VersionRow]) -> list[Markup]:
    """The primary metric of each task over versions, with intervals; hollow where the version never was champion."""
    found: dict[str, list[Point]] = {}
    for row in rows:
        for name, task in row.evaluation.tasks.items() if row.evaluation else ():
            metric = task.metrics[task.primary]
            if task.auxiliary or metric.value is None:
                continue
            interval = "" if metric.low is None else f" [{metric.low:.4f}, {metric.high:.4f}]"
            said = f"version {row.number}: {metric.value:.4f}{interval}"
            mark = "" if row.promoted else "hollow"
            title = f"{name}: {task.primary} {'↑' if metric.direction == 'max' else '↓'}"
            point = Point(float(row.number), metric.value, metric.low, metric.high, said, mark)
            found.setdefault(title, []).append(point)
    return [
        lines(title, {title: some}, "version", title.split(": ")[-1], counted=True) for title, some in found.items()
    ]
