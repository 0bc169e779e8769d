"""COCO instances. Polygons and run-length masks are drawn by faster-coco-eval (pycocotools' own C code)."""

from __future__ import annotations

import json
import math
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from mtl.config import DataError
from mtl.config.files import CocoSet
from mtl.data.boxes import CROWD, as_rows
from mtl.data.formats.base import Entry, Problem, Reading, ignores_marked, image_id, split_of
from mtl.data.header import MAX_PIXELS
from mtl.data.maps import IGNORE, encode_mask
from mtl.data.place import Place
from mtl.data.raw import FileRef
from mtl.data.spec import TargetSpec


def read_coco(settings: CocoSet, place: Place) -> Reading:
    """Images with their boxes and masks; an image without annotations has none, which is a label too.

    Raises:
        DataError: the file is missing, is no JSON or lacks a list.
    """
    document = _document(settings, place)
    categories = sorted(document["categories"], key=lambda c: (isinstance(c["id"], str), c["id"]))
    classes = settings.classes or tuple(category["name"] for category in categories)
    index = {category["id"]: classes.index(category["name"]) for category in categories if category["name"] in classes}
    by_image: dict[Any, list[dict[str, Any]]] = {}
    known = {image["id"] for image in document["images"]}
    problems: list[Problem] = []
    for annotation in document["annotations"]:
        if not _is_id(annotation.get("image_id")) or annotation["image_id"] not in known:
            what = f"annotation {annotation.get('id')}"
            problems.append(Problem(what, f"its image {annotation.get('image_id')!r} is not in the list of images"))
        else:
            by_image.setdefault(annotation["image_id"], []).append(annotation)
    marked = sum(_is_crowd(annotation) for annotation in document["annotations"])
    ignores, notes = ignores_marked("crowds", marked, len(document["annotations"]), settings.crowd)
    split = split_of(PurePosixPath(settings.annotations).stem.removeprefix("instances_").rstrip("0123456789"))
    entries: list[Entry] = []
    for image in document["images"]:
        name = f"{settings.images.strip('/')}/{image['file_name']}".lstrip("/")
        try:
            targets = _targets(settings, image, by_image.get(image["id"], []), index, ignores)
        except (DataError, KeyError, TypeError, ValueError) as error:
            problems.append(Problem.of(image_id(name, settings.images), error, "annotation"))
            continue
        entries.append(Entry(image_id(name, settings.images), FileRef(name), targets, split=split))
    specs: dict[str, TargetSpec] = {}
    if settings.boxes:
        specs[settings.boxes] = TargetSpec(kind="boxes", classes=classes)
    if settings.masks:
        specs[settings.masks] = TargetSpec(kind="mask", classes=("background", *classes))
    return Reading(specs, entries, problems, notes=notes)


def _document(settings: CocoSet, place: Place) -> dict[str, Any]:
    data = place.read(settings.annotations)
    try:
        document = json.loads(data)
    except ValueError as error:
        raise DataError(f"{settings.annotations} is not JSON", found=str(error)) from error
    lists = ("images", "annotations", "categories")
    if not isinstance(document, dict) or any(not isinstance(document.get(key), list) for key in lists):
        raise DataError(
            f"{settings.annotations} is not COCO", found="it lacks a list", fix=f"it needs the lists {', '.join(lists)}"
        )
    for name, needed in (("images", "file_name"), ("categories", "name"), ("annotations", None)):
        for item in document[name]:
            fits = isinstance(item, dict) and (needed is None or isinstance(item.get(needed), str))
            if not fits or (needed and not _is_id(item.get("id"))):
                raise DataError(
                    f"{settings.annotations}: an item of {name} is not as COCO has it",
                    found=str(item)[:120],
                    fix=f"it needs an id{f' and {needed}' if needed else ''}",
                )
    if len({str(c["id"]) for c in document["categories"]}) < len(document["categories"]):
        raise DataError(f"{settings.annotations}: two categories have one id")
    return document


def _is_id(value: Any) -> bool:
    return isinstance(value, int | str) and not isinstance(value, bool)


def _is_crowd(annotation: dict[str, Any]) -> bool:
    return annotation.get("iscrowd") in (1, "1")


def _targets(
    settings: CocoSet, image: dict[str, Any], annotations: list[dict[str, Any]], index: dict[Any, int], ignores: bool
) -> dict[str, Any]:
    """Boxes, and the mask as PNG: 0 is background, larger regions below smaller ones, crowds below all and 255."""
    boxes: list[list[float]] = []
    crowds = [ignores and _is_crowd(annotation) for annotation in annotations]
    for annotation in annotations:
        if not _is_id(annotation.get("category_id")) or annotation["category_id"] not in index:
            raise DataError("unknown class", found=f"category {annotation.get('category_id')!r}")
        sides = annotation.get("bbox")
        if not isinstance(sides, list) or len(sides) != 4 or not all(_is_finite(v) for v in sides):
            raise DataError("a box is not four numbers", found=str(sides)[:80])
        x, y, width, height = (float(v) for v in sides)
        boxes.append([x, y, x + width, y + height, float(index[annotation["category_id"]])])
    kinds = [CROWD if crowd else 0.0 for crowd in crowds]
    targets: dict[str, Any] = {settings.boxes: as_rows(boxes, kinds)} if settings.boxes else {}
    if settings.masks:
        height, width = image.get("height"), image.get("width")
        if not isinstance(height, int) or not isinstance(width, int) or not 0 < height * width <= MAX_PIXELS:
            raise DataError("the image's height and width are no sizes", found=f"{height}, {width}"[:80])
        mask = np.zeros((height, width), np.uint8)
        drawn = [_region(a["segmentation"], height, width) for a in annotations]
        for place in sorted(range(len(drawn)), key=lambda i: (not crowds[i], -int(drawn[i].sum()))):
            label = IGNORE if crowds[place] else index[annotations[place]["category_id"]] + 1
            mask[drawn[place] > 0] = label
        targets[settings.masks] = encode_mask(mask)
    return targets


def _is_finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _region(segmentation: Any, height: int, width: int) -> np.ndarray:
    """uint8 [height, width] of polygons or a run-length code."""
    from faster_coco_eval.core import mask

    rle: Any = mask  # its types leave out what it takes

    if isinstance(segmentation, list):
        polygons = all(isinstance(p, list) and len(p) >= 6 and len(p) % 2 == 0 for p in segmentation)
        # The C code draws whatever it is told to, however far away.
        far = 4 * max(height, width)
        if (
            not segmentation
            or not polygons
            or not all(_is_finite(v) and abs(v) <= far for p in segmentation for v in p)
        ):
            raise DataError("a segmentation is no polygons", found=str(segmentation)[:80], fix="three corners at least")
        return rle.decode(rle.merge(rle.frPyObjects(segmentation, height, width)))
    if not isinstance(segmentation, dict) or list(segmentation.get("size", [])) != [height, width]:
        raise DataError("a run-length mask has another size than its image", found=str(segmentation)[:80])
    counts = segmentation.get("counts")
    if isinstance(counts, str):
        counts = _uncompressed(counts)
    if not isinstance(counts, list) or not all(isinstance(n, int) and n >= 0 for n in counts):
        raise DataError("a run-length mask has no counts", found=str(counts)[:80])
    if sum(counts) != height * width:
        raise DataError("a run-length mask is not as long as its image", found=f"{sum(counts)} of {height * width}")
    runs = np.repeat(np.arange(len(counts)) % 2, counts).astype(np.uint8)
    return runs.reshape(width, height).T  # by columns


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
