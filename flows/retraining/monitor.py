"""The flow that looks at production images: what is new is compared with the champion's reference, labels that have come with
what was answered; an event tells of a shift.

With `mtl serve` the event starts a retraining, whose versions carry the reason. After an event the next one waits for
`monitor.cooldown_hours`: what is found meanwhile is in the reports, and starts nothing.
"""

from __future__ import annotations

import hashlib
import json
import logging
import tempfile
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath
from typing import Literal

from prefect import flow
from prefect.events import emit_event
from pydantic import JsonValue

from flows.checkout.dvc import run_quietly
from flows.checkout.project import project_of
from flows.checkout.workspace import running
from flows.registry.load import registry_of
from flows.retraining.looks import Late, Looks, late_labels
from flows.settings import Settings, enter_checkout
from mtl.config.params import Config, load
from mtl.errors import DataError, RegistryError
from mtl.monitor.late_labels import FEWEST
from mtl.package import BUNDLE
from mtl.reports import read_report
from mtl.reports.monitoring import LateLabels, MonitorReport, Outcome
from mtl.reports.requests import MonitorRequest
from mtl.storage.file_tree import FileTree
from mtl.storage.store import Store

_LOG = logging.getLogger(__name__)

EVENT = "mtl.drift"
NAMED = 3
"""Reasons that a line names."""
Say = Callable[[str], None]
Tell = Callable[[str, Outcome, str], None]


@flow(name="monitor", log_prints=False)
def monitor() -> dict[str, JsonValue]:
    """Look at the images that have come since the last look."""
    settings = enter_checkout()
    config = load(settings.root / "params.yaml")
    return look(settings, config, emit).as_json()


def resource_of(project: str) -> str:
    """Whom an event of a project is about: only its own deployment hears it."""
    return f"mtl.project.{project}"


def emit(model: str, result: Outcome, batch: str) -> None:
    """Prefect's event. The same batch has the same id, should it be told twice."""
    settings = enter_checkout()
    project = project_of(settings, load(settings.root / "params.yaml"))
    emit_event(
        event=EVENT,
        resource={"prefect.resource.id": resource_of(project), "mtl.model": model},
        payload={"reason": result.reason, "report": result.page},
        id=uuid.uuid5(uuid.NAMESPACE_URL, batch),
    )


def look(settings: Settings, config: Config, tell: Tell) -> Outcome:
    """Compare what is new; `state` is waiting, unshifted, unjudged (nothing could be compared), cooling or event.

    What was seen is written down last: a look that was killed is made again. An event is written down before it is told: one
    that may not have been told is told by the next look, and counts once.

    Raises:
        DataError: the images or the labels cannot be read.
        RegistryError: there is no champion.
        StageError: the comparison failed.
    """
    with running(settings, "monitor"):
        looks = Looks.read(settings.home / "monitor")
        if looks.pending:
            return _told(looks, config, tell)
        looks.forget(config.monitor.keep_days)
        place, versions, others = _arrived(settings, config)
        new = looks.new(versions)
        chosen = new if len(new) >= config.monitor.min_images else {}
        late = Late({}, [], [])
        if config.monitor.labels:
            late = late_labels(settings.root / config.monitor.labels, looks, versions, chosen)
        fresh = sum(looks.judged.get(name) != digest for name, digest in late.digests().items())
        if not chosen and fresh < FEWEST:
            line = f"monitor: {len(new)} new images, {config.monitor.min_images} are worth a look"
            _LOG.info("; ".join([line, *others]))
            return Outcome(state="waiting", images=len(new))
        batch = hashlib.sha256(json.dumps([sorted(chosen.items()), late.digests()]).encode()).hexdigest()[:16]
        _keep_late(looks, replace(late, said=[*others, *late.said]), batch)
        images = [(place, name, versions[name]) for name in [*sorted(chosen), *late.again]]
        result = _compare(settings, config, images, looks.folder / batch)
        state, reasons = _state(result, looks, config, fresh=fresh > 0)
        outcome = Outcome(
            state=state,
            reason=_listed(reasons),
            unjudged=result.unjudged,
            images=len(chosen),
            batch=batch,
            page=str(looks.folder / batch / "page.html"),
        )
        looks.add(batch, chosen, late.again)
        if outcome.state != "cooling":  # what was found then may be told later
            looks.judged = late.digests()
        if outcome.state == "event":
            looks.last_event, looks.pending = datetime.now(UTC).isoformat(timespec="seconds"), outcome
        looks.save()
        if looks.pending:
            return _told(looks, config, tell)
        _LOG.info(_line(outcome))
        return outcome


def _told(looks: Looks, config: Config, tell: Tell) -> Outcome:
    """Tell of the event that is pending."""
    assert looks.pending is not None
    outcome = looks.pending
    tell(config.registry.model, outcome, outcome.batch or "")
    looks.pending = None
    looks.save()
    _LOG.info(_line(outcome))
    return outcome


def _state(
    result: MonitorReport, looks: Looks, config: Config, *, fresh: bool
) -> tuple[Literal["unshifted", "unjudged", "cooling", "event"], Sequence[str]]:
    """What a look has found, and why. The same labels are no second reason."""
    reasons = (*result.reasons, *(result.late_reasons if fresh else ()))
    if not reasons:
        return "unshifted" if result.judged else "unjudged", ()
    last = looks.last_event and datetime.fromisoformat(looks.last_event)
    cooling = last and datetime.now(UTC) - last < timedelta(hours=config.monitor.cooldown_hours)
    return "cooling" if cooling else "event", reasons


def _line(outcome: Outcome) -> str:
    line = f"monitor: {outcome.images} images, {outcome.state}"
    line += f": {outcome.reason}" if outcome.reason else ""
    return line + (f"; not judged: {_listed(outcome.unjudged)}" if outcome.unjudged else "")


def _listed(lines: Sequence[str]) -> str:
    return "; ".join(lines[:NAMED]) + (f"; and {len(lines) - NAMED} more" if len(lines) > NAMED else "")


def _keep_late(looks: Looks, late: Late, batch: str) -> None:
    """Put the labels of a look into its folder, by the images' names, with the looks that have answered for them."""
    earlier = tuple(past.batch for past in looks.recent if past.batch != batch)
    content = LateLabels(labels=late.labels, again=tuple(late.again), earlier=earlier, said=tuple(late.said))
    Store(str(looks.folder / batch)).put("late.json", json.dumps(content.model_dump(mode="json"), indent=1).encode())


def _arrived(settings: Settings, config: Config) -> tuple[str, dict[str, str], list[str]]:
    """Where production images arrive; those that are there, name → what changes when the file does; and what is no image."""
    path = config.monitor.path
    path = path if "://" in path else str(settings.root / path)
    if Path(path).is_dir() and not any(Path(path).iterdir()):
        return path, {}, []
    try:
        tree = FileTree(path)
        images = {name: tree.versions[name] for name in tree.images()}
        kinds = Counter(PurePosixPath(name).suffix or name for name in tree.names() if name not in images)
    except DataError as error:
        fix = "set monitor.path to where production images arrive, or make the folder"
        raise DataError(error.what, found=error.found, fix=fix) from error
    told = ", ".join(f"{number} {kind}" for kind, number in kinds.most_common(NAMED))
    return path, images, [f"{kinds.total()} files are no images by their names: {told}"] if kinds else []


def _compare(settings: Settings, config: Config, images: list[tuple[str, str, str]], out: Path) -> MonitorReport:
    registry = registry_of(settings, config.registry.model)
    champion = registry.champion()
    if champion is None:
        raise RegistryError(
            "there is no champion to compare production images with", fix="mtl retrain makes the first one"
        )
    with tempfile.TemporaryDirectory() as scratch:
        package = registry.package(champion, Path(scratch), settings.packages)
        asked = MonitorRequest(
            bundle=str(package / BUNDLE),
            version=champion.number,
            images=tuple(images),
            out=str(out),
        )
        path = Path(scratch, "job.json")  # too long for a command line
        path.write_text(asked.model_dump_json(), encoding="utf-8")
        run_quietly("mtl.entrypoints.monitor", str(path), folder=settings.root)
    return read_report(MonitorReport, out / "report.json", fix="look again: mtl monitor")
