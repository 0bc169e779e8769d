"""Datumaro's own JSON: annotations/<split>.json, and images/, with a folder per split or without."""

from __future__ import annotations

from dataclasses import replace
from pathlib import PurePosixPath

from mtl.config.files import Column, DatumaroSet
from mtl.data.formats.base import Problem, Reading, ignores_marked
from mtl.data.formats.datumaro_shapes import NO_AREA, shape_of
from mtl.data.formats.documents import documents_of, frame_of, identity, items, number, numbers, section, text
from mtl.data.formats.figures import outlined, united
from mtl.data.formats.locate import locate, lost
from mtl.data.formats.mentions import Files
from mtl.data.formats.pictures import Picture, gather
from mtl.data.formats.shapes import Frame, Shape
from mtl.errors import DataError
from mtl.storage.file_tree import FileTree

Item = dict[str, object]


def is_datumaro(document: object) -> bool:
    """Whether a JSON document is of Datumaro."""
    return isinstance(document, dict) and isinstance(document.get("items"), list) and "categories" in document


def categories_of(document: object) -> list[str]:
    """Names of classes in the order of their numbers."""
    labels = items(section(section(document, "categories"), "label"), "labels")
    return [text(label.get("name")) for label in labels]


def read_datumaro(settings: DatumaroSet, tree: FileTree) -> Reading:
    """Pictures with their objects and labels.

    Raises:
        DataError: there is no file of Datumaro.
    """
    reading, files = Reading({}, []), Files(tree.images())
    pictures: list[Picture] = []
    classes: dict[str, None] = {}
    for name, document in documents_of(tree, settings.annotations, is_datumaro, "Datumaro", reading):
        names = categories_of(document)
        classes |= dict.fromkeys(names)
        for item in items(document, "items"):
            image = _image(name, item, files, reading)
            if image is not None:
                pictures.append(_picture(settings, Picture(image, name), item, names, reading))
    _settle_crowds(pictures, reading)
    columns: dict[str, Column] = {}
    for target, kind in ((settings.label, "label"), (settings.labels, "labels")):
        if target:
            columns[target] = Column(column="label", kind=kind, classes=settings.classes or tuple(classes))  # type: ignore[arg-type]
    return gather(settings, tree, pictures, reading, classes, columns)


def _image(name: str, item: Item, files: Files, reading: Reading) -> str | None:
    """The picture of an item: its path counts from images/ or from images/<split>/."""
    path = text(section(item, "image").get("path")) or text(section(item, "media").get("path")) or text(item.get("id"))
    document = PurePosixPath(name)
    root = document.parent.parent if document.parent.name == "annotations" else document.parent
    for folder in (root / "images" / document.stem, root / "images", root):
        try:
            return files.at((folder / path).as_posix())
        except DataError:
            continue
    try:
        return locate(files, path, (root / "images" / document.stem).as_posix())
    except DataError as error:
        reading.problems.append(lost(path or name, error, name))
        return None


def _picture(settings: DatumaroSet, picture: Picture, item: Item, names: list[str], reading: Reading) -> Picture:
    size = numbers(section(item, "image").get("size") or section(item, "media").get("size"), 2)
    picture.frame = frame_of(size[1], size[0]) if size else Frame()
    labels: list[str] = []
    groups: dict[tuple[str, str], list[Shape]] = {}
    for place, found in enumerate(items(item, "annotations")):
        kind, what = text(found.get("type")), f"annotation {place}"
        try:
            label = _label(found, names)
            if kind == "label":
                labels.append(label)
                continue
            if kind in NO_AREA:
                reading.notes[f"annotations without area, passed over: {kind}"] += 1
                continue
            group = identity(found.get("group")) or "0"
            known = (label, group) if group != "0" else (label, f"alone {place}")
            shape = shape_of(what, kind, found)
            groups.setdefault(known, []).append(shape)
        except DataError as error:
            problem = Problem(text(item.get("id")), f"{error.line}; in: {picture.document}, {what}", loses="annotation")
            reading.problems.append(problem)
    picture.objects = [(label, united(outlined(shapes))) for (label, _), shapes in groups.items()]
    for target in (settings.label, settings.labels):
        if target and (labels or target == settings.labels):
            picture.answers[target] = labels
    if labels and not (settings.label or settings.labels):
        reading.notes["pictures with labels, which are not read"] += 1
    return picture


def _settle_crowds(pictures: list[Picture], reading: Reading) -> None:
    """Take crowds for objects where all or most is marked so."""
    kinds = [shape.kind for picture in pictures for _, shape in picture.objects or ()]
    ignores, notes = ignores_marked("is_crowd", sum(kind > 0 for kind in kinds), len(kinds), as_objects=False)
    reading.notes += notes
    for picture in pictures:
        if not ignores and picture.objects:
            picture.objects = [(label, replace(shape, kind=0.0)) for label, shape in picture.objects]


def _label(found: Item, names: list[str]) -> str:
    place = number(found.get("label_id"))
    if place is None or not place.is_integer() or not 0 <= place < len(names):
        if text(found.get("type")) in NO_AREA:
            return ""
        raise DataError("an annotation's label is none of the categories", found=str(found.get("label_id")))
    return names[int(place)]
