"""What a YOLO set declares: its classes, and which images are in which split. data.yaml, obj.data, obj.names, classes.txt."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import PurePosixPath

from mtl.config.files import YoloSet
from mtl.data.formats.mentions import normal
from mtl.data.formats.yolo_files import Declared, declares, declares_or_none
from mtl.errors import DataError
from mtl.storage.file_tree import FileTree

NAME_LISTS = ("classes.txt", "class_names.txt", "names.txt", "labels.txt", "predefined_classes.txt")
"""Files of class names that are called .txt as labels are, the most trusted first."""


def declared_in(settings: YoloSet, tree: FileTree, notes: Counter[str]) -> Declared | None:
    """What `data` says, or the file that says most: YAML before obj.data before lists of names. None if there is none.

    Raises:
        DataError: it cannot be read, or there are two that contradict each other.
    """
    candidates = _candidates(tree)
    if settings.data:
        if settings.data not in tree:
            raise DataError(f"{settings.data} is not there", fix="correct `data`, which names the file of the classes")
        found = [declares(settings.data, tree, settings.encoding)]
        return _with_lists(found, candidates[2:], tree, settings.encoding, notes)
    for files in candidates:
        found = [one for file in files if (one := declares_or_none(file, tree, settings.encoding)) is not None]
        if found:
            return _with_lists(found, candidates[2:], tree, settings.encoding, notes)
    return None


def _with_lists(
    found: list[Declared], lists: list[list[str]], tree: FileTree, encoding: str, notes: Counter[str]
) -> Declared:
    """The one that names most of several that agree, with lists of names beside; one that says something else is not believed."""
    first = max(found, key=lambda one: len(one.names))
    for one in found:
        if one.splits != first.splits or not one.names.items() <= first.names.items():
            raise DataError(
                "two files declare different classes or splits",
                found=f"{first.file}, {one.file}",
                fix="say with `data` which is meant; of two data sets, a set each",
            )
    documents = frozenset[str]().union(*(one.documents for one in found))
    names = first.names
    for file in (file for files in lists for file in files if file not in documents):
        other = declares_or_none(file, tree, encoding)
        if other is not None:
            names = names or other.names
            if not other.names.items() <= names.items():
                notes[f"lists of class names that {first.file} contradicts, and that are not believed"] += 1
            documents |= other.documents
    return replace(first, names=names, documents=documents)


def _candidates(tree: FileTree) -> list[list[str]]:
    """Files that may declare classes, in groups, the most trusted first."""
    every = tree.names("", (".yaml", ".yml", ".data", ".names", ".labels", ".txt"))
    last = {name: name.lower().rsplit("/", 1)[-1] for name in every}
    return [
        [name for name in every if last[name].endswith((".yaml", ".yml"))],
        [name for name in every if last[name].endswith(".data")],
        [name for name in every if last[name].endswith((".names", ".labels"))],
        *([name for name in every if last[name] == wanted] for wanted in NAME_LISTS),
    ]


def seen_from(one: Declared, mention: str) -> list[str]:
    """Where a path of a declaration may lie: below its folder, with `path` between or not, or with its first folders left out,
    which another machine has.
    """
    here = normal(PurePosixPath(one.file).parent.as_posix())
    found: list[str] = []
    for path in (f"{one.path}/{mention}", mention):
        parts = [part for part in normal(path).split("/") if part not in ("", "..")]
        for start in range(max(1, len(parts))):
            found += ["/".join(part for part in (above, *parts[start:]) if part) for above in (here, "")]
    return list(dict.fromkeys(found))
