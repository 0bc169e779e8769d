"""The flow: stages → register → gate → promote. Unchanged inputs do nothing."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prefect import flow
from prefect.runtime import flow_run
from prefect.tasks import exponential_backoff

from flows.checkout.environment import lines, other_packages
from flows.checkout.installed import is_project, pin
from flows.checkout.leftovers import Note
from flows.checkout.origin import Origin, read_origin
from flows.checkout.workspace import effective_params, running, workspace
from flows.checks import QUICK, TRAINING, check
from flows.observe.last_run import recorded
from flows.observe.summary import show
from flows.registry.load import registry_of
from flows.registry.retention import after_run
from flows.retraining.approval import ask, refuse_unanswerable
from flows.retraining.arrivals import look_for_arrivals
from flows.retraining.gate_settings import Changes, gate_changes
from flows.retraining.run_context import RunContext
from flows.retraining.steps import gate_step, promote_step, push_step, register_step, stage_step
from flows.retraining.unchanged import find_registered, refuse_changes, say_unchanged
from flows.run_log import await_steps, say_step
from flows.settings import Settings, enter_checkout
from flows.terminal import current, keep_log
from mtl.config.params import Config, parse
from mtl.logs import of
from mtl.output.redaction import redact
from mtl.registry.fingerprint import ancestry, fingerprint, read_stages
from mtl.registry.registry import Version
from mtl.registry.tracking import Tracker, refuse_secrets
from mtl.reports import Decision, EvalReport
from mtl.reports.events import ResultEvent

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outcome:
    """How a run ended."""

    state: str
    version: int | None
    promoted: bool
    reason: str


@dataclass(frozen=True)
class Asked:
    """What a run was asked for: as the flow's parameters, checked.

    Attributes:
        params: params.yaml's tree with the overrides.
        changes: of the gate's settings, and why.
    """

    params: dict[str, Any]
    overrides: Sequence[str]
    force: bool
    reason: str
    changes: Changes
    why: str


@flow(name="retrain", log_prints=False)
def retrain(
    overrides: list[str] | None = None,
    force: bool = False,
    reason: str = "",
    override: bool = False,
    why: str = "",
) -> dict[str, object]:
    """Retrain the checkout of the working directory, register and perhaps promote.

    No parameter says which checkout: whoever may start a run would say what code runs.

    Args:
        overrides: `key=value` changes of params.yaml, as `mtl retrain --set`.
        force: run every stage again, though nothing changed.
        reason: why it runs (a person's, or the event's that started it); kept with the version.
        override: judge with other settings of the gate than the committed ones.
        why: the reason for that; it stands in the ledger.
    """
    settings = enter_checkout()
    reason = redact(reason)
    chosen = overrides or []
    params = effective_params(settings.root, chosen)
    config = parse(params)
    changes = gate_changes(settings.root, params, override=override, why=why)
    asked = Asked(params, chosen, force, reason, changes, why)
    refuse_unanswerable(config, settings)
    check(settings, config, QUICK, TRAINING)
    look_for_arrivals(settings, config)
    pin(settings.root)
    digest = fingerprint(settings.root, params)
    with (
        running(settings, digest[:16], prefect=True) as note,
        recorded(settings, digest, note, str(flow_run.id or "")) as record,
    ):
        version = None if force else find_registered(settings, config, digest)
        if version is not None:
            line = say_unchanged(version, digest)
            outcome = Outcome("Completed", version.number, False, line)
        else:
            outcome = _run(settings, config, asked, digest, note)
        record.update(version=outcome.version, promoted=outcome.promoted, reason=outcome.reason)
    if version is None:
        after_run(settings, config, embedded=settings.prefect_url is None)
    return {"version": outcome.version, "promoted": outcome.promoted, "reason": outcome.reason}


def _run(settings: Settings, config: Config, asked: Asked, digest: str, note: Note) -> Outcome:
    """All stages, then the side effects."""
    began = time.monotonic()
    check(settings, config, TRAINING)
    log = keep_log(settings.home, "retrain")
    if current() is None:  # else its terminal says it
        _LOG.info(f"log      {log}")
    origin = read_origin(settings.root)  # not later: the checkout may become another one
    packages = other_packages(settings.root) if is_project(settings.root) else {}
    for line in [*origin.lines(), *lines(packages)]:
        _LOG.warning(line)
    refuse_secrets(
        settings.root / name for name in ("requirements.lock", "dvc.yaml")
    )  # params were looked at when read
    registry = registry_of(settings, config.registry.model)
    tracker = Tracker(settings.mlflow_uri, config.registry.experiment, settings.artifacts)
    known = registry.find(digest)
    run = known.run if known else tracker.open_run(digest, f"retrain {digest[:8]}")
    note.add(mlflow_run=None if known else run)
    copied = workspace(settings, asked.overrides, digest[:16])
    with copied as folder, _monitored(tracker, run, finished=known is not None):
        refuse_changes(folder, asked.params, digest)  # a copy may lack something, or have it newer
        tracker.log_params(run, asked.params)
        context = RunContext(settings, config, folder, registry, tracker, run, digest)
        version, report, decision, page = _steps(context, asked, origin, known=known is not None)
    seconds = time.monotonic() - began
    _LOG.info("", extra=of(_result(version, report, decision, page, seconds)))
    if (terminal := current()) is None or not terminal.json:
        show(report, decision, version, str(page), seconds)
    return Outcome("Completed", version.number, decision.promote, decision.summary)


def _result(version: Version, report: EvalReport, decision: Decision, page: Path, seconds: float) -> ResultEvent:
    """A run's result, for a program."""
    return ResultEvent(
        version=version.number,
        promoted=decision.promote,
        reason=decision.summary,
        metrics={f"{name}/{task.primary}": report.primary(name).value for name, task in report.tasks.items()},
        report=str(page),
        seconds=seconds,
    )


def _steps(
    context: RunContext, asked: Asked, origin: Origin, *, known: bool
) -> tuple[Version, EvalReport, Decision, Path]:
    """Stages, registration, gate and promotion: the version, its report, the decision, and the page of both.

    Args:
        known: a version has this fingerprint already.
    """
    config, folder = context.config, context.folder
    policy = _policy(config)
    stages = ancestry(read_stages(folder))
    say_step("start", "done")
    await_steps([*stages, "push", "register", "gate", "promote"])
    for name in stages:
        stage_step.with_options(**policy)(context, name, asked.force)
        if name == "prepare" and config.cluster.address != "local":
            push_step.with_options(**policy)(context)  # the cluster's nodes fetch the shards from there
    push_step.with_options(**policy)(context)
    refuse_changes(folder, asked.params, context.fingerprint)
    version = register_step.with_options(**policy)(context, asked.reason, origin)
    _compare_weights(folder, version.tags, known)
    report, decision = gate_step.with_options(**policy)(context, version)
    promotions = context.registry.promotions
    if config.gate.approval_minutes and decision.promote and promotions.of(version.number) is None:
        decision = ask(decision, version.number, config.gate.approval_minutes)
    promoting = promote_step.with_options(**policy)
    return version, report, decision, promoting(context, version, report, decision, asked.changes, asked.why)


def _policy(config: Config) -> dict[str, Any]:
    """How often a step is tried, and when."""
    backoff = exponential_backoff(backoff_factor=config.flow.retry_delay_seconds)
    return {"retries": config.flow.retries, "retry_delay_seconds": backoff, "retry_jitter_factor": 0.3}


def _compare_weights(folder: Path, tags: dict[str, str], known: bool) -> None:
    """After a forced run of a registered fingerprint: are the weights the same, bit for bit?"""
    if not known:
        return
    made = json.loads((folder / "outputs" / "package" / "report.json").read_text())["weights_sha256"]
    same = made == tags.get("mtl.weights_sha256")
    _LOG.info(
        f"trained again from scratch: the weights are {'identical' if same else 'NOT identical'} "
        f"to the registered ones ({made[:16]}…)"
    )


@contextmanager
def _monitored(tracker: Tracker, run: str, *, finished: bool) -> Generator[None]:
    """System metrics of this machine go to the run; a run that does not end well is marked so."""
    from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

    monitor = SystemMetricsMonitor(run, tracking_uri=tracker.uri, sampling_interval=10)
    monitor.start()
    try:
        yield
    except BaseException as error:
        if not finished:
            tracker.finish(run, "FAILED" if isinstance(error, Exception) else "KILLED")
        raise
    finally:
        monitor.finish()
