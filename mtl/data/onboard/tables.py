"""Tables of images and of boxes. All that are there are one proposal: a set each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatch
from pathlib import PurePosixPath
from typing import Any

from mtl.config.files import Column
from mtl.config.files.base import MISSING
from mtl.data.formats.box_columns import plain
from mtl.data.formats.cells import Cell, in_order
from mtl.data.formats.column_cells import column_spec
from mtl.data.formats.label_files import is_label_file
from mtl.data.onboard.box_tables import box_finding, is_box_table
from mtl.data.onboard.column_roles import is_number
from mtl.data.onboard.columns import guess
from mtl.data.onboard.look import Finding, Look, some
from mtl.data.onboard.mask_classes import mask_section
from mtl.data.onboard.table_files import candidates
from mtl.data.onboard.table_images import MAP, Candidate
from mtl.data.onboard.table_names import set_names
from mtl.data.raw.rows import FileRef
from mtl.errors import DataError

VERIFIED = {"imageid", "labelname", "confidence"}
"""Columns of Open Images' labels, some of which are said to be wrong."""
OUTLINES = {"maskpath", "imageid"}
"""Columns of Open Images' masks."""
COMPANIONS = ("*hierarchy*.json", "*images.meta")
"""What else comes with Open Images."""
HERE = 0.9
"""The share of its images that a table without labels has to name rightly."""
ANSWERS = "submission"
"""In the name of a form for answers, whose labels are made up."""


def detect(look: Look) -> Iterator[Finding]:
    """At most one finding of boxes and one of tables with a row per image; what else is a table is named."""
    found = list(candidates(look))
    others = bool(look.taken)
    for one in found:
        if isinstance(one, tuple):
            yield _refused(one[1], [one[0]], others, [])
    tables = [one for one in found if isinstance(one, Candidate)]
    boxes = [table for table in tables if is_box_table(table)]
    boxes = [table for table in boxes if not _has(table, OUTLINES)] or boxes
    rest = [table for table in tables if table not in boxes]
    left = {t.file: reason for t in rest if not is_label_file(t.file) and (reason := _not_read(t))}
    named = [table for table in rest if table.image and table.file not in left]
    names = set_names([table.file for table in (*boxes, *named)])
    if boxes:
        yield from box_finding(look, boxes, rest, names)
    left = {file: reason for file, reason in left.items() if file not in look.claimed}
    facts = [f"not read: {_listed([f for f in left if left[f] == why])}: {why}" for why in dict.fromkeys(left.values())]
    lost = [table for table in rest if table.missing and not table.image]
    facts += [f"{t.file} names images of which none is there ({t.missing}): not read" for t in lost]
    if left:
        beside = [n for n in look.unclaimed() if any(fnmatch(n.lower(), pattern) for pattern in COMPANIONS)]
        yield Finding("table", evidence=frozenset([*left, *(beside if boxes else ())]), facts=tuple(facts))
        facts = []
    others = others or bool(boxes)
    if named:
        proposal = _finding(look, named, names, facts)
        fault = proposal.fault
        yield _refused(fault, [*proposal.evidence], others, facts) if fault else proposal
    elif lost:
        yield _refused(_none_there(look, lost[0]), [table.file for table in lost], others, facts)


def _has(table: Candidate, columns: set[str]) -> bool:
    return {plain(name) for name in table.sheet.columns} >= columns


def _not_read(table: Candidate) -> str:
    """Why a table that has no boxes of interest says nothing that can be learnt; nothing if it may."""
    if ANSWERS in PurePosixPath(table.file).stem.lower():
        return "a form for answers"
    if _has(table, OUTLINES):
        return "masks of single objects, a file each"
    if _has(table, VERIFIED):
        return "which labels were verified, right or wrong"
    return "" if table.image or table.missing else "no column names images that are there"


def _listed(files: Sequence[str]) -> str:
    return ", ".join(files[:5]) + (f" and {len(files) - 5} others" if len(files) > 5 else "")


def _refused(why: str, files: Sequence[str], others: bool, facts: Sequence[str]) -> Finding:
    """Tables that name images and cannot be used: nothing else is looked for, unless something else was found before."""
    if others:
        return Finding("table", facts=tuple(dict.fromkeys([*facts, why])))
    return Finding("table", evidence=frozenset(files), facts=tuple(facts), fault=why)


def _none_there(look: Look, table: Candidate) -> str:
    there = f"; there are {', '.join(look.images[:2])} …" if look.images else ""
    return f"{table.file} names images of which none is there ({table.missing}{there})"


def _finding(look: Look, tables: Sequence[Candidate], names: Mapping[str, str], facts: list[str]) -> Finding:
    """One of all tables with a row per image.

    Args:
        names: of the sets, by file.
    """
    sets: dict[str, dict[str, Any]] = {}
    evidence = frozenset(table.file for table in tables)
    for table in tables:
        try:
            sets[names[table.file]] = _section(look, table, facts)
        except DataError as error:
            return Finding("table", evidence=evidence, fault=error.line)
    without = [table for table in tables if not sets[names[table.file]]["targets"]]
    places = [t for t in without if {"split", "group", "time"} & sets[names[t.file]].keys() and _are_here(look, t)]
    if len(without) == len(tables) and not places:
        fact = f"{_listed([table.file for table in without])}: no column to learn, not read"
        return Finding("table", evidence=evidence, facts=(*facts, fact))
    for table in without:
        if table in places:
            facts.append(f"{table.file} has no labels, but says what images belong to, or their split or time")
            continue
        others = {cell for other in tables if other not in without for cell in other.sheet.cells(other.image)}
        if others >= {*table.sheet.cells(table.image)}:
            del sets[names[table.file]]
            facts.append(f"{table.file} has no labels of images that others have: not read")
        else:
            facts.append(f"{table.file} has no labels: its images are used without")
    _agree(sets, {names[table.file]: table for table in tables}, facts)
    return Finding("table", sets, evidence, tuple(facts))


def _are_here(look: Look, table: Candidate) -> bool:
    """Whether nearly all images that a table names are there: one of other images, too, is left to be declared."""
    near = table.images or PurePosixPath(table.file).parent.as_posix().strip(".")
    found = look.files.find_all(map(str, some(table.sheet.cells(table.image))), near).values()
    return sum(isinstance(name, str) for name in found) >= HERE * len(found)


def _section(look: Look, table: Candidate, facts: list[str]) -> dict[str, Any]:
    """A set of one table.

    Raises:
        DataError: two columns have one name.
    """
    sheet = table.sheet
    sheet.require(sheet.columns)
    facts += table.facts
    _refuse_unnamed_boxes(table)
    rest = {name: sheet.cells(name) for name in sheet.columns if name != table.image}
    maps = {name: found for name, cells in rest.items() if (found := _maps(look, table.file, name, cells, facts))}
    found = guess({name: cells for name, cells in rest.items() if name not in maps})
    facts += [f"{table.file}: {fact}" for fact in found.facts]
    for name, settings in maps.items():
        if settings["kind"] == "depth" or "classes" in settings:
            found.add(name, settings)
    for settings in found.targets.values():
        if settings["kind"] == "label" and _has_several(sheet.cells(table.image), settings, rest):
            settings["kind"] = "labels"
            facts.append(
                f"{table.file}: {settings['column']}: rows of one image have different labels, which are taken together"
            )
    section = {"path": look.tree.path, "format": "table", "table": table.file, "image": table.image}
    section |= {"images": table.images} if table.images else {}
    section |= table.settings | {"targets": found.targets}
    return section | {k: v for k, v in (("split", found.split), ("group", found.group), ("time", found.time)) if v}


def _refuse_unnamed_boxes(table: Candidate) -> None:
    """Refuse a table without names in which every image's rows have four numbers: they may be boxes in some order.

    Raises:
        DataError: they may.
    """
    if table.settings.get("header") is not False:
        return
    known = {name: [c for c in table.sheet.cells(name) if c not in MISSING] for name in table.sheet.columns}
    numbers = [name for name, cells in known.items() if cells and all(map(is_number, cells)) and name != table.image]
    if len(numbers) >= 4:
        raise DataError(
            f"{table.file} has no names of columns, and {len(numbers)} of numbers, which may be boxes",
            found=f"columns {', '.join(numbers)}",
            fix="give it a first line of names; or describe it: box_table with `image`, `box` and `label`",
        )


def _has_several(images: Sequence[Cell], settings: dict[str, Any], columns: dict[str, list[Cell]]) -> bool:
    """Whether images have a row for each of several labels: a third of them at least, which is more than errors make."""
    said: dict[Cell, set[Cell]] = {}
    for image, label in zip(images, columns[settings["column"]], strict=True) if "column" in settings else ():
        said.setdefault(image, set()).add(label)
    return sum(len(labels - {*MISSING}) > 1 for labels in said.values()) * 3 > len(said)


def _maps(look: Look, file: str, name: str, cells: Sequence[Cell], facts: list[str]) -> dict[str, Any]:
    """A column of files as masks or depths; without classes if nothing can be said of them; nothing if it names no files."""
    near = PurePosixPath(file).parent.as_posix().strip(".")
    files: list[str] = []
    for cell in some([cell for cell in cells if isinstance(cell, str) and "." in cell]):
        try:
            files.append(look.files.find(str(cell), near))
        except DataError:
            continue
    if not files or len({*files}) * 2 < len(some(cells)) or not (MAP.search(name) or MAP.search(files[0])):
        return {}
    if any(word in f"{name} {files[0]}".lower() for word in ("depth", "disparity")):
        facts.append(f"{name}: depths; what a step of their files is, `scale` has to say (0.001 m is supposed)")
        return {"column": name, "kind": "depth", "unit": "m", "scale": 0.001}
    return {"column": name, "kind": "mask"} | mask_section(look.tree, [FileRef(one) for one in files], facts, name)


def _agree(sets: dict[str, dict[str, Any]], tables: dict[str, Candidate], facts: list[str]) -> None:
    """Targets of one name in several tables have one kind and the same classes; else they are different targets."""
    for target in {name for section in sets.values() for name in section["targets"]}:
        having = [name for name, section in sets.items() if target in section["targets"]]
        kinds = {(sets[n]["targets"][target]["kind"], *sets[n]["targets"][target].get("columns", ())) for n in having}
        if len(having) < 2:
            continue
        if len(kinds) > 1:
            for name in having:
                targets = sets[name]["targets"]
                sets[name]["targets"] = {f"{name}_{t}" if t == target else t: c for t, c in targets.items()}
            continue
        own = [{*_classes(sets[n]["targets"][target], tables[n])} for n in having]
        classes = set[str]().union(*own)
        if sum(map(len, own)) == len(classes):
            facts.append(
                f"{target}: {_listed([tables[n].file for n in having])} have no class of it in common, and are taken for one "
                "target: if they mean different things, rename a column"
            )
        if classes:
            for name in having:
                sets[name]["targets"][target]["classes"] = list(in_order(classes))


def _classes(settings: dict[str, Any], table: Candidate) -> tuple[str, ...]:
    """Those of a column of labels, as the reader finds them."""
    column = Column.model_validate(settings, strict=False)
    if column.kind not in ("label", "labels") or column.columns:
        return ()
    return column_spec(column, table.sheet.cells(column.column)).classes
