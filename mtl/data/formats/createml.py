"""CreateML: a JSON list of pictures, with boxes by their centres in pixels, or with a label alone."""

from __future__ import annotations

from pathlib import PurePosixPath

from mtl.config.files import Column, CreateMlSet
from mtl.data.formats.base import Problem, Reading
from mtl.data.formats.documents import documents_of, numbers, section, shown, text
from mtl.data.formats.locate import locate, lost
from mtl.data.formats.mentions import Files
from mtl.data.formats.pictures import Picture, gather
from mtl.data.formats.shapes import Shape
from mtl.errors import DataError
from mtl.storage.file_tree import FileTree

NAMES = ("image", "imagefilename", "filename")
LISTS = ("annotations", "annotation")


def is_createml(document: object) -> bool:
    """Whether a JSON document is of CreateML."""
    if not isinstance(document, list) or not document:
        return False
    return all(isinstance(item, dict) and _name(item) and list_of(item) is not None for item in document[:8])


def _name(item: dict[str, object]) -> str:
    return next((name for key in NAMES if (name := text(item.get(key)))), "")


def list_of(item: dict[str, object]) -> list[dict[str, object]] | None:
    """Boxes or labels of a picture; None if it is none of CreateML's. A label may stand for a list of one."""
    given = next((item[key] for key in LISTS if key in item), None)
    if isinstance(given, str):
        return [{"label": given}]
    if isinstance(given, list) and all(isinstance(one, dict) and "label" in one for one in given):
        return given
    return None


def read_createml(settings: CreateMlSet, tree: FileTree) -> Reading:
    """Pictures with their boxes, or labels.

    Raises:
        DataError: there is no file of CreateML.
    """
    reading, files = Reading({}, []), Files(tree.images())
    pictures: list[Picture] = []
    for name, document in documents_of(tree, settings.annotations, is_createml, "CreateML", reading):
        for item in document:
            mention = _name(item) if isinstance(item, dict) else ""
            given = list_of(item) if mention else None
            if given is None:
                reading.problems.append(
                    Problem(mention or name, f"{name}: an item is no picture; found: {shown(item)}")
                )
                continue
            try:
                image = locate(files, mention, PurePosixPath(name).parent.as_posix())
            except DataError as error:
                reading.problems.append(lost(mention, error, name))
                continue
            pictures.append(_picture(settings, Picture(image, name), given, mention, reading))
    columns = {settings.label: Column(column="label", kind="label")} if settings.label else {}
    return gather(settings, tree, pictures, reading, columns=columns)


def _picture(
    settings: CreateMlSet, picture: Picture, given: list[dict[str, object]], mention: str, reading: Reading
) -> Picture:
    boxed = [(place, one) for place, one in enumerate(given) if section(one, "coordinates")]
    labels = [text(one.get("label")) for one in given if not section(one, "coordinates")]
    picture.objects = [] if boxed or not given else None
    if labels and settings.label:
        picture.answers[settings.label] = labels
    for place, one in boxed:
        sides = numbers([section(one, "coordinates").get(key) for key in ("x", "y", "width", "height")], 4)
        label = text(one.get("label"))
        if sides is None or not label:
            reason = f"a box has no label or no four numbers; found: {shown(one)}"
            reading.problems.append(Problem(mention, reason, loses="annotation"))
            continue
        x, y, width, height = sides
        box = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
        assert picture.objects is not None
        picture.objects.append((label, Shape(f"box {place}", 0, box)))
    return picture
