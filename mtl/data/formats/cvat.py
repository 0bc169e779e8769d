"""CVAT for images 1.1: an XML file with all images, and on them boxes, polygons, masks, ellipses and cuboids."""

from __future__ import annotations

from pathlib import PurePosixPath
from xml.etree.ElementTree import Element

from mtl.codecs.header import MAX_PIXELS, Header
from mtl.config.files import CvatSet
from mtl.data.formats.base import Entry, Problem, Reading, folder_split, image_ids, split_of
from mtl.data.formats.cvat_shapes import PASSED_OVER, read_shape
from mtl.data.formats.mentions import Files
from mtl.data.formats.object_targets import object_targets
from mtl.data.formats.partners import id_folder
from mtl.data.formats.shapes import Frame, Shape, Targets, settle
from mtl.data.formats.text import plain
from mtl.data.formats.xml_files import attribute_number, parsed, text_of
from mtl.data.raw.rows import FileRef
from mtl.errors import DataError, gist
from mtl.storage.file_tree import FileTree


def read_cvat(settings: CvatSet, tree: FileTree) -> Reading:
    """Images with their boxes and masks; an image without shapes has none, which is a label too.

    Raises:
        DataError: the file is missing, is no XML, is of a video, or names no class.
    """
    root = document(settings.annotations, tree.read(settings.annotations))
    names = labels_of(root)
    classes = settings.classes or tuple(names)
    if not set(classes) & set(names):
        found = f"it has {names[:12]}"
        raise DataError(f"{settings.annotations} has none of the declared classes", found=found)
    targets = Targets(settings.boxes, settings.masks)
    reading = Reading(object_targets(targets, classes), [], documents={settings.annotations})
    images = _files(settings, tree, root, reading)
    headers = tree.headers(images)
    ids = image_ids(images, settings.images or id_folder(images))
    entries: list[Entry] = []
    for name, image in images.items():
        split = split_of(image.get("subset") or "") or folder_split(name)
        entry = Entry(ids[name], FileRef(name), {}, split=split or split_of(PurePosixPath(settings.annotations).stem))
        entries.append(entry)
        try:
            shapes = _shapes(entry.id, image, classes, names, reading)
            header = headers[name]
            if not isinstance(header, Header):
                raise header
            settled = settle(entry.id, shapes, _frame(image), header, targets, settings.annotations)
        except DataError as error:
            reading.problems.append(Problem.of(entry.id, error, settings.annotations))
            continue
        entry.targets = settled.targets
        reading.problems += settled.problems
        reading.notes += settled.notes
    reading.entries = entries
    return reading


def document(name: str, data: bytes) -> Element:
    """The root of an annotations file.

    Raises:
        DataError: it is no XML of CVAT's, or of a video.
    """
    try:
        root = parsed(data)
    except DataError as error:
        raise DataError(f"{name} cannot be read", found=error.line) from error
    if root.tag != "annotations":
        raise DataError(f"{name} is not CVAT's XML", found=f"its root is {root.tag[:40]!r}")
    if root.find("track") is not None:
        fix = "export it as CVAT for images 1.1, with the frames as images"
        raise DataError(f"{name} is CVAT for video, which is not read", found="tracks", fix=fix)
    return root


def labels_of(root: Element) -> list[str]:
    """Names of labels as they are declared, else as they occur; a skeleton's parts are none.

    Raises:
        DataError: there are none.
    """
    declared = [item for labels in root.iterfind("meta//labels") for item in labels.iterfind("label")]
    names = [text_of(item, "name") for item in declared if not text_of(item, "parent")]
    if not any(names):
        names = [plain(item.get("label") or "") for image in root.iterfind("image") for item in image]
    found = list(dict.fromkeys(name for name in names if name))
    if not found:
        raise DataError("the XML names no labels")
    return found


def _files(settings: CvatSet, tree: FileTree, root: Element, reading: Reading) -> dict[str, Element]:
    """File → its element; the file is below `images` where that is said, else it is looked for."""
    known = Files(tree.images())
    near = PurePosixPath(settings.annotations).parent.as_posix()
    found: dict[str, Element] = {}
    for image in root.iterfind("image"):
        name, subset = image.get("name", ""), image.get("subset") or ""
        try:
            if settings.images:
                file = known.at(f"{settings.images}/{name}")
            else:
                file = known.find(f"{subset}/{name}" if subset and "/" not in name else name, near)
            if file in found:
                raise DataError("the file has this image twice", found=file)
        except DataError as error:
            reading.problems.append(Problem.of(name or f"image {image.get('id')}", error, settings.annotations))
            continue
        found[file] = image
    return found


def _shapes(found: str, image: Element, classes: tuple[str, ...], names: list[str], reading: Reading) -> list[Shape]:
    """The shapes of an image.

    Raises:
        DataError: it has some, and none can be used.
    """
    shapes: list[Shape] = []
    lost: list[Problem] = []
    for number, item in enumerate(image, 1):
        label, what = plain(item.get("label") or ""), f"{item.tag[:40]} {number}"
        if item.tag in PASSED_OVER:
            reading.notes[f"{PASSED_OVER[item.tag]}, passed over"] += 1
            continue
        if label in names and label not in classes:
            reading.notes["annotations of classes that are not declared, passed over"] += 1
            continue
        try:
            if label not in classes:
                raise DataError("unknown class", found=repr(label))
            shapes.append(read_shape(item, what, classes.index(label), reading.notes))
        except DataError as error:
            lost.append(Problem(found, f"{what}: {error.line}", loses="annotation"))
    reading.problems += lost
    if lost and not shapes:  # which is not the same as nothing
        raise DataError("none of its shapes can be used", found=gist(lost[0].reason))
    return shapes


def _frame(image: Element) -> Frame:
    try:
        width, height = attribute_number(image, "width"), attribute_number(image, "height")
    except DataError:
        return Frame()
    return Frame(width, height) if width > 0 and height > 0 and width * height <= MAX_PIXELS else Frame()
