"""COCO instances. Polygons and run-length masks are drawn by faster-coco-eval (pycocotools' own C code)."""

from __future__ import annotations

import json
import math
from collections import Counter
from functools import partial
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import orjson

from mtl.config import DataError
from mtl.config.files import CocoSet
from mtl.data.boxes import CROWD
from mtl.data.formats.base import (
    Entry,
    Problem,
    Reading,
    drawn_masks,
    folder_split,
    ignores_marked,
    image_ids,
    split_of,
)
from mtl.data.formats.mentions import Files
from mtl.data.formats.shapes import Frame, Shape, Targets, settle
from mtl.data.formats.text import decoded
from mtl.data.header import MAX_PIXELS
from mtl.data.place import Place
from mtl.data.raw import FileRef
from mtl.data.spec import TargetSpec

LISTS = ("images", "annotations", "categories")


def read_coco(settings: CocoSet, place: Place) -> Reading:
    """Images with their boxes and masks; an image without annotations has none, which is a label too.

    Raises:
        DataError: the file is missing, is no JSON or lacks a list.
    """
    document = _document(settings, place)
    classes, index, others = _classes(settings, document)
    specs: dict[str, TargetSpec] = {}
    if settings.boxes:
        specs[settings.boxes] = TargetSpec(kind="boxes", classes=classes)
    if settings.masks:
        specs[settings.masks] = drawn_masks(classes)
    reading = Reading(specs, [], documents={settings.annotations})
    shapes = _shapes(settings, document, index, others, reading)
    files = _files(settings, place, document["images"], reading)
    headers = place.headers(files.values())
    ids = image_ids(files.values(), settings.images)
    stem = PurePosixPath(settings.annotations).stem
    entries: list[Entry] = []
    for image in document["images"]:
        name = files.get(image["id"])
        if name is None:
            continue
        header = headers[name]
        try:
            if isinstance(header, DataError):
                raise header
            settled = settle(
                ids[name], shapes.get(image["id"], []), _frame(image), header, Targets(settings.boxes, settings.masks)
            )
        except DataError as error:
            reading.problems.append(Problem.of(ids[name], error, settings.annotations, name))
            continue
        reading.problems += settled.problems
        reading.notes += settled.notes
        split = split_of(stem.removeprefix("instances_")) or folder_split(settings.annotations) or folder_split(name)
        entries.append(Entry(ids[name], FileRef(name), settled.targets, split=split))
    reading.entries = entries
    return reading


def _document(settings: CocoSet, place: Place) -> dict[str, Any]:
    data = place.read(settings.annotations)
    try:
        document = orjson.loads(data)
    except ValueError:  # NaN, a byte order mark: Python's own reader takes them
        try:
            document = json.loads(decoded(data))
        except (ValueError, RecursionError) as error:
            raise DataError(f"{settings.annotations} is not JSON", found=str(error)) from error
    if not isinstance(document, dict) or any(not isinstance(document.get(key), list) for key in LISTS):
        raise DataError(
            f"{settings.annotations} is not COCO", found="it lacks a list", fix=f"it needs the lists {', '.join(LISTS)}"
        )
    for name, needed in (("images", "file_name"), ("categories", "name"), ("annotations", None)):
        for item in document[name]:
            fits = isinstance(item, dict) and (needed is None or isinstance(item.get(needed), str))
            if not fits or (needed and _id(item.get("id")) is None):
                raise DataError(
                    f"{settings.annotations}: an item of {name} is not as COCO has it",
                    found=str(item)[:120],
                    fix=f"it needs an id{f' and {needed}' if needed else ''}",
                )
            if needed:
                item["id"] = _id(item["id"])
    for name in ("categories", "images"):
        twice = [found for found, number in Counter(item["id"] for item in document[name]).items() if number > 1]
        same = len({json.dumps(item, sort_keys=True) for item in document[name] if item["id"] in twice})
        if same > len(twice):
            raise DataError(f"{settings.annotations}: two {name} have one id", found=str(twice[:5]))
    return document


def _id(value: Any) -> str | None:
    """An id, whether it is written 1, 1.0 or "1"; None if it is none."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip() if isinstance(value, int | str) and not isinstance(value, bool) else None


def _classes(settings: CocoSet, document: dict[str, Any]) -> tuple[tuple[str, ...], dict[str, int], set[str]]:
    """Class names, category id → index, and the ids of categories that `classes` leaves out.

    Raises:
        DataError: a declared class is no category of the file's.
    """

    def order(category: dict[str, Any]) -> tuple[bool, Any]:
        found = category["id"]
        return (False, int(found)) if found.isdecimal() else (True, found)

    categories = sorted(document["categories"], key=order)
    names = {category["id"]: category["name"].strip() for category in categories}
    used = {_id(a.get("category_id")) for a in document["annotations"]}
    # Roboflow puts the project's name before its categories, as the super-category of all: nothing is of it.
    parents = {str(c.get("supercategory")) for c in categories if c["name"] != c.get("supercategory")}
    listed = [n for i, n in names.items() if i in used or n not in parents]
    classes = settings.classes or tuple(dict.fromkeys(listed))
    missing = [name for name in settings.classes if name not in names.values()]
    if missing and not set(settings.classes) & set(names.values()):
        raise DataError(
            f"{settings.annotations} has none of the declared classes",
            found=f"it has {sorted(set(names.values()))[:12]}",
        )
    index = {found: classes.index(name) for found, name in names.items() if name in classes}
    return classes, index, names.keys() - index.keys()


def _shapes(
    settings: CocoSet, document: dict[str, Any], index: dict[str, int], others: set[str], reading: Reading
) -> dict[str, list[Shape]]:
    """The objects of every image, by its id."""
    known = {image["id"] for image in document["images"]}
    annotations = document["annotations"]
    marked = sum(_is_crowd(annotation) for annotation in annotations)
    ignores, notes = ignores_marked("iscrowd", marked, len(annotations), settings.crowd)
    reading.notes += notes
    found: dict[str, list[Shape]] = {}
    for number, annotation in enumerate(annotations):
        what = f"annotation {annotation.get('id', number)}"
        image, category = _id(annotation.get("image_id")), _id(annotation.get("category_id"))
        if image is None or image not in known:
            reason = f"its image {annotation.get('image_id')!r} is not in the list of images"
            reading.problems.append(Problem(what, reason, loses="annotation"))
            continue
        if category in others:
            reading.notes["annotations of classes that are not declared, passed over"] += 1
            continue
        try:
            if category not in index:
                raise DataError("unknown class", found=f"category {annotation.get('category_id')!r}")
            kind = CROWD if ignores and _is_crowd(annotation) else 0.0
            shape = Shape(what, index[category], _box(annotation), **_outline(annotation), kind=kind)
        except DataError as error:
            reading.problems.append(Problem(f"image {image}", f"{what}: {error.line}", loses="annotation"))
            continue
        found.setdefault(image, []).append(shape)
    return found


def _is_crowd(annotation: dict[str, Any]) -> bool:
    return annotation.get("iscrowd") in (1, "1", True)


def _box(annotation: dict[str, Any]) -> tuple[float, float, float, float] | None:
    sides = annotation.get("bbox")
    if sides is None or sides == []:
        return None
    if not isinstance(sides, list) or len(sides) != 4 or not all(_is_finite(v) for v in sides):
        raise DataError("a box is not four numbers", found=str(sides)[:80])
    x, y, width, height = (float(v) for v in sides)
    return x, y, x + width, y + height


def _is_finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _outline(annotation: dict[str, Any]) -> dict[str, Any]:
    """The polygons or the run-length code of an object, as a Shape takes them."""
    segmentation = annotation.get("segmentation")
    if not segmentation:
        return {}
    if isinstance(segmentation, dict):
        return {"mask": partial(_runs, segmentation)}
    if not isinstance(segmentation, list) or not all(
        isinstance(p, list) and all(map(_is_finite, p)) for p in segmentation
    ):
        raise DataError("a segmentation is no polygons", found=str(segmentation)[:80], fix="three corners at least")
    return {"polygons": segmentation}


def _frame(image: dict[str, Any]) -> Frame:
    width, height = image.get("width"), image.get("height")
    sizes = _is_finite(width) and _is_finite(height) and 0 < float(width) * float(height) <= MAX_PIXELS  # type: ignore[arg-type]
    return Frame(float(width), float(height)) if sizes else Frame()  # type: ignore[arg-type]


def _files(settings: CocoSet, place: Place, images: list[dict[str, Any]], reading: Reading) -> dict[str, str]:
    """Image id → its file. Names are relative to `images` where that is said; else they are looked for."""
    known = Files(place.images())
    near = PurePosixPath(settings.annotations).parent.as_posix()
    found: dict[str, str] = {}
    for image in images:
        name = image["file_name"]
        try:
            if settings.images:
                found[image["id"]] = known.at(f"{settings.images}/{name}")
            else:
                found[image["id"]] = known.find(name, near)
        except DataError as error:
            reading.problems.append(Problem.of(name, error, settings.annotations))
    return found


def _runs(segmentation: dict[str, Any], height: int, width: int) -> np.ndarray:
    """uint8 [height, width] of a run-length code.

    Raises:
        DataError: it is damaged, or of another size.
    """
    if [*segmentation.get("size", [])] != [height, width]:
        raise DataError("a run-length mask has another size than its image", found=str(segmentation)[:80])
    counts = segmentation.get("counts")
    if isinstance(counts, str):
        counts = _uncompressed(counts)
    if not isinstance(counts, list) or not all(isinstance(n, int) and n >= 0 for n in counts):
        raise DataError("a run-length mask has no counts", found=str(counts)[:80])
    if sum(counts) != height * width:
        raise DataError("a run-length mask is not as long as its image", found=f"{sum(counts)} of {height * width}")
    runs = np.repeat(np.arange(len(counts)) % 2, counts).astype(np.uint8)
    return np.ascontiguousarray(runs.reshape(width, height).T)  # by columns


def _uncompressed(text: str) -> list[int]:
    """The counts of COCO's compressed run-length code: differences in a variable-length code of five bits a character.

    Decoded here, for the C code reads beyond the end of a damaged one.
    """
    counts: list[int] = []
    place = 0
    while place < len(text):
        value, shift, more = 0, 0, True
        while more:
            if place == len(text):
                raise DataError("a run-length code ends in mid-number")
            bits = ord(text[place]) - 48
            if not 0 <= bits < 64:
                raise DataError("a run-length code has a character that is none of its own", found=repr(text[place]))
            value |= (bits & 31) << shift
            more = bool(bits & 32)
            shift += 5
            place += 1
            if not more and bits & 16:
                value -= 1 << shift
        counts.append(value + counts[-2] if len(counts) > 2 else value)
    return counts
