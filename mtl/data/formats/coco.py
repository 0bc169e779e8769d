"""COCO instances: boxes and masks of categories, and what else kinds of targets make of them. Polygons are drawn by faster-coco-eval (pycocotools' own C code)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import PurePosixPath
from typing import Any

from mtl.config.files import CocoPanopticSet, CocoSet
from mtl.data.formats.base import Entry, Problem, Reading, file_split, folder_split, ignores_marked, image_ids
from mtl.data.formats.classes import PASSED_OVER, Chosen, chosen
from mtl.data.formats.coco_lists import Item, Lists, is_relative, lists_of
from mtl.data.formats.coco_shapes import is_crowd, is_ignored, shape_of
from mtl.data.formats.documents import frame_of, read_json
from mtl.data.formats.locate import locate, lost
from mtl.data.formats.mentions import Files
from mtl.data.formats.shapes import Frame, Shape, Targets, settle
from mtl.data.kinds import OF_OBJECTS, OfObjects
from mtl.data.kinds.box_table import CROWD, DIFFICULT
from mtl.data.raw.rows import FileRef
from mtl.data.spec import TargetSpec
from mtl.errors import DataError
from mtl.storage.file_tree import FileTree


def read_coco(settings: CocoSet, tree: FileTree) -> Reading:
    """Images with their boxes and masks; an image without annotations has none, which is a label too.

    Raises:
        DataError: the file is missing, is no JSON or lacks a list.
    """
    lists = lists_of(read_json(tree, settings.annotations), settings.annotations)
    reading = Reading({}, [], lists.problems, documents={settings.annotations}, notes=lists.notes)
    names = category_names(lists.categories.values(), {a["category_id"] for a in lists.annotations})
    classes = chosen(settings.classes, names, settings.annotations, reading.notes, masks=bool(settings.masks))
    more = _more(settings, lists, classes)
    reading.targets = {
        **classes.specs(settings.boxes, settings.masks),
        **{name: spec for name, (_, spec) in more.items()},
    }
    shapes = _shapes(settings, lists, classes, reading)
    pictures = _by_file(lists, files_of(settings, Files(tree.images()), lists.images.values(), reading), shapes)
    relative = is_relative(lists.annotations)
    if relative:
        reading.notes["boxes given as shares of their picture"] += len(lists.annotations)
    headers = tree.headers(pictures)
    ids = image_ids(pictures, settings.images)
    names_split = file_split(settings.annotations)
    entries: list[Entry] = []
    for name, (image, found) in pictures.items():
        header = headers[name]
        frame = Frame(relative=True) if relative else declared_frame(image)
        try:
            if isinstance(header, DataError):
                raise header
            if "doubtful" in image:
                raise DataError(image["doubtful"], fix="give every image an id of its own")
            settled = settle(ids[name], found, frame, header, Targets(settings.boxes, settings.masks, more))
        except DataError as error:
            reading.problems.append(Problem.of(ids[name], error, settings.annotations, name))
            continue
        reading.problems += settled.problems
        reading.notes += settled.notes
        split = names_split or folder_split(name)
        entries.append(Entry(ids[name], FileRef(name), settled.targets, split=split))
    reading.entries = entries
    return reading


def category_names(categories: Iterable[Item], used: Iterable[str | None]) -> list[str]:
    """Names of categories by their ids. One that nothing is of, and that others name as theirs, is none: Roboflow puts the
    project's name before its categories, as the super-category of all.
    """

    def order(category: Item) -> tuple[bool, Any]:
        found = category["id"]
        return (False, int(found)) if found.isdecimal() else (True, found)

    ordered, ids = sorted(categories, key=order), set(used)
    parents = {str(c.get("supercategory")).strip() for c in ordered if c["name"] != c.get("supercategory")}
    return list(dict.fromkeys(c["name"] for c in ordered if c["id"] in ids or c["name"] not in parents))


def _more(settings: CocoSet, lists: Lists, classes: Chosen) -> dict[str, tuple[OfObjects, TargetSpec]]:
    """The targets that are made of more than boxes and outlines, and that the settings name."""
    ordered = sorted(
        (c for c in lists.categories.values() if c["name"] in classes.by_name),
        key=lambda c: classes.by_name[c["name"]],
    )
    named = {name: kind for kind in OF_OBJECTS if (name := getattr(settings, kind.setting))}
    return {name: (kind, kind.of_categories(ordered)) for name, kind in named.items()}


def _shapes(settings: CocoSet, lists: Lists, classes: Chosen, reading: Reading) -> dict[str, list[Shape]]:
    """The objects of every image, by its id."""
    index = {known: classes.by_name.get(c["name"]) for known, c in lists.categories.items()}
    ignored = _ignored(settings, lists, reading)
    found: dict[str, list[Shape]] = {}
    for annotation in lists.annotations:
        what, image, category = annotation["what"], annotation["image_id"], annotation["category_id"]
        if image is None or image not in lists.images:
            reason = f"{settings.annotations}: an annotation's image is not in the list of images; found: {image}"
            reading.problems.append(Problem(what, reason, loses="annotation"))
            continue
        if category in index and index[category] is None:
            reading.notes[PASSED_OVER] += 1
            continue
        try:
            label = index.get(category)
            if label is None:
                raise DataError("unknown class", found=f"category {category}, which is not in the list of categories")
            annotation["category"] = classes.classes[label]
            kind = next((kind for kind, marks in ignored.items() if marks(annotation)), 0.0)
            found.setdefault(image, []).append(shape_of(annotation, what, label, kind, reading.notes))
        except DataError as error:
            reading.problems.append(Problem(f"image {image}", f"{error.line}; in: {what}", loses="annotation"))
    return found


def _ignored(settings: CocoSet, lists: Lists, reading: Reading) -> dict[float, Callable[[Item], bool]]:
    """Which marks mean that a box does not count; too many of one mean nothing."""
    found: dict[float, Callable[[Item], bool]] = {}
    for kind, mark, marks in ((CROWD, "iscrowd", is_crowd), (DIFFICULT, "ignore", is_ignored)):
        ignores, notes = ignores_marked(
            mark, sum(map(marks, lists.annotations)), len(lists.annotations), settings.crowd
        )
        reading.notes += notes
        if ignores:
            found[kind] = marks
    return found


def declared_frame(image: Item) -> Frame:
    """The size that a file says of a picture, if it says one."""
    return frame_of(image.get("width"), image.get("height"))


def files_of(
    settings: CocoSet | CocoPanopticSet, known: Files, images: Iterable[Item], reading: Reading
) -> dict[str, str]:
    """Image id → its file. Names are relative to `images` where that is said; else they are looked for among those known."""
    near = PurePosixPath(settings.annotations).parent.as_posix()
    found: dict[str, str] = {}
    for image in images:
        name = image["file_name"]
        try:
            if settings.images:
                found[image["id"]] = known.at(f"{settings.images}/{name}")
            else:
                found[image["id"]] = locate(known, name, near)
        except DataError as error:
            if settings.partial:
                reading.notes[f"images that {settings.annotations} lists and that are not here, as declared"] += 1
            else:
                reading.problems.append(lost(name, error, settings.annotations))
    return found


def _by_file(
    lists: Lists, files: dict[str, str], shapes: dict[str, list[Shape]]
) -> dict[str, tuple[Item, list[Shape]]]:
    """File → what is said of it: an image may be in the list more than once, under several ids."""
    found: dict[str, tuple[Item, list[Shape]]] = {}
    for known, image in lists.images.items():
        if known not in files:
            continue
        name, mine = files[known], shapes.get(known, [])
        if name not in found:
            found[name] = (image, mine)
            continue
        first, before = found[name]
        lists.notes["images that are listed more than once, taken as one"] += 1
        if declared_frame(first) != declared_frame(image):
            first["doubtful"] = "an image is listed with two sizes"
        there = {(shape.label, shape.box) for shape in before if shape.box}
        found[name] = (first, [*before, *(shape for shape in mine if (shape.label, shape.box) not in there)])
    return found
