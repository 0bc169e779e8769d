"""A table with a row per box. An image that is named without a box has none; of one that no row names nothing is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from mtl.codecs.header import Header
from mtl.config.files import BoxTableSet
from mtl.data.formats.base import Problem, Reading, ignores_marked
from mtl.data.formats.box_columns import BoxColumns
from mtl.data.formats.box_forms import Form, Sample, are_relative, find_form, fits, fitting
from mtl.data.formats.box_rows import ONLY, Listed, columns_of, listed_boxes
from mtl.data.formats.cells import in_order
from mtl.data.formats.named_images import Named, facts_columns, text
from mtl.data.formats.shapes import Frame, Shape, Targets, settle, shown_size
from mtl.data.formats.sheet import Options
from mtl.data.formats.sheet_files import parsed
from mtl.data.kinds.box_table import CROWD
from mtl.data.spec import TargetSpec
from mtl.errors import DataError
from mtl.storage.file_tree import FileTree

LOOKED_AT = 20_000
"""Boxes of which it is found out what their numbers are."""


def read_box_table(settings: BoxTableSet, tree: FileTree) -> Reading:
    """Images with their boxes.

    Raises:
        DataError: the table is missing or cannot be read, its columns are not known, or what its numbers are.
    """
    options = Options(settings.delimiter, settings.encoding, settings.header)
    sheet = parsed(tree.read(settings.table), settings.table, options)
    columns = columns_of(settings, sheet)
    sheet.require([c for c in (columns.image, *columns.box, columns.label, columns.crowd, *columns.size) if c])
    sheet.require(facts_columns(settings))
    reading = Reading({}, [], slices=settings.slices, documents={settings.table})
    named = Named(settings, tree, sheet, columns.image, reading)
    listed = listed_boxes(settings, sheet, columns, named, reading)
    named.finish(listed)
    names = _names(settings, tree, reading)
    classes = _classes(settings, columns, listed, names, reading)
    reading.targets[settings.boxes] = TargetSpec(kind="boxes", classes=classes)
    headers = tree.headers(listed)
    form = _form(settings, columns, listed, headers)
    shapes = _shapes(columns, listed, form, names, classes, reading)
    reading.entries = [
        one.entry
        for file, one in listed.items()
        if _settle(one, shapes[file], form, headers.get(file), file, settings, reading)
    ]
    return reading


def _names(settings: BoxTableSet, tree: FileTree, reading: Reading) -> dict[str, str]:
    """Code → name of a class, in the order of the table of names."""
    if not settings.names:
        return {}
    reading.documents.add(settings.names)
    sheet = parsed(tree.read(settings.names), settings.names, Options(header=False))
    if len(sheet.columns) < 2:
        raise DataError(f"{settings.names} has no codes and names", fix="two columns: code, name")
    rows = [[text(cell) for cell in row.cells.values()] for row in sheet.rows]
    return {row[0]: row[1] for row in rows if row[0] and row[1]}


def _classes(
    settings: BoxTableSet,
    columns: BoxColumns,
    listed: Mapping[str, Listed],
    names: Mapping[str, str],
    reading: Reading,
) -> tuple[str, ...]:
    if not columns.label:
        if len(settings.classes) > 1:
            fix = "declare `label`, or one class"
            raise DataError("no column says the boxes' class, and several are declared", fix=fix)
        if not settings.classes:
            reading.notes[f"boxes of which no column says the class, taken for one: {ONLY}"] = sum(
                len(one.rows) for one in listed.values()
            )
        return settings.classes or (ONLY,)
    used = {row.label for one in listed.values() for row in one.rows if row.label}
    described = [name for code, name in names.items() if code in used]
    found = tuple(dict.fromkeys([*described, *in_order(used - names.keys())]))
    if not (settings.classes or found):
        raise DataError(f"{settings.table} has no box with a class", fix="declare `classes`")
    if settings.classes and found and not {*settings.classes} & {*found}:
        raise DataError(f"{settings.table} has none of the declared classes", found=f"it has {list(found[:12])}")
    return settings.classes or found


def _form(
    settings: BoxTableSet,
    columns: BoxColumns,
    listed: Mapping[str, Listed],
    headers: Mapping[str, Header | DataError],
) -> Form:
    """What the numbers are, by settings, names and values, in this order.

    Raises:
        DataError: nothing says it, or the names say something else than the values.
    """
    sample = _sample(listed, headers)
    relative = are_relative(sample.boxes) if settings.relative is None else settings.relative
    if settings.form or not len(sample.boxes):
        return Form(settings.form or columns.form or "xyxy", relative)
    if columns.form is None:
        return find_form(sample, None, relative)
    named = Form(columns.form, relative)
    others = [] if fits(sample, named) else fitting(sample, relative)
    if others:
        raise DataError(
            f"the columns {', '.join(columns.box)} of {settings.table} are not {named.words}",
            found=f"their numbers fit as {others[0].words}",
            fix=f"declare `form`: {others[0].form}; or {named.form}, if that is what they are all the same",
        )
    return named


def _sample(listed: Mapping[str, Listed], headers: Mapping[str, Header | DataError]) -> Sample:
    boxes: list[tuple[float, ...]] = []
    sizes: list[tuple[float, float]] = []
    for name, one in listed.items():
        header = headers.get(name)
        if isinstance(header, Header) and len(boxes) < LOOKED_AT:
            shown = shown_size(header)
            boxes += [row.numbers for row in one.rows]
            sizes += [(one.frame.width or shown[0], one.frame.height or shown[1])] * len(one.rows)
    return Sample(np.array(boxes, float).reshape(-1, 4), np.array(sizes, float).reshape(-1, 2))


def _shapes(
    columns: BoxColumns,
    listed: Mapping[str, Listed],
    form: Form,
    names: Mapping[str, str],
    classes: Sequence[str],
    reading: Reading,
) -> dict[str, list[Shape]]:
    """The objects of every image, by its file."""
    rows = [row for one in listed.values() for row in one.rows]
    ignores, notes = ignores_marked(columns.crowd, sum(row.crowd for row in rows), len(rows), as_objects=False)
    reading.notes += notes
    if form.relative:
        reading.notes["boxes given in shares of their pictures' sides"] += len(rows)
    index = {name: number for number, name in enumerate(classes)}
    found: dict[str, list[Shape]] = {file: [] for file in listed}
    for file, one in listed.items():
        for row in one.rows:
            label = names.get(row.label, row.label)
            if not label:
                reading.problems.append(
                    Problem(one.entry.id, f"a box has no class; in: {row.where}", loses="annotation")
                )
            elif label not in index:
                reading.notes["boxes of classes that are not declared, passed over"] += 1
            else:
                kind = CROWD if ignores and row.crowd else 0.0
                found[file].append(Shape(row.where, index[label], form.corners(row.numbers), kind=kind))
    return found


def _settle(
    one: Listed,
    shapes: Sequence[Shape],
    form: Form,
    header: Header | DataError | None,
    file: str,
    settings: BoxTableSet,
    reading: Reading,
) -> bool:
    """Whether the image can be used; then its boxes are its entry's."""
    frame = Frame(relative=True) if form.relative else one.frame
    try:
        if not isinstance(header, Header):
            raise header or DataError(f"{file} cannot be read")
        settled = settle(one.entry.id, shapes, frame, header, Targets(settings.boxes, None))
    except DataError as error:
        reading.problems.append(Problem.of(one.entry.id, error, settings.table, file))
        return False
    reading.problems += settled.problems
    reading.notes += settled.notes
    one.entry.targets = settled.targets
    return True
