"""The pipeline's figures for Prometheus: printed by `mtl metrics`, and in `MTL_HOME/metrics.prom` after every run (for the node
exporter's textfile collector).
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from prometheus_client import CollectorRegistry, Gauge, generate_latest

from flows.checkout.run_records import LastRun
from flows.observe.status import collect
from flows.registry.load import registry_of
from flows.settings import Settings
from mtl.config.params import load
from mtl.storage import atomic
from mtl.storage.store import Store

NAME = "metrics.prom"


def exposition(settings: Settings) -> bytes:
    """Last run, champion and its metrics, in Prometheus' text format. What is not there yet is left out."""
    figures = CollectorRegistry()
    found = collect(settings)
    last, champion = found.last_run, found.champion
    if last is not None:
        _last_run(figures, last)
    success = settings.home / "last_success"
    if success.exists():
        _gauge(
            figures,
            "mtl_last_success_timestamp_seconds",
            "end of the last run that completed",
            float(success.read_text()),
        )
    if champion is not None and champion.gone is not None:
        _gauge(figures, "mtl_champion_gone", "1: it was deleted in MLflow (mtl registry repair)", 1)
    elif champion is not None:
        model = load(settings.root / "params.yaml").registry.model
        _gauge(figures, "mtl_champion_version", "number of the champion", champion.version or 0)
        changes = registry_of(settings, model).promotions.moves()
        if changes:
            since = datetime.fromisoformat(changes[-1].when).timestamp()
            _gauge(figures, "mtl_champion_since_timestamp_seconds", "when it became champion", since)
        _gauge(figures, "mtl_champion_gone", "1: it was deleted in MLflow (mtl registry repair)", 0)
        quality = Gauge("mtl_task_metric", "of the champion on its test split", ["task", "metric"], registry=figures)
        for task, metrics in champion.metrics.items():
            for name, value in metrics.items():
                quality.labels(task, name).set(value)
    return generate_latest(figures)


def write(settings: Settings) -> None:
    """Put the file into its place, as a whole."""
    Store(str(settings.home)).put(NAME, exposition(settings))


def note_success(home: Path, moment: datetime) -> None:
    """Remember when a run completed."""
    atomic.write(home / "last_success", str(moment.timestamp()))


def _last_run(figures: CollectorRegistry, last: LastRun) -> None:
    state = Gauge("mtl_last_run_state", "1 for the state that the last run is in", ["state"], registry=figures)
    for name in ("Running", "Completed", "Failed", "Cancelled", "Crashed"):
        state.labels(name).set(last.state == name)
    if last.ended:
        began, ended = (datetime.fromisoformat(moment) for moment in (last.started, last.ended))
        _gauge(figures, "mtl_last_run_duration_seconds", "from its start to its end", (ended - began).total_seconds())


def _gauge(figures: CollectorRegistry, name: str, text: str, value: float) -> None:
    Gauge(name, text, registry=figures).set(value)
