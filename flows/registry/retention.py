"""What is kept no longer: versions with their runs, packages and reports, runs that came to nothing, their data, and the room in
databases. `retention` in params.yaml says it, `mtl clean` and every run that makes a version do it.

The history says first what goes, then it goes; so after a crash nothing looks as if somebody had deleted it. MLflow's own gc removes
runs and artifacts, DVC's own gc data, and Prefect's own vacuum its runs.
"""

from __future__ import annotations

import contextlib
import io
import logging
import shutil
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
from mlflow.entities import Run, ViewType

from flows.registry.garbage import garbage
from flows.registry.load import addresses, registry_of
from flows.settings import Settings
from mtl.config.params import Config
from mtl.errors import MtlError, RegistryError
from mtl.registry.promotion import REMOVAL
from mtl.registry.registry import Registry
from mtl.registry.tracking import FINGERPRINT, explained, pages
from mtl.registry.version import DECIDED, DECISION, STATEMENT, Version
from mtl.storage.dvc_settings import remotes

_LOG = logging.getLogger(__name__)

DAY_SECONDS = 86400.0
REMOVED = "mtl.removed"
"""Tag of runs that go with the next gc."""
OURS = ("mtl.", "mlflow.")
"""How tags begin that no person has set."""
NOTE = "mlflow.note.content"
ENTERED = 200
"""Versions that one entry of the history names."""


@dataclass(frozen=True)
class Plan:
    """What would go."""

    versions: list[Version] = field(default_factory=list[Version])
    runs: list[str] = field(default_factory=list[str])
    """Of MLflow, without a version."""
    folders: list[Path] = field(default_factory=list[Path])
    """Of trainings that are long over."""

    def lines(self) -> list[str]:
        """For people."""
        numbers = ", ".join(str(version.number) for version in self.versions)
        found = [f"versions {numbers}: with their runs, packages and reports"] if numbers else []
        found += [f"{len(self.runs)} MLflow runs that have no version"] if self.runs else []
        return found + ([f"checkpoints of {len(self.folders)} trainings"] if self.folders else [])


def plan(settings: Settings, config: Config, registry: Registry, now: float | None = None) -> Plan:
    """What `retention` keeps no longer.

    Args:
        now: seconds since 1970; the present, if not said.

    Raises:
        RegistryError: MLflow is out of reach, or the history does not hold; then nothing would be removed.
    """
    rules, now = config.retention, now or time.time()
    if rules.versions is None:
        return Plan()
    before = (now - rules.days * DAY_SECONDS) * 1000
    runs = _runs(registry, config.registry.experiment)
    raw = {int(found.version): found for found in registry.raw_versions()}
    versions = registry.versions(list(raw.values()))
    kept = _kept(registry, versions, raw, runs, rules.champions) | {v.number for v in versions[-rules.versions :]}
    going = [v for v in versions if v.number not in kept and raw[v.number].creation_timestamp < before]
    with_version = {version.run for version in versions}
    loose = [run for name, run in runs.items() if name not in with_version and FINGERPRINT in run.data.tags]
    loose.sort(key=lambda run: run.info.start_time, reverse=True)
    old = [r.info.run_id for r in loose[rules.runs :] if r.info.start_time < before and not _by_person(r.data.tags)]
    return Plan(going, old, list(_old_trainings(settings, before / 1000)))


def _kept(
    registry: Registry, versions: Sequence[Version], raw: dict[int, Any], runs: dict[str, Run], champions: int
) -> set[int]:
    """Numbers of versions that stay, whatever their age.

    Args:
        raw: number → the version as MLflow has it.
    """
    promotions, client = registry.promotions, registry.client
    kept = {promotions.recorded(), promotions.before(promotions.recorded())}
    earlier = [entry.to for entry in promotions.moves() if entry.to]
    kept |= set(list(dict.fromkeys(reversed(earlier)))[: champions + 1])
    kept |= {promotions.now(number) for number in kept if number}
    gone = promotions.removed()  # and some of it is still here, after a crash
    if versions:
        with explained(registry.uri):
            kept |= {int(number) for number in client.get_registered_model(registry.model).aliases.values()}
        for version in versions:
            found, run = raw[version.number], runs.get(version.run)
            named = found.description or _by_person(found.tags) or (run is not None and _by_person(run.data.tags))
            open_or_odd = DECISION not in version.tags or not registry.trust.lets(version.doubt)
            if named or (open_or_odd and version.number not in gone):
                kept.add(version.number)
    return {number for number in kept if number}


def _by_person(tags: dict[str, str]) -> bool:
    """Whether somebody has set a tag or written a note."""
    return bool(tags.get(NOTE)) or any(not name.startswith(OURS) for name in tags)


def _runs(registry: Registry, experiment: str) -> dict[str, Run]:
    """The runs of an experiment that have ended."""
    with explained(registry.uri):
        found = registry.client.get_experiment_by_name(experiment)
        if found is None:
            return {}
        where = ([found.experiment_id], "attributes.status != 'RUNNING'")
        return {run.info.run_id: run for run in pages(lambda t: registry.client.search_runs(*where, page_token=t))}


def _old_trainings(settings: Settings, before: float) -> Iterator[Path]:
    """Folders of trainings in which nothing was written for long."""
    for path in (settings.home / "trainings").glob("*"):
        if path.is_dir() and max(one.lstat().st_mtime for one in (path, *path.rglob("*"))) < before:
            yield path


def carry_out(settings: Settings, config: Config, registry: Registry, going: Plan) -> None:
    """Remove what a plan names; the caller lets nothing else run in this home.

    Raises:
        RegistryError: MLflow refuses it or is out of reach; the next time goes on.
        StageError: DVC failed; the next time goes on.
    """
    rules = config.retention
    _enter(registry, [version.number for version in going.versions], f"versions {rules.versions}, days {rules.days}")
    runs = [*going.runs, *(version.run for version in going.versions)]
    with explained(registry.uri):
        for version in going.versions:
            for tag in (STATEMENT, DECIDED):  # MLflow keeps a deleted version's tags
                if tag in version.tags or tag == STATEMENT:
                    registry.client.delete_model_version_tag(registry.model, str(version.number), tag)
            registry.client.delete_model_version(registry.model, str(version.number))
        used = {str(found.run_id) for found in registry.raw_versions()}
        for run in (one for one in runs if one not in used):
            registry.client.set_tag(run, REMOVED, "retention")
            registry.client.delete_run(run)
    for version in going.versions:
        page = settings.home / "reports" / f"version-{version.number}"
        page.with_suffix(".html").unlink(missing_ok=True)
        shutil.rmtree(page, ignore_errors=True)
    for folder in going.folders:
        shutil.rmtree(folder, ignore_errors=True)
    _mlflow_gc(settings, config, registry)
    if going.versions and (settings.root / ".dvc").is_dir():
        with garbage(settings, config.registry.model, remote=_remote_is_ours(settings)) as found:
            for line in found.unknown or [found.remove()]:
                _LOG.info(f"data: {line}")
    shrink(settings)


def _enter(registry: Registry, numbers: Sequence[int], rules: str) -> None:
    """Say in the history what goes."""
    said = registry.promotions.removed()
    new = [number for number in numbers if number not in said]
    for start in range(0, len(new), ENTERED):
        some = new[start : start + ENTERED]
        why = f"version{'s' if len(some) > 1 else ''} {', '.join(map(str, some))} removed by retention ({rules})"
        registry.promotions.note(REMOVAL, why, removed=some)


def _mlflow_gc(settings: Settings, config: Config, registry: Registry) -> None:
    """Let MLflow remove for good the runs that are marked, with their artifacts."""
    client = registry.client
    with explained(registry.uri):
        experiment = client.get_experiment_by_name(config.registry.experiment)
        where = ([experiment.experiment_id] if experiment else [], f"tags.`{REMOVED}` = 'retention'")
        runs = [
            r.info.run_id for r in client.search_runs(*where, run_view_type=ViewType.DELETED_ONLY, max_results=1000)
        ]
    if not runs:
        return
    try:
        database, artifacts = addresses(settings)
    except RegistryError:
        _LOG.info(f"{len(runs)} runs are in MLflow's bin: mlflow gc, where its server runs, makes their room free")
        return
    words = ["--backend-store-uri", database, "--artifacts-destination", artifacts]
    words += ["--tracking-uri", settings.mlflow_uri, "--run-ids", ",".join(runs)]
    from mlflow.cli import gc

    with explained(registry.uri), contextlib.redirect_stdout(io.StringIO()):
        try:
            gc.main(words, standalone_mode=False)
        except (click.ClickException, OSError) as error:
            raise RegistryError("mlflow gc failed", found=str(error)[-300:], fix="mtl clean goes on") from error


def _remote_is_ours(settings: Settings) -> bool:
    """Whether the DVC remotes are folders of this home, which nobody else uses."""
    found = remotes(settings.root).values()
    return all("://" not in url and Path(url).resolve().is_relative_to(settings.home) for url in found)


def shrink(settings: Settings) -> None:
    """Give back the room of what was removed from databases that no server has open."""
    own = settings.mlflow_uri.removeprefix("sqlite:///")
    databases = [settings.home / "prefect" / "prefect.db"]
    databases += [settings.root / own] if own != settings.mlflow_uri else []
    for path in filter(Path.exists, databases):
        before = path.stat().st_size
        with (
            contextlib.suppress(sqlite3.OperationalError),  # a server is at work
            contextlib.closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as link,
        ):
            link.execute("VACUUM")
            link.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        if (after := path.stat().st_size) < before:
            _LOG.info(f"{path.name}: {before / 2**20:.1f} → {after / 2**20:.1f} MiB")


def forget_flow_runs(days: int, names: Iterable[str] = ("retrain", "monitor")) -> None:
    """Remove old runs of our flows from the server that this home embeds, which does not live long enough to do it itself."""
    from datetime import UTC, datetime, timedelta

    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowFilter, FlowRunFilter

    wanted = FlowFilter.model_validate({"name": {"any_": list(names)}})
    ended = {"before_": (datetime.now(UTC) - timedelta(days=days)).isoformat()}
    states = {"type": {"any_": ["COMPLETED", "FAILED", "CRASHED", "CANCELLED"]}}
    old = FlowRunFilter.model_validate({"end_time": ended, "state": states})
    with get_client(sync_client=True) as client:
        while found := client.read_flow_runs(flow_filter=wanted, flow_run_filter=old, limit=200):
            for run in found:
                client.delete_flow_run(run.id)


def after_run(settings: Settings, config: Config, *, embedded: bool) -> None:
    """What a run does about it when it has ended: its result stands, whatever becomes of this.

    Args:
        embedded: the run has a Prefect server of its own.
    """
    from flows.checkout.workspace import exclusive

    if config.retention.versions is None:
        return
    try:
        registry = registry_of(settings, config.registry.model)
        going = plan(settings, config, registry)
        if embedded:
            forget_flow_runs(config.retention.days)
        if going.lines():
            with exclusive(settings):
                carry_out(settings, config, registry, going)
                _LOG.info(f"removed by retention: {'; '.join(going.lines())}")
    except Exception as error:  # also of MLflow's gc and of Prefect
        line = error.line if isinstance(error, MtlError) else str(error).splitlines()[:1] or type(error).__name__
        _LOG.info(f"nothing more was removed by retention: {line}")
