"""YOLO: a text file per image, with a line per object. Darknet's, Ultralytics', Roboflow's, CVAT's and LabelImg's layouts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from mtl.codecs.header import Header
from mtl.config.files import YoloSet
from mtl.data.formats.base import Entry, Problem, Reading, ignores_marked, image_ids
from mtl.data.formats.object_targets import object_targets
from mtl.data.formats.partners import id_folder
from mtl.data.formats.shapes import Frame, Shape, Targets, settle
from mtl.data.formats.text import decoded, lines
from mtl.data.formats.yolo_classes import Classes, classes_of
from mtl.data.formats.yolo_declared import declared_in
from mtl.data.formats.yolo_layout import Layout, arranged, own_root
from mtl.data.formats.yolo_lines import Row, Survey, read_row
from mtl.data.kinds.box_table import DIFFICULT
from mtl.data.raw.rows import FileRef
from mtl.errors import DataError, gist
from mtl.storage.file_tree import FileTree


def read_yolo(settings: YoloSet, tree: FileTree) -> Reading:
    """Images with their boxes and masks; an image without a text file shows nothing, if others of its split have one.

    Raises:
        DataError: there are no class names, or lines count classes from 1.
    """
    reading = Reading({}, [])
    declared = declared_in(settings, tree, reading.notes)
    if declared is not None:
        reading.documents |= declared.documents
        # Label Studio says the same names again.
        reading.documents |= {name for name in tree.names("", (".json",)) if name.rsplit("/", 1)[-1] == "notes.json"}
    root = own_root(tree, settings.data)
    layout = arranged(tree, declared, settings.encoding, reading, root)
    texts = _texts(settings, tree, layout)
    survey = Survey(declared.keypoints if declared else 0)
    for text in texts.values():
        for _, row in _rows(text):
            if isinstance(row, Row):
                survey.add(row)
    where = declared.file if declared else tree.path
    classes = classes_of(declared.names if declared else {}, settings.classes, survey, where)
    reading.targets |= object_targets(Targets(settings.boxes, settings.masks), classes.names)
    reader = _Reader(settings, survey, classes, reading)
    reading.entries = reader.entries(layout, texts, tree.headers(layout.images))
    return reading


def _texts(settings: YoloSet, tree: FileTree, layout: Layout) -> dict[str, str | DataError]:
    """Label file → what it says, or why it is no text."""
    texts: dict[str, str | DataError] = {}
    for label, data in tree.contents(dict.fromkeys(layout.labels.values())):
        try:
            if isinstance(data, DataError):
                raise data
            texts[label] = decoded(data, settings.encoding)
        except DataError as error:
            texts[label] = error
    return texts


def _rows(text: str | DataError) -> Iterator[tuple[int, Row | DataError]]:
    """Numbers of lines, with what they say or why they cannot be read."""
    for number, line in lines(text if isinstance(text, str) else ""):
        if line.lower().startswith(("imagesource:", "gsd:")):  # DOTA's header
            continue
        try:
            yield number, read_row(number, line)
        except DataError as error:
            yield number, error


class _Reader:
    """From lines to targets."""

    def __init__(self, settings: YoloSet, survey: Survey, classes: Classes, reading: Reading) -> None:
        self._settings, self._survey, self._classes, self._reading = settings, survey, classes, reading
        total = sum((survey.numbers + survey.names).values())
        self._ignores, notes = ignores_marked("difficult", survey.num_difficult, total, as_objects=False)
        reading.notes += notes

    def entries(
        self, layout: Layout, texts: Mapping[str, str | DataError], headers: Mapping[str, Header | DataError]
    ) -> list[Entry]:
        """One per image; and a problem of each that cannot be used."""
        ids = image_ids(layout.images, id_folder(layout.images))
        labelled = {layout.splits[image] for image in layout.labels}
        result: list[Entry] = []
        for image in layout.images:
            entry = Entry(ids[image], FileRef(image), {}, split=layout.splits[image])
            result.append(entry)
            label = layout.labels.get(image)
            if label is None:
                known = self._settings.background and entry.split in labelled
                what = "in which there is nothing" if known else "which have no label"
                self._reading.notes[f"images without a text file, {what}"] += 1
                if not known:
                    continue
            self._add_targets(entry, label, texts.get(label or "", ""), headers[image])
        return result

    def _add_targets(self, entry: Entry, label: str | None, text: str | DataError, header: Header | DataError) -> None:
        if isinstance(text, DataError):
            self._reading.problems.append(Problem.of(entry.id, text, label or "", label or ""))
            return
        if label is not None:
            self._reading.documents.add(label)
        try:
            if isinstance(header, DataError):
                raise header
            entry.targets = self._targets(entry.id, label or "", text, header)
        except DataError as error:
            self._reading.problems.append(Problem.of(entry.id, error, label or ""))

    def _targets(self, found: str, label: str, text: str, header: Header) -> dict[str, object]:
        shapes: dict[tuple[str, tuple[float, ...]], Shape | None] = {}
        frame, lost = Frame(relative=True), list[Problem]()
        for number, row in _rows(text):
            try:
                if isinstance(row, DataError):
                    raise row
                if (row.label, row.values) in shapes:
                    self._reading.notes["lines that say the same again, left out"] += 1
                    continue
                frame = Frame() if row.dota else frame
                shapes[row.label, row.values] = self._shape(row)
            except DataError as error:
                lost.append(Problem(found, f"{error.line}; in: {label}, line {number}", loses="annotation"))
        self._reading.problems += lost
        if lost and not shapes:  # which is not the same as nothing
            raise DataError("none of its lines can be used", found=gist(lost[0].reason))
        names = Targets(self._settings.boxes, self._settings.masks)
        settled = settle(found, [s for s in shapes.values() if s], frame, header, names, label)
        self._reading.problems += settled.problems
        self._reading.notes += settled.notes
        return settled.targets

    def _shape(self, row: Row) -> Shape | None:
        """None of a class that is left out."""
        index, notes = self._classes.of(row), Counter[str]()
        if index is None:
            self._reading.notes["annotations of classes that are not declared, passed over"] += 1
            return None
        box = self._survey.box(row, notes)
        outline = () if box else (self._survey.outline(row, notes),)
        if outline and not self._settings.masks:
            notes["outlines, of which the boxes are taken"] += 1
        self._reading.notes += notes
        kind = DIFFICULT if self._ignores and row.difficult else 0.0
        return Shape(f"line {row.number}", index, box, outline, kind=kind)
