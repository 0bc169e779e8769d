"""Supervisely: a project's meta.json with its classes and tags, and data sets of img/ and ann/, a JSON file per picture."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from mtl.config.files import Column, SuperviselySet
from mtl.data.formats.answers import Answer
from mtl.data.formats.base import Problem, Reading, folder_split, split_of
from mtl.data.formats.documents import documents_of, frame_of, items, number, read_json, section, text
from mtl.data.formats.locate import locate, lost, unused
from mtl.data.formats.mentions import Files
from mtl.data.formats.pictures import Picture, gather
from mtl.data.formats.supervisely_shapes import in_whole_pixels, shape_of
from mtl.errors import DataError
from mtl.storage.file_tree import FileTree

META = "meta.json"


def is_meta(document: object) -> bool:
    """Whether a JSON document lists the classes of a project."""
    classes = items(document, "classes")
    return bool(classes) and all("title" in one and "shape" in one for one in classes)


def is_annotation(document: object) -> bool:
    """Whether a JSON document is of a picture."""
    return isinstance(document, dict) and isinstance(document.get("objects"), list) and "size" in document


def read_supervisely(settings: SuperviselySet, tree: FileTree) -> Reading:
    """Pictures with their objects, and tags.

    Raises:
        DataError: there is no annotation.
    """
    reading, files = Reading({}, []), Files(tree.images())
    classes = _classes(tree, reading)
    found = documents_of(tree, settings.annotations, is_annotation, "Supervisely", reading)
    several = (_picture(settings, name, document, files, reading) for name, document in found)
    pictures = [picture for picture in several if picture is not None]
    columns = {**settings.targets} | ({settings.tags: Column(column="tags", kind="labels")} if settings.tags else {})
    return gather(settings, tree, pictures, reading, classes, columns)


def _classes(tree: FileTree, reading: Reading) -> list[str]:
    """In the order of the project."""
    if META not in tree:
        return []
    document = read_json(tree, META)
    if not is_meta(document):
        return []
    reading.documents.add(META)
    return [name for one in items(document, "classes") if (name := text(one.get("title")))]


def _picture(
    settings: SuperviselySet, name: str, document: dict[str, Any], files: Files, reading: Reading
) -> Picture | None:
    """The picture of ann/a.jpg.json is img/a.jpg; of ann/a.json, img/a.jpg or another of that name."""
    path = PurePosixPath(name)
    folder = path.parent.parent / "img" if path.parent.name == "ann" else path.parent
    try:
        image = locate(files, path.stem, folder.as_posix())
    except DataError as error:
        unused(reading, name, lost(path.stem, error, "Supervisely", file=name))
        return None
    size = section(document, "size")
    picture = Picture(image, name, frame_of(size.get("width"), size.get("height")), [])
    assert picture.objects is not None
    whole = in_whole_pixels(document["objects"])
    for place, item in enumerate(document["objects"]):
        what = f"object {place}"
        try:
            found = shape_of(what, item, whole, reading.notes)
        except DataError as error:
            reading.problems.append(Problem(name, f"{error.line}; in: {what}", loses="annotation"))
            continue
        picture.objects += [found] if found else []
    _tag(settings, picture, items(document, "tags"), name, reading)
    return picture


def _tag(
    settings: SuperviselySet, picture: Picture, tags: list[dict[str, object]], name: str, reading: Reading
) -> None:
    """What the tags say: a split, answers, or names alone."""
    said = [(text(tag.get("name")), tag.get("value")) for tag in tags]
    bare = [tag for tag, value in said if value is None]
    splits = {split for tag in bare if (split := split_of(tag)) is not None}
    picture.split = splits.pop() if len(splits) == 1 else folder_split(name)
    names = [tag for tag in bare if split_of(tag) is None]
    if settings.tags:
        picture.answers[settings.tags] = names
    elif names:
        reading.notes["pictures with tags, which are not read"] += 1
    picture.answers |= _valued(settings.targets, dict(said))


def _valued(targets: Mapping[str, Column], values: Mapping[str, object]) -> dict[str, Answer]:
    found: dict[str, Answer] = {}
    for target, column in targets.items():
        value = values.get(column.column)
        if number(value) is not None and column.kind == "value":
            found[target] = number(value) or 0.0
        elif text(value):
            found[target] = [text(value)]
    return found
