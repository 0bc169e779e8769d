"""Pascal VOC: XML files of one image each, and masks in SegmentationClass."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath

from mtl.data.formats.base import Reading
from mtl.data.formats.partners import folders
from mtl.data.formats.voc_classes import class_order, declared_in, mask_labels, mask_spec, of_these
from mtl.data.formats.voc_layout import NOT_READ
from mtl.data.formats.voc_lists import Lists
from mtl.data.formats.voc_objects import Annotation, read_annotation
from mtl.data.onboard.look import Finding, Look, some
from mtl.errors import DataError


def detect(look: Look) -> Iterator[Finding]:
    """At most one, of all images."""
    files = look.unclaimed(".xml")
    read, faults = _annotations(look, files)
    pictures = set(look.images)
    masks = [name for name in look.unclaimed() if _in(name, "segmentationclass") and name in pictures]
    if not read and faults and _of_images(look, files):
        yield Finding("voc", evidence=frozenset(files), fault=faults[0])
        return
    jpegimages = any("jpegimages" in folders(name) for name in look.images)
    if not read and not masks and jpegimages and (lists := _lists(look)):
        fault = f"{lists[0]}: lists of images alone, without Annotations; a table of the images' classes can be read"
        yield Finding("voc", evidence=frozenset(lists), fault=fault)
        return
    if not read and not (masks and jpegimages):
        return
    reading = Reading({}, [])
    others = {name for name in look.unclaimed() if any(_in(name, word) for word in NOT_READ)}
    facts: list[str] = []
    base: dict[str, object] = {"path": look.tree.path, "format": "voc", "boxes": "objects" if read else None}
    try:
        if _masks_are_known(look, masks, read, reading) if masks else _all_outlined(read):
            base["masks"] = "regions"
    except DataError as error:
        facts.append(f"masks in SegmentationClass are not proposed: {error.line}")
    evidence = frozenset({*files, *masks} | others | reading.documents | reading.left_out.keys())
    if not read and "masks" not in base:
        yield Finding("voc", evidence=evidence, fault=facts[0])
        return
    yield Finding("voc", {"images": base}, evidence, tuple(facts))


def _lists(look: Look) -> list[str]:
    return [name for name in look.unclaimed(".txt") if _in(name, "imagesets")]


def _in(name: str, word: str) -> bool:
    return word in name.lower() and any(word in folder for folder in folders(name))


def _all_outlined(read: list[Annotation]) -> bool:
    objects = [one for found in read for one in found.objects]
    return bool(objects) and all(one.polygons for one in objects)


def _annotations(look: Look, files: list[str]) -> tuple[list[Annotation], list[str]]:
    """A few of the files, if as many are annotations as are not; else what is wrong with those."""
    read: list[Annotation] = []
    faults: list[str] = []
    for name in some(files):
        try:
            read.append(read_annotation(look.tree.read(name)))
        except DataError as error:
            faults.append(f"{name}: {error.line}")
    return (read, []) if len(read) >= len(faults) else ([], faults)


def _of_images(look: Look, files: list[str]) -> bool:
    """Whether most files are called as images are."""
    stems = {PurePosixPath(name).stem for name in look.images}
    return 2 * sum(PurePosixPath(name).stem in stems for name in files) > len(files)


def _masks_are_known(look: Look, masks: list[str], read: list[Annotation], reading: Reading) -> bool:
    """Whether something says what the masks' values are.

    Raises:
        DataError: nothing does.
    """
    used = {one.label for found in read for one in found.objects}
    declared = of_these(declared_in(look.tree, reading), used, reading)
    listed = Lists(look.tree, look.images, reading).classes
    classes = class_order((), declared, listed, used, True, reading)
    if not classes:
        raise DataError("nothing says which classes masks have", fix="add a labelmap.txt, or give `classes` in order")
    mask_spec(look.tree, masks, classes, mask_labels(classes, False, declared, listed), reading)
    return True
