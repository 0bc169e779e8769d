"""What every reader of a format gives: entries, by image id, and an account of what it read."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, overload

import numpy as np

from mtl.config.masks import IGNORE
from mtl.data.raw.rows import FileRef
from mtl.data.spec import SPLITS, TargetSpec
from mtl.errors import MtlError


@dataclass(slots=True)
class Entry:
    """One image, or further targets of an image that another set has.

    Targets are as `mtl.data.raw.rows` has them; masks and depths may be files.
    """

    id: str
    image: FileRef | bytes | None
    targets: dict[str, Any]
    split: str | None = None
    group: str | None = None
    time: str | None = None
    slices: dict[str, str] = field(default_factory=dict[str, str])
    digests: dict[str, str] = field(default_factory=dict[str, str])
    """SHA-256 of `image` or targets whose bytes the reader has seen, and left where they are."""


class Made(Sequence[Entry]):
    """Entries that are made when they are asked for: of millions, all would take more memory than what they are made of.

    Args:
        make: an entry of a name; the same one each time.
    """

    def __init__(self, names: Sequence[str], make: Callable[[str], Entry]) -> None:
        self._names, self._make = names, make

    def __len__(self) -> int:
        return len(self._names)

    @overload
    def __getitem__(self, index: int) -> Entry: ...
    @overload
    def __getitem__(self, index: slice) -> list[Entry]: ...
    def __getitem__(self, index: int | slice) -> Entry | list[Entry]:
        if isinstance(index, slice):
            return [self._make(name) for name in self._names[index]]
        return self._make(self._names[index])


@dataclass(frozen=True)
class Problem:
    """Something in a set that cannot be used.

    id: of the image. loses: the image with all that is known of it, or one annotation, without which the image is used.
    file: which is not used because of it, where no entry names it.
    """

    id: str
    reason: str
    loses: Literal["image", "annotation"] = "image"
    file: str = ""

    @classmethod
    def of(cls, image: str, error: Exception, where: str = "", file: str = "") -> Problem:
        """What an error says of an image, and the file or line in which it was found."""
        reason = str(error) if isinstance(error, MtlError) else f"{type(error).__name__}: {error}"
        return cls(image, (f"{reason}\n  in:    {where}" if where else reason).replace("\n", ";"), file=file)


@dataclass
class Reading:
    """What a set holds, and what became of its files.

    Files that entries name are used. documents: what was read for its annotations; left_out: file → why it is no part of
    the set, where the set itself says so; notes: what was changed on the way or passed over, and how often.
    """

    targets: dict[str, TargetSpec]
    entries: Sequence[Entry]
    problems: list[Problem] = field(default_factory=list[Problem])
    slices: tuple[str, ...] = ()
    documents: set[str] = field(default_factory=set[str])
    left_out: dict[str, str] = field(default_factory=dict[str, str])
    notes: Counter[str] = field(default_factory=Counter[str])


def drawn_masks(classes: tuple[str, ...]) -> TargetSpec:
    """Masks that are drawn of outlines: background, then the classes; 255 where nobody knows."""
    return TargetSpec(kind="mask", classes=("background", *classes), ignored=(IGNORE,))


FEW = 20
"""Boxes too few to say what a set means by a mark."""


def ignores_marked(mark: str, marked: int, total: int, as_objects: bool) -> tuple[bool, Counter[str]]:
    """Whether boxes that a set marks as not to count (crowds, difficult ones) are ignored, and what is to be noted.

    Some tools mark every mask as a crowd. A set of which all is marked, or most of more than a few, does not mean it as
    its format does: COCO marks 1 % of its objects as crowds, Pascal VOC 20 % as difficult. Ignored, they would be lost.
    """
    ignores = not as_objects and marked < total and (total < FEW or 2 * marked <= total)
    if not marked or as_objects:
        return ignores, Counter()
    if ignores:
        return ignores, Counter({f"boxes marked {mark}: what is found there does not count": marked})
    return ignores, Counter({f"boxes marked {mark}, too many to mean it: taken for objects": marked})


def image_id(name: str, folder: str = "") -> str:
    """A file's name below `folder`, without its extension: what pairs of files have in common."""
    inside = folder.strip("/.")
    path = name.removeprefix(f"{inside}/") if inside else name
    stem, dot, suffix = path.rpartition(".")
    return stem if dot and "/" not in suffix and stem and not stem.endswith("/") else path


def image_ids(names: Iterable[str], folder: str = "") -> Mapping[str, str]:
    """File → id, unique: where files differ in their extension alone, all but the first keep it."""
    return _ImageIds(sorted(names), folder)


class _ImageIds(Mapping[str, str]):
    """Of millions of files only those ids are kept that their names do not say."""

    def __init__(self, names: list[str], folder: str) -> None:
        self._names, self._folder = names, folder
        self._others: dict[str, str] = {}
        marks = np.fromiter((hash(image_id(name, folder)) for name in names), np.int64, len(names))
        values, counts = np.unique(marks, return_counts=True)
        several = {*values[counts > 1].tolist()}
        while several:  # until no id with an extension is what another file is called without
            self._others = self._settled(several)
            more = {hash(found) for found in self._others.values()} - several
            several |= more
            if not more:
                break

    def _settled(self, several: set[int]) -> dict[str, str]:
        inside = self._folder.strip("/.")
        found: dict[str, str] = {}
        taken: set[str] = set()
        for name in self._names:
            short = image_id(name, self._folder)
            if hash(short) not in several:
                continue
            if short in taken:
                found[name] = name.removeprefix(f"{inside}/") if inside else name
            taken.add(found.get(name, short))
        return found

    def __getitem__(self, name: str) -> str:
        return self._others[name] if name in self._others else image_id(name, self._folder)

    def __len__(self) -> int:
        return len(self._names)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)


SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "validate": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
}


def split_of(name: str) -> str | None:
    """The split that a name says: a folder's, a file's stem or a column's cell. A year or number behind it is none of it:
    train2017, val_2, instances_test.
    """
    plain = name.strip().lower()
    found = SPLIT_NAMES.get(plain) or SPLIT_NAMES.get(plain.rstrip("0123456789").rstrip("_-. "))
    assert found is None or found in SPLITS
    return found


SPLIT_MARKS = {"is_val": "val", "is_valid": "val", "is_validation": "val", "is_test": "test"}
"""Columns of yes and no: what has no is trained on."""
_YES_NO = {"true": True, "false": False, "1": True, "0": False, "1.0": True, "0.0": False, "yes": True, "no": False}


def cell_split(column: str, cell: str) -> str | None:
    """The split that a column's cell says: by its name, or by a yes or no of a column that is called so."""
    mark, said = SPLIT_MARKS.get(column.strip().lower()), _YES_NO.get(cell.strip().lower())
    return split_of(cell) if mark is None or said is None else mark if said else "train"


def folder_split(name: str) -> str | None:
    """The split that one of a file's folders says: the innermost that says any."""
    return next((found for part in reversed(name.split("/")[:-1]) if (found := split_of(part))), None)


def file_split(file: str) -> str | None:
    """The split that an annotation file's name says, or its folder's: instances_train2017.json, valid/_annotations.coco.json."""
    words = re.split(r"[^a-zA-Z0-9]+", file.rsplit("/", 1)[-1].rpartition(".")[0])
    said = {split for word in words if (split := split_of(word)) is not None}
    return said.pop() if len(said) == 1 else folder_split(file)
