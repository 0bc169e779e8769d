"""What looks at production have seen, and what they keep: for labels that come later, and to tell of an event once."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pydantic import Field

from mtl.monitor.late_labels import Labels, read_labels
from mtl.monitor.matching import listed, match
from mtl.monitor.stored_answers import FIX
from mtl.monitor.stored_answers import NAME as ANSWERS
from mtl.reports.monitoring import Outcome, StoredAnswers
from mtl.reports.types import Report, read_report
from mtl.storage.digest import bytes_sha256
from mtl.storage.store import Store

STATE = "state.json"


class Past(Report):
    """A look whose answers are kept."""

    batch: str
    at: str = Field(description="ISO 8601")
    images: tuple[str, ...]
    again: tuple[str, ...] = Field(description="images of earlier looks that it has predicted once more")


class State(Report):
    """What is written down of all looks, as `Looks` has it."""

    seen: dict[str, str] = Field(default_factory=dict[str, str])
    last_event: str | None = None
    recent: tuple[Past, ...] = ()
    judged: dict[str, str] = Field(default_factory=dict[str, str])
    pending: Outcome | None = None


@dataclass
class Looks:
    """All looks of a home. `seen`: name → version of an image's file; `judged`: name → digest of its labels, of those that a look
    has judged; `pending`: an event that was found, and perhaps not told.
    """

    folder: Path
    seen: dict[str, str] = field(default_factory=dict[str, str])
    last_event: str | None = None
    recent: list[Past] = field(default_factory=list[Past])
    judged: dict[str, str] = field(default_factory=dict[str, str])
    pending: Outcome | None = None

    @classmethod
    def read(cls, folder: Path) -> Looks:
        """Those of a folder.

        Raises:
            DataError: what is written of them is damaged.
        """
        path = folder / STATE
        if not path.exists():
            return cls(folder)
        state = read_report(State, path, fix="remove it: all images are looked at once more")
        return cls(folder, state.seen, state.last_event, list(state.recent), state.judged, state.pending)

    def save(self) -> None:
        """Write everything down, as a whole or not at all."""
        state = State(
            seen=self.seen,
            last_event=self.last_event,
            recent=tuple(self.recent),
            judged=self.judged,
            pending=self.pending,
        )
        Store(str(self.folder)).put(STATE, json.dumps(state.model_dump(mode="json")).encode())

    def new(self, versions: Mapping[str, str]) -> dict[str, str]:
        """Images, with their versions, that no look has seen."""
        return {name: version for name, version in versions.items() if self.seen.get(name) != version}

    def forget(self, keep_days: float) -> None:
        """Remove answers that have waited long enough for labels."""
        limit = datetime.now(UTC) - timedelta(days=keep_days)
        old = [past for past in self.recent if datetime.fromisoformat(past.at) < limit]
        self.recent = [past for past in self.recent if past not in old]
        for past in old:
            (self.folder / past.batch / ANSWERS).unlink(missing_ok=True)

    def answered(self) -> set[str]:
        """Images whose answers are kept."""
        paths = [self.folder / past.batch / ANSWERS for past in self.recent]
        return {name for path in paths if path.exists() for name in read_report(StoredAnswers, path, fix=FIX).images}

    def add(self, batch: str, images: Mapping[str, str], again: Sequence[str]) -> None:
        """A look has been made."""
        self.seen |= images
        self.recent = [past for past in self.recent if past.batch != batch]
        at = datetime.now(UTC).isoformat(timespec="seconds")
        self.recent.append(Past(batch=batch, at=at, images=tuple(sorted(images)), again=tuple(again)))


@dataclass(frozen=True)
class Late:
    """Labels of images that are looked at or were: `again` are those that must be predicted once more; `said` is what of the
    labels is not judged.
    """

    labels: Labels
    again: list[str]
    said: list[str]

    def digests(self) -> dict[str, str]:
        """Name → what changes when its labels do."""
        return {name: bytes_sha256(json.dumps(given).encode())[:16] for name, given in self.labels.items()}


def late_labels(path: Path, looks: Looks, versions: Mapping[str, str], chosen: Mapping[str, str]) -> Late:
    """The labels that have come, by the images that they are of.

    Args:
        versions: the images that are there; chosen: those of them that are looked at now.

    Raises:
        DataError: the labels cannot be read.
    """
    said: list[str] = []
    if not path.exists():
        return Late({}, [], [f"no label has come: {path} is not there"])
    found = match(read_labels(path, problems=said), {**looks.seen, **versions}, said)
    asked = {name for past in looks.recent for name in past.again}
    recent = {name for past in looks.recent for name in past.images}
    old = sorted(name for name in found if name in looks.seen and name not in recent | chosen.keys())
    if old:
        said.append(f"{len(old)} labels are of images whose answers are no longer kept: {listed(old)}")
    labels = {name: given for name, given in found.items() if name in recent | chosen.keys()}
    lacking = sorted(labels.keys() - looks.answered() - chosen.keys())
    again = [name for name in lacking if name not in asked and versions.get(name) == looks.seen[name]]
    if lost := [name for name in lacking if name not in again]:
        said.append(f"{len(lost)} labels are of images without an answer that are gone or unreadable: {listed(lost)}")
    return Late({name: labels[name] for name in sorted(labels.keys() - set(lost))}, again, said)
