"""What an annotation tool says of pictures, from classes and answers by name to entries: the same for every tool's format."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath

from mtl.codecs.header import Header, read_header
from mtl.config.files import Column
from mtl.config.files.tools import DrawnSet
from mtl.data.formats.answers import Answer, answer_specs, answer_value
from mtl.data.formats.base import Entry, Problem, Reading, file_split, folder_split, image_id, image_ids
from mtl.data.formats.classes import PASSED_OVER, Chosen, chosen
from mtl.data.formats.shapes import Frame, Shape, Targets, settle
from mtl.data.raw.rows import FileRef
from mtl.errors import DataError
from mtl.storage.file_tree import FileTree


@dataclass
class Picture:
    """One picture of a document.

    image: its file, or its bytes where the document holds them. objects: class and shape of each; None where nobody has looked
    for any. answers: by target. split: that the document says.
    """

    image: str | bytes
    document: str
    frame: Frame = field(default_factory=Frame)
    objects: list[tuple[str, Shape]] | None = None
    answers: dict[str, Answer] = field(default_factory=dict[str, Answer])
    split: str | None = None


def gather(
    settings: DrawnSet,
    tree: FileTree,
    pictures: Sequence[Picture],
    reading: Reading,
    declared: Iterable[str] = (),
    columns: Mapping[str, Column] | None = None,
) -> Reading:
    """Add entries for pictures, and for others that lie beside them and that nobody has labelled.

    Args:
        reading: what was seen on the way; entries and targets are put into it.
        declared: classes as the files list them; others that occur come after them, sorted.
        columns: of the answers.
    """
    named = {name for picture in pictures for name, _ in picture.objects or ()}
    names = [*dict.fromkeys(declared), *sorted(named - {*declared})]
    classes = chosen(settings.classes, names, tree.path, reading.notes, masks=bool(settings.masks))
    if classes.classes:
        reading.targets |= classes.specs(settings.boxes, settings.masks)
    reading.targets |= answer_specs(columns or {}, (picture.answers for picture in pictures))
    files = [picture.image for picture in pictures if isinstance(picture.image, str)]
    beside = _beside(tree, files)
    ids, headers = image_ids({*files, *beside}), tree.headers(set(files))
    several = (_entry(settings, picture, ids, headers, classes, reading) for picture in pictures)
    entries = [entry for entry in several if entry is not None]
    unlabelled = [Entry(ids[name], FileRef(name), {}, split=folder_split(name)) for name in beside]
    if unlabelled:
        reading.notes["pictures beside the others that no annotation names, not labelled"] += len(unlabelled)
    reading.entries = [*entries, *unlabelled]
    return reading


def _entry(
    settings: DrawnSet,
    picture: Picture,
    ids: Mapping[str, str],
    headers: Mapping[str, Header | DataError],
    classes: Chosen,
    reading: Reading,
) -> Entry | None:
    """The entry of one picture; None, and a problem, if it cannot be used."""
    file = picture.image if isinstance(picture.image, str) else ""
    image = FileRef(file) if isinstance(picture.image, str) else picture.image
    found = ids[file] if file else image_id(picture.document)
    try:
        header = read_header(image) if isinstance(image, bytes) else headers[file]
        if isinstance(header, DataError):
            raise header
        targets = _targets(settings, picture, found, header, classes, reading)
    except DataError as error:
        reading.problems.append(Problem.of(found, error, picture.document, file))
        return None
    split = picture.split or file_split(picture.document) or folder_split(file)
    return Entry(found, image, targets, split=split)


def _beside(tree: FileTree, files: Sequence[str]) -> list[str]:
    """Pictures in the folders of others."""
    folders = {PurePosixPath(name).parent for name in files}
    named = set(files)
    return [name for name in tree.images() if name not in named and PurePosixPath(name).parent in folders]


def _targets(
    settings: DrawnSet, picture: Picture, found: str, header: Header, classes: Chosen, reading: Reading
) -> dict[str, object]:
    """All that is said of one picture.

    Raises:
        DataError: it has another shape than its annotation says.
    """
    targets: dict[str, object] = {}
    if picture.objects is not None and classes.classes:
        shapes: list[Shape] = []
        for name, shape in picture.objects:
            if name in classes.by_name:
                shapes.append(replace(shape, label=classes.by_name[name]))
            else:
                reading.notes[PASSED_OVER] += 1
        names = Targets(settings.boxes, settings.masks)
        settled = settle(found, shapes, picture.frame, header, names, picture.document)
        reading.problems += settled.problems
        reading.notes += settled.notes
        targets = settled.targets
    for name, answer in picture.answers.items():
        try:
            value = answer_value(name, answer, reading.targets[name], reading.notes)
        except DataError as error:
            reading.problems.append(replace(Problem.of(found, error, picture.document), loses="annotation"))
            continue
        if value is not None:
            targets[name] = value
    return targets
