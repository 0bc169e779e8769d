"""How the last run went, for `mtl status` and the metrics."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from flows.checkout.leftovers import Note
from flows.checkout.run_records import LAST_RUN, LastRun
from flows.observe.metrics import note_success
from flows.observe.metrics import write as write_metrics
from flows.settings import Settings
from mtl.errors import MtlError
from mtl.output.redaction import redact


@dataclass
class Recorded:
    """The record of a run that goes on."""

    path: Path
    content: LastRun

    def update(self, **facts: str | bool | int | None) -> None:
        """Say something more of the run; it is written down at its end."""
        self.content = self.content.model_copy(update=facts)

    def write(self) -> None:
        """Put it in its place."""
        self.content.write(self.path)


@contextmanager
def recorded(settings: Settings, digest: str, note: Note, flow_run: str) -> Generator[Recorded]:
    """Keep how a run goes and ends.

    Args:
        note: of its process.
        flow_run: id of Prefect's.
    """
    note.add(flow_run=flow_run)
    began = datetime.now(UTC).isoformat(timespec="seconds")
    running = LastRun(state="Running", fingerprint=digest, flow_run=flow_run, process=note.name, started=began)
    record = Recorded(settings.home / LAST_RUN, running)
    try:
        record.write()
        yield record
        record.update(state="Completed")
    except BaseException as error:
        state = "Failed" if isinstance(error, Exception) else "Cancelled"
        record.update(state=state, reason=redact(str(error)) or type(error).__name__)
        raise
    finally:
        ended = datetime.now(UTC)
        record.update(ended=ended.isoformat(timespec="seconds"))
        record.write()
        if record.content.state == "Completed":
            note_success(settings.home, ended)
        with suppress(MtlError):  # the registry may be what failed
            write_metrics(settings)
