"""A folder a class."""

from __future__ import annotations

from collections.abc import Sequence

from mtl.config import DataError
from mtl.config.files import ImageFolderSet
from mtl.data.formats.base import Entry, Problem, Reading, image_ids, split_of
from mtl.data.formats.text import plain
from mtl.data.place import Place
from mtl.data.raw import FileRef
from mtl.data.spec import TargetSpec


def class_folders(names: Sequence[str]) -> list[str]:
    """The folders that images lie in, sorted: of the top level, or of the level below train, val and test."""
    depth = class_depth(names)
    return sorted({plain(name.split("/")[depth]) for name in names if name.count("/") > depth})


def class_depth(names: Sequence[str]) -> int:
    """Where in a path the class stands. Images that lie in a split's folder itself have no class."""
    tops = {name.split("/")[0] for name in names if "/" in name}
    below = any(name.count("/") >= 2 for name in names)
    return 1 if tops and below and all(split_of(top) for top in tops) else 0


def _inner_split(names: Sequence[str]) -> int | None:
    """Where the split stands below classes: cat/train/1.jpg; None if folders there are something else."""
    below = {name.split("/")[1] for name in names if name.count("/") >= 2}
    return 1 if below and all(split_of(folder) for folder in below) else None


def read_image_folder(settings: ImageFolderSet, place: Place) -> Reading:
    """`class/…/image.jpg`, `train/class/…/image.jpg` or `class/train/image.jpg`; an image in no class's folder has no label.

    Raises:
        DataError: no image lies in a folder.
    """
    names = place.images()
    depth, found = class_depth(names), class_folders(names)
    place_of_split = 0 if depth else _inner_split(names)
    if not found:
        raise DataError(
            f"{place.path} has no folder with images",
            found=f"{len(names)} images, none in a folder",
            fix="one folder a class, or another format",
        )
    classes = settings.classes or tuple(found)
    index = {name: number for number, name in enumerate(classes)}
    ids = image_ids(names)
    reading = Reading({settings.target: TargetSpec(kind="label", classes=classes)}, [])
    entries: list[Entry] = []
    for name in names:
        parts = name.split("/")
        label = plain(parts[depth]) if len(parts) > depth + 1 else ""
        if label and label not in index:
            reading.problems.append(Problem(ids[name], f"its folder {label!r} is no declared class", file=name))
            continue
        if not label:
            reading.notes["images in no class's folder, which have no label"] += 1
        split = (
            split_of(parts[place_of_split]) if place_of_split is not None and len(parts) > place_of_split + 1 else None
        )
        entries.append(Entry(ids[name], FileRef(name), {settings.target: index[label]} if label else {}, split=split))
    reading.entries = entries
    return reading
