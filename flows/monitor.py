"""The flow that looks at production images: what is new is compared with the champion's reference, an event tells of a shift.

With `mtl serve` the event starts a retraining, whose versions carry the reason. After an event the next one waits for
`monitor.cooldown_hours`: what is found meanwhile is in the reports, and starts nothing.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from prefect import flow, get_run_logger
from prefect.events import emit_event

from flows.settings import Settings, load_settings
from flows.versioning import run_quietly
from flows.workspace import running
from mtl.config import Config, DataError, RegistryError, load
from mtl.data.place import Place
from mtl.registry import Registry
from mtl.store import Store

EVENT = "mtl.drift"


@flow(name="monitor", log_prints=False)
def monitor(root: str = ".") -> dict[str, Any]:
    """Look at the images that have come since the last look.

    Args:
        root: the checkout.
    """
    settings = load_settings(Path(root))
    config = load(settings.root / "params.yaml")
    return look(settings, config, get_run_logger().info, emit)


def emit(model: str, result: dict[str, Any], batch: str) -> None:
    """Prefect's event. The same batch has the same id, should it be told twice."""
    emit_event(
        event=EVENT,
        resource={"prefect.resource.id": f"mtl.model.{model}"},
        payload={"reason": result["reason"], "report": result["page"]},
        id=uuid.uuid5(uuid.NAMESPACE_URL, batch),
    )


def look(
    settings: Settings, config: Config, say: Callable[[str], None], tell: Callable[[str, dict[str, Any], str], None]
) -> dict[str, Any]:
    """Compare what is new; `state` is waiting, unshifted, cooling or event.

    What was seen is written down last: a look that was killed is made again.

    Raises:
        DataError: the images cannot be listed.
        RegistryError: there is no champion.
        StageError: the comparison failed.
    """
    with running(settings, "monitor"):
        folder = settings.home / "monitor"
        state = _read(folder / "state.json")
        place, versions = _arrived(settings, config)
        new = {name: version for name, version in versions.items() if state["seen"].get(name) != version}
        if len(new) < config.monitor.min_images:
            say(f"monitor: {len(new)} new images, {config.monitor.min_images} are worth a look")
            return {"state": "waiting", "images": len(new)}
        batch = hashlib.sha256(json.dumps(sorted(new.items())).encode()).hexdigest()[:16]
        result = _compare(settings, config, [[place, name, new[name]] for name in sorted(new)], folder / batch)
        reason = "; ".join(result["reasons"][:3]) + (" …" if len(result["reasons"]) > 3 else "")
        now = datetime.now(UTC)
        outcome = {
            "images": len(new),
            "reason": reason,
            "page": str(folder / batch / "page.html"),
            "state": "unshifted",
        }
        if result["reasons"]:
            last = state["last_event"] and datetime.fromisoformat(state["last_event"])
            cooling = last and now - last < timedelta(hours=config.monitor.cooldown_hours)
            outcome["state"] = "cooling" if cooling else "event"
            if not cooling:
                tell(config.registry.model, outcome, batch)
                state["last_event"] = now.isoformat(timespec="seconds")
        state["seen"] |= new
        Store(str(folder)).put("state.json", json.dumps(state).encode())
        say(f"monitor: {len(new)} images, {outcome['state']}" + (f": {reason}" if reason else ""))
        return outcome


def _arrived(settings: Settings, config: Config) -> tuple[str, dict[str, str]]:
    """Where production images arrive, and those that are there: name → what changes when the file does."""
    path = config.monitor.path
    path = path if "://" in path else str(settings.root / path)
    if Path(path).is_dir() and not any(Path(path).iterdir()):
        return path, {}
    try:
        place = Place(path)
        return path, {name: place.versions[name] for name in place.images()}
    except DataError as error:
        fix = "set monitor.path to where production images arrive, or make the folder"
        raise DataError(error.what, found=error.found, fix=fix) from error


def _compare(settings: Settings, config: Config, images: list[list[str]], out: Path) -> dict[str, Any]:
    registry = Registry(settings.mlflow_uri, config.registry.model)
    champion = registry.champion()
    if champion is None:
        raise RegistryError(
            "there is no champion to compare production images with", fix="mtl retrain makes the first one"
        )
    with tempfile.TemporaryDirectory() as scratch:
        package = registry.package(champion, Path(scratch), settings.public_key, settings.packages)
        job = {
            "bundle": str(package / "artifacts" / "bundle"),
            "version": champion.number,
            "images": images,
            "labels": str(settings.root / config.monitor.labels) if config.monitor.labels else "",
            "out": str(out),
        }
        path = Path(scratch, "job.json")  # too long for a command line
        path.write_text(json.dumps(job), encoding="utf-8")
        run_quietly("mtl.stages.monitor", str(path), folder=settings.root)
    return json.loads((out / "report.json").read_text(encoding="utf-8"))


def _read(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {"seen": {}, "last_event": None}
    return json.loads(path.read_text(encoding="utf-8"))
