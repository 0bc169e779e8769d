"""The tables of a folder, and which of their columns names images."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from mtl.config import DataError
from mtl.data.formats.box_columns import IMAGES as IMAGE_NAMES
from mtl.data.formats.box_columns import plain
from mtl.data.formats.mentions import normal
from mtl.data.formats.named_images import split_of_table
from mtl.data.formats.sheet import Options, Sheet
from mtl.data.formats.sheet_files import parsed
from mtl.data.onboard.look import Look, some
from mtl.data.place import IMAGES

SUFFIXES = (".csv", ".tsv", ".tab", ".parquet", ".pq", ".jsonl", ".ndjson", ".json")
MANY_FOLDERS = 500
"""Above it, which folder names are relative to is not asked of each."""
MAP = re.compile(r"mask|segm|annot|depth|disparity|normal|target|(^|_)(gt|label)(_|$)", re.IGNORECASE)
"""Names of columns, and of folders, of maps that belong to an image."""


@dataclass
class Candidate:
    """A table that can be read. settings: what a section has to say, so that it is. image: the column of images, and nothing
    if none is; images: the folder that its cells are relative to; missing: cells that name images, none of which is there."""

    file: str
    sheet: Sheet
    settings: dict[str, Any] = field(default_factory=dict[str, Any])
    facts: list[str] = field(default_factory=list[str])
    image: str = ""
    images: str = ""
    missing: str = ""


def candidates(look: Look) -> Iterator[Candidate | tuple[str, str]]:
    """Tables; of a file that names images and cannot be read, it and the reason."""
    files = look.unclaimed(*SUFFIXES)
    names = _Names(look) if files else None
    for file in files:
        if file.lower().endswith(".json") and not _is_list(look.json(file)):
            continue
        try:
            candidate = _read(look, file)
        except DataError as error:
            if _mentions_images(look, file):
                yield file, error.line
            continue
        assert names is not None
        names.choose(candidate)
        yield candidate


def _is_list(document: Any) -> bool:
    return isinstance(document, list) and bool(document) and all(isinstance(item, dict) for item in document)


def _read(look: Look, file: str) -> Candidate:
    """A table in UTF-8, or in Latin letters of one byte, which is said."""
    data, settings, facts = look.place.read(file), dict[str, Any](), list[str]()
    try:
        sheet = parsed(data, file, Options())
    except DataError:
        encoding = _legacy_encoding(data)
        if encoding is None:
            raise
        sheet = parsed(data, file, Options(encoding=encoding))
        settings["encoding"] = encoding
        shown = next(re.finditer(r"\w*[^\W\x00-\x7f]\w*", data.decode(encoding)))[0]
        facts.append(f"{file} is not UTF-8; read as {encoding} it says {shown}: if that is wrong, correct `encoding`")
    if sheet.unit == "line" and file.lower().endswith((".csv", ".tsv", ".tab")) and _is_row(sheet.columns):
        sheet = parsed(data, file, Options(encoding=settings.get("encoding", ""), header=False))
        settings["header"] = False
        facts.append(f"{file} has no line of names: its columns are 1, 2, 3 …")
    return Candidate(file, sheet, settings, facts)


def _legacy_encoding(data: bytes) -> str | None:
    """latin-1, or Windows' relative of it, if all that is not ASCII reads as letters within Latin words; other encodings of one
    byte cannot be told from each other."""
    encoding = "cp1252" if any(0x80 <= byte < 0xA0 for byte in data) else "latin-1"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        return None
    runs = re.findall(r"([A-Za-z]?)([^\x00-\x7f]+)([A-Za-z]?)", text)
    fits = all(len(run) <= 2 and run.isalpha() and (before or after) for before, run, after in runs)
    return encoding if runs and fits and "\0" not in text else None


def _is_row(header: Sequence[str]) -> bool:
    """Whether a first line names an image, as only a row does."""
    return any(_has_suffix(cell) for cell in header)


def _has_suffix(cell: Any) -> bool:
    return isinstance(cell, str) and cell.lower().endswith(IMAGES)


def _mentions_images(look: Look, file: str) -> bool:
    """Whether the bytes of a file that cannot be read have names of images in them."""
    try:
        data = look.place.read(file)
    except DataError:
        return False
    return any(PurePosixPath(name).name.encode() in data for name in some(look.images))


class _Names:
    """Images by what a table may call them, seen from any folder."""

    def __init__(self, look: Look) -> None:
        self._look = look
        plains = [normal(name) for name in look.images]
        self._known = {*plains, *(plain_name.rpartition(".")[0] for plain_name in plains)}
        parents = {PurePosixPath(name).parent for name in plains}
        folders = {above.as_posix().strip(".") for parent in parents for above in (parent, *parent.parents)}
        self._folders = sorted(folders) if len(folders) <= MANY_FOLDERS else []

    def choose(self, candidate: Candidate) -> None:
        """Say which column names images, and the folder."""
        best: tuple[Any, ...] = ()
        for place, column in enumerate(candidate.sheet.columns):
            cells = [c for c in candidate.sheet.cells(column) if isinstance(c, str) and c]
            sample = [str(cell) for cell in some(cells)]
            if not (sample and column) or candidate.sheet.columns.count(column) > 1:
                continue
            named = sum(map(_has_suffix, sample)) * 2 > len(sample)
            found, folder = self._found(sample, candidate.file)
            if named and not found and not MAP.search(column):
                candidate.missing = candidate.missing or f"{column}: {sample[0]}"
            if 2 * found < len(sample) or not (named or self._covers(column, cells, folder)):
                continue
            is_map = MAP.search(column) is not None
            score = (not is_map, len({*sample}) * found / len(sample), named, -_rank(column), -place)
            if not best or score > best:
                best = score
                candidate.image, candidate.images = column, folder

    def _covers(self, column: str, cells: Sequence[str], folder: str) -> bool:
        """Whether cells without an extension are ids of images: the column's name says so; or they are most images of their folder,
        and are not the numbers of something else."""
        rank = _rank(column)
        if rank < len(IMAGE_NAMES) - 2:
            return True
        numbers = all(cell.isdecimal() for cell in cells)
        there = len(self._look.place.images(folder)) if folder else len(self._look.images)
        return (rank < len(IMAGE_NAMES) or not numbers) and 2 * len({*cells}) >= there

    def _found(self, sample: Sequence[str], file: str) -> tuple[int, str]:
        """How many of some mentions are there, and the folder that they are relative to; none if they are looked for."""
        beside = {"", *(p.as_posix().strip(".") for p in PurePosixPath(file).parents)}
        split = split_of_table(file)
        counts = Counter(
            {
                folder: sum(f"{folder}/{normal(mention)}".lstrip("/") in self._known for mention in sample)
                for folder in self._folders
            }
        )

        def fits(folder: str) -> tuple[int, bool, bool, int]:
            return counts[folder], folder in beside, split is not None and split_of_table(folder) == split, -len(folder)

        folder = max(self._folders, key=fits, default="")
        anywhere = sum(self._is_found(mention, file) for mention in sample)
        if counts[folder] and counts[folder] >= 0.9 * anywhere:
            return counts[folder], "" if folder in beside else folder
        return anywhere, ""

    def _is_found(self, mention: str, file: str) -> bool:
        try:
            return bool(self._look.files.find(mention, PurePosixPath(file).parent.as_posix().strip(".")))
        except DataError:
            return False


def _rank(column: str) -> int:
    """The lower, the more a column's name is that of one of images."""
    word = plain(column)
    return IMAGE_NAMES.index(word) if word in IMAGE_NAMES else len(IMAGE_NAMES)
