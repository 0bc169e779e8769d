"""Retry, time-out and progress around a stage or a registry call. Each step is idempotent."""

from __future__ import annotations

import logging
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from prefect import task
from prefect.artifacts import create_markdown_artifact, create_progress_artifact, update_progress_artifact
from prefect.cache_policies import NO_CACHE
from prefect.runtime import flow_run

from flows.checkout.dvc import UserStageError, output_hash, push, run_stage
from flows.checkout.origin import Origin
from flows.observe.notify import announce
from flows.observe.summary import markdown
from flows.registry.lineage import write_origin
from flows.retraining.beside import pictures_beside, report_beside
from flows.retraining.evidence import champion_and_obstacle, champion_on_validation, gather
from flows.retraining.gate_settings import Changes
from flows.retraining.run_context import RunContext
from flows.run_log import step
from mtl.errors import MtlError, RegistryError, StageError
from mtl.logs import of
from mtl.registry.fingerprint import content_digest
from mtl.registry.registry import Version
from mtl.registry.tracking import FINGERPRINT, artifact_digests
from mtl.reports import Decision, EvalReport, PackageReport, TrainReport, read_report
from mtl.reports.card import write_card
from mtl.reports.events import EpochEvent, Event
from mtl.reports.forest import draw_decision
from mtl.reports.lineage import Sources
from mtl.reports.page import write_page
from mtl.storage.dvc_settings import cache_folder

_LOG = logging.getLogger(__name__)


def worth_retrying(task: Any, task_run: Any, state: Any) -> bool:
    """Infrastructure's failures are tried again, and it is said why; what the user must mend is not."""
    try:
        state.result()
    except UserStageError:
        return False
    except Exception as error:
        again = isinstance(error, StageError) or type(error) is RegistryError or not isinstance(error, MtlError)
        if again:  # Prefect asks while there is a try left
            why = error.found or error.what if isinstance(error, MtlError) else f"{type(error).__name__}: {error}"
            _LOG.warning(f"{task_run.name}: tried again, for it failed: {_gist(why)}")
        return again
    return False


def _gist(found: str) -> str:
    """The line that says most: of an error of ours the first, of a traceback the last."""
    lines = found.strip().splitlines() or [""]
    return lines[0 if any(line.startswith("  fix:") for line in lines) else -1][:300]


@task(name="stage", cache_policy=NO_CACHE, task_run_name="{name}", retry_condition_fn=worth_retrying)
def stage_step(context: RunContext, name: str, force: bool) -> None:
    """One DVC stage; what it tells is told on, and epochs go to the MLflow run as they end."""
    on_event = _follow_training(context) if name == "train" else None
    timeout = context.config.flow.stage_timeout_seconds
    with step(name) as end:
        end.unchanged = not run_stage(name, context.folder, on_event, force=force, timeout=timeout)


def _follow_training(context: RunContext) -> Callable[[Event], None]:
    """What keeps the epochs of a training in its MLflow run. The champion's figures are told first, to be seen beside them."""
    config, tracker, run = context.config, context.tracker, context.run
    progress: Any = create_progress_artifact(0.0, key="training", description="epochs trained")
    seen = tracker.logged_steps(run)
    if (champion := champion_on_validation(context.registry)) is not None:
        _LOG.info("", extra=of(champion))

    def on_event(event: Event) -> None:
        if not isinstance(event, EpochEvent) or event.row.step in seen:
            return
        row = event.row
        seen.add(row.step)
        try:
            tracker.log_epoch(run, row, int(time.time() * 1000))
        except RegistryError as error:  # no reason to stop a training: registration logs what is missing
            _LOG.warning(f"epoch {row.epoch + 1} is not in MLflow yet: {error.found or error.what}")
        if progress:
            update_progress_artifact(progress, 100.0 * (row.epoch + 1) / config.train.epochs)

    return on_event


@task(name="push", cache_policy=NO_CACHE)
def push_step(context: RunContext) -> None:
    """Data and model to the DVC remote."""
    with step("push"):
        push(context.folder, context.config.flow.stage_timeout_seconds)


@task(name="register", cache_policy=NO_CACHE)
@step("register")
def register_step(context: RunContext, reason: str, origin: Origin) -> Version:
    """Reports, pictures and lineage to the run; the package to the registry, once: what was signed of a version stays as it is."""
    folder, outputs, tracker, run = context.folder, context.outputs, context.tracker, context.run
    if (known := context.registry.find(context.fingerprint)) is not None:
        tracker.finish(known.run, "FINISHED")  # a try before this one may have ended before it said so
        _LOG.info(f"version {known.number} is registered already")
        return known
    data = output_hash(folder, "fetch", "outputs/raw")
    tags = {
        FINGERPRINT: context.fingerprint,
        "mtl.data": data,
        "mtl.commit": origin.commit,
        "mtl.dirty": str(origin.dirty).lower(),
        "mtl.lock": content_digest(folder / "requirements.lock").hex(),
        "mtl.flow_run": str(flow_run.id or ""),
        "mtl.reason": reason[:4900],
    }
    training = read_report(TrainReport, outputs / "train" / "training.json")
    logged = tracker.logged_steps(run)
    for row in training.history:
        if row.step not in logged:
            tracker.log_epoch(run, row, int(time.time() * 1000))
    tracker.log_evaluation(run, read_report(EvalReport, outputs / "evaluate" / "report.json"), int(time.time() * 1000))
    lineage = [folder / name for name in ("dvc.lock", "dvc.yaml", "params.yaml", "requirements.lock")]
    lineage += [outputs / "sources.json", outputs / "train" / "training.json", outputs / "evaluate"]
    with tempfile.TemporaryDirectory() as scratch:
        lineage += write_origin(origin, context.settings.root, Path(scratch))
        files = artifact_digests(lineage)
        tracker.log_lineage(run, tags, lineage, data, "raw")
    package = read_report(PackageReport, outputs / "package" / "report.json")
    with tempfile.TemporaryDirectory() as scratch:
        model = _without_links(outputs / "package" / "model", cache_folder(folder), Path(scratch))
        key = context.settings.ensure_signing_key()
        version = context.registry.register(run, model, package, tags, files, key)
    tracker.finish(run, "FINISHED")
    _LOG.info(f"registered as version {version.number}")
    return version


def _without_links(model: Path, cache: Path, scratch: Path) -> Path:
    """A package; where DVC has linked its files from its cache (`cache.type`), a copy, for a package has no links. Other links
    are left to be refused.
    """
    links = [path for path in model.rglob("*") if path.is_symlink()]
    if not links or not all(path.resolve().is_relative_to(cache.resolve()) for path in links):
        return model
    return shutil.copytree(model, scratch / "model")


@task(name="gate", cache_policy=NO_CACHE)
@step("gate")
def gate_step(context: RunContext, version: Version) -> tuple[EvalReport, Decision]:
    """Compare with the champion."""
    registry = context.registry
    champion, against, obstacle = champion_and_obstacle(registry)  # sets the alias where a crash left it behind
    promoted = registry.promotions.of(version.number)
    if promoted is not None:  # and its record was interrupted: it is judged as it was judged then
        champion, obstacle = registry.get(promoted.replaces) if promoted.replaces else None, ""
    return gather(context, version, champion, against=against, obstacle=obstacle)


@task(name="promote", cache_policy=NO_CACHE)
@step("promote")
def promote_step(
    context: RunContext, version: Version, report: EvalReport, decision: Decision, changes: Changes, why: str
) -> Path:
    """Move the alias that the decision grants, keep the reasons, tell whoever wants to know; the page."""
    settings, config, registry, outputs = context.settings, context.config, context.registry, context.outputs
    entry = registry.promotions.of(version.number)
    if entry is None:
        flow = str(flow_run.id or "")
        entry = registry.apply_decision(version, decision, flow, why=why, settings=changes, cache=settings.copies)
    page = settings.home / "reports" / f"version-{version.number}.html"
    tags = version.tags
    facts = {
        "version": version.number,
        "fingerprint": tags[FINGERPRINT],
        "weights sha256": tags.get("mtl.weights_sha256"),
        "data": tags["mtl.data"],
        "commit": tags["mtl.commit"] + (" with uncommitted changes" if tags["mtl.dirty"] == "true" else ""),
        "MLflow run": version.run,
        "reason": tags.get("mtl.reason") or "asked for, or scheduled",
    }
    training = read_report(TrainReport, outputs / "train" / "training.json")
    before = report_beside(registry, version, decision, report)
    beside = pictures_beside(context, decision)
    write_page(page, report, training, decision, facts, outputs / "evaluate", before, beside)
    picture = draw_decision(decision)
    sources = read_report(Sources, outputs / "sources.json").root
    files = [page, *write_card(page.with_suffix(""), config, report, training, decision, facts, sources)]
    if picture:
        files.append(page.with_suffix("") / "decision.png")
        files[-1].write_bytes(picture)
    if entry is not None:
        for line in announce(config.registry.model, entry):
            _LOG.warning(line)
    registry.log_decision(version, decision, files)
    create_markdown_artifact(markdown(report, decision, version), key="report", description=decision.summary[:200])
    _LOG.info(decision.summary)
    return page
