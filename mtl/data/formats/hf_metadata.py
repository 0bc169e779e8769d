"""Hugging Face's `imagefolder`: images, and beside them a file that says in its rows which they are and what they show."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mtl.config.files.base import MISSING
from mtl.data.formats.parquet_rows import batches
from mtl.data.formats.sheet import Options
from mtl.data.formats.sheet_files import parsed
from mtl.errors import DataError
from mtl.storage.file_tree import FileTree

METADATA = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
"""Beside images, whose names it has in the column file_name."""
_FILE = "file_name"


def is_metadata(file: str) -> bool:
    """Whether a file says in its rows which images they are of."""
    return file.rpartition("/")[2].lower() in METADATA


def metadata_features(tree: FileTree, file: str) -> dict[str, object]:
    """Column → what it is; columns of files' names are images, under the names that `datasets` gives them.

    Raises:
        DataError: the file cannot be read, or has no column file_name.
    """
    from datasets import Features, Image

    features = dict(Features.from_arrow_schema(_table(tree, file).schema))
    return {_renamed(name): Image() if _renamed(name) != name else feature for name, feature in features.items()}


def metadata_table(tree: FileTree, file: str) -> Any:
    """The rows as an Arrow table.

    Raises:
        DataError: the file cannot be read, or has no column file_name.
    """
    table = _table(tree, file)
    return table.rename_columns([_renamed(name) for name in table.column_names])


def check_names(file: str, names: Sequence[str]) -> None:
    """Refuse two columns of one name.

    Raises:
        DataError: there are.
    """
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(f"{file} has several columns of one name", found=", ".join(twice), fix="rename one")


def _table(tree: FileTree, file: str) -> Any:
    """Its rows, with the columns' own names."""
    data = tree.read(file)
    try:
        if file.lower().endswith(".parquet"):
            source = pq.ParquetFile(pa.BufferReader(data))
            table = pa.Table.from_batches(batches(file, source, len(data), None), source.schema_arrow)
        elif file.lower().endswith(".jsonl"):
            table = pa.Table.from_pylist(
                [json.loads(line) for line in data.decode("utf-8-sig").splitlines() if line.strip()]
            )
        else:
            sheet = parsed(data, file, Options())
            sheet.require(sheet.columns)
            if sheet.ragged:
                raise DataError(f"line {sheet.ragged[0].number}: {sheet.ragged[0].reason}")
            table = pa.table({name: _typed([str(cell) for cell in sheet.cells(name)]) for name in sheet.columns})
    except DataError as error:
        raise DataError(f"{file} cannot be read", found=error.line) from error
    except Exception as error:  # whatever is in it
        raise DataError(f"{file} cannot be read", found=f"{type(error).__name__}: {error}") from error
    if _FILE not in table.column_names:
        fix = "it needs the column file_name"
        raise DataError(f"{file} does not say which images its rows are of", found=str(table.column_names), fix=fix)
    check_names(file, table.column_names)
    return table


def _renamed(name: str) -> str:
    """As `datasets` calls them: file_name becomes image, mask_file_name becomes mask."""
    return "image" if name == _FILE else name.removesuffix(f"_{_FILE}") if name.endswith(f"_{_FILE}") else name


def _typed(cells: list[str]) -> list[object]:
    """Numbers, where all cells of a column are."""
    known = [cell for cell in cells if cell not in MISSING]
    for pattern, kind in ((r"-?(0|[1-9]\d{0,17})", int), (r"-?\d+(\.\d*)?([eE][+-]?\d+)?", float)):
        if known and all(re.fullmatch(pattern, cell) for cell in known):
            return [kind(cell) if cell not in MISSING else None for cell in cells]
    return [cell if cell not in MISSING else None for cell in cells]
