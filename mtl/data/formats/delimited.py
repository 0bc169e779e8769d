"""Text with a line per row and a mark between cells: CSV and its relatives."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterator

from mtl.data.formats.sheet import Options, Ragged, Row, Sheet
from mtl.data.formats.text import plain
from mtl.errors import DataError

DELIMITERS = ",;\t|"
MAX_CELL = 1 << 26
"""Characters; a run-length mask may have many."""
SNIFFED = 50
"""Rows that a delimiter is tried on."""


def read_delimited(text: str, file: str, options: Options) -> Sheet:
    """The rows of a text; those that have not a cell for each column are told apart.

    Raises:
        DataError: it is empty, or a quote is not closed.
    """
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
            stripped = [plain(cell) for cell in cells]
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
