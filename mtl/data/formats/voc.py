"""Pascal VOC: an XML file of objects per image, masks in SegmentationClass, lists in ImageSets; and what tools make of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mtl.codecs.header import Header
from mtl.config.files import VocSet
from mtl.data.formats.base import Entry, Problem, Reading, folder_split, ignores_marked
from mtl.data.formats.object_targets import object_targets
from mtl.data.formats.shapes import Box, Polygon, Shape, Targets, settle
from mtl.data.formats.voc_classes import class_order, declared_in, mask_labels, mask_spec, of_these
from mtl.data.formats.voc_layout import Layout, arranged
from mtl.data.formats.voc_lists import Lists
from mtl.data.formats.voc_objects import Annotation, Object
from mtl.data.kinds.box_table import DIFFICULT
from mtl.data.raw.rows import FileRef
from mtl.errors import DataError, gist
from mtl.storage.file_tree import FileTree


def read_voc(settings: VocSet, tree: FileTree) -> Reading:
    """Images with boxes and masks; an XML file without objects says that there are none, an image without one is not labelled.

    Raises:
        DataError: there are no classes, or nothing says which class a mask's value is.
    """
    reading = Reading({}, [])
    declared = declared_in(tree, reading)
    layout = arranged(tree, reading, boxes=settings.boxes is not None, masks=settings.masks is not None)
    lists = Lists(tree, layout.images, reading)
    used = {found.label for _, one in layout.annotations.values() for found in one.objects}
    declared = of_these(declared, used, reading)
    listed, chosen = lists.classes, bool(settings.classes)
    classes = class_order(settings.classes, declared, listed, used, bool(layout.masks), reading)
    if not classes:
        raise _no_classes(tree, layout, reading)
    reading.targets |= object_targets(Targets(settings.boxes, settings.masks), classes)
    if settings.masks and layout.masks:
        labels = mask_labels(classes, chosen, declared, listed)
        masks = sorted(layout.masks.values())
        reading.targets[settings.masks] = mask_spec(tree, masks, classes, labels, reading)
    reader = _Reader(settings, layout, classes, used, reading)
    reading.entries = reader.entries(lists, tree.headers(layout.annotations))
    return reading


def _no_classes(tree: FileTree, layout: Layout, reading: Reading) -> DataError:
    """With what is wrong with objects and files, if it is that."""
    reasons = [f"{what}: {error.line}" for _, one in layout.annotations.values() for what, error in one.lost]
    reasons += [problem.reason for problem in reading.problems]
    found = "; ".join([f"{len(layout.images)} images, no object", *reasons[:2]])
    return DataError(f"{tree.path} has no classes", found=found, fix="mend that, or declare `classes`")


class _Reader:
    """From annotations to targets."""

    def __init__(
        self, settings: VocSet, layout: Layout, classes: tuple[str, ...], used: set[str], reading: Reading
    ) -> None:
        self._settings, self._layout, self._classes, self._reading = settings, layout, classes, reading
        self._others = used - set(classes) if settings.classes else set[str]()
        objects = [found for _, one in layout.annotations.values() for found in one.objects]
        marked = sum(found.difficult for found in objects)
        self._ignores, notes = ignores_marked("difficult", marked, len(objects), settings.difficult)
        reading.notes += notes
        self._first = _first_pixel(objects, reading) if settings.first_pixel is None else settings.first_pixel

    def entries(self, lists: Lists, headers: Mapping[str, Header | DataError]) -> list[Entry]:
        """One per image; and a problem of each that cannot be used."""
        splits = lists.splits(only_masks=self._settings.boxes is None)
        result: list[Entry] = []
        for image in self._layout.images:
            if image not in splits and splits and lists.left_out(image):
                files = (image, self._layout.masks.get(image), self._layout.annotations.get(image, (None,))[0])
                for file in filter(None, files):
                    self._reading.documents.discard(file)
                    self._reading.left_out[file] = "in none of the lists of images"
                continue
            split = splits[image] if image in splits else folder_split(image)
            entry = Entry(self._layout.ids[image], FileRef(image), {}, split=split)
            result.append(entry)
            try:
                entry.targets = self._targets(image, headers)
            except DataError as error:
                where = self._layout.annotations.get(image, ("",))[0]
                self._reading.problems.append(Problem.of(entry.id, error, where))
        return result

    def _targets(self, image: str, headers: Mapping[str, Header | DataError]) -> dict[str, object]:
        layout, settings = self._layout, self._settings
        if image in layout.lost:
            raise layout.lost[image]
        targets: dict[str, object] = {}
        if image in layout.annotations:
            file, annotation = layout.annotations[image]
            header = headers[image]
            if isinstance(header, DataError):
                raise header
            shapes = self._shapes(layout.ids[image], annotation)
            drawn = settings.masks if not layout.masks else None
            names = Targets(settings.boxes, drawn)
            settled = settle(layout.ids[image], shapes, annotation.frame, header, names, file)
            self._reading.problems += settled.problems
            self._reading.notes += settled.notes
            targets |= settled.targets
        elif settings.boxes:
            self._reading.notes["images without an XML file, which have no boxes"] += 1
        if settings.masks and image in layout.masks:
            targets[settings.masks] = FileRef(layout.masks[image])
        return targets

    def _shapes(self, found: str, annotation: Annotation) -> list[Shape]:
        """The objects.

        Raises:
            DataError: there are some, and none can be used.
        """
        lost = [Problem(found, f"{what}: {error.line}", loses="annotation") for what, error in annotation.lost]
        shapes: list[Shape] = []
        for one in annotation.objects:
            if one.label in self._others:
                self._reading.notes["annotations of classes that are not declared, passed over"] += 1
                continue
            kind = DIFFICULT if self._ignores and one.difficult else 0.0
            box, polygons = self._placed(one)
            shapes.append(Shape(one.what, self._classes.index(one.label), box, polygons, kind=kind))
        self._reading.problems += lost
        if lost and not annotation.objects:  # which is not the same as nothing
            raise DataError("none of its objects can be used", found=gist(lost[0].reason))
        return shapes

    def _placed(self, one: Object) -> tuple[Box | None, Sequence[Polygon]]:
        """From the corner of the first pixel. VOC counts pixels from 1 and names the last one that is inside."""
        if one.box is None or self._first == 0:
            return one.box, one.polygons
        x1, y1, x2, y2 = one.box
        return (x1 - 1, y1 - 1, x2, y2), [[value - 1 for value in polygon] for polygon in one.polygons]


def _first_pixel(objects: list[Object], reading: Reading) -> int:
    """What the first pixel is called: 1, as in VOC; but 0 if a box begins there, or if no number is whole, for then it is no pixel
    that is counted, but a place (CVAT, labelme and VoTT write those).
    """
    boxes = [found for found in objects if found.box is not None]
    zeros = sum(min(found.box[:2]) < 1 for found in boxes if found.box)
    if zeros:
        reading.notes["boxes that begin at 0, so that pixels count from 0 in all of them"] += zeros
    elif boxes and all(found.decimals for found in boxes):
        reading.notes["boxes with decimals, so that they count from the corner of the first pixel"] += len(boxes)
    else:
        return 1
    return 0
