"""Data sets of Hugging Face `datasets`: saved to disk (Arrow), or Parquet files as on the hub. It says what the columns are."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mtl.config import DataError
from mtl.config.files import HuggingFaceSet
from mtl.data.formats.base import Entry, Problem, Reading, split_of
from mtl.data.formats.table import number
from mtl.data.members import Member
from mtl.data.place import Place
from mtl.data.raw import FileRef
from mtl.data.spec import TargetKind, TargetSpec
from mtl.digest import bytes_sha256

ROWS = 64
"""Read at a time: images may be large."""


def read_huggingface(settings: HuggingFaceSet, place: Place) -> Reading:
    """A row an image; its id is the split's name and the row's number. Images stay where they are.

    Raises:
        DataError: it cannot be read, or lacks a column.
    """
    specs: dict[str, TargetSpec] = {}
    entries: list[Entry] = []
    problems: list[Problem] = []
    for name, files in splits_of(place).items():
        numbers = itertools.count()
        for file in files:
            specs = _same(specs, _specs(settings, features_of(place, file)), file)
            for row, values in enumerate(_rows(place, file, [settings.image, *settings.targets.values()])):
                found = f"{name}/{next(numbers):08d}"
                try:
                    targets = {
                        t: _target(values[c], specs[t]) for t, c in settings.targets.items() if values[c] is not None
                    }
                    data = (values[settings.image] or {}).get("bytes")
                    if not data:
                        raise DataError("the row has no image's bytes")
                except DataError as error:
                    problems.append(Problem.of(found, error))
                    continue
                sha256 = bytes_sha256(data)
                member = Member.of(file, f"{row}.{settings.image}", sha256)
                image = FileRef(str(member)) if place.has_parts else data
                entries.append(Entry(found, image, targets, split=split_of(name), digests={"image": sha256}))
    return Reading(specs, entries, problems)


def splits_of(place: Place) -> dict[str, list[str]]:
    """Split → its files, in order.

    Raises:
        DataError: there are none, or the list of them is damaged.
    """
    files = place.names(suffixes=(".parquet",))
    splits: dict[str, list[str]] = {}
    for file in files:
        # <split>-00000-of-00001.parquet, as the hub writes them, or a folder a split
        stem = Path(file).name.split("-")[0].removesuffix(".parquet")
        splits.setdefault(stem if split_of(stem) else Path(file).parent.name or "all", []).append(file)
    if splits:
        return splits
    if not {"dataset_dict.json", "state.json"} & place.versions.keys():
        raise DataError(
            f"{place.path} cannot be read",
            found="neither Parquet files, nor a dataset_dict.json or state.json",
            fix="name the folder that save_to_disk or to_parquet wrote",
        )
    try:
        names = json.loads(place.read("dataset_dict.json"))["splits"] if "dataset_dict.json" in place else [""]
        for name in names:
            folder = f"{name}/" if name else ""
            state = json.loads(place.read(f"{folder}state.json"))
            splits[name or "all"] = [f"{folder}{file['filename']}" for file in state["_data_files"]]
    except (ValueError, LookupError, TypeError) as error:
        raise DataError(
            f"{place.path} is no data set that was saved to disk",
            found=f"{type(error).__name__}: {error}",
            fix="save it again with save_to_disk, or to_parquet",
        ) from error
    return splits


def features_of(place: Place, file: str) -> dict[str, Any]:
    """Column → what it is, as `datasets` reads it from the file's own description.

    Raises:
        DataError: the file cannot be read.
    """
    from datasets import Features

    try:
        with place.opened(file) as source:
            schema = (
                pa.ipc.open_stream(source).schema if file.endswith(".arrow") else pq.ParquetFile(source).schema_arrow
            )
        return dict(Features.from_arrow_schema(schema))
    except DataError:
        raise
    except Exception as error:  # pyarrow and datasets raise many kinds
        raise DataError(f"{file} cannot be read", found=f"{type(error).__name__}: {error}") from error


def _rows(place: Place, file: str, columns: list[str]) -> Iterator[dict[str, Any]]:
    """The rows, some of which are in memory at a time."""
    try:
        with place.opened(file) as source:
            if file.endswith(".arrow"):
                batches = (_sound(batch).select(columns) for batch in pa.ipc.open_stream(source))
            else:
                batches = pq.ParquetFile(source, pre_buffer=False).iter_batches(ROWS, columns=columns)
            for batch in batches:
                for start in range(0, batch.num_rows, ROWS):
                    yield from batch.slice(start, ROWS).to_pylist()
    except (pa.ArrowException, OSError, ValueError, MemoryError) as error:  # a damaged file may claim any size
        raise DataError(f"{file} cannot be read", found=f"{type(error).__name__}: {error}") from error


def _sound(batch: Any) -> Any:
    """Arrow reads offsets as they are: wrong ones would reach out of memory."""
    batch.validate(full=True)
    return batch


def _same(before: dict[str, TargetSpec], here: dict[str, TargetSpec], file: str) -> dict[str, TargetSpec]:
    """What all files say of the targets."""
    if before and before != here:
        different = sorted(name for name in here if here[name] != before[name])
        raise DataError(f"{file} says something else of {', '.join(different)} than the files before it")
    return here


def _specs(settings: HuggingFaceSet, features: dict[str, Any]) -> dict[str, TargetSpec]:
    missing = sorted({settings.image, *settings.targets.values()} - features.keys())
    if missing:
        raise DataError("columns are missing", found=f"no {missing}; it has {sorted(features)}")
    return {target: spec_of(column, features[column]) for target, column in settings.targets.items()}


def spec_of(column: str, feature: Any) -> TargetSpec:
    """What a feature is a target of."""
    kind = type(feature).__name__
    if kind == "ClassLabel":
        return TargetSpec(kind="label", classes=tuple(feature.names))
    if kind == "Value" and feature.dtype.startswith(("float", "int", "uint")):
        return TargetSpec(kind="value")
    inner: Any = getattr(feature, "feature", None)
    if kind in ("List", "Sequence", "LargeList") and type(inner).__name__ == "ClassLabel":
        return TargetSpec(kind="labels", classes=tuple(inner.names))
    fields = feature if isinstance(feature, dict) else inner if isinstance(inner, dict) else None
    if fields and "bbox" in fields:
        name = "category" if "category" in fields else "label"
        labels = getattr(fields.get(name), "feature", fields.get(name))
        return TargetSpec(kind="boxes", classes=tuple(getattr(labels, "names", None) or ("object",)))
    raise DataError(
        f"the column {column} cannot be a target",
        found=str(feature)[:120],
        fix="ClassLabel, a list of them, a number, or objects with bbox and category",
    )


def _target(value: Any, spec: TargetSpec) -> Any:
    kind: TargetKind = spec.kind
    if kind == "value":
        return number(str(value), "a value")
    if kind == "label":
        return None if value < 0 else int(value)  # -1 is what datasets writes for no label
    if kind == "labels":
        return sorted(int(v) for v in value)
    items: Any = [value] if isinstance(value, dict) else value
    if isinstance(value, dict):  # a struct of lists
        labels = value.get("category", value.get("label")) or [0] * len(value["bbox"])
        items = [{"bbox": b, "category": c} for b, c in zip(value["bbox"], labels, strict=True)]
    boxes: list[list[float]] = []
    for item in items:
        x, y, width, height = (number(str(v), "a box's side") for v in item["bbox"])
        boxes.append([x, y, x + width, y + height, float(item.get("category", item.get("label", 0)))])
    return boxes
