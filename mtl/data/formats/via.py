"""VGG Image Annotator 1 and 2: projects and annotations in JSON, and annotations in CSV."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath

from mtl.config.files import ViaSet
from mtl.data.formats.answers import Answer
from mtl.data.formats.base import Problem, Reading
from mtl.data.formats.documents import documents_of, section, shown, text
from mtl.data.formats.locate import locate, lost
from mtl.data.formats.mentions import Files
from mtl.data.formats.pictures import Picture, gather
from mtl.data.formats.shapes import Shape
from mtl.data.formats.via_shapes import shape_of
from mtl.data.formats.via_table import is_via_table, table_of
from mtl.errors import DataError
from mtl.storage.file_tree import FileTree

ONLY = "object"
"""The class of regions that have no attribute at all."""

Item = dict[str, object]


def is_via(document: object) -> bool:
    """Whether a JSON document is of VIA 1 or 2."""
    if not isinstance(document, dict) or not document:
        return False
    found = files_of(document)
    return bool(found) and all("filename" in one and "regions" in one for one in found[:8])


def files_of(document: Mapping[str, object]) -> list[Item]:
    """What a project or a file of annotations says of each file."""
    held = document.get("_via_img_metadata", document)
    return [one for one in held.values() if isinstance(one, dict)] if isinstance(held, dict) else []


def regions_of(item: Item) -> list[Item]:
    """Regions, which VIA 1 keeps by their numbers."""
    given = item.get("regions")
    found = given.values() if isinstance(given, dict) else given if isinstance(given, list) else ()
    return [one for one in found if isinstance(one, dict)]


def class_attribute(items: Iterable[Item]) -> str:
    """The attribute that is the regions' class: the one that most have; nothing if none has any."""
    counts: Counter[str] = Counter()
    for item in items:
        for region in regions_of(item):
            counts.update(key for key, value in section(region, "region_attributes").items() if names_of(value))
    return counts.most_common(1)[0][0] if counts else ""


def names_of(value: object) -> list[str]:
    """What an attribute says: a text or a choice; of boxes to tick, those that are."""
    if isinstance(value, dict):
        return [text(name) for name, ticked in value.items() if ticked is True or ticked == "true"]
    return [name] if (name := text(value)) else []


def read_via(settings: ViaSet, tree: FileTree) -> Reading:
    """Files with their regions, and what their own attributes say.

    Raises:
        DataError: there is no file of VIA.
    """
    reading = Reading({}, [])
    documents = _documents(settings, tree, reading)
    known, files = Files(tree.images()), [item for _, items in documents.items() for item in items]
    attribute = settings.attribute or class_attribute(files)
    pictures: list[Picture] = []
    for name, items in documents.items():
        for item in items:
            mention = text(item.get("filename"))
            try:
                image = locate(known, mention, PurePosixPath(name).parent.as_posix())
            except DataError as error:
                reading.problems.append(lost(mention or shown(item), error, name))
                continue
            objects = _objects(mention, item, attribute, reading)
            pictures.append(Picture(image, name, objects=objects, answers=_answers(settings, item)))
    return gather(settings, tree, pictures, reading, columns=settings.targets)


def _documents(settings: ViaSet, tree: FileTree, reading: Reading) -> dict[str, list[Item]]:
    """File → what it says of pictures."""
    tables = [n for n in tree.names(settings.annotations, (".csv",)) if is_via_table(tree.read_or_none(n) or b"")]
    if settings.annotations in tree and settings.annotations.lower().endswith(".csv"):
        tables = [settings.annotations]
    found = {name: table_of(tree.read(name), name, reading) for name in tables}
    reading.documents |= found.keys()
    if not found:
        documents = documents_of(tree, settings.annotations, is_via, "VGG Image Annotator", reading)
        found = {name: files_of(document) for name, document in documents}
    return found


def _objects(mention: str, item: Item, attribute: str, reading: Reading) -> list[tuple[str, Shape]]:
    objects: list[tuple[str, Shape]] = []
    for place, region in enumerate(regions_of(item)):
        what = f"region {place}"
        labels = names_of(section(region, "region_attributes").get(attribute)) if attribute else [ONLY]
        try:
            if len(labels) != 1:
                raise DataError(f"a region has no class in {attribute!r}", found=shown(region.get("region_attributes")))
            shape = shape_of(what, section(region, "shape_attributes"), reading.notes)
        except DataError as error:
            reading.problems.append(Problem(mention, f"{error.line}; in: {what}", loses="annotation"))
            continue
        objects += [(labels[0], shape)] if shape else []
    return objects


def _answers(settings: ViaSet, item: Item) -> dict[str, Answer]:
    given = section(item, "file_attributes")
    found = {target: names_of(given.get(column.column)) for target, column in settings.targets.items()}
    return {target: answer for target, answer in found.items() if answer}
