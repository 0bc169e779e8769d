"""Pascal VOC: JPEGImages, Annotations, SegmentationClass, ImageSets; or images and XML files side by side."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any
from xml.etree import ElementTree

from mtl.config import DataError
from mtl.config.files import VocSet
from mtl.data.formats.base import Entry, Problem, Reading, image_id
from mtl.data.formats.cells import number
from mtl.data.place import Place
from mtl.data.raw import FileRef
from mtl.data.spec import TargetSpec


def read_voc(settings: VocSet, place: Place) -> Reading:
    """Images with boxes, and masks where SegmentationClass has them.

    Raises:
        DataError: there is no image, or there are no classes.
    """
    images = place.images("JPEGImages") or [n for n in place.images() if "/Segmentation" not in f"/{n}"]
    splits = _splits(place)
    xml: dict[str, Any] = {}
    problems: list[Problem] = []
    for name in images if settings.boxes else []:
        file = _annotation(name)
        if file not in place:
            continue
        try:
            xml[name] = _objects(place.read(file), settings.difficult)
        except (DataError, ElementTree.ParseError) as error:
            problems.append(Problem.of(image_id(name, _folder(name)), error, file))
    names = {label for objects in xml.values() for label, _ in objects}
    classes = settings.classes or tuple(sorted(names))
    if not classes:
        raise DataError(
            f"{place.path} has no classes", found=f"{len(images)} images, no object", fix="declare `classes`"
        )
    specs: dict[str, TargetSpec] = {}
    if settings.boxes:
        specs[settings.boxes] = TargetSpec(kind="boxes", classes=classes)
    if settings.masks:
        specs[settings.masks] = TargetSpec(kind="mask", classes=("background", *classes))
    bad = {problem.id for problem in problems}
    entries: list[Entry] = []
    for name in images:
        found = image_id(name, _folder(name))
        unknown = [label for label, _ in xml.get(name, []) if label not in classes]
        if unknown:
            problems.append(Problem(found, f"unknown class {unknown[0]!r}"))
        if unknown or found in bad:
            continue
        targets: dict[str, Any] = {}
        if settings.boxes and name in xml:
            targets[settings.boxes] = [[*box, float(classes.index(label))] for label, box in xml[name]]
        mask = f"SegmentationClass/{PurePosixPath(name).stem}.png"
        if settings.masks and mask in place:
            targets[settings.masks] = FileRef(mask)
        entries.append(Entry(found, FileRef(name), targets, split=splits.get(PurePosixPath(name).stem)))
    return Reading(specs, entries, problems)


def _folder(name: str) -> str:
    return "JPEGImages" if name.startswith("JPEGImages/") else ""


def _annotation(name: str) -> str:
    path = PurePosixPath(name)
    if _folder(name):
        path = "Annotations" / path.relative_to("JPEGImages")
    return path.with_suffix(".xml").as_posix()


def _splits(place: Place) -> dict[str, str]:
    found: dict[str, str] = {}
    for split in ("train", "val", "test"):
        for kind in ("Main", "Segmentation"):
            file = f"ImageSets/{kind}/{split}.txt"
            if file in place:
                found |= {line.split()[0]: split for line in place.read(file).decode().splitlines() if line.strip()}
    return found


def _objects(data: bytes, difficult: bool) -> list[tuple[str, list[float]]]:
    """Class and corners of every object. VOC counts pixels from 1 and names the last one that is inside."""
    if b"<!ENTITY" in data:
        raise DataError("the XML defines entities", fix="annotations need none; such files can be bombs")
    found: list[tuple[str, list[float]]] = []
    for item in ElementTree.fromstring(data).iter("object"):
        if not difficult and item.findtext("difficult", "0").strip() == "1":
            continue
        box = item.find("bndbox")
        if box is None:
            raise DataError("an object has no bndbox")
        x1, y1, x2, y2 = (number(box.findtext(c, ""), c) for c in ("xmin", "ymin", "xmax", "ymax"))
        if x2 < x1 or y2 < y1:
            raise DataError("a box ends before it begins", found=str([x1, y1, x2, y2]))
        found.append((item.findtext("name", "").strip(), [max(x1 - 1, 0.0), max(y1 - 1, 0.0), x2, y2]))
    return found
