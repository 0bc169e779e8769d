"""KITTI's objects: image_2/000001.png and label_2/000001.txt, or images/ and labels/ as NVIDIA's TAO has them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import NamedTuple

from mtl.codecs.header import Header
from mtl.config.files import KittiSet
from mtl.data.formats.base import Entry, Problem, Reading, folder_split, image_ids
from mtl.data.formats.lists import list_split, listed_images, one_split
from mtl.data.formats.mentions import Files
from mtl.data.formats.object_targets import object_targets
from mtl.data.formats.partners import Partners, folders, id_folder
from mtl.data.formats.shapes import Box, Frame, Shape, Targets, settle
from mtl.data.formats.text import decoded, lines
from mtl.data.kinds.box_table import CROWD
from mtl.data.raw.rows import FileRef
from mtl.errors import DataError
from mtl.storage.file_tree import FileTree

TYPES = ("Car", "Van", "Truck", "Pedestrian", "Person_sitting", "Cyclist", "Tram", "Misc")
"""In the order of KITTI's own description."""
NOT_LABELLED = "DontCare"
OTHER_SENSORS = frozenset(
    ("calib", "velodyne", "velodyne_reduced", "image_3", "planes", "oxts", "prev_2", "prev_3", "label_3")
)
COLUMNS = "type truncated occluded alpha left top right bottom, three sizes, three places, rotation"


class Row(NamedTuple):
    """One object; left, top, right and bottom in pixels from 0."""

    number: int
    type: str
    box: Box


def read_row(number: int, line: str) -> Row:
    """A line of 15 words, or of 16 with a detection's score.

    Raises:
        DataError: it is none.
    """
    words = line.split()
    try:
        values = [float(word) for word in words[1:]]
    except ValueError as error:
        raise DataError("a line is not KITTI's", found=line[:80], fix=COLUMNS) from error
    if len(words) not in (15, 16) or not all(math.isfinite(value) for value in values) or _is_number(words[0]):
        raise DataError("a line is not KITTI's", found=line[:80], fix=COLUMNS)
    left, top, right, bottom = values[3:7]
    return Row(number, words[0], (left, top, right, bottom))


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def read_kitti(settings: KittiSet, tree: FileTree) -> Reading:
    """Images with their boxes; an image without a text file, as those for testing, is not labelled.

    Raises:
        DataError: there is no object.
    """
    reading = Reading({}, [])
    reading.left_out = {n: "another sensor's of KITTI" for n in tree.names() if folders(n) & OTHER_SENSORS}
    reading.left_out |= dict.fromkeys(tree.names("", ("label_colors.txt",)), "colours of masks")
    images = [name for name in tree.images() if name not in reading.left_out]
    partners = Partners(images, tree.names("", (".txt",)))
    splits = _splits(tree, partners.images, reading)
    labels = _labels(tree, partners, reading)
    rows = {label: _rows(label, data, reading) for label, data in tree.contents(labels.values())}
    types = Counter(row.type for found in rows.values() for row in found or ())
    classes = settings.classes or _in_order(types)
    if not set(classes) & types.keys():
        raise DataError(f"{tree.path} has no object of a class", found=f"{len(labels)} label files, {dict(types)}")
    reading.targets |= object_targets(Targets(settings.boxes, None), classes)
    ids = image_ids(partners.images, id_folder(partners.images))
    headers = tree.headers(labels)
    entries: list[Entry] = []
    for name in partners.images:
        split = splits[name] if name in splits else folder_split(name)
        entry = Entry(ids[name], FileRef(name), {}, split=split)
        entries.append(entry)
        if name not in labels:
            reading.notes["images without a text file, which have no label"] += 1
        elif (found := rows[labels[name]]) is not None:
            _add_boxes(entry, found, headers[name], settings.boxes, classes, labels[name], reading)
        else:
            reading.problems.append(Problem(entry.id, f"none of its lines can be used; in: {labels[name]}"))
    reading.entries = entries
    return reading


def _in_order(types: Mapping[str, int]) -> tuple[str, ...]:
    found = [name for name in types if name != NOT_LABELLED]
    return tuple(sorted(found, key=lambda name: (TYPES.index(name) if name in TYPES else len(TYPES), name)))


def _labels(tree: FileTree, partners: Partners, reading: Reading) -> dict[str, str]:
    """Image → its label file; a problem of each that has none."""
    found: dict[str, str] = {}
    said = reading.documents | reading.left_out.keys()
    texts = (name for name in tree.names("", (".txt",)) if name not in said)
    partners.join(texts, found, lambda name: bool(folders(name) & {"label_2", "labels"}), reading)
    return found


def _rows(label: str, data: bytes | DataError, reading: Reading) -> list[Row] | None:
    """The lines of a file; None if it has some, and none can be used."""
    lost: list[Problem] = []
    rows: list[Row] = []
    try:
        if isinstance(data, DataError):
            raise data
        found = lines(decoded(data))
    except DataError as error:
        reading.problems.append(Problem.of(label, error, file=label))
        return None
    reading.documents.add(label)
    for number, line in found:
        try:
            rows.append(read_row(number, line))
            if len(line.split()) == 16:
                reading.notes["lines with a score, as detections have, which is passed over"] += 1
        except DataError as error:
            lost.append(Problem(label, f"line {number}: {error.line}", loses="annotation"))
    reading.problems += lost
    return rows if rows or not lost else None


def _add_boxes(
    entry: Entry,
    rows: list[Row],
    header: Header | DataError,
    target: str,
    classes: tuple[str, ...],
    label: str,
    reading: Reading,
) -> None:
    """What is not labelled may be of any class: a box that does not count, of each."""
    shapes: list[Shape] = []
    for row in rows:
        what = f"line {row.number}"
        if row.type == NOT_LABELLED and NOT_LABELLED not in classes:
            reading.notes["regions marked DontCare: what is found there does not count"] += 1
            shapes += [Shape(what, index, row.box, kind=CROWD) for index in range(len(classes))]
        elif row.type in classes:
            shapes.append(Shape(what, classes.index(row.type), row.box))
        else:
            reading.notes["annotations of classes that are not declared, passed over"] += 1
    try:
        if isinstance(header, DataError):
            raise header
        settled = settle(entry.id, shapes, Frame(), header, Targets(target, None), label)
    except DataError as error:
        reading.problems.append(Problem.of(entry.id, error, label))
        return
    entry.targets = settled.targets
    reading.problems += settled.problems
    reading.notes += settled.notes


def _splits(tree: FileTree, images: list[str], reading: Reading) -> dict[str, str | None]:
    """Image → split of the lists in ImageSets."""
    said: dict[str, list[str]] = {}
    files = Files(images)
    for name in tree.names("", (".txt",)):
        if "imagesets" not in folders(name):
            continue
        try:
            text = decoded(tree.read(name))
        except DataError as error:
            reading.problems.append(Problem.of(name, error, file=name))
            continue
        reading.documents.add(name)
        split = list_split(name)
        if split is not None and PurePosixPath(name).stem != "trainval":
            said.setdefault(split, []).extend(listed_images(name, text, files, reading.problems))
    return one_split(said, reading.notes)
