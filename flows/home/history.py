"""The page of `mtl history`: versions over time with their metrics and decisions, and every change of the champion."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from flows.home.versions import VersionRow, Versions, charts
from flows.registry.load import registry_of
from flows.settings import Settings
from mtl.config.params import load
from mtl.output.terminal import harmless
from mtl.reports.change import Change
from mtl.reports.document import render


def write_history(settings: Settings, changes: Sequence[Change], path: Path) -> None:
    """Write the page of a project.

    Args:
        changes: of the champion, oldest first.

    Raises:
        RegistryError: the registry is out of reach.
    """
    model = load(settings.root / "params.yaml").registry.model
    rows: list[VersionRow] = []
    if settings.has_registry:
        rows = Versions().rows(registry_of(settings, model), changes, last=None)
    path.write_text(history_page(model, rows, changes), encoding="utf-8")


def history_page(model: str, rows: Sequence[VersionRow], changes: Sequence[Change]) -> str:
    """Its HTML."""
    return render(
        Path(__file__).with_name("history.html.j2"),
        f"{model}: history",
        model=model,
        at=datetime.now(UTC),
        rows=rows,
        columns=_columns(rows),
        charts=charts(rows),
        changes=changes,
        clean=harmless,
    )


def _columns(rows: Sequence[VersionRow]) -> list[tuple[str, str]]:
    """[task, the metric by which it is judged] of all tasks that are not auxiliary; those of the newest version first."""
    found: dict[tuple[str, str], None] = {}
    for row in reversed(rows):
        for name, task in row.evaluation.tasks.items() if row.evaluation else ():
            if not task.auxiliary:
                found[name, task.primary] = None
    return list(found)
