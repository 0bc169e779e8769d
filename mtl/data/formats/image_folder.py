"""A folder a class."""

from __future__ import annotations

from mtl.config import DataError
from mtl.config.files import ImageFolderSet
from mtl.data.formats.base import Entry, Problem, Reading, image_id, split_of
from mtl.data.place import Place
from mtl.data.raw import FileRef
from mtl.data.spec import TargetSpec


def read_image_folder(settings: ImageFolderSet, place: Place) -> Reading:
    """`class/…/image.jpg`, or `train/class/…/image.jpg`.

    Raises:
        DataError: no image lies in a folder.
    """
    names = place.images()
    nested = bool(names) and all(split_of(name.split("/")[0]) and name.count("/") >= 2 for name in names)
    depth = 1 if nested else 0
    found = sorted({name.split("/")[depth] for name in names if name.count("/") > depth})
    if not found:
        raise DataError(
            f"{place.path} has no folder with images",
            found=f"{len(names)} images, none in a folder",
            fix="one folder a class, or another format",
        )
    classes = settings.classes or tuple(found)
    index = {name: number for number, name in enumerate(classes)}
    entries: list[Entry] = []
    problems: list[Problem] = []
    for name in names:
        parts = name.split("/")
        label = parts[depth] if len(parts) > depth + 1 else ""
        if label not in index:
            reason = f"its folder {label!r} is no declared class" if label else "it lies in no class's folder"
            problems.append(Problem(image_id(name), reason))
            continue
        split = split_of(parts[0]) if nested else None
        entries.append(Entry(image_id(name), FileRef(name), {settings.target: index[label]}, split=split))
    return Reading({settings.target: TargetSpec(kind="label", classes=classes)}, entries, problems)
