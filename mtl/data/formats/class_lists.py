"""Lists of images with the numbers of their classes: `val_00000001.JPEG 65`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from mtl.config.files import ClassListSet
from mtl.data.formats.base import Entry, Problem, Reading, folder_split, image_ids
from mtl.data.formats.classes import PASSED_OVER
from mtl.data.formats.label_files import names_in
from mtl.data.formats.lists import list_split, one_split
from mtl.data.formats.mentions import Files
from mtl.data.formats.partners import id_folder
from mtl.data.formats.text import decoded, lines
from mtl.data.raw.rows import FileRef
from mtl.data.spec import TargetSpec
from mtl.errors import DataError
from mtl.storage.file_tree import FileTree

UNLABELLED = -1
"""The number of an image whose class nobody says."""
_LINE = re.compile(r"(\S.*?)((?:[\s,;]+-?\d+)+)")


@dataclass
class Told:
    """What lists say of one image. numbers: of its classes; splits: those that lists of it are of; places: the lines."""

    numbers: set[tuple[int, ...]] = field(default_factory=set[tuple[int, ...]])
    splits: set[str] = field(default_factory=set[str])
    places: list[str] = field(default_factory=list[str])


def read_class_lists(settings: ClassListSet, tree: FileTree) -> Reading:
    """Images with a class, or with several; one that is in no list is left out.

    Raises:
        DataError: a list is missing or cannot be read, there is none, or no line names an image.
    """
    files = settings.lists or tuple(
        name for name in tree.names("", (".txt",)) if name != settings.names and list_split(name)
    )
    if not files:
        raise DataError(
            f"{tree.path} has no lists", found="none called train.txt, val.txt …", fix="name them in `lists`"
        )
    reading = Reading({}, [], documents={*files, *([settings.names] if settings.names else [])})
    told = _told(settings, tree, files, reading)
    if not told:
        reasons = "; ".join(problem.reason for problem in reading.problems[:2])
        raise DataError(f"{', '.join(files[:3])}: no line has an image and a number", found=reasons or "no lines")
    names = _names(settings, tree, [n for one in told.values() for numbers in one.numbers for n in numbers])
    classes = settings.classes if settings.classes and settings.names else tuple(names.values())
    reading.targets = {settings.target: TargetSpec(kind=settings.kind, classes=classes)}
    ids = image_ids(told, settings.images or id_folder([*told]))
    splits = one_split(_by_split(told), reading.notes)
    index = {number: classes.index(name) for number, name in names.items() if name in classes}
    entries: list[Entry] = []
    for file, one in told.items():
        split = splits[file] if file in splits else folder_split(file)
        entry = Entry(ids[file], FileRef(file), {}, split=split)
        entries.append(entry)
        _add(entry, one, settings, names, index, reading)
    folders = {file.rpartition("/")[0] for file in told}
    for name in tree.images(settings.images):
        if name not in told and name.rpartition("/")[0] in folders:
            reading.left_out[name] = "in none of the lists of images"
    reading.entries = entries
    return reading


def _told(settings: ClassListSet, tree: FileTree, files: Sequence[str], reading: Reading) -> dict[str, Told]:
    told: dict[str, Told] = {}
    below = tree.images(settings.images)
    known: dict[str | None, Files] = {}
    for name in files:
        split, folder = list_split(name), settings.images or name.rpartition("/")[0]
        if split not in known:  # names are the same in all splits' folders, in some sets
            known[split] = Files(image for image in below if not split or folder_split(image) in (None, split))
        try:
            text = decoded(tree.read(name))
        except DataError as error:
            raise DataError(f"{name} cannot be read", found=error.line) from error
        for number, image, numbers in listed_classes(text, known[split], folder):
            where = f"{name} line {number}"
            if isinstance(image, DataError):
                reading.problems.append(Problem.of(where, image))
                continue
            one = told.setdefault(image, Told())
            one.numbers.add(numbers)
            one.splits |= {split} if split else set()
            one.places.append(where)
    return told


def listed_classes(text: str, files: Files, folder: str) -> Iterator[tuple[int, str | DataError, tuple[int, ...]]]:
    """Number, image and classes of each line, or why it has none."""
    for number, line in lines(text):
        if line.startswith("#"):
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            yield number, DataError("a line is no name and number", found=line[:80]), ()
            continue
        yield (number, *_named(line, files, folder))


def _named(line: str, files: Files, folder: str) -> tuple[str | DataError, tuple[int, ...]]:
    """The image of a line, and the numbers behind it. A name may end in a number too, so the fewest are tried first."""
    numbers: list[int] = []
    rest, error = line, DataError("a line names no image", found=line[:80])
    while (match := re.fullmatch(r"(\S.*?)[\s,;]+(-?\d{1,9})", rest)) is not None:
        rest = match.group(1)
        numbers.append(int(match.group(2)))
        try:
            return files.find(rest.strip("\"'"), folder), tuple(sorted(numbers))
        except DataError as found:
            error = found
    return error, ()


def _names(settings: ClassListSet, tree: FileTree, numbers: Iterable[int]) -> dict[int, str]:
    """Number → name of a class.

    Raises:
        DataError: the file of the names is missing, or does not name each once.
    """
    if not settings.names:
        if settings.classes:
            return dict(enumerate(settings.classes, settings.first))
        return {number: str(number) for number in range(settings.first, max(numbers, default=0) + 1)}
    labels = names_in(decoded(tree.read(settings.names)))
    if not labels or len({label.name for label in labels}) < len(labels):
        raise DataError(f"{settings.names} does not name classes, each once", found=f"{len(labels)} lines")
    plain = all(label.value == place_ for place_, label in enumerate(labels))
    return {(label.value or 0) + (settings.first if plain else 0): label.name for label in labels}


def _add(
    entry: Entry,
    one: Told,
    settings: ClassListSet,
    names: Mapping[int, str],
    index: Mapping[int, int],
    reading: Reading,
) -> None:
    """Give an image what its lines say of it; a problem, if they contradict each other or say what is no class."""
    where = f"; in: {', '.join(one.places[:3])}"
    if len(one.numbers) > 1:
        reading.problems.append(Problem(entry.id, f"lines say different things of it{where}", loses="annotation"))
        return
    (numbers,) = one.numbers
    if UNLABELLED in numbers:
        reading.notes["images with the number −1, which is no class"] += 1
        return
    unknown = [number for number in numbers if number not in names]
    if unknown or (settings.kind == "label" and len(numbers) != 1):
        reason = f"{unknown[0]} is no class" if unknown else f"it has {len(numbers)} classes, and `kind` is label"
        reading.problems.append(Problem(entry.id, reason + where, loses="annotation"))
        return
    found = sorted(index[number] for number in {*numbers} if number in index)
    if len(found) < len({*numbers}):
        reading.notes[PASSED_OVER] += 1
    if settings.kind == "labels":
        entry.targets[settings.target] = found
    elif found:
        entry.targets[settings.target] = found[0]


def _by_split(told: Mapping[str, Told]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for file, one in told.items():
        for split in one.splits:
            found.setdefault(split, []).append(file)
    return found
