"""Tables with a row per box: RetinaNet's, DeepForest's, TensorFlow's, Open Images' and others that name their columns alike."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mtl.config.files import BoxTableSet
from mtl.config.files.base import MISSING
from mtl.data.formats.box_columns import BoxColumns, box_columns
from mtl.data.formats.box_rows import AUTOML, RETINANET
from mtl.data.formats.box_table import read_box_table
from mtl.data.formats.cells import in_order
from mtl.data.formats.sheet import Options
from mtl.data.formats.sheet_files import parsed
from mtl.data.onboard.column_roles import Guess, role
from mtl.data.onboard.look import Finding, Look
from mtl.data.onboard.table_images import Candidate
from mtl.errors import DataError

ERRORS = 0.1
"""The share of images above which rows that say different things of them speak of something else."""
_NUMBER = re.compile(r"-?\d+([.,]\d+)?([eE]-?\d+)?")


def is_box_table(table: Candidate) -> bool:
    """Whether its columns are those of boxes: by their names, or as RetinaNet has them without."""
    sheet = table.sheet
    if table.settings.get("header") is False:
        return _unnamed(table) is not None
    found = box_columns(sheet.columns)
    if len(found.box) == 1:
        return _are_lists(sheet.cells(found.box[0]))
    return bool(found.box) and _are_numbers(sheet.cells(c) for c in found.box)


def _unnamed(table: Candidate) -> BoxColumns | None:
    """The columns of a table without names, if it is one of those that are known so."""
    by_number = {6: RETINANET, 11: AUTOML} if table.settings.get("header") is False else {}
    found = by_number.get(len(table.sheet.columns))
    return found if found and _are_numbers(table.sheet.cells(column) for column in found.box) else None


def _are_numbers(columns: Any) -> bool:
    """Whether four columns have numbers or nothing, and not nothing alone."""
    cells = [cell for column in columns for cell in column]
    known = [cell for cell in cells if cell and cell not in MISSING]
    return bool(known) and sum(isinstance(c, str) and bool(_NUMBER.fullmatch(c)) for c in known) >= 0.9 * len(known)


def _are_lists(cells: Sequence[Any]) -> bool:
    known = [cell if isinstance(cell, str) else " ".join(cell) for cell in cells if cell]
    lists = [cell for cell in known if len(re.findall(r"\d+(?:\.\d+)?", cell)) >= 4]
    return bool(lists) and all(re.fullmatch(r"[\s\[\](){}\d.,;:eE'\"xywidthegn-]*|no_box", cell) for cell in known)


def box_finding(
    look: Look, tables: Sequence[Candidate], others: Sequence[Candidate], set_names: Mapping[str, str]
) -> Iterator[Finding]:
    """One finding of all tables of boxes, with the files that name their classes.

    Args:
        others: tables of something else. set_names: file → name of its set.
    """
    evidence = {table.file for table in tables}
    declared, names, file = _described(look, others, {label for table in tables for label in _labels(table)})
    evidence |= {file} if file else set()
    look.claimed |= evidence
    sets: dict[str, dict[str, Any]] = {}
    facts: list[str] = []
    classes: set[str] = set()
    for table in tables:
        section = {"path": look.tree.path, "format": "box_table", "table": table.file} | table.settings
        section |= {"names": names} if names else {}
        section |= {"classes": declared} if declared else {}
        facts += table.facts
        try:
            section |= _columns(look, table)
            reading = read_box_table(BoxTableSet.model_validate(section, strict=False), look.tree)
        except DataError as error:
            yield Finding("box_table", evidence=frozenset(evidence), facts=tuple(facts), fault=error.line)
            return
        classes |= {*reading.targets["objects"].classes}
        sets[set_names[table.file]] = section
    if len(tables) > 1 and not declared:
        for section in sets.values():
            section["classes"] = list(in_order(classes))
    facts += [f"the classes and their order are those of {file}"] if declared else []
    yield Finding("box_table", sets, frozenset(evidence), tuple(facts))


def _columns(look: Look, table: Candidate) -> dict[str, object]:
    """What a section says of the columns, so that a person sees what was taken for what.

    Raises:
        DataError: no column names images that are there.
    """
    found = _unnamed(table) or box_columns(table.sheet.columns)
    if not table.image:
        raise DataError(
            f"{table.file} has boxes of images of which none is there",
            found=table.missing or f"its columns are {table.sheet.columns}",
            fix="add the images, or declare `image` and `images`",
        )
    label = found.label if found.label != table.image else ""
    section = {"image": table.image, "box": list(found.box), "label": label, "crowd": found.crowd}
    section |= {"images": table.images, "size": list(found.size), "form": found.form}
    read = {table.image, *found.box, label, found.crowd, *found.size}
    section |= _of_images(table, [name for name in table.sheet.columns if name not in read])
    return {name: value for name, value in section.items() if value}


def _of_images(table: Candidate, columns: Sequence[str]) -> dict[str, Any]:
    """The columns of splits, groups and times: they say the same in all rows of an image, but for single errors."""
    found = Guess()
    for column in columns:
        said: dict[Any, Counter[Any]] = {}
        for image, cell in zip(table.sheet.cells(table.image), table.sheet.cells(column), strict=True):
            if cell not in MISSING:
                said.setdefault(image, Counter())[cell] += 1
        if said and sum(len(cells) > 1 for cells in said.values()) <= ERRORS * len(said):
            role(column, [cells.most_common(1)[0][0] for cells in said.values()], found)
    return {"split": found.split, "group": found.group, "time": found.time}


def _labels(table: Candidate) -> set[str]:
    """What its rows call the classes."""
    found = _unnamed(table) or box_columns(table.sheet.columns)
    cells = table.sheet.cells(found.label) if found.label else []
    return {cell for cell in cells if isinstance(cell, str) and cell not in MISSING}


def _described(look: Look, others: Sequence[Candidate], used: set[str]) -> tuple[list[str], str, str]:
    """Classes in the order that a table of their names and numbers says; or that table's file, where boxes have codes; and the
    file.
    """
    for table in others if used else []:
        if table.sheet.ragged or len(table.sheet.columns) != 2 or not table.sheet.rows or table.image:
            continue
        options = Options(encoding=table.settings.get("encoding", ""), header=False)
        plain = parsed(look.tree.read(table.file), table.file, options)
        rows = [[str(cell) for cell in row.cells.values()] for row in plain.rows]
        for some in (rows, rows[1:]):  # it may have a line of names, or none
            names = [row[1] for row in some]
            same = [row[0] for row in some] == names
            if used <= {row[0] for row in some} and (same or not used <= {*names}) and not _is_numbered(names):
                return [], table.file, table.file
            for name, number in ((0, 1), (1, 0)):
                if used <= {row[name] for row in some} and _is_numbered([row[number] for row in some]):
                    return [row[name] for row in sorted(some, key=lambda row: int(row[number]))], "", table.file
    return [], "", ""


def _is_numbered(cells: Sequence[str]) -> bool:
    """Whether they are 0, 1, 2 … or 1, 2, 3 …, in any order."""
    found = {int(cell) for cell in cells if cell.isascii() and cell.isdecimal()}
    return len(found) == len(cells) and found in ({*range(len(cells))}, {*range(1, len(cells) + 1)})
