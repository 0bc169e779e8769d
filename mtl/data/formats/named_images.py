"""The images that a table's rows name, and what else a row says of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath

from mtl.config.files import Tabular
from mtl.config.files.base import MISSING
from mtl.data.formats.base import Entry, Problem, Reading, cell_split, folder_split, image_ids, split_of
from mtl.data.formats.cells import Cell, whole
from mtl.data.formats.mentions import Files
from mtl.data.formats.sheet import Options, Sheet
from mtl.data.formats.sheet_files import parsed
from mtl.data.raw.rows import FileRef
from mtl.errors import DataError
from mtl.storage.file_tree import FileTree


def sheet_of(settings: Tabular, tree: FileTree, wanted: Iterable[str]) -> Sheet:
    """The table with these columns at least.

    Raises:
        DataError: it is missing, cannot be read, or lacks a column.
    """
    columns = dict.fromkeys(name for name in wanted if name)
    options = Options(settings.delimiter, settings.encoding, settings.header)
    sheet = parsed(tree.read(settings.table), settings.table, options, [*columns])
    sheet.require([*columns])
    return sheet


def facts_columns(settings: Tabular) -> list[str]:
    """Columns that say something of an image besides its targets."""
    return [name for name in (settings.split, settings.group, settings.time, *settings.slices) if name]


def text(cell: Cell) -> str:
    """A cell that is to be one text; nothing if it is missing."""
    plain = cell if isinstance(cell, str) else "|".join(cell)
    return "" if plain in MISSING else plain


def unite_facts(before: Entry, entry: Entry, where: str, reading: Reading) -> None:
    """Add what a further row says of an image's split, group and time; a problem if rows contradict each other."""
    for name in ("split", "group", "time"):
        mine, theirs = getattr(before, name), getattr(entry, name)
        setattr(before, name, mine or theirs)
        if mine and theirs and mine != theirs:
            reason = f"rows say different things of its {name}: {mine!r}, and in {where} {theirs!r}"
            reading.problems.append(Problem(before.id, reason))


class Named:
    """The files that a table names.

    Args:
        column: of the names.
    """

    def __init__(self, settings: Tabular, tree: FileTree, sheet: Sheet, column: str, reading: Reading) -> None:
        self.settings, self.sheet, self.column, self.reading = settings, sheet, column, reading
        below = tree.images(settings.images) if settings.images else tree.images()
        if settings.images and not below:
            fix = "correct `images`; without it, images are looked for"
            raise DataError(f"{tree.path} has no images in {settings.images}", fix=fix)
        self._files, self._tree = Files(below), tree
        self._split = split_of_table(settings.table) or folder_split(settings.table)
        self._near = settings.images or PurePosixPath(settings.table).parent.as_posix().strip(".")
        self._all = below
        self.found = self._files.find_all(
            (text(row.cells[column]) for row in sheet.rows if text(row.cells[column])), self._near
        )
        self.ids = image_ids({name for name in self.found.values() if isinstance(name, str)})
        self._lost: set[str] = set()
        self._ragged()

    def maps(self, mentions: Iterable[Cell]) -> Mapping[str, str | DataError]:
        """Masks or depths that another column names."""
        named = sorted({mention for mention in mentions if isinstance(mention, str) and mention})
        return Files(self._tree.images()).find_all(named, PurePosixPath(self.sheet.file).parent.as_posix().strip("."))

    def where(self, number: int) -> str:
        """How to call a row."""
        return f"{self.sheet.file}, {self.sheet.unit} {number}"

    def of(self, number: int, cells: Mapping[str, Cell]) -> str | None:
        """The file of a row's image; a problem, once for each image, if there is none."""
        mention = text(cells[self.column])
        found = self.found.get(mention)
        if isinstance(found, str):
            return found
        where = self.where(number)
        if found is None:
            self.reading.problems.append(Problem(where, f"the column {self.column} names no image"))
        elif mention not in self._lost:
            self._lost.add(mention)
            self.reading.problems.append(Problem.of(mention, found, where))
        return None

    def entry(self, file: str, cells: Mapping[str, Cell]) -> Entry:
        """An image without targets, with what else its row says."""
        settings = self.settings
        if settings.split:
            said = text(cells[settings.split])
            split = cell_split(settings.split, said)
            if said and split is None:
                self.reading.notes[f"cells {said} of {settings.split}, which is no split's name"] += 1
        else:
            split = self._split or folder_split(file)
        return Entry(
            self.ids[file],
            FileRef(file),
            {},
            split=split,
            group=text(whole(cells[settings.group])) or None if settings.group else None,
            time=text(cells[settings.time]) or None if settings.time else None,
            slices={column: text(cells[column]) for column in settings.slices},
        )

    def finish(self, entries: Mapping[str, object]) -> None:
        """Say which images beside the named ones no row names, and which were found by their numbers."""
        folders = {name.rpartition("/")[0] for name in entries}
        for name in self._all:
            if name not in entries and name.rpartition("/")[0] in folders:
                self.reading.left_out[name] = f"no row of {self.sheet.file} names it"
        for mention, name in self.found.items():
            if isinstance(name, str) and mention.split(".")[0].isdecimal():
                stem = PurePosixPath(name).stem
                if stem.isdecimal() and stem != mention.split(".")[0]:
                    self.reading.notes["images found by their number, whose names have zeros before it"] += 1

    def _ragged(self) -> None:
        """Rows that are lost, with the image that they name as far as that can be told."""
        place = self.sheet.columns.index(self.column)
        for row in self.sheet.ragged:
            mention = row.cells[place] if place < len(row.cells) else ""
            found = self._files.find_all([mention], self._near)[mention] if mention else ""
            where = self.where(row.number)
            file = found if isinstance(found, str) else ""
            self.reading.problems.append(Problem(mention if file else where, f"{where}: {row.reason}", file=file))


def split_of_table(file: str) -> str | None:
    """The split that a table's name says in one of its words: train.csv, val_labels.csv, test-annotations-bbox.csv."""
    stem = PurePosixPath(file).name.split(".")[0]
    words = stem.replace("-", "_").replace(" ", "_").split("_")
    found = {split for word in words if (split := split_of(word))}
    return found.pop() if len(found) == 1 else None
