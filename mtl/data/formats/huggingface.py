"""Data sets of Hugging Face `datasets`: it says what the columns are. Images stay where they are."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import Any

from mtl.config import DataError
from mtl.config.files import Column, HuggingFaceSet
from mtl.data.formats.base import Entry, Problem, Reading, folder_split, split_of
from mtl.data.formats.hf_features import Classes, Plain, column_of, kind_of, target_of
from mtl.data.formats.hf_files import STATES, features_of, is_metadata, rows_of, splits_of
from mtl.data.formats.hf_objects import Fields, Objects, object_fields
from mtl.data.formats.mentions import Files
from mtl.data.formats.named_images import split_of_table
from mtl.data.formats.shapes import Targets, settle
from mtl.data.header import Header, read_header
from mtl.data.members import Member
from mtl.data.place import Place
from mtl.data.raw import FileRef
from mtl.data.spec import TargetSpec
from mtl.digest import bytes_sha256

SIZE = ("width", "height")
"""Columns of the size of the picture that was annotated."""


@dataclass
class Record:
    """One row. values: of the columns that are wanted."""

    entry: Entry
    values: dict[str, Any]
    where: str
    header: Header | None = None


@dataclass
class Plan:
    """Which columns are what. objects: target → its fields."""

    image: str
    columns: dict[str, Column]
    features: dict[str, Any]
    objects: dict[str, Fields] = field(default_factory=dict[str, Fields])

    def wanted(self) -> list[str]:
        """Columns to be read."""
        names = [self.image, *(column.column for column in self.columns.values())]
        for target, fields in self.objects.items():
            beside = (fields.box, fields.category, fields.area, fields.crowd) if fields.columns else ()
            names += [name for name in beside if name] + ([*SIZE] if self.sized(target) else [])
        return list(dict.fromkeys(names))

    def sized(self, target: str) -> bool:
        """Whether the rows say how large the picture was."""
        return target in self.objects and all(kind_of(self.features.get(name)) == "whole" for name in SIZE)


def read_huggingface(settings: HuggingFaceSet, place: Place) -> Reading:
    """A row an image; its id is the split's name and the row's number, or the file's of one that lies beside the rows.

    Raises:
        DataError: it cannot be read, lacks a column, or what a column is cannot be told.
    """
    splits = splits_of(place)
    files = [file for some in splits.values() for file in some]
    plan = plan_of(settings, features_of(place, files[0]))
    _check_same(plan, place, files)
    reading = Reading({}, [])
    reading.documents = {*files, *(n for n in place.names() if n.rpartition("/")[2] in STATES)}
    records = _records(plan, place, splits, reading)
    targets: dict[str, Classes | Plain | Objects | None] = {}
    for name, column in plan.columns.items():
        targets[name] = _meaning(name, plan, column, records, settings)
        found = targets[name]
        reading.targets[name] = (
            TargetSpec(kind=column.kind, classes=column.classes, unit=column.unit, scale=column.scale)
            if found is None
            else found.spec
        )
    for record in records:
        for name, meaning in targets.items():
            _add(record, name, meaning, plan, reading)
    reading.entries = [record.entry for record in records]
    for meaning in targets.values():
        reading.notes += meaning.notes if meaning else {}
    _leave_out(place, files, reading)
    return reading


def plan_of(settings: HuggingFaceSet, features: Mapping[str, Any]) -> Plan:
    """What the columns that are wanted are.

    Raises:
        DataError: one is missing, or cannot be what it is to be.
    """
    image = settings.image or image_column(features)
    declared = {t: c if isinstance(c, Column) else Column(column=c, kind="label") for t, c in settings.targets.items()}
    missing = sorted({image, *(column.column for column in declared.values())} - features.keys())
    if missing:
        raise DataError("columns are missing", found=f"no {missing}; it has {sorted(features)}")
    plan = Plan(image, {}, dict(features))
    for target, given in settings.targets.items():
        column = declared[target]
        fields = object_fields(column.column, features, settings.category, column.classes)
        if fields is not None:
            plan.objects[target] = fields
        plan.columns[target] = column if fields or isinstance(given, Column) else column_of(given, features[given])
    return plan


def image_column(features: Mapping[str, Any]) -> str:
    """The column of the images.

    Raises:
        DataError: none can be, or several.
    """
    images = [name for name, feature in features.items() if kind_of(feature) == "image"]
    for choices in (
        ["image"] if kind_of(features.get("image")) in ("image", "bytes", "text") else [],
        images,
        [name for name, feature in features.items() if kind_of(feature) == "bytes"],
    ):
        if len(choices) == 1:
            return choices[0]
        if choices:
            fix = "declare `image`; others may be masks"
            raise DataError("which column has the images, several could", found=", ".join(choices), fix=fix)
    raise DataError("no column has images", found=f"it has {sorted(features)}", fix="declare `image`")


def _check_same(plan: Plan, place: Place, files: list[str]) -> None:
    """What all files say of the columns."""
    for file in files[1:]:
        here = features_of(place, file)
        different = sorted(name for name in plan.wanted() if here.get(name) != plan.features.get(name))
        if different:
            raise DataError(f"{file} says something else of {', '.join(different)} than the files before it")


def _records(plan: Plan, place: Place, splits: Mapping[str, list[str]], reading: Reading) -> list[Record]:
    """All rows that have an image."""
    beside = Files(place.images())
    records: list[Record] = []
    for split, files in splits.items():
        numbers = itertools.count()
        for file in files:
            for row, values in enumerate(rows_of(place, file, plan.wanted())):
                found = f"{split}/{next(numbers):08d}"
                where = f"{file}, row {row + 1}"
                try:
                    records.append(_record(plan, place, file, row, values, found, beside))
                except DataError as error:
                    reading.problems.append(Problem.of(found, error, where))
                    continue
                if records[-1].entry.split is None:
                    records[-1].entry.split = split_of(split) or split_of_table(split)
    return records


def _record(plan: Plan, place: Place, file: str, row: int, values: dict[str, Any], found: str, beside: Files) -> Record:
    where = f"{file}, row {row + 1}"
    image, sha256, data = _encoded(place, file, row, plan.image, values[plan.image], beside)
    entry = Entry(found, image, {}, digests={"image": sha256} if sha256 else {})
    if isinstance(image, FileRef) and not sha256:
        entry.id, entry.split = PurePosixPath(image.name).with_suffix("").as_posix(), folder_split(image.name)
    header = read_header(data or place.read(image.name)) if plan.objects and isinstance(image, FileRef) else None
    if plan.objects and header is None:
        header = read_header(data)
    kept = {name: value for name, value in values.items() if name != plan.image}
    for target, column in plan.columns.items():
        if column.kind in ("mask", "depth") and target not in plan.objects and values[column.column] is not None:
            kept[column.column], digest, _ = _encoded(place, file, row, column.column, values[column.column], beside)
            entry.digests |= {target: digest} if digest else {}
    return Record(entry, kept, where, header)


def _encoded(
    place: Place, file: str, row: int, column: str, value: Any, beside: Files
) -> tuple[FileRef | bytes, str, bytes]:
    """An image or a map: where it is, or its bytes; the SHA-256 of those that were seen, and they themselves.

    Raises:
        DataError: there is none.
    """
    data = value.get("bytes") if isinstance(value, dict) else value
    path = value.get("path") if isinstance(value, dict) else value
    if isinstance(data, bytes) and data:
        sha256 = bytes_sha256(data)
        member = Member.of(file, f"{row}.{column}", sha256)
        return (FileRef(str(member)) if place.has_parts else data), sha256, data
    if isinstance(path, str) and path:
        return FileRef(beside.find(path, PurePosixPath(file).parent.as_posix().strip("."))), "", b""
    raise DataError("the row has no image's bytes, and no path of one", found=f"column {column}")


def _meaning(
    name: str, plan: Plan, column: Column, records: list[Record], settings: HuggingFaceSet
) -> Classes | Plain | Objects | None:
    """How the values of a target's column are read; None for maps, which are images."""
    if name in plan.objects:
        fields = plan.objects[name]
        rows = [(_objects(fields, column, record), record.header) for record in records]
        return Objects(fields, rows, settings, column.classes)
    if column.kind in ("mask", "depth"):
        return None
    return target_of(column, plan.features[column.column], [record.values[column.column] for record in records])


def _objects(fields: Fields, column: Column, record: Record) -> Any:
    return record.values if fields.columns else record.values[column.column]


def _add(record: Record, name: str, meaning: Classes | Plain | Objects | None, plan: Plan, reading: Reading) -> None:
    """Add a target to a row's entry; a problem if its value cannot be used."""
    column = plan.columns[name]
    try:
        value = record.values[column.column]
        if isinstance(meaning, Objects):
            if value is not None:
                _settle(record, name, meaning, plan, reading)
            return
        value = meaning.of(value) if meaning else value
    except DataError as error:
        problem = Problem.of(record.entry.id, error, record.where)
        reading.problems.append(replace(problem, loses="annotation"))
        return
    if value is not None:
        record.entry.targets[name] = value


def _settle(record: Record, name: str, meaning: Objects, plan: Plan, reading: Reading) -> None:
    assert record.header is not None
    shapes, wrong = meaning.shapes(_objects(plan.objects[name], plan.columns[name], record))
    width, height = (record.values.get(side) if plan.sized(name) else None for side in SIZE)
    frame = meaning.frame(width, height)
    settled = settle(record.entry.id, shapes, frame, record.header, Targets(name, None), record.where)
    for error in wrong:
        problem = Problem.of(record.entry.id, error, record.where)
        reading.problems.append(replace(problem, loses="annotation"))
    reading.problems += settled.problems
    reading.notes += settled.notes
    record.entry.targets |= settled.targets


def _leave_out(place: Place, files: list[str], reading: Reading) -> None:
    """Images beside metadata that no row names."""
    if any(is_metadata(file) for file in files):
        used = {v.name for e in reading.entries for v in (e.image, *e.targets.values()) if isinstance(v, FileRef)}
        reading.left_out |= {name: "no row of the metadata names it" for name in place.images() if name not in used}
