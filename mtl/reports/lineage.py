"""Where a version comes from, as its run keeps it and `mtl lineage` shows it."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from pydantic import ConfigDict, Field, JsonValue, RootModel

from mtl.errors import RegistryError
from mtl.reports.change import Change
from mtl.reports.types import Report, parse_json

Output = dict[str, JsonValue]
"""One output of a file of DVC's, as DVC writes it: path, hash, size …"""
FIX = "mtl of the version that wrote it reads it; else restore the registry from a back-up"


class Recorded(Report):
    """What a version's run keeps: whatever newer programs add is left out."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Machine(Recorded):
    """What can change the last bits of a training."""

    system: str | None = None
    python: str | None = None
    processor: str | None = None
    cores: int | None = None
    memory_gib: int | None = None
    packages: dict[str, str] | None = Field(
        default=None, description="installed in place of what requirements.lock names"
    )

    def as_json(self) -> dict[str, JsonValue]:
        """Without what was not written down."""
        return self.model_dump(mode="json", exclude_unset=True)


class Source(Recorded):
    """Where a part of the data came from, as stage fetch has written it."""

    name: str
    package: str
    version: str
    licence: str
    sha256: str
    num_items: int = 0


class TrainingFacts(Recorded):
    """Of a training's report, what may explain another result."""

    steps: int
    seconds: float
    world_size: int
    worlds: list[list[int]]
    device: str
    bf16: bool


class Lineage(Report):
    """All that is known of a version, from pixels to alias; None or empty for what it did not keep."""

    version: int
    model: str
    aliases: tuple[str, ...]
    sources: tuple[Source, ...]
    data: str | None
    stages: dict[str, dict[str, str]] = Field(description="stage → what it made → its hash")
    commit: str | None
    dirty: bool
    uncommitted: str = Field(description="what differs from the commit, as a patch")
    left_out: dict[str, str] = Field(description="path → why it is not in the patch")
    installed: bool = Field(default=False, description="it was made by an installed mtl, which was kept with it")
    params: dict[str, object] | None
    lock_sha256: str | None
    machine: Machine | None
    training: TrainingFacts | None
    mlflow_run: str
    flow_run: str | None
    reason: str | None
    fingerprint: str | None
    weights_sha256: str | None
    package_sha256: str | None
    metrics: dict[str, dict[str, float]]
    decision: str | None
    unverified: str | None
    promotions: tuple[Change, ...]

    def as_json(self) -> dict[str, object]:
        """As `mtl lineage --json` prints it."""
        found: dict[str, object] = self.model_dump(mode="json")
        found["machine"] = self.machine and self.machine.as_json()
        found["promotions"] = [change.as_json() for change in self.promotions]
        return found


class Sources(RootModel[tuple[Source, ...]]):
    """sources.json."""


class LeftOut(RootModel[dict[str, str]]):
    """left_out.json: path → why what differs there is not in the patch."""


class DataFiles(RootModel[dict[str, tuple[Output, ...]]]):
    """dvc_files.json: path of each of DVC's files below data/ → its outputs."""


RecordedKind = TypeVar("RecordedKind", Machine, TrainingFacts, Sources, LeftOut, DataFiles)


def read_recorded(kind: type[RecordedKind], path: Path) -> RecordedKind | None:
    """A file that a version's run keeps; None if it keeps none.

    Raises:
        RegistryError: it is damaged.
    """
    return parse_json(kind, path.read_bytes(), path.name, fix=FIX, refusal=RegistryError) if path.exists() else None
