"""How the last run went, for `mtl status` and the metrics."""

from __future__ import annotations

import json
from collections.abc import Generator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from flows.leftovers import Note
from flows.metrics import note_success
from flows.metrics import write as write_metrics
from flows.settings import Settings
from mtl.config import MtlError
from mtl.redaction import redact


@contextmanager
def recorded(settings: Settings, digest: str, note: Note, flow_run: str) -> Generator[dict[str, Any]]:
    """Keep how a run goes and ends.

    Args:
        note: of its process.
        flow_run: id of Prefect's.
    """
    record: dict[str, Any] = {"state": "Running", "fingerprint": digest, "flow_run": flow_run, "process": note.name}
    note.add(flow_run=flow_run)
    record["started"] = datetime.now(UTC).isoformat(timespec="seconds")
    path = settings.home / "last_run.json"
    try:
        _write(path, record)
        yield record
        record["state"] = "Completed"
    except BaseException as error:
        record["state"] = "Failed" if isinstance(error, Exception) else "Cancelled"
        record["reason"] = redact(str(error)) or type(error).__name__
        raise
    finally:
        ended = datetime.now(UTC)
        record["ended"] = ended.isoformat(timespec="seconds")
        _write(path, record)
        if record["state"] == "Completed":
            note_success(settings.home, ended)
        with suppress(MtlError):  # the registry may be what failed
            write_metrics(settings)


def _write(path: Path, record: dict[str, Any]) -> None:
    scratch = path.with_suffix(".tmp")
    scratch.write_text(json.dumps(record, indent=1), encoding="utf-8")
    scratch.replace(path)
