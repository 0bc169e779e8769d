"""A COCO file's three lists, with ids that are texts, whoever wrote them; and what in them is not as COCO has it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from mtl.data.formats.base import Problem
from mtl.data.formats.documents import identity, numbers, shown
from mtl.data.formats.documents import number as finite
from mtl.data.formats.documents import text as text_of
from mtl.errors import DataError

LISTS = ("images", "annotations", "categories")
FEW = 3
"""Boxes too few to say by themselves how a file writes all of them."""

Item = dict[str, Any]


@dataclass
class Lists:
    """What a COCO file holds. Every image has `id` and `file_name`, every category `id` and `name`, every annotation
    `image_id` and `category_id`; ids are texts.
    """

    images: dict[str, Item] = field(default_factory=dict[str, Item])
    annotations: list[Item] = field(default_factory=list[Item])
    categories: dict[str, Item] = field(default_factory=dict[str, Item])
    problems: list[Problem] = field(default_factory=list[Problem])
    notes: Counter[str] = field(default_factory=Counter[str])


def lists_of(document: Any, file: str) -> Lists:
    """A COCO document's lists.

    Raises:
        DataError: it is none; its boxes are corners; or it says of some categories only that they are labelled.
    """
    if not isinstance(document, dict) or any(not isinstance(document.get(key), list) for key in LISTS):
        there = sorted(document)[:8] if isinstance(document, dict) else type(document).__name__
        raise DataError(
            f"{file} is not COCO",
            found=f"it lacks a list: it has {there}",
            fix=f"it needs the lists {', '.join(LISTS)}",
        )
    lists = Lists()
    for item in document["images"]:
        if isinstance(item, dict) and ("neg_category_ids" in item or "not_exhaustive_category_ids" in item):
            raise DataError(
                f"{file} is LVIS: of each image a few categories only are labelled, and of the others nothing is known",
                found="neg_category_ids",
                fix="export the categories that are labelled in all of its images as COCO",
            )
        _add_image(item, file, lists)
    for item in document["categories"]:
        _add_category(item, file, lists)
    lists.annotations = _annotations(document["annotations"], lists)
    _refuse_corners(lists.annotations, file)
    return lists


def file_name(item: Any) -> str:
    """Where an image is: file_name; of those who leave it out, the path or the address that they give."""
    if not isinstance(item, dict):
        return ""
    return next((found for key in ("file_name", "path", "coco_url", "url") if (found := text_of(item.get(key)))), "")


def _add_image(item: Any, file: str, lists: Lists) -> None:
    """Of two images with one id that are two files, nobody knows which of them an annotation means."""
    name = file_name(item)
    known = identity(item.get("id")) if isinstance(item, dict) else None
    if known is None or not name:
        reason = f"an image of {file} needs an id and a file_name: {shown(item)}"
        lists.problems.append(Problem(name or file, reason))
        return
    before = lists.images.get(known)
    if before is not None and before["file_name"] == name:
        lists.notes["images that the list has twice, taken once"] += 1
        return
    if before is not None:
        before["doubtful"] = item["doubtful"] = f"two images of {file} have the id {known}"
        known = f"{known}, another {len(lists.images)}"
    item.update(id=known, file_name=name)
    lists.images[known] = item


def _add_category(item: Any, file: str, lists: Lists) -> None:
    name = text_of(item.get("name")) if isinstance(item, dict) else ""
    known = identity(item.get("id")) if isinstance(item, dict) else None
    if known is None or not name:
        reason = f"a category of {file} needs an id and a name: {shown(item)}"
        lists.problems.append(Problem("a category", reason, loses="annotation"))
    elif known in lists.categories and lists.categories[known]["name"] != name:
        found = f"{known}: {lists.categories[known]['name']}, {name}"
        raise DataError(f"{file}: two categories have one id", found=found, fix="give every category an id of its own")
    else:
        lists.categories[known] = {**item, "id": known, "name": name}


def _annotations(given: list[object], lists: Lists) -> list[Item]:
    """Annotations, without those that are there again word for word."""
    found: list[Item] = []
    seen: set[str] = set()
    twice = _repeated(item.get("id") for item in given if isinstance(item, dict))
    for number, item in enumerate(given):
        if not isinstance(item, dict):
            lists.problems.append(Problem(f"annotation {number}", f"it is none: {shown(item)}", loses="annotation"))
            continue
        if identity(item.get("id")) in twice:
            words = json.dumps(item, sort_keys=True)
            if words in seen:
                lists.notes["annotations that are there twice, word for word: taken once"] += 1
                continue
            seen.add(words)
        for key in ("image_id", "category_id"):
            item[key] = identity(item.get(key))
        item["what"] = f"annotation {item.get('id', number)}"
        found.append(item)
    return found


def _repeated(ids: Iterable[object]) -> set[str | None]:
    return {found for found, times in Counter(map(identity, ids)).items() if times > 1}


def _refuse_corners(annotations: list[Item], file: str) -> None:
    """A file whose every area is that of corners, and no area that of a width and height, has corners for boxes."""
    sizes, corners, total = 0, 0, 0
    for item in annotations:
        box, area = numbers(item.get("bbox"), 4), finite(item.get("area"))
        if box is None or not area or item.get("segmentation"):
            continue
        total += 1
        sizes += _near(box[2] * box[3], area)
        corners += _near((box[2] - box[0]) * (box[3] - box[1]), area)
    if total >= FEW and corners == total and not sizes:
        raise DataError(
            f"{file}: its boxes are x1, y1, x2, y2, as their areas say",
            found=f"{total} of {total} boxes",
            fix="COCO has x, y, width, height: write them so",
        )


def _near(one: float, other: float) -> bool:
    return abs(one - other) <= 0.01 * abs(other)


def is_relative(annotations: list[Item]) -> bool:
    """Whether all coordinates are shares of the picture, as Azure writes them: boxes within a pixel are nobody's."""
    boxes = [box for item in annotations if (box := numbers(item.get("bbox"), 4)) is not None]
    drawn = [box for box in boxes if box[2] > 0 and box[3] > 0]
    if not drawn or any(not 0.0 <= value <= 1.0 for box in drawn for value in box):
        return False
    outlines = [item["segmentation"] for item in annotations if isinstance(item.get("segmentation"), list)]
    points = [value for outline in outlines for part in outline for value in numbers(part) or ()]
    return all(value <= 1.0 for value in points)
