"""The raw data set: what `fetch` writes and `prepare` reads, whatever the source was.

`spec.json` says what is there; `<split>.parquet` has a row a sample:

    id          string, unique over all splits
    image       bytes of an encoded image (PNG, JPEG …)
    <target>    label: int64 · labels: list of int64 · value: float64
                boxes: list of [x1, y1, x2, y2, label], pixels of the encoded image
                mask: PNG bytes of class indices, 255 is ignored
                depth: 16-bit PNG bytes, in steps of the target's scale, 0 is unknown
                normals: 8-bit RGB PNG bytes of 255 · (n + 1) / 2 for x right, y down, z to the viewer; black is unknown
                null where the sample does not have this target
    slice.<s>   string
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mtl.config import DataError
from mtl.data.spec import SPLITS, DatasetSpec, TargetKind

_TYPES: dict[TargetKind, pa.DataType] = {
    "label": pa.int64(),
    "labels": pa.list_(pa.int64()),
    "value": pa.float64(),
    "mask": pa.binary(),
    "depth": pa.binary(),
    "normals": pa.binary(),
    "boxes": pa.list_(pa.list_(pa.float64(), 5)),
}


@dataclass(frozen=True)
class RawSample:
    """One encoded image with its targets; a target that is absent here is None."""

    id: str
    image: bytes
    targets: dict[str, Any]
    slices: dict[str, str] = field(default_factory=dict[str, str])


def _schema(spec: DatasetSpec) -> Any:
    columns: list[tuple[str, pa.DataType]] = [("id", pa.string()), ("image", pa.binary())]
    columns += [(name, _TYPES[target.kind]) for name, target in spec.targets.items()]
    columns += [(f"slice.{name}", pa.string()) for name in spec.slices]
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


def write_split(folder: Path, split: str, spec: DatasetSpec, samples: list[RawSample]) -> None:
    """Write one split as Parquet, in row groups of 1,024 samples."""
    folder.mkdir(parents=True, exist_ok=True)
    columns: dict[str, list[Any]] = {"id": [s.id for s in samples], "image": [s.image for s in samples]}
    for name in spec.targets:
        columns[name] = [s.targets.get(name) for s in samples]
    for name in spec.slices:
        columns[f"slice.{name}"] = [s.slices[name] for s in samples]
    table = pa.table(columns, schema=_schema(spec))
    pq.write_table(table, folder / f"{split}.parquet", row_group_size=1024, compression="zstd")


def read_split(folder: Path, split: str, spec: DatasetSpec) -> Iterator[RawSample]:
    """Yield one split's samples in file order.

    Raises:
        DataError: the file is missing, damaged, or lacks a column that spec.json promises.
    """
    assert split in SPLITS
    path = folder / f"{split}.parquet"
    try:
        file = pq.ParquetFile(path)
        missing = set(_schema(spec).names) - set(file.schema_arrow.names)
        if missing:
            raise DataError(f"{path} lacks columns", found=f"no {sorted(missing)}", fix="dvc repro -f fetch")
        for group in range(file.num_row_groups):
            for row in file.read_row_group(group).to_pylist():
                yield RawSample(
                    id=row["id"],
                    image=row["image"],
                    targets={name: row[name] for name in spec.targets if row[name] is not None},
                    slices={name: row[f"slice.{name}"] for name in spec.slices},
                )
    except FileNotFoundError as error:
        raise DataError(f"{path} is missing", fix="run the fetch stage again: dvc repro -f fetch") from error
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path} cannot be read", found=str(error), fix="dvc repro -f fetch") from error
