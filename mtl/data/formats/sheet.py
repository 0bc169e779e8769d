"""Tables as rows of cells, whatever they are written in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import NamedTuple

from mtl.data.formats.cells import Cell
from mtl.errors import DataError


class Row(NamedTuple):
    """number: of the line where it begins, or of the row, from 1."""

    number: int
    cells: dict[str, Cell]


class Ragged(NamedTuple):
    """A row that has not a cell for each column, and no other way to tell which is which."""

    number: int
    reason: str
    cells: list[str]


class Options(NamedTuple):
    """How a text is to be read; empty: as it seems."""

    delimiter: str = ""
    encoding: str = ""
    header: bool = True


@dataclass
class Sheet:
    """A table. unit: what its rows are counted in."""

    file: str
    columns: list[str]
    rows: list[Row]
    unit: str = "line"
    delimiter: str = ""
    ragged: list[Ragged] = field(default_factory=list[Ragged])

    def cells(self, column: str) -> list[Cell]:
        """Of all rows."""
        return [row.cells[column] for row in self.rows]

    def require(self, wanted: Collection[str]) -> None:
        """Refuse it unless it has all of these columns, each once.

        Raises:
            DataError: one is missing, or there are several of its name.
        """
        missing = sorted({*wanted} - {*self.columns})
        if missing:
            fix = "name others; or header: false, if the first line is a row"
            raise DataError(f"{self.file} lacks columns", found=f"no {missing}; it has {self.columns}", fix=fix)
        twice = [name for name, count in Counter(self.columns).items() if count > 1 and name in wanted]
        if twice:
            fix = "rename one: which of them is meant, nothing says"
            raise DataError(f"{self.file} has several columns of one name", found=", ".join(twice), fix=fix)
