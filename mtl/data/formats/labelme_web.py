"""The LabelMe of the web (MIT's, and what CVAT and Datumaro export as LabelMe): Annotations/*.xml, Images, Masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import PurePosixPath
from xml.etree.ElementTree import Element

from mtl.data.formats.base import Problem, Reading
from mtl.data.formats.bitmaps import bitmap
from mtl.data.formats.documents import frame_of, number
from mtl.data.formats.figures import outlined, united
from mtl.data.formats.locate import locate, lost, unused
from mtl.data.formats.mentions import Files
from mtl.data.formats.pictures import Picture
from mtl.data.formats.shapes import Shape, box_around
from mtl.data.formats.xml_files import parsed, text_of
from mtl.errors import DataError
from mtl.storage.file_tree import FileTree

MARKS = (b"<imagesize>", b"<polygon>", b"<segm>", b"<sourceImage>")
"""Words of LabelMe's that Pascal VOC's files have not, which look like them otherwise."""


def is_web(tree: FileTree, name: str) -> bool:
    """Whether an XML file is of the LabelMe of the web."""
    data = tree.read_or_none(name) or b""
    return b"<annotation>" in data and any(mark in data for mark in MARKS) and b"<bndbox>" not in data


def web_pictures(names: Sequence[str], tree: FileTree, files: Files, reading: Reading) -> list[Picture]:
    """Pictures of XML files. Those that cannot be read or whose picture is not there are problems."""
    found: list[Picture] = []
    for name in names:
        reading.documents.add(name)
        try:
            root = parsed(tree.read(name))
        except DataError as error:
            unused(reading, name, replace(Problem.of(name, error, name, file=name), loses="annotation"))
            continue
        folder, mention = text_of(root, "folder"), text_of(root, "filename")
        try:
            image = locate(files, f"{folder}/{mention}".lstrip("/"), PurePosixPath(name).parent.as_posix())
        except DataError as error:
            unused(reading, name, lost(mention or name, error, "LabelMe", file=name))
            continue
        frame = frame_of(text_of(root, "imagesize/ncols"), text_of(root, "imagesize/nrows"))
        found.append(Picture(image, name, frame, _objects(name, root, tree, files, reading)))
    return found


def _objects(name: str, root: Element, tree: FileTree, files: Files, reading: Reading) -> list[tuple[str, Shape]]:
    """Class and shape of each object; what is drawn as parts of one, and is called like it, is one."""
    drawn: dict[str, tuple[str, Shape]] = {}
    whole: dict[str, str] = {}
    for place_in_file, item in enumerate(root.iter("object")):
        label, known = text_of(item, "name"), text_of(item, "id") or str(place_in_file)
        if text_of(item, "deleted") == "1":
            reading.notes["objects that are marked deleted, passed over"] += 1
            continue
        try:
            shape = _shape(f"object {known}", item, name, tree, files, reading)
        except DataError as error:
            reading.problems.append(Problem(name, f"{error.line}; in: object {known}", loses="annotation"))
            continue
        drawn[known] = (label, shape)
        whole[known] = text_of(item, "parts/ispartof") or known
    groups: dict[tuple[str, str], list[Shape]] = {}
    for known, (label, shape) in drawn.items():
        groups.setdefault((label, whole[known]), []).append(shape)
    return [(label, united(outlined(shapes))) for (label, _), shapes in groups.items()]


def _shape(what: str, item: Element, name: str, tree: FileTree, files: Files, reading: Reading) -> Shape:
    """One object.

    Raises:
        DataError: it has no points, or its mask is not there.
    """
    mask = text_of(item, "segm/mask")
    if mask:
        file = locate(files, mask, PurePosixPath(name).parent.as_posix().replace("Annotations", "Masks", 1))
        reading.documents.add(file)
        return bitmap(what, tree.read(file), 0, 0)
    numbers = [number(text_of(point, axis)) for point in item.iter("pt") for axis in ("x", "y")]
    points = [value for value in numbers if value is not None]
    if len(points) < len(numbers) or len(points) < 4:
        raise DataError("an object has no outline", found=f"{len(numbers) // 2} points")
    if text_of(item, "type") == "bounding_box":
        return Shape(what, 0, box_around(points))
    return Shape(what, 0, polygons=[points])
