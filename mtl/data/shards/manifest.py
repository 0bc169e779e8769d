"""The manifest of a prepared data set: its shards with their hashes, and all that training must know of it."""

from __future__ import annotations

import contextlib
from pathlib import Path

from pydantic import Field

from mtl.config.operations import Decode, Operation
from mtl.config.section import Section
from mtl.data.spec import DatasetSpec
from mtl.errors import DataError
from mtl.storage import atomic

NAME = "manifest.json"


class Moments(Section):
    """Sums over pixel values of 0 to 255, per channel: whole numbers, so that they add up exactly."""

    count: int
    sum: tuple[int, ...]
    squares: tuple[int, ...]


class Quarantined(Section):
    """A sample left out, and why. `split` is empty if it was left out before the splits were made."""

    id: str
    split: str
    reason: str


class ShardRecord(Section):
    """One immutable shard, named by a hash of what went into it. Without samples it has no file."""

    split: str
    file: str
    sha256: str
    num_samples: int
    moments: Moments | None = Field(default=None, description="of the training split's shards")
    quarantined: tuple[Quarantined, ...] = ()


class Statistics(Section):
    """Per channel, of the training split alone, of pixel values from 0 to 1."""

    mean: tuple[float, ...]
    std: tuple[float, ...]


class Manifest(Section):
    """A prepared data set. It is written last: without it there is none."""

    spec: DatasetSpec
    recipe: str = Field(description="hash of all but the samples that shards depend on: operations, targets, code")
    operations: tuple[Operation, ...]
    height: int = Field(description="pixels")
    width: int = Field(description="pixels")
    channels: int
    statistics: Statistics
    shards: tuple[ShardRecord, ...]
    problems: tuple[Quarantined, ...] = Field(default=(), description="left out before the splits were made")
    split_sha256: dict[str, str] = Field(description="of ids, encoded images and targets, before any operation")

    @property
    def quarantined(self) -> tuple[Quarantined, ...]:
        """All that was left out."""
        return (*self.problems, *(sample for shard in self.shards for sample in shard.quarantined))

    @property
    def colours(self) -> int:
        """How many of the channels are the image that a person sees: 3, or 1 if it is grey. The others are made of it."""
        grey = any(isinstance(operation, Decode) and operation.colour == "grey" for operation in self.operations)
        return 1 if grey else min(self.channels, 3)

    def of(self, split: str) -> tuple[ShardRecord, ...]:
        """The shards of one split that have samples, in order."""
        return tuple(shard for shard in self.shards if shard.split == split and shard.num_samples)

    def num_samples(self, split: str) -> int:
        """Samples of one split."""
        return sum(shard.num_samples for shard in self.of(split))


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


class Journal:
    """What of a prepared folder is finished, written down as it is, so that a killed run goes on."""

    def __init__(self, folder: Path) -> None:
        self.folder, self._path = folder, folder / "journal.jsonl"

    def known(self, recipe: str) -> dict[str, ShardRecord]:
        """File → record of every finished shard of this recipe whose file is there."""
        records: list[ShardRecord] = []
        try:
            manifest = read(self.folder)
            records += manifest.shards if manifest.recipe == recipe else ()
        except DataError:
            pass  # none, or of another version: everything is made again
        for line in self._path.read_text(encoding="utf-8").splitlines() if self._path.exists() else []:
            with contextlib.suppress(ValueError):  # the last line of a killed run
                written = _Line.model_validate_json(line, strict=False)
                records += [written.record] if written.recipe == recipe else []
        return {r.file: r for r in records if not r.num_samples or (self.folder / r.file).exists()}

    def add(self, recipe: str, record: ShardRecord) -> None:
        """A shard is finished."""
        with self._path.open("a", encoding="utf-8") as file:
            file.write(_Line(recipe=recipe, record=record).model_dump_json() + "\n")

    def finish(self, manifest: Manifest) -> None:
        """Write the manifest, and remove what it does not name."""
        with atomic.replacing(self.folder / NAME) as scratch:
            scratch.write_text(manifest.model_dump_json(indent=1) + "\n", encoding="utf-8")
            wanted = {NAME, *(record.file for record in manifest.shards)}
            for path in self.folder.iterdir():
                if path.name not in wanted and path != scratch:
                    path.unlink()


class _Line(Section):
    """One finished shard."""

    recipe: str
    record: ShardRecord
