"""The raw data set: what `fetch` writes and `prepare` reads, whatever the source was.

`spec.json` says what is there; `<split>.parquet` has a row per sample:

    id          string, unique over all splits; rows are sorted by it
    key         SHA-256 of what the sample is: of its image's bytes (or its version in a bucket) and its targets
    image       bytes of an encoded image (PNG, JPEG …), or null: then
    image.file  set/name of the file that holds it, in the set's root that spec.json names
    <target>    label: int64 · labels: list of int64 · value: float64
                boxes: list of [x1, y1, x2, y2, label], pixels of the encoded image; with a sixth number, which says that
                a box does not count (mtl/data/kinds/box_table.py), in all rows of an image that has such boxes
                mask: PNG bytes of class indices, 255 is ignored
                depth: 16-bit PNG bytes, in steps of the target's scale, 0 is unknown
                normals: 8-bit RGB PNG bytes of 255 · (n + 1) / 2 for x right, y down, z to the viewer; black is unknown
                null where the sample does not have this target; masks, depths and normals may be files too
    slice.<s>   string
    .group      what must stay in one split with it, e.g. a patient; null where it is alone
"""

from __future__ import annotations

import hashlib
import itertools
import json
from bisect import bisect_left, bisect_right
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from mtl.data.kinds import KINDS
from mtl.data.kinds.base import ArrowType
from mtl.data.spec import SPLITS, DatasetSpec
from mtl.errors import DataError

GROUP = ".group"
"""The column of groups: no target has such a name."""
ROW_GROUP = 256
"""Samples that are read together, where they hold bytes."""
NAMES_GROUP = 32 * ROW_GROUP
"""Where they do not: a file of a hundred million rows says of each group where each of its columns lies."""


class FileRef(NamedTuple):
    """A file that is left where it lies: its name in the root of a set, and the set."""

    name: str
    owner: str = ""

    @classmethod
    def parse(cls, text: str) -> FileRef:
        """From the text of a column."""
        owner, _, name = text.partition("/")
        return cls(name, owner)

    def __str__(self) -> str:
        return f"{self.owner}/{self.name}"


@dataclass(frozen=True, slots=True)
class RawSample:
    """One encoded image with its targets; a target that is absent here is None. Without a key, its content is hashed."""

    id: str
    image: bytes | FileRef
    targets: dict[str, Any]
    slices: dict[str, str] = field(default_factory=dict[str, str])
    key: str = ""
    group: str = ""

    def content_key(self) -> str:
        """SHA-256 of the image and the targets, which must be here."""
        digest = hashlib.sha256(_bytes_of(self.image))
        for name, value in sorted(self.targets.items()):
            if value is not None:
                content = value if isinstance(value, bytes) else json.dumps(value).encode()
                digest.update(name.encode() + b"\0" + hashlib.sha256(content).digest())
        return digest.hexdigest()


def _bytes_of(value: bytes | FileRef) -> bytes:
    assert isinstance(value, bytes), "a sample of files needs the key that its source gave it"
    return value


def _encoded(spec: DatasetSpec) -> list[str]:
    """Columns of encoded images, which may be files instead."""
    return ["image", *(n for n, t in spec.targets.items() if KINDS[t.kind].encoded)]


def _schema(spec: DatasetSpec) -> pa.Schema:  # pyright: ignore[reportUnknownParameterType]
    columns: list[tuple[str, ArrowType]] = [("id", pa.string()), ("key", pa.string()), ("image", pa.binary())]
    columns += [(name, KINDS[target.kind].column()) for name, target in spec.targets.items()]
    columns += [(f"{name}.file", pa.string()) for name in _encoded(spec) if spec.roots]
    columns += [(f"slice.{name}", pa.string()) for name in spec.slices]
    columns += [(GROUP, pa.string())]
    return pa.schema(columns)


def write_spec(folder: Path, spec: DatasetSpec) -> None:
    """Write spec.json, last: a raw data set without it is incomplete."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "spec.json").write_text(spec.model_dump_json(indent=1) + "\n", encoding="utf-8")


def read_spec(folder: Path) -> DatasetSpec:
    """Read spec.json.

    Raises:
        DataError: it is missing or damaged.
    """
    path = folder / "spec.json"
    try:
        return DatasetSpec.model_validate_json(path.read_bytes())
    except FileNotFoundError as error:
        raise DataError(f"{path} is missing", fix="run the fetch stage again: dvc repro -f fetch") from error
    except ValueError as error:
        raise DataError(f"{path} is damaged", found=str(error), fix="dvc repro -f fetch") from error


def write_problems(folder: Path, problems: Sequence[tuple[str, str]]) -> None:
    """Write problems.json: what the source left out, as (id, reason)."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = [[found, reason] for found, reason in sorted(problems)]
    (folder / "problems.json").write_text(json.dumps(lines, indent=1) + "\n", encoding="utf-8")


def read_problems(folder: Path) -> list[tuple[str, str]]:
    """What the source left out; nothing if it wrote nothing."""
    path = folder / "problems.json"
    return [(found, reason) for found, reason in json.loads(path.read_text(encoding="utf-8"))] if path.exists() else []


def write_split(
    folder: Path, split: str, spec: DatasetSpec, samples: Iterable[RawSample], *, ordered: bool = False
) -> None:
    """Write one split as Parquet, sorted by id.

    Args:
        ordered: the samples come sorted, and need not be in memory all at once.

    Raises:
        DataError: two samples have one id.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rows = samples if ordered else sorted(samples, key=lambda sample: sample.id)
    write_rows(folder / f"{split}.parquet", spec, _unique(rows, split))


def _unique(ordered: Iterable[RawSample], split: str) -> Iterator[RawSample]:
    before = None
    for sample in ordered:
        if before is not None and before.id == sample.id:
            raise DataError(
                f"two images of the {split} split have the id {sample.id}", fix="rename one, or set id_prefix"
            )
        yield sample
        before = sample


def write_splits(folder: Path, spec: DatasetSpec, placed: Iterable[tuple[str, RawSample]]) -> None:
    """Write all splits as Parquet.

    Args:
        placed: splits with their samples, in order of the ids, none of which is there twice.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as files:
        rows = {split: files.enter_context(_Rows(folder / f"{split}.parquet", spec)) for split in SPLITS}
        for split, sample in placed:
            rows[split].add(sample)


def write_rows(path: Path, spec: DatasetSpec, ordered: Iterable[RawSample]) -> None:
    """Write samples that are in order of their ids, some at a time."""
    with _Rows(path, spec) as rows:
        for sample in ordered:
            rows.add(sample)


class _Rows:
    """A file of samples, which are written some at a time."""

    def __init__(self, path: Path, spec: DatasetSpec) -> None:
        self._spec, self._waiting, self._bytes = spec, list[RawSample](), False
        self._writer = pq.ParquetWriter(path, _schema(spec), compression="zstd")

    def add(self, sample: RawSample) -> None:
        """The next sample."""
        self._waiting.append(sample)
        self._bytes = self._bytes or _holds_bytes(sample)
        if len(self._waiting) == NAMES_GROUP or (self._bytes and len(self._waiting) % ROW_GROUP == 0):
            self._write()

    def _write(self) -> None:
        if self._waiting:
            self._writer.write_table(_table(self._spec, self._waiting), row_group_size=NAMES_GROUP)
        self._waiting, self._bytes = [], False

    def __enter__(self) -> _Rows:
        return self

    def __exit__(self, *error: object) -> None:
        if error[0] is None:
            self._write()
        self._writer.close()


def _holds_bytes(sample: RawSample) -> bool:
    return isinstance(sample.image, bytes) or any(isinstance(value, bytes) for value in sample.targets.values())


def _table(spec: DatasetSpec, samples: Sequence[RawSample]) -> pa.Table:  # pyright: ignore[reportUnknownParameterType]
    columns: dict[str, list[Any]] = {"id": [s.id for s in samples], "key": [s.key or s.content_key() for s in samples]}
    values = {"image": [s.image for s in samples], **{n: [s.targets.get(n) for s in samples] for n in spec.targets}}
    for name, column in values.items():
        columns[name] = [None if isinstance(v, FileRef) else v for v in column]
        if spec.roots and name in _encoded(spec):
            columns[f"{name}.file"] = [str(v) if isinstance(v, FileRef) else None for v in column]
    for name in spec.slices:
        columns[f"slice.{name}"] = [s.slices.get(name, "") for s in samples]
    columns[GROUP] = [s.group or None for s in samples]
    return pa.table(columns, schema=_schema(spec))


class RawSplit:
    """One split of a raw data set: its ids and keys, and any run of its samples.

    Raises:
        DataError: the file is missing, damaged, or lacks a column that spec.json promises.
    """

    def __init__(self, folder: Path, split: str, spec: DatasetSpec) -> None:
        assert split in SPLITS
        self.path, self.spec = folder / f"{split}.parquet", spec
        with self._explained():
            # Without buffers that hold all that was read ahead: a million rows are read like a thousand.
            self._file = pq.ParquetFile(self.path, pre_buffer=False, memory_map=True)
            metadata = self._file.metadata
            numbers = (metadata.row_group(i).num_rows for i in range(metadata.num_row_groups))
            self._starts = list(itertools.accumulate(numbers, initial=0))
            self._has_groups = GROUP in self._file.schema_arrow.names  # one written before there were groups has none
            missing = set(_schema(spec).names) - {GROUP} - set(self._file.schema_arrow.names)
            if missing:
                raise DataError(f"{self.path} lacks columns", found=f"no {sorted(missing)}", fix="dvc repro -f fetch")

    def __len__(self) -> int:
        return self._file.metadata.num_rows

    def identities(self) -> Iterator[tuple[str, str]]:
        """Every sample's id and key, in order; no image is read."""
        with self._explained():
            for batch in self._file.iter_batches(batch_size=1 << 14, columns=["id", "key"]):
                yield from zip(batch.column(0).to_pylist(), batch.column(1).to_pylist(), strict=True)

    def groups(self) -> Iterator[str]:
        """The group of every sample that is in one."""
        with self._explained():
            for batch in self._file.iter_batches(batch_size=1 << 14, columns=[GROUP]) if self._has_groups else ():
                yield from filter(None, batch.column(0).to_pylist())

    def samples(self, start: int, stop: int) -> Iterator[RawSample]:
        """The samples from `start` to before `stop`."""
        with self._explained():
            for group in range(bisect_right(self._starts, start) - 1, bisect_left(self._starts, stop)):
                first, end = self._starts[group : group + 2]
                low, high = max(start - first, 0), min(stop, end) - first
                for row in self._file.read_row_group(group).slice(low, high - low).to_pylist():
                    yield self._sample(row)

    def _sample(self, row: dict[str, Any]) -> RawSample:
        def value(name: str) -> Any:
            return FileRef.parse(row[f"{name}.file"]) if row.get(f"{name}.file") else row[name]

        targets = {name: found for name in self.spec.targets if (found := value(name)) is not None}
        slices = {name: row[f"slice.{name}"] for name in self.spec.slices}
        return RawSample(row["id"], value("image"), targets, slices, row["key"], row.get(GROUP) or "")

    @contextmanager
    def _explained(self) -> Generator[None]:
        try:
            yield
        except FileNotFoundError as error:
            fix = "run the fetch stage again: dvc repro -f fetch"
            raise DataError(f"{self.path} is missing", fix=fix) from error
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"{self.path} cannot be read", found=str(error), fix="dvc repro -f fetch") from error


def read_split(folder: Path, split: str, spec: DatasetSpec) -> Iterator[RawSample]:
    """Yield one split's samples in order."""
    rows = RawSplit(folder, split, spec)
    return rows.samples(0, len(rows))
