"""YOLO: text files of numbers that are called as images are, and files that name classes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import PurePosixPath

from mtl.config.files import YoloSet
from mtl.data.formats.base import Reading
from mtl.data.formats.text import lines
from mtl.data.formats.yolo_declared import declared_in
from mtl.data.formats.yolo_files import Declared, declares_or_none
from mtl.data.formats.yolo_layout import arranged
from mtl.data.formats.yolo_lines import Row, Survey, class_number, read_row
from mtl.data.onboard.look import Finding, Look, Section, identifier, some
from mtl.errors import DataError


def detect(look: Look) -> Iterator[Finding]:
    """One of all images; one of each data.yaml, if there are several in folders of their own."""
    settings = YoloSet(format="yolo", path=look.tree.path)
    try:
        declared = declared_in(settings, look.tree, Counter())
    except DataError as error:
        yield from _several(look, error)
        return
    found = _labels(look, declared) if look.unclaimed(".txt") else None
    if found is None:
        fault = _unread(look, declared) if declared is not None and not look.taken else ""
        if declared is not None and fault:
            yield Finding("yolo", evidence=declared.documents, fault=fault)
        elif declared is not None and declared.splits and not look.claimed:
            fault = f"{declared.file} declares classes, and no image has a text file of labels"
            yield Finding("yolo", evidence=declared.documents, fault=fault)
        return
    evidence, masks = found
    section = _section(look, masks)
    yield Finding("yolo", {"images": section}, evidence)


def _unread(look: Look, declared: Declared) -> str:
    """What is wrong with text files that are called as images are, beside a file that declares classes."""
    labels = arranged(look.tree, declared, "", Reading({}, [], documents=set(declared.documents))).labels
    for name in some(sorted({*labels.values()} - look.claimed)):
        for number, line in lines(look.text(name) or ""):
            try:
                read_row(number, line)
            except DataError as error:
                return f"{name}, line {number}: {error.line}"
    return ""


def _section(look: Look, masks: bool, **more: str) -> Section:
    base: Section = {"path": look.tree.path, "format": "yolo", **more, "boxes": "objects"}
    return base | ({"masks": "regions"} if masks else {})


def _labels(look: Look, declared: Declared | None, root: str = "") -> tuple[frozenset[str], bool] | None:
    """Files of a set that is one, and whether all its objects have outlines; None if it is none."""
    reading = Reading({}, [], documents=set(declared.documents if declared else ()))
    labels = sorted({*arranged(look.tree, declared, "", reading, root).labels.values()} - look.claimed)
    texts = [text for name in some(labels) if (text := look.text(name))]
    rows = [_read(text) for text in texts if lines(text)]
    good = [[row for row in found if row] for found in rows if 2 * sum(row is not None for row in found) > len(found)]
    if not labels or 2 * len(good) < len(rows) or not (good or declared):
        return None
    evidence = frozenset(labels) | reading.documents | reading.left_out.keys()
    survey = Survey(declared.keypoints if declared else 0)
    return evidence, _are_outlines([row for found in good for row in found], survey)


def _are_outlines(rows: list[Row], survey: Survey) -> bool:
    """Whether all objects have outlines. Four corners are an oriented box, unless they are upright."""
    for row in rows:
        survey.add(row)
    if not rows or any(len(row.values) < 6 or survey.is_pose(row) for row in rows):
        return False
    return {len(row.values) for row in rows} != {8} or all(
        len({*row.values[::2]}) == len({*row.values[1::2]}) == 2 for row in rows
    )


def _read(text: str) -> list[Row | None]:
    return [_row(number, line) for number, line in lines(text)]


def _row(number: int, line: str) -> Row | None:
    """A line of boxes or outlines; None of other texts, which may be KITTI's or a caption."""
    try:
        row = read_row(number, line)
    except DataError:
        return None
    return row if row.dota or class_number(row.label) is not None else None


def _several(look: Look, error: DataError) -> Iterator[Finding]:
    """A set each of files in folders of their own; else what is wrong with them."""
    found: dict[str, Declared] = {}
    for file in look.unclaimed(".yaml", ".yml"):
        try:
            one = declares_or_none(file, look.tree, "")
        except DataError:
            continue
        if one is not None:
            found[PurePosixPath(file).parent.as_posix()] = one
    own = {folder for folder in found if folder != "." and look.tree.images(folder)}
    names = {tuple(sorted(one.names.items())) for one in found.values()}
    parts = {folder: _labels(look, one, folder) for folder, one in found.items()} if own == found.keys() else {}
    evidence = frozenset(file for one in found.values() for file in one.documents)
    if len(parts) > 1 and len(names) == 1 and all(parts.values()):
        sets: dict[str, dict[str, object]] = {}
        for folder, part in parts.items():
            assert part is not None
            more = {"data": found[folder].file, "id_prefix": f"{folder}/"}
            sets[identifier(folder)] = _section(look, all(p[1] for p in parts.values() if p), **more)
            evidence |= part[0]
        yield Finding("yolo", sets, evidence)
    elif evidence or _labels(look, None):
        yield Finding("yolo", evidence=evidence, fault=error.line)
