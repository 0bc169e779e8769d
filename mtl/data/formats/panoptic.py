"""COCO panoptic: a PNG a picture, whose colours are segments' ids (R + 256 G + 65536 B), and their categories in a JSON file."""

from __future__ import annotations

import io
from dataclasses import replace
from functools import partial
from pathlib import PurePosixPath

import numpy as np
from PIL import Image

from mtl.config import DataError
from mtl.config.files import CocoPanopticSet
from mtl.data.boxes import CROWD
from mtl.data.formats.base import Entry, Problem, Reading, file_split, folder_split, ignores_marked, image_ids
from mtl.data.formats.classes import PASSED_OVER, Chosen, chosen
from mtl.data.formats.coco import category_names, declared_frame, files_of
from mtl.data.formats.coco_lists import Item, Lists, lists_of
from mtl.data.formats.coco_shapes import is_crowd
from mtl.data.formats.documents import identity, items, number, numbers, read_json, text
from mtl.data.formats.mentions import Files
from mtl.data.formats.shapes import Shape, Targets, settle
from mtl.data.header import read_header
from mtl.data.place import Place
from mtl.data.raw import FileRef
from mtl.data.spec import TargetSpec


def read_panoptic(settings: CocoPanopticSet, place: Place) -> Reading:
    """Pictures with a mask of all categories, and boxes of those that are things. Pixels of no segment are 255.

    Raises:
        DataError: the file is missing, is no JSON or lacks a list.
    """
    lists = lists_of(read_json(place, settings.annotations), settings.annotations)
    reading = Reading({}, [], lists.problems, documents={settings.annotations}, notes=lists.notes)
    names = category_names(lists.categories.values(), lists.categories)
    classes = chosen(settings.classes, names, settings.annotations, reading.notes, masks=True)
    named = {c["name"] for c in lists.categories.values() if number(c.get("isthing")) != 0}
    things = tuple(name for name in classes.classes if name in named)
    boxes = settings.boxes if things else None
    reading.targets = classes.specs(None, settings.masks)
    if boxes:
        reading.targets[boxes] = TargetSpec(kind="boxes", classes=things)
    crowds = _crowds(lists, reading)
    folder = _folder(settings)
    maps = Files(place.images(folder))
    images = Files(name for name in place.images() if not name.startswith(f"{folder}/"))
    files = files_of(settings, images, lists.images.values(), reading)
    headers, ids = place.headers(files.values()), image_ids(files.values(), settings.images)
    entries: list[Entry] = []
    for annotation in lists.annotations:
        image = annotation["image_id"]
        if image not in lists.images:
            reason = f"{settings.annotations}: an annotation's image is not in the list of images; found: {image}"
            reading.problems.append(Problem(annotation["what"], reason, loses="annotation"))
        if image not in files:
            continue
        name, header = files[image], headers[files[image]]
        try:
            segments = _segments(settings, annotation, place, maps, reading)
            shapes = _shapes(annotation, segments, lists, classes, crowds, reading)
            if isinstance(header, DataError):
                raise header
            frame = declared_frame(lists.images[image])
            drawn = [*shapes, _nothing(annotation, segments)]
            settled = settle(ids[name], drawn, frame, header, Targets(None, settings.masks), settings.annotations)
            boxed = settle(ids[name], _of(things, shapes, classes), frame, header, Targets(boxes, None))
        except DataError as error:
            reading.problems.append(Problem.of(ids[name], error, settings.annotations, name))
            continue
        reading.problems += settled.problems
        reading.notes += settled.notes
        split = file_split(settings.annotations) or folder_split(name)
        entries.append(Entry(ids[name], FileRef(name), settled.targets | boxed.targets, split=split))
    reading.entries = entries
    return reading


def _folder(settings: CocoPanopticSet) -> str:
    """Where the maps are: beside the file, in a folder that is called like it, if nothing is said."""
    document = PurePosixPath(settings.annotations)
    return settings.segments.strip("/") or (document.parent / document.stem).as_posix()


def _crowds(lists: Lists, reading: Reading) -> bool:
    """Whether segments that are marked as crowds are ignored."""
    marks = [is_crowd(segment) for annotation in lists.annotations for segment in items(annotation, "segments_info")]
    ignores, notes = ignores_marked("iscrowd", sum(marks), len(marks), keep=False)
    reading.notes += notes
    return ignores


def _segments(settings: CocoPanopticSet, annotation: Item, place: Place, maps: Files, reading: Reading) -> np.ndarray:
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
    data = place.read(file)
    read_header(data)
    try:
        with Image.open(io.BytesIO(data)) as image:
            colours = np.asarray(image.convert("RGB")).astype(np.int32)
    except Exception as error:  # whatever PIL makes of damage
        raise DataError("a map of segments cannot be decoded", found=f"{type(error).__name__}: {error}") from error
    return colours @ np.array([1, 256, 65536], np.int32)


def _shapes(
    annotation: Item, segments: np.ndarray, lists: Lists, classes: Chosen, crowds: bool, reading: Reading
) -> list[Shape]:
    """The segments of one picture, and what is none of them, which does not count."""
    found: list[Shape] = []
    for segment in items(annotation, "segments_info"):
        known, category = number(segment.get("id")), identity(segment.get("category_id"))
        what = f"{annotation['what']}, segment {segment.get('id')}"
        if known is None or category not in lists.categories:
            reason = f"a segment has no id, or a category that is none; in: {what}"
            reading.problems.append(Problem(annotation["what"], reason, loses="annotation"))
            continue
        label = classes.index.get(lists.categories[category]["name"])
        if label is None:
            reading.notes[PASSED_OVER] += 1
            continue
        sides = numbers(segment.get("bbox"), 4)
        box = (sides[0], sides[1], sides[0] + sides[2], sides[1] + sides[3]) if sides else None
        kind = CROWD if crowds and is_crowd(segment) else 0.0
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
    empty = np.where(np.isin(segments, listed), 0, 1)
    return Shape("no segment", 0, (0.0, 0.0, float(width), float(height)), mask=partial(_pixels, empty, 1), kind=CROWD)


def _of(things: tuple[str, ...], shapes: list[Shape], classes: Chosen) -> list[Shape]:
    """Those that are things, by their own indices."""
    names = [classes.classes[shape.label] for shape in shapes]
    return [replace(s, label=things.index(n)) for s, n in zip(shapes, names, strict=True) if n in things]
