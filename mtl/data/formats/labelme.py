"""LabelMe: a JSON file per picture, beside it as a rule; the picture may be in the file itself."""

from __future__ import annotations

import base64
import binascii
from pathlib import PurePosixPath
from typing import Any

from mtl.config.files import Column, LabelMeSet
from mtl.data.formats.base import Reading
from mtl.data.formats.classes import is_background
from mtl.data.formats.documents import documents_of, frame_of, section, text
from mtl.data.formats.labelme_shapes import IGNORED, shapes_of
from mtl.data.formats.labelme_web import is_web, web_pictures
from mtl.data.formats.locate import locate, lost, unused
from mtl.data.formats.mentions import Files
from mtl.data.formats.pictures import Picture, gather
from mtl.data.formats.text import decoded, lines
from mtl.errors import DataError
from mtl.storage.file_tree import FileTree


def is_labelme(document: Any) -> bool:
    """Whether a JSON document is of LabelMe."""
    return isinstance(document, dict) and isinstance(document.get("shapes"), list) and "imagePath" in document


def read_labelme(settings: LabelMeSet, tree: FileTree) -> Reading:
    """Pictures with what is drawn on them; shapes of one group are one object.

    Raises:
        DataError: there is no file of LabelMe.
    """
    reading, files = Reading({}, []), Files(tree.images())
    web = [name for name in tree.names(settings.annotations, (".xml",)) if is_web(tree, name)]
    if web:
        pictures = web_pictures(web, tree, files, reading)
    else:
        found = documents_of(tree, settings.annotations, is_labelme, "LabelMe", reading)
        several = (_picture(settings, name, document, files, reading) for name, document in found)
        pictures = [picture for picture in several if picture is not None]
    columns = {settings.flags: Column(column="flags", kind="labels")} if settings.flags else {}
    return gather(settings, tree, pictures, reading, _declared(tree, reading), columns)


def _declared(tree: FileTree, reading: Reading) -> list[str]:
    """Classes in the order of labels.txt, which LabelMe is started with."""
    if "labels.txt" not in tree:
        return []
    try:
        names = [line for _, line in lines(decoded(tree.read("labels.txt")))]
    except DataError:
        return []
    reading.documents.add("labels.txt")
    return [name for name in names if name != IGNORED and not is_background(name)]


def _picture(
    settings: LabelMeSet, name: str, document: dict[str, Any], files: Files, reading: Reading
) -> Picture | None:
    image = _image(name, document, files, reading)
    if image is None:
        return None
    frame = frame_of(document.get("imageWidth"), document.get("imageHeight"))
    picture = Picture(image, name, frame, shapes_of(name, document["shapes"], reading))
    flags = section(document, "flags")
    if flags and settings.flags:
        picture.answers[settings.flags] = [text(flag) for flag, said in flags.items() if said is True]
    elif any(said is True for said in flags.values()):
        reading.notes["pictures with flags, which are not read"] += 1
    return picture


def _image(name: str, document: dict[str, object], files: Files, reading: Reading) -> str | bytes | None:
    """The picture's file; if there is none of the name that is said, that of the document's own name, or the bytes that the
    document holds; None, and a problem, if there are none.
    """
    path = PurePosixPath(name)
    mention, near = text(document.get("imagePath")), path.parent.as_posix()
    try:
        return locate(files, mention, near)
    except DataError as error:
        missing = error
    try:
        found = files.find(path.stem, near)
        reading.notes["files whose imagePath is not there: the picture of their own name is taken"] += 1
        return found
    except DataError:
        pass
    data = document.get("imageData")
    if isinstance(data, str) and data:
        try:
            return base64.b64decode(data, validate=True)
        except (binascii.Error, ValueError) as error:
            missing = DataError("imageData is damaged", found=str(error))
    unused(reading, name, lost(mention or name, missing, "LabelMe", file=name))
    return None
