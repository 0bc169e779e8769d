"""One XML file of Pascal VOC's kind: which image it is of, and the objects on it."""

from __future__ import annotations

import re
from typing import NamedTuple
from xml.etree.ElementTree import Element

from mtl.codecs.header import MAX_PIXELS
from mtl.data.formats.shapes import Box, Frame, Polygon
from mtl.data.formats.xml_files import child_number, parsed, text_of
from mtl.errors import DataError

SIDES = ("xmin", "ymin", "xmax", "ymax")
TRUE = ("1", "true", "yes")


class Object(NamedTuple):
    """An object. box: xmin, ymin, xmax, ymax as they are written; None if there is an outline alone. decimals: whether all four have
    some, if only .0.
    """

    what: str
    label: str
    box: Box | None
    polygons: tuple[Polygon, ...]
    difficult: bool
    decimals: bool = False


class Annotation(NamedTuple):
    """A file. filename: what it says of its image; lost: objects that cannot be read, and why."""

    filename: str
    frame: Frame
    objects: list[Object]
    lost: list[tuple[str, DataError]]


def is_voc(root: Element) -> bool:
    """Whether it is an annotation of one image."""
    return root.tag == "annotation"


def read_annotation(data: bytes) -> Annotation:
    """What a file says.

    Raises:
        DataError: it is no XML, or not of VOC's.
    """
    root = parsed(data)
    if not is_voc(root):
        raise DataError("the XML is not Pascal VOC's", found=f"its root is {root.tag[:40]!r}", fix="<annotation>")
    objects: list[Object] = []
    lost: list[tuple[str, DataError]] = []
    for number, item in enumerate(root.iter("object"), 1):
        label = text_of(item, "name")
        what = f"object {number} ({label[:40]})" if label else f"object {number}"
        if text_of(item, "deleted") == "1":  # LabelMe's
            continue
        try:
            objects.append(_object(what, label, item))
        except DataError as error:
            lost.append((what, error))
    name = text_of(root, "filename") or text_of(root, "path")
    return Annotation(name, _frame(root), objects, lost)


def _object(what: str, label: str, item: Element) -> Object:
    if not label:
        raise DataError("an object has no name")
    difficult = text_of(item, "difficult").lower() in TRUE
    polygons = tuple(_polygon(polygon) for polygon in item.findall("polygon"))
    box = item.find("bndbox")
    if box is not None:
        x1, y1, x2, y2 = (child_number(box, side) for side in SIDES)
        if x2 < x1 or y2 < y1:
            raise DataError("a box ends before it begins", found=str([x1, y1, x2, y2]))
        decimals = all("." in text_of(box, side) for side in SIDES)
        return Object(what, label, (x1, y1, x2, y2), polygons, difficult, decimals)
    if item.find("robndbox") is not None:
        raise DataError("a rotated box (robndbox, of roLabelImg) is not read", fix="convert it to its bndbox")
    if not polygons:
        raise DataError("an object has no bndbox")
    return Object(what, label, None, polygons, difficult)


def _polygon(item: Element) -> Polygon:
    """<pt><x/><y/></pt>… as LabelMe has it, or <x1/><y1/><x2/><y2/>… as Roboflow does."""
    points = item.findall("pt")
    if points:
        return [child_number(point, axis) for point in points for axis in ("x", "y")]
    numbers = sorted(int(found[1]) for child in item if (found := re.fullmatch("x([0-9]{1,6})", child.tag)))
    return [child_number(item, f"{axis}{number}") for number in numbers for axis in ("x", "y")]


def _frame(root: Element) -> Frame:
    """The size that the file declares; none if it is 0, as tools write that do not know it."""
    try:
        size = root.find("size")
        if size is not None:
            width, height = child_number(size, "width"), child_number(size, "height")
        else:
            size = root.find("imagesize")  # LabelMe's
            if size is None:
                return Frame()
            width, height = child_number(size, "ncols"), child_number(size, "nrows")
    except DataError:
        return Frame()
    return Frame(width, height) if width > 0 and height > 0 and width * height <= MAX_PIXELS else Frame()
