"""Images and maps of the same name in two folders, or of two names in one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath

from mtl.config.files import DepthPairsSet, MaskPairsSet
from mtl.data.formats.base import Entry, Problem, Reading, split_of
from mtl.data.formats.label_files import label_files
from mtl.data.formats.lists import read_split_lists
from mtl.data.formats.mentions import normal
from mtl.data.raw.rows import FileRef
from mtl.data.spec import TargetSpec
from mtl.errors import DataError
from mtl.storage.file_tree import IMAGES, FileTree


def read_mask_pairs(settings: MaskPairsSet, tree: FileTree) -> Reading:
    """Images with a mask each; an image without one is kept without the target."""
    spec = TargetSpec(kind="mask", classes=settings.classes, values=settings.values, ignored=settings.ignored)
    maps = Side(settings.masks, settings.mask_name)
    reading = Reading({settings.target: spec}, [], documents=set(label_files(tree)))
    return _read_pairs(tree, Side(settings.images, settings.image_name), maps, settings.target, reading)


def read_depth_pairs(settings: DepthPairsSet, tree: FileTree) -> Reading:
    """Images with a 16-bit PNG of depth each; an image without one is kept without the target."""
    spec = TargetSpec(kind="depth", unit=settings.unit, scale=settings.scale)
    maps = Side(settings.depths, settings.depth_name)
    reading = Reading({settings.target: spec}, [])
    return _read_pairs(tree, Side(settings.images, settings.image_name), maps, settings.target, reading)


class Side:
    """One side of the pairs: a folder, somewhere in the path, and a name with {} for what both sides have in common.

    Args:
        name: without extension; or with an image's, where both sides differ in nothing else.
    """

    def __init__(self, folder: str, name: str) -> None:
        self.folder = [part for part in normal(folder).split("/") if part]
        self.before, _, self.after = name.partition("{}")
        self._is_whole = self.after.lower().endswith(IMAGES)

    def key(self, name: str) -> str | None:
        """What the path has in common with its partner's; None if it is none of this side."""
        *folders, last = normal(name).split("/")
        rest, common = self.rest(folders), self.common(last)
        return None if rest is None or common is None else "/".join([*rest, common])

    def rest(self, folders: Sequence[str]) -> list[str] | None:
        """The folders of a path without this side's; None if it is not among them."""
        size = len(self.folder)
        if not size:
            return [*folders]
        places = [i for i in range(len(folders) - size + 1) if [*folders[i : i + size]] == self.folder]
        return [*folders[: places[-1]], *folders[places[-1] + size :]] if places else None

    def common(self, last: str) -> str | None:
        """What a file's name has in common with its partner's; None if it is not called so."""
        stem = last if self._is_whole else last.rpartition(".")[0] or last
        size = len(stem) - len(self.after)
        fits = size >= len(self.before) and stem.startswith(self.before) and stem.endswith(self.after)
        return stem[len(self.before) : size] if fits else None

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


def _read_pairs(tree: FileTree, images: Side, maps: Side, target: str, reading: Reading) -> Reading:
    names = tree.images()
    partners = maps.keyed(names)
    taken = (
        {name for found in partners.values() for name in found} if images.before + images.after == "" else set[str]()
    )
    own = images.keyed(name for name in names if name not in taken)
    if not partners.keys() & own.keys():
        raise DataError(
            f"{tree.path}: no image has a partner of its name",
            found=f"{len(own)} of {images}, {len(partners)} of {maps}",
            fix="the files of a pair have one name, up to the extension; what is put around it, image_name and the map's name say",
        )
    several = _several(names, own, partners, maps)
    further = {name for found in several.values() for name in found}
    own = {key: left for key, found in own.items() if (left := [name for name in found if name not in further])}
    splits = read_split_lists(tree, [name for found in own.values() for name in found], reading)
    entries: list[Entry] = []
    for key, files in own.items():
        mine = [*partners.get(key, []), *several.get(key, [])]
        if len(mine) > 1:
            _refuse_several(key, files[0], mine, reading)
            continue
        targets = {target: FileRef(mine[0])} if mine else {}
        if not mine:
            reading.notes[f"images without a file of {maps}, which have no {target}"] += 1
        for number, file in enumerate(sorted(files)):
            found = key if not number else f"{key}{PurePosixPath(file).suffix}"
            split = splits[file] if file in splits else split_said(file.rpartition("/")[0])
            entries.append(Entry(found, FileRef(file), dict(targets), split=split))
    for key, files in partners.items():
        if key not in own:
            reading.problems += [
                Problem(key, f"{file} has no image of {images}", loses="annotation", file=file) for file in files
            ]
    reading.entries = entries
    return reading


def split_said(folder: str) -> str | None:
    """The split that a word of a folder's name says, of the innermost that says one: train/a, train_images, Task1_Training_Input,
    imagesTr.
    """
    for part in reversed(folder.split("/")):
        words = (part, *_WORD.findall(part))
        said = {split for word in words if (split := split_of(word) or SHORT.get(word.lower())) is not None}
        if len(said) == 1:
            return said.pop()
    return None


SHORT = {"tr": "train", "ts": "test", "te": "test"}
"""Splits as nnU-Net and DUTS have them."""
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")


def _refuse_several(key: str, image: str, maps: list[str], reading: Reading) -> None:
    """Each may be a part, or another's opinion: an image with one of them would be one that shows the others nowhere."""
    shown = ", ".join(maps[:3])
    reading.problems.append(Problem(key, f"it has {len(maps)} partners: {shown}", file=image))
    reading.problems += [Problem(key, f"one of {len(maps)} partners of {image}", file=name) for name in maps]


_NUMBER = re.compile(r"[-_. (]*\d+\)?$")


def _several(
    names: Iterable[str], own: Mapping[str, list[str]], partners: Mapping[str, list[str]], maps: Side
) -> dict[str, list[str]]:
    """Image's key → maps that have a number, or another one, behind their name: a_mask_1.png beside a_mask.png."""
    ending = _NUMBER.sub("", maps.after)
    if not maps.before + ending:
        return {}
    numbered = Side("/".join(maps.folder), f"{maps.before}{{}}")
    known = {name for found in partners.values() for name in found}
    found: dict[str, list[str]] = {}
    for name in names:
        key = numbered.key(name) if name not in known else None
        short = _NUMBER.sub("", key) if key else None
        if short and short != key and short.endswith(ending):
            image = short[: len(short) - len(ending)]
            if image in own and name not in own[image]:
                found.setdefault(image, []).append(name)
    return found
