"""Which column of a table names images, and the folder that the names are relative to."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from mtl.data.formats.box_columns import IMAGES as IMAGE_NAMES
from mtl.data.formats.box_columns import plain
from mtl.data.formats.mentions import normal
from mtl.data.formats.named_images import split_of_table
from mtl.data.formats.sheet import Sheet
from mtl.data.onboard.look import Look, some
from mtl.data.onboard.map_words import is_image_name, map_kind
from mtl.errors import DataError
from mtl.storage.file_tree import IMAGES

MANY_FOLDERS = 500
"""Above it, which folder names are relative to is not asked of each."""
MAP = re.compile(r"mask|segm|annot|depth|disparity|normal|target|(^|_)(gt|label)(_|$)", re.IGNORECASE)
"""Names of columns, and of folders, of maps that belong to an image."""


@dataclass
class Candidate:
    """A table that can be read. settings: what a section has to say, so that it is. image: the column of images, and nothing
    if none is; images: the folder that its cells are relative to; missing: cells that name images, none of which is there.
    """

    file: str
    sheet: Sheet
    settings: dict[str, Any] = field(default_factory=dict[str, Any])
    facts: list[str] = field(default_factory=list[str])
    image: str = ""
    images: str = ""
    missing: str = ""


def has_suffix(cell: object) -> bool:
    """Whether a cell is a name with an image's extension."""
    return isinstance(cell, str) and cell.lower().endswith(IMAGES)


class ImageNames:
    """Images by what a table may call them, seen from any folder."""

    def __init__(self, look: Look) -> None:
        self._look = look
        plains = [normal(name) for name in look.images]
        self._known = {*plains, *(plain_name.rpartition(".")[0] for plain_name in plains)}
        parents = {PurePosixPath(name).parent for name in plains}
        folders = {above.as_posix().strip(".") for parent in parents for above in (parent, *parent.parents)}
        self._folders = sorted(folders) if len(folders) <= MANY_FOLDERS else []

    def choose(self, candidate: Candidate) -> None:
        """Say which column names images, and the folder.

        Raises:
            DataError: the names are those of other images in another folder, too.
        """
        best: tuple[object, ...] = ()
        doubt: DataError | None = None
        for place, column in enumerate(candidate.sheet.columns):
            cells = [c for c in candidate.sheet.cells(column) if isinstance(c, str) and c]
            sample = [str(cell) for cell in some(cells)]
            if not (sample and column) or candidate.sheet.columns.count(column) > 1:
                continue
            named = sum(map(has_suffix, sample)) * 2 > len(sample)
            found, folder, rival = self._found(sample, candidate.file)
            if named and not found and not MAP.search(column):
                candidate.missing = candidate.missing or f"{column}: {sample[0]}"
            if 2 * found < len(sample) or not (named or self._covers(column, cells, folder)):
                continue
            is_map = MAP.search(column) is not None
            score = (not is_map, len({*sample}) * found / len(sample), named, -_rank(column), -place)
            if not best or score > best:
                best = score
                candidate.image, candidate.images = column, folder
                doubt = _doubt(candidate.file, sample[0], folder, rival) if rival else None
        if doubt:
            raise doubt

    def _covers(self, column: str, cells: Sequence[str], folder: str) -> bool:
        """Whether cells without an extension are ids of images: the column's name says so; or they are most images of their folder,
        and are not the numbers of something else.
        """
        rank = _rank(column)
        if rank < len(IMAGE_NAMES) - 2:
            return True
        numbers = all(cell.isdecimal() for cell in cells)
        there = len(self._look.tree.images(folder)) if folder else len(self._look.images)
        return (rank < len(IMAGE_NAMES) or not numbers) and 2 * len({*cells}) >= there

    def _found(self, sample: Sequence[str], file: str) -> tuple[int, str, str]:
        """How many of some mentions are there, and the folder that they are relative to; none if they are looked for. And another
        folder, of which all that speaks for this one can be said as well: never a folder of maps where there is one of none.
        """
        beside = {"", *(p.as_posix().strip(".") for p in PurePosixPath(file).parents)}
        split = split_of_table(file)
        counts = Counter(
            {
                folder: sum(f"{folder}/{normal(mention)}".lstrip("/") in self._known for mention in sample)
                for folder in self._folders
            }
        )

        def fits(folder: str) -> tuple[int, bool, bool, bool, bool]:
            own = split is not None and split_of_table(folder) == split
            maps = any(map_kind(part) for part in folder.split("/"))
            return counts[folder], folder in beside, own, not maps, is_image_name(folder.rpartition("/")[2])

        ranked = sorted(self._folders, key=lambda folder: (*fits(folder), -len(folder)), reverse=True)
        folder = ranked[0] if ranked else ""
        anywhere = sum(self._is_found(mention, file) for mention in sample)
        if counts[folder] and counts[folder] >= 0.9 * anywhere:
            rival = next((other for other in ranked[1:] if folder not in beside and fits(other) == fits(folder)), "")
            return counts[folder], "" if folder in beside else folder, rival
        return anywhere, "", ""

    def _is_found(self, mention: str, file: str) -> bool:
        try:
            return bool(self._look.files.find(mention, PurePosixPath(file).parent.as_posix().strip(".")))
        except DataError:
            return False


def _doubt(file: str, mention: str, folder: str, rival: str) -> DataError:
    """Of a table whose images may be those of two folders."""
    return DataError(
        f"which images {file} names cannot be told",
        found=f"{mention} may be in {folder} or in {rival}",
        fix="name them with their folder, or describe the set with `images`",
    )


def _rank(column: str) -> int:
    """The lower, the more a column's name is that of one of images."""
    word = plain(column)
    return IMAGE_NAMES.index(word) if word in IMAGE_NAMES else len(IMAGE_NAMES)
