"""What the gate is asked with: challenger and champion on the same samples, size and latency of the package."""

from __future__ import annotations

import logging
import os
import tempfile
from math import isfinite
from pathlib import Path

from flows.checkout.dvc import run_quietly
from flows.retraining.run_context import RunContext
from flows.settings import Settings
from mtl.errors import GoneError, MtlError, RegistryError, StageError
from mtl.gate import comparable, decide
from mtl.registry.registry import Registry, Version
from mtl.reports import Decision, EvalReport, PackageReport, read_report
from mtl.reports.events import ChampionEvent
from mtl.reports.requests import Latency

_LOG = logging.getLogger(__name__)


def champion_and_obstacle(registry: Registry) -> tuple[Version | None, int | None, str]:
    """The champion; the number that it has in the history; and why nothing can be compared with it, if it was deleted.

    Raises:
        RegistryError: it, or its history, is unverified or altered, or the registry is out of reach.
    """
    try:
        champion = registry.champion()
    except GoneError as error:
        return None, registry.promotions.recorded(), error.line
    lost = registry.promotions.lost() if champion is None else ""
    return champion, champion.number if champion else None, f"nobody: {lost}" if lost else ""


def champion_on_validation(registry: Registry) -> ChampionEvent | None:
    """What the champion had on its validation samples in its best epoch; None: there is none of which that is known."""
    try:
        champion = registry.champion()
        if champion is None:
            return None
        training = registry.training(champion)
    except MtlError as error:  # the gate is who must mind
        _LOG.debug(error.line)
        return None
    best = next((row for row in training.history if row.epoch == training.best_epoch), None)
    metrics = {name: value for name, value in (best.metrics if best else {}).items() if isfinite(value)}
    return ChampionEvent(version=champion.number, metrics={n: v for n, v in metrics.items() if n.startswith("val/")})


def gather(
    context: RunContext,
    version: Version,
    champion: Version | None,
    *,
    against: int | None = None,
    obstacle: str = "",
) -> tuple[EvalReport, Decision]:
    """The challenger's report and the gate's decision, made in the folder of its run.

    Args:
        against: the champion's number, if it was deleted.
        obstacle: why nothing can be compared with it.

    If the test samples (or the resamples, or the way of judging) are others than when the champion was registered, its
    package is judged again on the present ones.
    """
    settings, config, folder, outputs = context.settings, context.config, context.folder, context.outputs
    report = read_report(EvalReport, outputs / "evaluate" / "report.json")
    package = read_report(PackageReport, outputs / "package" / "report.json")
    latency: float | None = None
    if config.gate.max_latency_ms is not None:
        latency = measure_latency(folder, outputs / "package" / "model")
    before: EvalReport | None = None
    if champion is not None:
        try:
            before = champion_report(settings, folder, context.registry, version, champion, report)
        except (StageError, GoneError) as error:
            obstacle = error.line
    decision = decide(
        report,
        before,
        champion.number if champion else against,
        config.gate,
        num_bytes=package.num_bytes,
        latency_ms=latency,
        obstacle=obstacle,
    )
    return report, decision


def champion_report(
    settings: Settings,
    folder: Path,
    registry: Registry,
    version: Version,
    champion: Version,
    report: EvalReport,
) -> EvalReport:
    """The champion's report on the challenger's test samples: the one it was registered with, or a new one.

    Raises:
        StageError: its package cannot be judged by this code.
        RegistryError: its package is not what was registered.
    """
    try:
        before = registry.evaluation(champion)
        if comparable(report, before):
            return before
        why = "the test samples have changed"
        if before.method != report.method:
            why = "its report was made by an earlier way of judging"
    except RegistryError as error:
        if not isinstance(error.__cause__, ValueError):
            raise
        why = "its report is of another version of this program"
    kept = registry.comparison(version, champion)
    if kept is not None and kept.own is not None and comparable(report, kept):
        return kept
    _LOG.info(f"version {champion.number} is judged again: {why}")
    with tempfile.TemporaryDirectory() as scratch:
        package = registry.package(champion, Path(scratch), settings.packages)
        words = [str(package), f"{scratch}/report.json", str(folder / "outputs" / "package" / "model")]
        run_quietly("mtl.entrypoints.reevaluate", "evaluate", *words, folder=folder)
        found = read_report(EvalReport, Path(scratch, "report.json"))
    registry.save_comparison(version, champion, found)
    return found


def measure_latency(folder: Path, package: Path) -> float:
    """Milliseconds of one image through a package, here, in a process of its own."""
    with tempfile.TemporaryDirectory() as scratch:
        run_quietly(
            "mtl.entrypoints.reevaluate", "latency", os.fspath(package), f"{scratch}/latency.json", folder=folder
        )
        return read_report(Latency, Path(scratch, "latency.json"), fix="run again").median_ms
