"""A table with a row per image, or several rows that say different things of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mtl.config.files import TableSet
from mtl.data.formats.base import Entry, Problem, Reading
from mtl.data.formats.cells import Cell
from mtl.data.formats.column_cells import Cells
from mtl.data.formats.named_images import Named, facts_columns, sheet_of, unite_facts
from mtl.data.kinds import KINDS
from mtl.data.raw.rows import FileRef
from mtl.errors import DataError
from mtl.storage.file_tree import FileTree


@dataclass
class Told:
    """What rows have said of one image so far. places: target → the row that said it; contested: targets that rows contradict
    each other in.
    """

    entry: Entry
    places: dict[str, str] = field(default_factory=dict[str, str])
    contested: set[str] = field(default_factory=set[str])


def read_table(settings: TableSet, tree: FileTree) -> Reading:
    """Every row an image; columns are targets. One cell that cannot be used costs its target, not its image.

    Raises:
        DataError: the table is missing, cannot be read or lacks a column.
    """
    columns = [name for column in settings.targets.values() for name in column.names]
    sheet = sheet_of(settings, tree, [settings.image, *columns, *facts_columns(settings)])
    rows = [row.cells for row in sheet.rows]
    cells = {name: Cells(column, rows, settings.decimal) for name, column in settings.targets.items()}
    reading = Reading({name: one.spec for name, one in cells.items()}, [], slices=settings.slices)
    reading.documents = {settings.table}
    named = Named(settings, tree, sheet, settings.image, reading)
    maps = {n: named.maps(sheet.cells(c.column)) for n, c in settings.targets.items() if KINDS[c.kind].encoded}
    told: dict[str, Told] = {}
    for row in sheet.rows:
        file = named.of(row.number, row.cells)
        if file is None:
            continue
        entry, where = named.entry(file, row.cells), named.where(row.number)
        entry.targets = _targets(row.cells, cells, maps, entry.id, where, reading)
        if file in told:
            _unite(told[file], entry, where, cells, reading)
        else:
            told[file] = Told(entry, dict.fromkeys(entry.targets, where))
    named.finish(told)
    reading.entries = [one.entry for one in told.values()]
    for one in cells.values():
        reading.notes += one.notes
    return reading


def _targets(
    row: Mapping[str, Cell],
    cells: Mapping[str, Cells],
    maps: Mapping[str, Mapping[str, str | DataError]],
    found: str,
    where: str,
    reading: Reading,
) -> dict[str, Any]:
    targets: dict[str, Any] = {}
    for name, one in cells.items():
        try:
            value = one.of(row)
            if value is not None and name in maps:
                file = maps[name][value]
                if isinstance(file, DataError):
                    raise file
                value = FileRef(file)
        except DataError as error:
            reading.problems.append(Problem(found, f"{error.line}; in: {where}", loses="annotation"))
            continue
        if value is not None:
            targets[name] = value
    return targets


def _unite(told: Told, entry: Entry, where: str, cells: Mapping[str, Cells], reading: Reading) -> None:
    """Add what a further row says of an image: the same, more, or something else."""
    before = told.entry
    if entry.targets.items() <= before.targets.items():
        reading.notes["rows that say again what one before says of their image"] += 1
    for name, value in entry.targets.items():
        if name in told.contested:
            continue
        if name not in before.targets:
            before.targets[name], told.places[name] = value, where
        elif cells[name].spec.kind == "labels":
            before.targets[name] = sorted({*before.targets[name], *value})
        elif before.targets[name] != value:
            told.contested.add(name)
            del before.targets[name]
            reason = f"{told.places[name]} and {where} say different things of its {name!r}"
            reading.problems.append(Problem(before.id, reason, loses="annotation"))
    unite_facts(before, entry, where, reading)
