"""What the home page shows. Nothing is written; each part that cannot be read says why, and the others stand."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Generic, TypeVar

from flows.checkout.leftovers import as_it_is
from flows.checkout.project import VARIABLE, tags_of
from flows.checkout.run_records import LastRun, read_last_run
from flows.home.flow_runs import FlowRuns, flow_runs
from flows.home.production import Arrival, Look, arrivals, last_looks
from flows.home.versions import VersionRow, Versions
from flows.registry.load import registry_of
from flows.schedule.ticks import next_ticks
from flows.settings import Settings
from mtl.config.params import Config, load
from mtl.errors import MtlError
from mtl.output.terminal import harmless
from mtl.registry.registry import Registry
from mtl.reports.change import Change

Found_co = TypeVar("Found_co", covariant=True)
Found = TypeVar("Found")
NUM_TICKS = 5


@dataclass(frozen=True)
class Part(Generic[Found_co]):
    """What is known of something, or why it is not; neither: there is nothing of it yet."""

    value: Found_co | None = None
    unknown: str = ""


@dataclass(frozen=True)
class Overview:
    """All parts of the page at one time."""

    at: datetime
    model: str
    versions: Part[list[VersionRow]]
    changes: Part[list[Change]]
    last_run: Part[LastRun | None]
    flow_runs: Part[FlowRuns]
    ticks: Part[list[datetime]]
    arrivals: Part[list[Arrival]]
    looks: Part[list[Look]]

    @property
    def champion(self) -> VersionRow | None:
        """The version that the signed history ends with, if the registry has it."""
        return next((row for row in self.versions.value or () if row.champion), None)

    @property
    def champion_since(self) -> str | None:
        """When the signed history made it champion; None: that is not known."""
        moves = [change for change in self.changes.value or () if change.unverified is None and change.moves]
        return moves[-1].when if moves else None


@dataclass
class Home:
    """One project.

    Attributes:
        prefect: its API's address; None: there is none.
    """

    settings: Settings
    prefect: str | None = None
    versions: Versions = field(default_factory=Versions)

    def overview(self) -> Overview:
        """As everything is now."""
        moment, settings = datetime.now(UTC), self.settings
        config = _attempt(lambda: load(settings.root / "params.yaml"))
        registry = _attempt(lambda: _registry(settings, _of(config)))
        changes = _attempt(lambda: _of(registry).promotions.shown())
        rows = _attempt(lambda: self.versions.rows(_of(registry), changes.value or ()))
        return Overview(
            at=moment,
            model=config.value.registry.model if config.value else settings.root.name,
            versions=rows,
            changes=changes,
            last_run=_attempt(lambda: _last_run(settings)),
            flow_runs=_attempt(lambda: flow_runs(self.prefect, _tag(settings))),
            ticks=_attempt(lambda: next_ticks(_of(config).schedule, moment, NUM_TICKS)),
            arrivals=_attempt(lambda: arrivals(settings.root, rows.value or ())),
            looks=_attempt(lambda: last_looks(settings.home / "monitor")),
        )


class _Unknown(Exception):
    """What a part is read from is not known itself."""


def _attempt(read: Callable[[], Found]) -> Part[Found]:
    """What reading gives; whatever goes wrong there, the page stands."""
    try:
        return Part(read())
    except _Unknown as error:  # said already, by what it is read from
        return Part(unknown=str(error))
    except MtlError as error:
        return Part(unknown=harmless(error.line))
    except Exception as error:
        return Part(unknown=harmless(f"{type(error).__name__}: {error}"[:300]))


def _of(part: Part[Found]) -> Found:
    """What is known.

    Raises:
        _Unknown: it is not.
    """
    if part.value is None:
        raise _Unknown(part.unknown)
    return part.value


def _registry(settings: Settings, config: Config) -> Registry:
    path = settings.mlflow_uri.removeprefix("sqlite:///")
    if path != settings.mlflow_uri and not (settings.root / path).exists():
        raise MtlError("there is no version yet", fix="mtl retrain makes the first one")
    return registry_of(settings, config.registry.model)


def _last_run(settings: Settings) -> LastRun | None:
    last = read_last_run(settings.home)
    return None if last is None else as_it_is(settings, last)


def _tag(settings: Settings) -> str:
    """Of this project's flow runs; empty if it has no name yet, for looking at it gives it none."""
    named, path = os.environ.get(VARIABLE), settings.home / "project"
    if not named and path.exists():
        named = json.loads(path.read_text(encoding="utf-8")).get("name")
    return tags_of(named)[-1] if named else ""
