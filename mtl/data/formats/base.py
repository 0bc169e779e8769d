"""What every reader of a format gives: entries, by image id."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from mtl.config import MtlError
from mtl.data.raw import FileRef
from mtl.data.spec import SPLITS, TargetSpec


@dataclass(slots=True)
class Entry:
    """One image, or further targets of an image that another set has.

    Targets are as `mtl.data.raw` has them; masks and depths may be files.
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


@dataclass(frozen=True)
class Problem:
    """Something in a set that cannot be used: an image, or an annotation."""

    id: str
    reason: str

    @classmethod
    def of(cls, found: str, error: Exception, where: str = "") -> Problem:
        """What an error says of an image, and the file in which it was found."""
        reason = str(error) if isinstance(error, MtlError) else f"{type(error).__name__}: {error}"
        return cls(found, (f"{where}: {reason}" if where else reason).replace("\n", ";"))


@dataclass
class Reading:
    """What a set holds."""

    targets: dict[str, TargetSpec]
    entries: Sequence[Entry]
    problems: list[Problem] = field(default_factory=list[Problem])
    slices: tuple[str, ...] = ()
    notes: dict[str, int] = field(default_factory=dict[str, int])
    """Counts worth keeping, for `DatasetSpec.notes`."""


FEW = 20
"""Boxes too few to say what a set means by a mark."""


def ignores_marked(name: str, marked: int, total: int, keep: bool) -> tuple[bool, dict[str, int]]:
    """Whether boxes that a set marks as not to count (crowds, difficult ones) are ignored, and what is to be noted.

    Some tools mark every mask as a crowd. A set of which all is marked, or most of more than a few, does not mean it as
    its format does: COCO marks 1 % of its objects as crowds, Pascal VOC 20 % as difficult. Ignored, they would be lost.
    """
    ignores = not keep and marked < total and (total < FEW or 2 * marked <= total)
    said = name if ignores else f"{name}_read_as_objects"
    return ignores, {said: marked} if marked and not keep else {}


def image_id(name: str, folder: str = "") -> str:
    """A file's name below `folder`, without its extension: what pairs of files have in common."""
    inside = folder.strip("/.")
    path = name.removeprefix(f"{inside}/") if inside else name
    stem, dot, suffix = path.rpartition(".")
    return stem if dot and "/" not in suffix and stem and not stem.endswith("/") else path


SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}


def split_of(name: str) -> str | None:
    """The split that a name says: a folder's, or a column's cell."""
    found = SPLIT_NAMES.get(name.lower())
    assert found is None or found in SPLITS
    return found


def folder_split(name: str) -> str | None:
    """The split that one of a file's folders says."""
    return next((found for part in name.split("/")[:-1] if (found := split_of(part))), None)
