"""WebDataset: tar files whose members of one key are one sample."""

from __future__ import annotations

import json

from mtl.config.files import Column, WebDatasetSet
from mtl.data.formats.base import Entry, Problem, Reading, folder_split
from mtl.data.formats.cells import Cell, as_cell, whole
from mtl.data.formats.column_cells import Cells
from mtl.data.formats.named_images import split_of_table, text
from mtl.data.formats.tar_samples import TARS, Content, Sample, samples_of
from mtl.data.formats.text import decoded, plain
from mtl.data.kinds import KINDS
from mtl.errors import DataError
from mtl.storage.file_tree import FileTree

JSON = "json:"


def read_webdataset(settings: WebDatasetSet, tree: FileTree) -> Reading:
    """A sample per key; the id is the key.

    Raises:
        DataError: there is no tar file, one cannot be read, or a target has no classes.
    """
    files = tree.names(suffixes=TARS)
    if not files:
        raise DataError(f"{tree.path} has no tar file", fix="name the folder that holds the shards")
    reading = Reading({}, [], documents={*files})
    samples = [sample for file in files for sample in samples_of(tree, file)]
    rows = [row_of(sample, settings, reading) for sample in samples]
    cells = {target: Cells(_lower(column), rows) for target, column in settings.targets.items()}
    reading.targets = {target: one.spec for target, one in cells.items()}
    entries: list[Entry] = []
    for sample, row in zip(samples, rows, strict=True):
        try:
            image = sample.members[image_of(sample, settings)]
            group, time = (said_in(sample, name) for name in (settings.group, settings.time))
        except DataError as error:
            reading.problems.append(Problem.of(sample.key, error, sample.file))
            continue
        split = split_of_table(sample.file) or folder_split(sample.file)
        entry = Entry(sample.key, image.value, {}, split, group, time, digests={"image": image.sha256})
        for target, one in cells.items():
            _add(entry, target, one, sample, row, reading)
        entries.append(entry)
    reading.entries = entries
    for one in cells.values():
        reading.notes += one.notes
    return reading


def _lower(column: Column) -> Column:
    """Extensions have no case; keys of the json member have."""
    name = column.column if column.column.lower().startswith(JSON) else column.column.lower()
    return column.model_copy(update={"column": name})


def image_of(sample: Sample, settings: WebDatasetSet) -> str:
    """The extension of the member that is the image.

    Raises:
        DataError: there is none, or several that no target is of.
    """
    maps = {column.column.lower() for column in settings.targets.values()}
    images = [name for name in sample.images() if name not in maps]
    if settings.image:
        images = [name for name in sample.members if name == settings.image.lower().lstrip(".")]
    if len(images) == 1:
        return images[0]
    found = ", ".join(sorted(sample.members)[:6])
    if images:
        raise DataError("several members are images", found=found, fix="declare `image`: the extension of the image")
    fix = "a key ends at the first dot of a name: write names without others" if _has_dots(sample) else ""
    raise DataError("no member is an image", found=found, fix=fix)


def _has_dots(sample: Sample) -> bool:
    """Whether what comes after the key's end looks like the rest of a key."""
    return any(
        "." in name and f".{name.rsplit('.', 1)[1]}" in (".jpg", ".jpeg", ".png", ".webp") for name in sample.members
    )


def row_of(sample: Sample, settings: WebDatasetSet, reading: Reading) -> dict[str, Cell]:
    """What a sample's members say, as a table's cells would."""
    row: dict[str, Cell] = {}
    for column in settings.targets.values():
        name = _lower(column).column
        try:
            row[name] = "" if KINDS[column.kind].encoded else cell_of(sample, name)
        except DataError as error:
            row[name] = ""
            problem = Problem(sample.key, f"{error.line}; in: {sample.file}", loses="annotation")
            reading.problems += [problem] if problem not in reading.problems[-8:] else []
    return row


def cell_of(sample: Sample, name: str) -> Cell:
    """What a member says, or a key of the json member.

    Raises:
        DataError: it is no text, no JSON or no object.
    """
    if not name.lower().startswith(JSON):
        return plain(decoded(sample.inline(name) or b""))
    document = document_of(sample)
    return as_cell(document.get(name[len(JSON) :]))


def said_in(sample: Sample, name: str) -> str | None:
    """What a member says of the image besides targets; None if it says nothing, or no member is asked for.

    Raises:
        DataError: it cannot be read.
    """
    return (
        text(whole(cell_of(sample, name if name.lower().startswith(JSON) else name.lower()))) or None if name else None
    )


def document_of(sample: Sample) -> dict[str, object]:
    """The json member; empty if there is none.

    Raises:
        DataError: it is no object.
    """
    data = sample.inline("json")
    if data is None:
        return {}
    try:
        document = json.loads(decoded(data))
    except (ValueError, RecursionError) as error:
        raise DataError("the json member is no JSON", found=str(error)[:120]) from error
    if not isinstance(document, dict):
        raise DataError("the json member is no object of keys", found=str(document)[:80])
    return document


def _add(entry: Entry, target: str, cells: Cells, sample: Sample, row: dict[str, Cell], reading: Reading) -> None:
    """Add a target to a sample; a problem if it cannot be used."""
    column = cells.column
    try:
        if KINDS[column.kind].encoded:
            found: Content | None = sample.members.get(column.column)
            if found is not None:
                entry.targets[target], entry.digests[target] = found
            return
        value = _index(cells, row[column.column]) if column.kind == "label" else None
        value = cells.of(row) if value is None else value
    except DataError as error:
        reason = f"{error.line}; in: {sample.file}"
        reading.problems.append(Problem(sample.key, reason, loses="annotation"))
        return
    if value is not None:
        entry.targets[target] = value


def _index(cells: Cells, cell: Cell) -> int | None:
    """The class's index, as the cls member has it beside declared names."""
    classes = cells.spec.classes
    is_index = isinstance(cell, str) and cell not in classes and cell.isascii() and cell.isdecimal()
    return int(str(cell)) if is_index and int(str(cell)) < len(classes) else None
