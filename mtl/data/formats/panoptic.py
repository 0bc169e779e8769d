"""COCO panoptic: a PNG per picture, whose colours are segments' ids (R + 256 G + 65536 B), and their categories in a JSON file."""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from functools import partial
from pathlib import PurePosixPath
from typing import Any

import numpy as np
from PIL import Image

from mtl.codecs.header import Header, read_header
from mtl.config.files import CocoPanopticSet
from mtl.data.formats.base import Entry, Problem, Reading, file_split, folder_split, ignores_marked, image_ids
from mtl.data.formats.classes import PASSED_OVER, Chosen, chosen
from mtl.data.formats.coco import category_names, declared_frame, files_of
from mtl.data.formats.coco_lists import Item, Lists, lists_of
from mtl.data.formats.coco_shapes import is_crowd
from mtl.data.formats.documents import identity, items, number, numbers, read_json, text
from mtl.data.formats.mentions import Files
from mtl.data.formats.shapes import Shape, Targets, settle
from mtl.data.kinds.box_table import CROWD
from mtl.data.raw.rows import FileRef
from mtl.data.spec import TargetSpec
from mtl.errors import DataError
from mtl.storage.file_tree import FileTree


@dataclass(frozen=True)
class _Set:
    """What is known of a set before its pictures are looked at. things: categories that are objects, whose boxes are a target."""

    settings: CocoPanopticSet
    tree: FileTree
    lists: Lists
    classes: Chosen
    things: tuple[str, ...]
    maps: Files
    crowds: bool
    reading: Reading


def read_panoptic(settings: CocoPanopticSet, tree: FileTree) -> Reading:
    """Pictures with a mask of all categories, and boxes of those that are things. Pixels of no segment are 255.

    Raises:
        DataError: the file is missing, is no JSON or lacks a list.
    """
    file = settings.annotations
    lists = lists_of(read_json(tree, file), file)
    reading = Reading({}, [], lists.problems, documents={file}, notes=lists.notes)
    names = category_names(lists.categories.values(), lists.categories)
    classes = chosen(settings.classes, names, file, reading.notes, masks=True)
    objects = {c["name"] for c in lists.categories.values() if number(c.get("isthing")) != 0}
    things = tuple(name for name in classes.classes if name in objects) if settings.boxes else ()
    reading.targets = classes.specs(None, settings.masks)
    if settings.boxes and things:
        reading.targets[settings.boxes] = TargetSpec(kind="boxes", classes=things)
    folder = _folder(settings)
    images = Files(name for name in tree.images() if not name.startswith(f"{folder}/"))
    whole = _Set(settings, tree, lists, classes, things, Files(tree.images(folder)), _crowds(lists, reading), reading)
    files = files_of(settings, images, lists.images.values(), reading)
    headers, ids = tree.headers(files.values()), image_ids(files.values(), settings.images)
    annotations = _by_image(lists, file, reading)
    entries: list[Entry] = []
    for known, name in files.items():
        split = file_split(file) or folder_split(name)
        try:
            targets = _targets(whole, ids[name], lists.images[known], annotations.get(known), headers[name])
        except DataError as error:
            reading.problems.append(Problem.of(ids[name], error, file, name))
            continue
        entries.append(Entry(ids[name], FileRef(name), targets, split=split))
    reading.entries = entries
    return reading


def _by_image(lists: Lists, file: str, reading: Reading) -> dict[str, Item]:
    """Image id → its annotation."""
    found: dict[str, Item] = {}
    for annotation in lists.annotations:
        if annotation["image_id"] in lists.images:
            found[annotation["image_id"]] = annotation
        else:
            reason = f"{file}: an annotation's image is not in the list of images; found: {annotation['image_id']}"
            reading.problems.append(Problem(annotation["what"], reason, loses="annotation"))
    return found


def _targets(
    whole: _Set, found: str, image: Item, annotation: Item | None, header: Header | DataError
) -> dict[str, Any]:
    """Mask and boxes of one picture; none if it has no annotation.

    Raises:
        DataError: it cannot be read, or its map.
    """
    if isinstance(header, DataError):
        raise header
    if "doubtful" in image:
        raise DataError(image["doubtful"], fix="give every image an id of its own")
    if annotation is None:
        whole.reading.notes["images without segments, not labelled"] += 1
        return {}
    settings, frame = whole.settings, declared_frame(image)
    segments = _segments(settings, annotation, whole.tree, whole.maps, whole.reading)
    shapes = _shapes(whole, annotation, segments)
    drawn = [*shapes, _nothing(annotation, segments)]
    settled = settle(found, drawn, frame, header, Targets(None, settings.masks), settings.annotations)
    whole.reading.problems += settled.problems
    whole.reading.notes += settled.notes
    if not whole.things:
        return settled.targets
    boxed = settle(found, _of_things(whole, shapes), frame, header, Targets(settings.boxes, None))
    return settled.targets | boxed.targets


def _folder(settings: CocoPanopticSet) -> str:
    """Where the maps are: beside the file, in a folder that is called like it, if nothing is said."""
    document = PurePosixPath(settings.annotations)
    return settings.segments.strip("/") or (document.parent / document.stem).as_posix()


def _crowds(lists: Lists, reading: Reading) -> bool:
    """Whether segments that are marked as crowds are ignored."""
    marks = [is_crowd(segment) for annotation in lists.annotations for segment in items(annotation, "segments_info")]
    ignores, notes = ignores_marked("iscrowd", sum(marks), len(marks), as_objects=False)
    reading.notes += notes
    return ignores


def _segments(settings: CocoPanopticSet, annotation: Item, tree: FileTree, maps: Files, reading: Reading) -> np.ndarray:
    """int32 [height, width] of ids; 0 is none.

    Raises:
        DataError: the PNG is missing or damaged.
    """
    wanted = f"{_folder(settings)}/{text(annotation.get('file_name'))}"
    try:
        file = maps.at(wanted)
    except DataError as error:
        raise DataError("a map of segments is not there", found=wanted, fix="add it, or set `segments`") from error
    reading.documents.add(file)
    data = tree.read(file)
    read_header(data)
    try:
        with Image.open(io.BytesIO(data)) as image:
            colours = np.asarray(image.convert("RGB")).astype(np.int32)
    except Exception as error:  # whatever PIL makes of damage
        raise DataError("a map of segments cannot be decoded", found=f"{type(error).__name__}: {error}") from error
    return colours @ np.array([1, 256, 65536], np.int32)


def _shapes(whole: _Set, annotation: Item, segments: np.ndarray) -> list[Shape]:
    """The segments of one picture."""
    found: list[Shape] = []
    for segment in items(annotation, "segments_info"):
        known, category = number(segment.get("id")), identity(segment.get("category_id"))
        what = f"{annotation['what']}, segment {segment.get('id')}"
        if known is None or category not in whole.lists.categories:
            reason = f"a segment has no id, or a category that is none; in: {what}"
            whole.reading.problems.append(Problem(annotation["what"], reason, loses="annotation"))
            continue
        label = whole.classes.by_name.get(whole.lists.categories[category]["name"])
        if label is None:
            whole.reading.notes[PASSED_OVER] += 1
            continue
        sides = numbers(segment.get("bbox"), 4)
        box = (sides[0], sides[1], sides[0] + sides[2], sides[1] + sides[3]) if sides else None
        kind = CROWD if whole.crowds and is_crowd(segment) else 0.0
        found.append(Shape(what, label, box, mask=partial(_pixels, segments, int(known)), kind=kind))
    return found


def _pixels(segments: np.ndarray, known: int, height: int, width: int) -> np.ndarray:
    if segments.shape != (height, width):
        size = f"{segments.shape[1]}×{segments.shape[0]}"
        raise DataError("a map of segments has another size than its image", found=f"{size} for {width}×{height}")
    return (segments == known).astype(np.uint8)


def _nothing(annotation: Item, segments: np.ndarray) -> Shape:
    """Pixels of no segment, which are of no known category."""
    listed = [int(known) for s in items(annotation, "segments_info") if (known := number(s.get("id"))) is not None]
    height, width = segments.shape
    empty = np.isin(segments, listed, invert=True).astype(np.uint8)
    return Shape("no segment", 0, (0.0, 0.0, float(width), float(height)), mask=partial(_pixels, empty, 1), kind=CROWD)


def _of_things(whole: _Set, shapes: list[Shape]) -> list[Shape]:
    """Those that are things, by their own indices."""
    names = [whole.classes.classes[shape.label] for shape in shapes]
    return [
        replace(shape, label=whole.things.index(name))
        for shape, name in zip(shapes, names, strict=True)
        if name in whole.things
    ]
