"""Images and maps of the same name in two folders, or of two names in one."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePosixPath

from mtl.config import DataError
from mtl.config.files import DepthPairsSet, MaskPairsSet
from mtl.data.formats.base import Entry, Problem, Reading, folder_split
from mtl.data.formats.label_files import is_label_file
from mtl.data.formats.mentions import normal
from mtl.data.place import Place
from mtl.data.raw import FileRef
from mtl.data.spec import TargetSpec


def read_mask_pairs(settings: MaskPairsSet, place: Place) -> Reading:
    """Images with a mask each; an image without one is kept without the target."""
    spec = TargetSpec(kind="mask", classes=settings.classes, values=settings.values, ignored=settings.ignored)
    maps = Side(settings.masks, settings.mask_name)
    return _read_pairs(place, Side(settings.images, settings.image_name), maps, settings.target, spec)


def read_depth_pairs(settings: DepthPairsSet, place: Place) -> Reading:
    """Images with a 16-bit PNG of depth each; an image without one is kept without the target."""
    spec = TargetSpec(kind="depth", unit=settings.unit, scale=settings.scale)
    maps = Side(settings.depths, settings.depth_name)
    return _read_pairs(place, Side(settings.images, settings.image_name), maps, settings.target, spec)


class Side:
    """One side of the pairs: a folder, somewhere in the path, and a name with {} for what both sides have in common."""

    def __init__(self, folder: str, name: str) -> None:
        self.folder = [part for part in normal(folder).split("/") if part]
        self.before, _, self.after = name.partition("{}")

    def key(self, name: str) -> str | None:
        """What the path has in common with its partner's; None if it is none of this side."""
        *folders, last = normal(name).split("/")
        stem = last.rpartition(".")[0] or last
        size = len(self.folder)
        places = [i for i in range(len(folders) - size + 1) if folders[i : i + size] == self.folder]
        if not places or len(stem) <= len(self.before) + len(self.after):
            return None
        if not (stem.startswith(self.before) and stem.endswith(self.after)):
            return None
        rest = folders[: places[-1]] + folders[places[-1] + size :] if size else folders
        return "/".join([*rest, stem[len(self.before) : len(stem) - len(self.after)]])

    def keyed(self, names: Iterable[str]) -> dict[str, list[str]]:
        """Key → the files that have it."""
        found: dict[str, list[str]] = {}
        for name in names:
            key = self.key(name)
            if key is not None:
                found.setdefault(key, []).append(name)
        return found

    def __str__(self) -> str:
        folder = "/".join(self.folder)
        return f"{folder}/{self.before}…{self.after}" if folder else f"{self.before}…{self.after}"


def _read_pairs(place: Place, images: Side, maps: Side, target: str, spec: TargetSpec) -> Reading:
    names = place.images()
    partners = maps.keyed(names)
    taken = (
        {name for found in partners.values() for name in found} if (images.before, images.after) == ("", "") else set()
    )
    own = images.keyed(name for name in names if name not in taken)
    both = partners.keys() & own.keys()
    if not both:
        raise DataError(
            f"{place.path}: no image has a partner of its name",
            found=f"{len(own)} of {images}, {len(partners)} of {maps}",
            fix="the files of a pair have one name, up to the extension; what is put around it, image_name and the map's name say",
        )
    reading = Reading({target: spec}, [], documents={n for n in place.names() if is_label_file(n)})
    entries: list[Entry] = []
    for key, files in own.items():
        mine = partners.get(key, [])
        if len(mine) > 1:
            shown = ", ".join(mine[:3])
            reading.problems.append(Problem(key, f"it has {len(mine)} partners: {shown}", file=files[0]))
            reading.problems += [Problem(key, f"one of {len(mine)} partners of {files[0]}", file=name) for name in mine]
            continue
        targets = {target: FileRef(mine[0])} if mine else {}
        if not mine:
            reading.notes[f"images without a file of {maps}, which have no {target}"] += 1
        for number, file in enumerate(sorted(files)):
            found = key if not number else f"{key}{PurePosixPath(file).suffix}"
            entries.append(Entry(found, FileRef(file), dict(targets), split=folder_split(file)))
    for key, files in partners.items():
        if key not in own:
            reading.problems += [
                Problem(key, f"{file} has no image of {images}", loses="annotation", file=file) for file in files
            ]
    reading.entries = entries
    return reading
