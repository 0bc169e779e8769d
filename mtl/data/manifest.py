"""The manifest of a prepared data set: its shards with their hashes, and all that training must know of it."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from mtl.config import DataError
from mtl.config.data import Operation
from mtl.config.section import Section
from mtl.data.spec import DatasetSpec

NAME = "manifest.json"


class ShardRecord(Section):
    """One immutable shard."""

    split: str
    file: str
    sha256: str
    num_samples: int


class Statistics(Section):
    """Per channel, of the training split alone, of pixel values from 0 to 1."""

    mean: tuple[float, ...]
    std: tuple[float, ...]


class Quarantined(Section):
    """A sample left out, and why."""

    id: str
    split: str
    reason: str


class Manifest(Section):
    """A prepared data set. It is written last: without it there is none."""

    spec: DatasetSpec
    operations: tuple[Operation, ...]
    height: int = Field(description="pixels")
    width: int = Field(description="pixels")
    channels: int
    statistics: Statistics
    shards: tuple[ShardRecord, ...]
    quarantined: tuple[Quarantined, ...] = ()
    split_sha256: dict[str, str] = Field(description="of ids, encoded images and targets, before any operation")

    def of(self, split: str) -> tuple[ShardRecord, ...]:
        """The shards of one split, in order."""
        return tuple(shard for shard in self.shards if shard.split == split)

    def num_samples(self, split: str) -> int:
        """Samples of one split."""
        return sum(shard.num_samples for shard in self.of(split))


def write(folder: Path, manifest: Manifest) -> None:
    """Write the manifest into the prepared folder."""
    (folder / NAME).write_text(manifest.model_dump_json(indent=1) + "\n", encoding="utf-8")


def read(folder: Path) -> Manifest:
    """Read the manifest.

    Raises:
        DataError: it is missing or damaged.
    """
    path = folder / NAME
    try:
        return Manifest.model_validate_json(path.read_bytes(), strict=False)
    except FileNotFoundError as error:
        raise DataError(f"{path} is missing", fix="run the prepare stage: dvc repro prepare") from error
    except ValueError as error:
        raise DataError(f"{path} is damaged", found=str(error), fix="dvc repro -f prepare") from error
