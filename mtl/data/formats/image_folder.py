"""A folder per class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from mtl.config.files import ImageFolderSet
from mtl.data.formats.base import Entry, Made, Problem, Reading, image_ids, split_of
from mtl.data.formats.lists import read_split_lists
from mtl.data.formats.text import plain
from mtl.data.raw.rows import FileRef
from mtl.data.spec import TargetSpec
from mtl.errors import DataError
from mtl.storage.file_tree import FileTree

ABOVE = frozenset(("images", "imgs", "img", "image", "jpegimages", "data", "dataset"))
"""A sole folder of such a name is above the classes: images/cat/1.jpg."""


class Levels(NamedTuple):
    """Where in a path the class stands, and the split, if any folder says it."""

    label: int
    split: int | None = None


def levels(names: Sequence[str]) -> Levels:
    """Classes stand at the top level, below train, val and test, or above them. Images that lie in a split's folder itself have no
    class.
    """
    tops = {name.split("/")[0] for name in names if "/" in name}
    deep = [name for name in names if name.count("/") >= 2]
    if len(tops) == 1 and len(deep) == len(names) and tops <= {top for top in tops if top.lower() in ABOVE}:
        label, split = levels([name.partition("/")[2] for name in names])
        return Levels(label + 1, None if split is None else split + 1)
    if deep and all(split_of(top) for top in tops):
        return Levels(1, 0)
    below = {name.split("/")[1] for name in deep}
    return Levels(0, 1 if below and all(split_of(folder) for folder in below) else None)


def class_folders(names: Sequence[str]) -> list[str]:
    """The folders that are classes, sorted."""
    depth = levels(names).label
    return sorted({plain(name.split("/")[depth]) for name in names if name.count("/") > depth})


def read_image_folder(settings: ImageFolderSet, tree: FileTree) -> Reading:
    """`class/…/image.jpg`, `train/class/…/image.jpg` or `class/train/image.jpg`; an image in no class's folder has no label. Lists of
    names (train.txt) say the split where no folder does.

    Raises:
        DataError: no image lies in a folder.
    """
    names = tree.images()
    where, found = levels(names), class_folders(names)
    if not found:
        raise DataError(
            f"{tree.path} has no folder with images",
            found=f"{len(names)} images, none in a folder",
            fix="one folder per class, or another format",
        )
    classes = settings.classes or tuple(found)
    index = {name: number for number, name in enumerate(classes)}
    ids = image_ids(names)
    reading = Reading({settings.target: TargetSpec(kind="label", classes=classes)}, [])
    listed = read_split_lists(tree, names, reading) if where.split is None else {}

    def label_of(name: str) -> str:
        parts = name.split("/")
        return plain(parts[where.label]) if len(parts) > where.label + 1 else ""

    def entry(name: str) -> Entry:
        parts, label = name.split("/"), label_of(name)
        says = where.split is not None and len(parts) > where.split + 1
        split = split_of(parts[where.split]) if says and where.split is not None else listed.get(name)
        return Entry(ids[name], FileRef(name), {settings.target: index[label]} if label else {}, split=split)

    kept: list[str] = []
    for name in names:
        label = label_of(name)
        if label and label not in index:
            reading.problems.append(Problem(ids[name], f"its folder {label!r} is no declared class", file=name))
            continue
        kept.append(name)
        if not label:
            reading.notes["images in no class's folder, which have no label"] += 1
    reading.entries = Made(kept, entry)
    return reading
