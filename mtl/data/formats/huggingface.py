"""Data sets of Hugging Face `datasets`, read by it: saved to disk (Arrow), or Parquet files."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from mtl.config import DataError
from mtl.config.files import HuggingFaceSet
from mtl.data.formats.base import Entry, Problem, Reading, split_of
from mtl.data.formats.table import number
from mtl.data.place import Place
from mtl.data.spec import TargetKind, TargetSpec


def read_huggingface(settings: HuggingFaceSet, place: Place) -> Reading:
    """A row an image; its id is the split's name and the row's number.

    Raises:
        DataError: it cannot be read, or lacks a column.
    """
    with tempfile.TemporaryDirectory() as cache:
        try:
            splits = load_splits(place, cache)
        except DataError:
            raise
        except Exception as error:  # datasets raises what its file systems do
            raise DataError(f"{place.path} cannot be read", found=f"{type(error).__name__}: {error}") from error
        specs: dict[str, TargetSpec] = {}
        entries: list[Entry] = []
        problems: list[Problem] = []
        for name, rows in splits.items():
            specs = _specs(settings, rows)
            for index, row in enumerate(rows.cast_column(settings.image, _undecoded()).to_iterable_dataset()):
                found = f"{name}/{index:08d}"
                try:
                    targets = {t: _target(row[c], specs[t]) for t, c in settings.targets.items() if row[c] is not None}
                    image = (row[settings.image] or {}).get("bytes")
                    if not image:
                        raise DataError("the row has no image's bytes")
                except DataError as error:
                    problems.append(Problem.of(found, error))
                    continue
                entries.append(Entry(found, image, targets, split=split_of(name)))
        return Reading(specs, entries, problems)


def _undecoded() -> Any:
    from datasets import Image

    return Image(decode=False)


def load_splits(place: Place, cache: str) -> dict[str, Any]:
    """Split → rows; masks too as bytes."""
    import datasets

    datasets.disable_progress_bars()
    files = place.names(suffixes=(".parquet",))
    if files:
        named: dict[str, list[str]] = {}
        for file in files:
            # <split>-00000-of-00001.parquet, as the hub writes them, or a folder a split
            stem = Path(file).name.split("-")[0].removesuffix(".parquet")
            named.setdefault(stem if split_of(stem) else Path(file).parent.name or "all", []).append(
                f"{place.path.rstrip('/')}/{file}"
            )
        loaded: Any = datasets.load_dataset("parquet", data_files=named, cache_dir=cache, keep_in_memory=True)
    else:
        loaded = datasets.load_from_disk(place.path)
    splits: dict[Any, Any] = dict(loaded) if isinstance(loaded, datasets.DatasetDict) else {"all": loaded}
    return {str(name): _with_bytes(rows) for name, rows in splits.items()}


def _with_bytes(rows: Any) -> Any:
    for column, feature in rows.features.items():
        if type(feature).__name__ == "Image":
            rows = rows.cast_column(column, _undecoded())
    return rows


def _specs(settings: HuggingFaceSet, rows: Any) -> dict[str, TargetSpec]:
    missing = sorted({settings.image, *settings.targets.values()} - set(rows.features))
    if missing:
        raise DataError("columns are missing", found=f"no {missing}; it has {sorted(rows.features)}")
    return {target: spec_of(column, rows.features[column]) for target, column in settings.targets.items()}


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
