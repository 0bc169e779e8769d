"""Data sets of Hugging Face `datasets`: it says what the columns are. Images stay where they are."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from mtl.codecs.header import Header, read_header
from mtl.config.files import Column, HuggingFaceSet
from mtl.data.formats.base import Entry, Problem, Reading, folder_split, image_ids, split_of
from mtl.data.formats.cells import as_cell, whole
from mtl.data.formats.column_cells import column_spec
from mtl.data.formats.hf_features import Classes, Plain, target_of
from mtl.data.formats.hf_fields import Fields
from mtl.data.formats.hf_files import STATES, features_of, rows_of, splits_of
from mtl.data.formats.hf_images import encoded_at
from mtl.data.formats.hf_metadata import is_metadata
from mtl.data.formats.hf_objects import Objects
from mtl.data.formats.hf_plan import SIZE, Plan, check_same, plan_of
from mtl.data.formats.mentions import Files
from mtl.data.formats.named_images import split_of_table, text
from mtl.data.formats.shapes import Frame, Targets, settle, shown_size
from mtl.data.kinds import KINDS
from mtl.data.raw.rows import FileRef
from mtl.errors import DataError
from mtl.storage.file_tree import FileTree

Meaning = Classes | Plain | Objects | None
"""How the values of a target's column are read; None: they are maps, and nothing is to be read."""


@dataclass
class Record:
    """One row. values: of the columns that are wanted, but for the image's; header: its image's, where objects need it."""

    entry: Entry
    values: dict[str, object]
    where: str
    header: Header | None = None


def read_huggingface(settings: HuggingFaceSet, tree: FileTree) -> Reading:
    """A row per image; its id is the split's name and the row's number, or the file's name where it lies beside the rows.

    Raises:
        DataError: it cannot be read, lacks a column, or what a column is cannot be told.
    """
    splits = splits_of(tree)
    files = [file for some in splits.values() for file in some]
    plan = plan_of(settings, features_of(tree, files[0]))
    check_same(plan, tree, files)
    reading = Reading({}, [])
    reading.documents = {*files, *(n for n in tree.names() if n.rpartition("/")[2] in STATES)}
    records = _records(plan, tree, splits, reading)
    meanings = {name: _meaning(name, plan, records, settings) for name in plan.columns}
    for name, meaning in meanings.items():
        reading.targets[name] = meaning.spec if meaning else column_spec(plan.columns[name], [])
        for record in records:
            _add(record, name, meaning, plan, reading)
        reading.notes += meaning.notes if meaning else {}
    reading.entries = [record.entry for record in records]
    if any(is_metadata(file) for file in files):
        used = {v.name for e in reading.entries for v in (e.image, *e.targets.values()) if isinstance(v, FileRef)}
        reading.left_out = {name: "no row of the metadata names it" for name in tree.images() if name not in used}
    return reading


def _records(plan: Plan, tree: FileTree, splits: Mapping[str, list[str]], reading: Reading) -> list[Record]:
    """All rows that have an image."""
    beside = Files(tree.images())
    records: list[Record] = []
    for split, files in splits.items():
        numbers = itertools.count()
        for file in files:
            for row, values in enumerate(rows_of(tree, file, plan.wanted())):
                found = f"{split}/{next(numbers):08d}"
                try:
                    record = _record(plan, tree, file, row, values, found, beside)
                except DataError as error:
                    reading.problems.append(Problem.of(found, error, f"{file}, row {row + 1}"))
                    continue
                record.entry.split = record.entry.split or split_of(split) or split_of_table(split)
                records.append(record)
    return _with_headers(records, tree, reading) if plan.objects else records


def _record(
    plan: Plan, tree: FileTree, file: str, row: int, values: dict[str, object], found: str, beside: Files
) -> Record:
    """A row as an entry without targets.

    Raises:
        DataError: it has no image, or one that cannot be decoded.
    """
    image = encoded_at(tree, file, row, plan.image, values[plan.image], beside)
    entry = Entry(found, image.value, {}, digests={"image": image.sha256} if image.sha256 else {})
    entry.group = text(whole(as_cell(values[plan.group]))) or None if plan.group else None
    entry.time = text(as_cell(values[plan.time])) or None if plan.time else None
    if not image.data and isinstance(image.value, FileRef):
        entry.id = image_ids([image.value.name])[image.value.name]
        entry.split = folder_split(image.value.name)
    header = read_header(image.data) if plan.objects and image.data else None
    kept = {name: value for name, value in values.items() if name != plan.image}
    for target, column in plan.columns.items():
        if KINDS[column.kind].encoded and target not in plan.objects and kept[column.column] is not None:
            found_map = encoded_at(tree, file, row, column.column, kept[column.column], beside)
            kept[column.column] = found_map.value
            entry.digests |= {target: found_map.sha256} if found_map.sha256 else {}
    return Record(entry, kept, f"{file}, row {row + 1}", header)


def _with_headers(records: Sequence[Record], tree: FileTree, reading: Reading) -> list[Record]:
    """Records whose image says its size; problems of others."""
    names = {r.entry.image.name for r in records if r.header is None and isinstance(r.entry.image, FileRef)}
    headers = tree.headers(sorted(names))
    kept: list[Record] = []
    for record in records:
        image = record.entry.image
        header = record.header or (headers.get(image.name) if isinstance(image, FileRef) else None)
        if isinstance(header, Header):
            record.header = header
            kept.append(record)
        else:
            error = header or DataError("its image cannot be read")
            file = image.name if isinstance(image, FileRef) else ""
            reading.problems.append(Problem.of(record.entry.id, error, record.where, file))
    return kept


def _meaning(name: str, plan: Plan, records: Sequence[Record], settings: HuggingFaceSet) -> Meaning:
    column = plan.columns[name]
    if name in plan.objects:
        fields = plan.objects[name]
        rows = [(_objects(fields, column, record), _size(name, plan, record)) for record in records]
        return Objects(fields, rows, settings, column.classes)
    if KINDS[column.kind].encoded:
        return None
    return target_of(column, plan.features[column.column], [record.values[column.column] for record in records])


def _size(name: str, plan: Plan, record: Record) -> tuple[float, float]:
    """Width and height of the picture that was annotated: as the row says, or as it is shown."""
    assert record.header is not None
    said = [record.values.get(side) if plan.sized(name) else None for side in SIZE]
    width, height = (float(side) if isinstance(side, int) and side > 0 else 0.0 for side in said)
    return (width, height) if width and height else shown_size(record.header)


def _objects(fields: Fields, column: Column, record: Record) -> Any:
    return record.values if fields.columns else record.values[column.column]


def _add(record: Record, name: str, meaning: Meaning, plan: Plan, reading: Reading) -> None:
    """Add a target to a row's entry; a problem if its value cannot be used."""
    value = record.values[plan.columns[name].column]
    try:
        if isinstance(meaning, Objects):
            if value is not None:
                _settle(record, name, meaning, plan, reading)
            return
        value = meaning.of(value) if meaning else value
    except DataError as error:
        reading.problems.append(_lost(record, error))
        return
    if value is not None:
        record.entry.targets[name] = value


def _settle(record: Record, name: str, meaning: Objects, plan: Plan, reading: Reading) -> None:
    assert record.header is not None
    shapes, wrong = meaning.shapes(_objects(plan.objects[name], plan.columns[name], record))
    frame = Frame(relative=True) if meaning.form.relative else Frame(*_size(name, plan, record))
    settled = settle(record.entry.id, shapes, frame, record.header, Targets(name, None), record.where)
    reading.problems += [_lost(record, error) for error in wrong] + settled.problems
    reading.notes += settled.notes
    record.entry.targets |= settled.targets


def _lost(record: Record, error: DataError) -> Problem:
    return replace(Problem.of(record.entry.id, error, record.where), loses="annotation")
