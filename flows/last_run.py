"""How the last run went, for `mtl status` and the metrics."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any

from flows.leftovers import Note, write_record
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
        write_record(path, record)
        yield record
        record["state"] = "Completed"
    except BaseException as error:
        record["state"] = "Failed" if isinstance(error, Exception) else "Cancelled"
        record["reason"] = redact(str(error)) or type(error).__name__
        raise
    finally:
        ended = datetime.now(UTC)
        record["ended"] = ended.isoformat(timespec="seconds")
        write_record(path, record)
        if record["state"] == "Completed":
            note_success(settings.home, ended)
        with suppress(MtlError):  # the registry may be what failed
            write_metrics(settings)
