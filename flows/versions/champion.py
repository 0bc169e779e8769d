"""`mtl promote`, `mtl rollback` and `mtl history`: the champion by hand, with the same evidence and the same ledger."""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path

from flows.observe.notify import announce
from flows.registry.keys import refuse_strange_key
from flows.registry.load import load_versions
from flows.retraining.evidence import champion_and_obstacle, measure_latency
from flows.retraining.gate_settings import gate_changes
from flows.settings import Settings
from mtl.config import read_params
from mtl.config.params import Config
from mtl.errors import GoneError, RegistryError
from mtl.gate import decide
from mtl.registry.promotion import ROLLBACK
from mtl.reports import METHOD, Decision, EvalReport
from mtl.reports.change import Change

_LOG = logging.getLogger(__name__)


def promote(settings: Settings, number: int, *, override: bool, why: str) -> tuple[Decision, Change | None]:
    """Judge a version against the champion, as the flow does, and make it champion if the gate or its user says so.

    Args:
        override: promote though the gate refuses, or with other settings of the gate than the committed ones.

    Raises:
        RegistryError: there is no such version, it is champion already, or an override without a reason.
    """
    if override and not why:
        raise RegistryError(
            "a promotion against the gate needs a reason", found="--override alone", fix="say it with --why"
        )
    config, registry = load_versions(settings)
    version = registry.accept(registry.get(number))
    champion, against, obstacle = champion_and_obstacle(registry)
    refuse_strange_key(settings, registry)
    if champion is not None and champion.number == number:
        raise RegistryError(
            f"version {number} is champion already",
            found="nothing to do",
            fix="mtl status names champion and challenger",
        )
    num_bytes = registry.whole(version, settings.copies)
    params = read_params(settings.root / "params.yaml")
    changes = gate_changes(settings.root, params, override=override, why=why)
    report = registry.evaluation(version)
    before: EvalReport | None = None
    try:
        kept = champion and registry.comparison(version, champion)
        before = kept if kept is not None and kept.own is not None else champion and registry.evaluation(champion)
    except GoneError as error:
        obstacle = error.line
    if before is not None and {report.method, before.method} != {METHOD}:
        obstacle = "a report of an earlier way of judging; mtl retrain judges the champion again"
    latency: float | None = None
    if config.gate.max_latency_ms is not None:
        with tempfile.TemporaryDirectory() as scratch:
            package = registry.package(version, Path(scratch), settings.packages)
            latency = measure_latency(settings.root, package)
    decision = decide(
        report,
        before,
        against,
        config.gate.model_copy(update={"approval_minutes": None}),  # nobody is asked later: whoever is here says it
        num_bytes=num_bytes,
        latency_ms=latency,
        obstacle=obstacle,
    )
    if not decision.promote and not override:
        return decision, None
    reason = f"against the gate: {why}" if not decision.promote else why or decision.summary
    entry = registry.promotions.promote(number, decision.champion, why=reason, settings=changes)
    _announce(config, entry)
    return decision, entry


def roll_back(settings: Settings, to: int | None, why: str) -> Change:
    """Make an earlier champion champion again: the one before the present one, or the one that is named.

    Raises:
        RegistryError: there was none, or the named one never was champion.
        GoneError: the earlier one, or its package, is gone; `to` names another.
    """
    config, registry = load_versions(settings)
    current = registry.promotions.recorded()
    changes = registry.promotions.history()
    refuse_strange_key(settings, registry)
    if not changes:
        raise RegistryError(
            "there is no champion to roll back from",
            found=f"{config.registry.model} never had one",
            fix="mtl retrain, or mtl promote N, makes the first one",
        )
    champions = list(dict.fromkeys(c.to for c in changes if c.to))
    to = to or registry.promotions.before(current)
    if to is None or to not in champions or to == current:
        raise RegistryError(
            f"version {to} was never champion" if to else "no version was champion before this one",
            found=f"champions so far: {', '.join(map(str, champions))}",
            fix="mtl promote makes a version champion that was none",
        )
    to = registry.promotions.now(to)
    registry.whole(registry.former(to), settings.copies)  # it is still there
    entry = registry.promotions.promote(to, current, kind=ROLLBACK, why=why)
    _announce(config, entry)
    return entry


def _announce(config: Config, entry: Change) -> None:
    for line in announce(config.registry.model, entry):
        _LOG.warning(f"warning: {line}")


def history(settings: Settings) -> list[Change]:
    """Every change of the champion, oldest first."""
    return load_versions(settings)[1].promotions.shown() if settings.has_registry else []
