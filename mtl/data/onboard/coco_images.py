"""Which of the images that a COCO file lists are here, and in which folder."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import PurePosixPath

from mtl.data.formats.base import file_split, split_of
from mtl.data.formats.locate import locate
from mtl.data.formats.mentions import normal
from mtl.data.onboard.coco_summary import PANOPTIC, Summary
from mtl.data.onboard.look import Look
from mtl.data.onboard.map_words import is_image_name, map_kind
from mtl.errors import DataError


@dataclass(frozen=True)
class Listed:
    """A file with those of its images that are here; the folder that all of their names count from, if there is one; and what is
    said of one that is not here.
    """

    summary: Summary
    here: frozenset[str]
    folder: str = ""
    missing: str = ""


def listed(look: Look, file: str, summary: Summary) -> Listed:
    """Where a file's images are.

    train2017 and val2017 may both have a 1.jpg: where all names that are here at all lie in one folder as the file says them, that
    is the folder.
    """
    names = [normal(name) for name in summary.images]
    folder = _folder(look, file, summary, names)
    if folder is not None:
        inside = {f"{folder}/{name}" if folder else name for name in names}
        return Listed(summary, frozenset(inside & {*map(normal, look.images)}), folder)
    here: set[str] = set()
    missing = ""
    for name in dict.fromkeys(summary.images):
        try:
            here.add(locate(look.files, name, PurePosixPath(file).parent.as_posix()))
        except DataError as error:
            missing = missing or error.line
    return Listed(summary, frozenset(here), missing=missing)


def _folder(look: Look, file: str, found: Summary, names: list[str]) -> str | None:
    """The folder; None if there is none, or nothing tells which. Maps of segments are called like images, and lie in a folder that is
    called like the file.
    """
    images: dict[str, list[str]] = {}
    for image in map(normal, look.images):
        images.setdefault(image.rsplit("/", 1)[-1], []).append(image)
    folders: Counter[str] = Counter()
    there = 0
    for name in names:
        called = images.get(name.rsplit("/", 1)[-1], [])
        there += bool(called)
        folders.update(i[: len(i) - len(name)].strip("/") for i in called if f"/{i}".endswith(f"/{name}"))
    stem = PurePosixPath(file).stem
    whole = [
        folder
        for folder, number in folders.items()
        if number == there and not (found.kind == PANOPTIC and folder.rsplit("/", 1)[-1] == stem)
    ]
    ranked = sorted(whole, key=lambda folder: _fits(folder, file), reverse=True)
    if len(ranked) > 1 and _fits(ranked[0], file) == _fits(ranked[1], file):
        return None
    return ranked[0] if ranked else None


def _fits(folder: str, file: str) -> tuple[bool, ...]:
    """What speaks for a folder: it is the file's own; it is of the split that the file is of; the file is called like it; it is
    called as folders of images are, and not as those of maps.
    """
    path, last = PurePosixPath(file), folder.rsplit("/", 1)[-1]
    own = folder == ("" if path.parent.as_posix() == "." else path.parent.as_posix())
    split = next((said for part in reversed(folder.split("/")) if (said := split_of(part))), None)
    named = split is not None and split == file_split(file), bool(last) and last in path.stem
    return own, *named, map_kind(last) is None, is_image_name(last)
