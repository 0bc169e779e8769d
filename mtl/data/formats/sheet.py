"""Tables as rows of cells: CSV and its relatives, Parquet, JSON lines. What a cell means is its reader's matter."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from mtl.config import DataError
from mtl.data.formats.cells import Cell, as_cell
from mtl.data.formats.text import decoded

PARQUET = (".parquet", ".pq")
JSON = (".jsonl", ".ndjson", ".json")
TEXT = (".csv", ".tsv", ".tab", ".txt")
DELIMITERS = ",;\t|"
MAX_CELL = 1 << 26
"""Characters; a run-length mask may have many."""
SNIFFED = 50
"""Rows that a delimiter is tried on."""


class Row(NamedTuple):
    """place: of the line where it begins, or of the row, from 1."""

    place: int
    cells: dict[str, Cell]


class Ragged(NamedTuple):
    """A row that has not a cell for each column, and no other way to tell which is which."""

    place: int
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


def parsed(data: bytes, file: str, options: Options, wanted: Collection[str] | None = None) -> Sheet:
    """A table's rows.

    Args:
        wanted: columns of Parquet that are read; all that hold no bytes, if None.

    Raises:
        DataError: it is no table, or damaged.
    """
    lower = file.lower()
    if lower.endswith(PARQUET):
        return _parquet(data, file, wanted)
    try:
        text = decoded(data, options.encoding)
    except DataError as error:
        raise DataError(
            f"{file}: {error.what}", found=error.found, fix="save it as UTF-8, or set `encoding`"
        ) from error
    if lower.endswith(JSON):
        return _json(text, file)
    return _csv(text, file, options)


def _parquet(data: bytes, file: str, wanted: Collection[str] | None) -> Sheet:
    try:
        source = pq.ParquetFile(io.BytesIO(data))
        names = [field.name for field in source.schema_arrow if wanted is None or field.name in wanted]
        held = (
            [n for n in names if _holds_bytes(source.schema_arrow.field(n).type)] if len({*names}) == len(names) else []
        )
        if wanted is not None and held:
            fix = "format: huggingface reads images in Parquet"
            raise DataError(f"{file}: the column {held[0]} has bytes, not names or values", fix=fix)
        chosen = [name for name in names if name not in held]
        rows = source.read(columns=chosen).to_pylist()
    except DataError:
        raise
    except Exception as error:  # whatever pyarrow makes of damage
        raise DataError(f"{file} cannot be read", found=f"{type(error).__name__}: {error}", fix="Parquet") from error
    cells = [{name: as_cell(value) for name, value in row.items()} for row in rows]
    return Sheet(file, chosen, [Row(number, row) for number, row in enumerate(cells, 1)], unit="row")


def _holds_bytes(kind: Any) -> bool:
    if pa.types.is_struct(kind):
        return any(_holds_bytes(field.type) for field in kind)
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)


def _json(text: str, file: str) -> Sheet:
    """An object a line, or a list of objects."""
    found: list[tuple[int, Any]] = []
    ragged: list[Ragged] = []
    for place, item in _items(text, file):
        if isinstance(item, dict):
            found.append((place, item))
        else:
            ragged.append(Ragged(place, item if isinstance(item, str) else "it is no object", []))
    if not found:
        reason = ragged[0].reason if ragged else "it is empty"
        raise DataError(f"{file} is no table", found=reason, fix="an object of columns and values a line")
    columns = list(dict.fromkeys(str(name) for _, item in found for name in item))
    rows = [Row(place, {name: as_cell(item.get(name)) for name in columns}) for place, item in found]
    return Sheet(file, columns, rows, unit="line" if not file.lower().endswith(".json") else "item", ragged=ragged)


def _items(text: str, file: str) -> Iterator[tuple[int, Any]]:
    """Objects; texts of what is wrong where there is none."""
    try:
        if file.lower().endswith(".json") and text.lstrip().startswith("["):
            yield from enumerate(json.loads(text), 1)
            return
    except (ValueError, RecursionError) as error:
        raise DataError(f"{file} is not JSON", found=str(error)) from error
    for place, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                item = json.loads(line)
            except (ValueError, RecursionError) as error:
                item = f"it is not JSON: {error}"
            yield place, item if isinstance(item, dict | str) else None


def _csv(text: str, file: str, options: Options) -> Sheet:
    lines, skipped = text, 0
    if lines[:4].lower() == "sep=" and lines[5:6] in ("\r", "\n"):  # Excel's own first line
        options = options._replace(delimiter=options.delimiter or lines[4])
        lines, skipped = lines.partition("\n")[2], 1
    delimiter = options.delimiter or sniffed(lines)
    records = list(_records(lines, file, delimiter, skipped))
    if not records:
        raise DataError(f"{file} is empty", fix="a line of the columns' names, and one for each row")
    if options.header:
        _, header = records.pop(0)
        columns = [name or f"Unnamed: {place}" for place, name in enumerate(header)]  # as pandas calls an index
    else:
        width = Counter(len(cells) for _, cells in records).most_common(1)[0][0]
        columns = [str(place) for place in range(1, width + 1)]
    sheet = Sheet(file, columns, [], delimiter=delimiter)
    for place, cells in records:
        if len(cells) > len(columns) and not any(cells[len(columns) :]):
            cells = cells[: len(columns)]
        if len(cells) == len(columns):
            sheet.rows.append(Row(place, dict(zip(columns, cells, strict=True))))
        else:
            sheet.ragged.append(Ragged(place, f"it has {len(cells)} cells, the table {len(columns)} columns", cells))
    return sheet


def _records(text: str, file: str, delimiter: str, skipped: int = 0) -> Iterator[tuple[int, list[str]]]:
    """Line and stripped cells of every record that has any."""
    csv.field_size_limit(MAX_CELL)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True, strict=True)
    line = 1
    try:
        for cells in reader:
            stripped = [cell.strip() for cell in cells]
            if any(stripped):
                yield line + skipped, stripped
            line = reader.line_num + 1
    except csv.Error as error:
        fix = "a quote that opens a cell must close it; one inside a cell is written twice"
        raise DataError(f"{file}, line {line + skipped}: it cannot be read", found=str(error), fix=fix) from error


def sniffed(text: str) -> str:
    """The delimiter that cuts the header, and most of the first rows alike, into most cells; a comma if none does."""
    beginning = text[: 1 << 16]

    def cut(delimiter: str) -> tuple[bool, bool, int]:
        reader = csv.reader(io.StringIO(beginning, newline=""), delimiter=delimiter, skipinitialspace=True)
        widths: list[int] = []
        try:
            for cells in reader:
                if any(cell.strip() for cell in cells):
                    widths.append(len(cells))
                if len(widths) == SNIFFED:
                    break
        except csv.Error:
            widths = []
        if not widths:
            return False, False, 0
        return widths[0] > 1, 2 * sum(width == widths[0] for width in widths) > len(widths), widths[0]

    return max(DELIMITERS, key=cut)
