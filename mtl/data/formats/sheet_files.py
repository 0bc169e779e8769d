"""Files of tables: CSV and its relatives, Parquet, JSON lines. What a cell means is its reader's matter."""

from __future__ import annotations

import io
import json
from collections.abc import Collection, Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mtl.data.formats.cells import as_cell
from mtl.data.formats.delimited import read_delimited
from mtl.data.formats.parquet_rows import batches
from mtl.data.formats.sheet import Options, Ragged, Row, Sheet
from mtl.data.formats.text import decoded
from mtl.errors import DataError

PARQUET = (".parquet", ".pq")
JSON = (".jsonl", ".ndjson", ".json")


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
    return read_delimited(text, file, options)


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
        rows = [row for batch in batches(file, source, len(data), chosen) for row in batch.to_pylist()]
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
    """An object per line, or a list of objects."""
    found: list[tuple[int, Any]] = []
    ragged: list[Ragged] = []
    for place, item in _items(text, file):
        if isinstance(item, dict):
            found.append((place, item))
        else:
            ragged.append(Ragged(place, item if isinstance(item, str) else "it is no object", []))
    if not found:
        reason = ragged[0].reason if ragged else "it is empty"
        raise DataError(f"{file} is no table", found=reason, fix="an object of columns and values per line")
    columns = list(dict.fromkeys(str(name) for _, item in found for name in item))
    rows = [Row(place, {name: as_cell(item.get(name)) for name in columns}) for place, item in found]
    return Sheet(file, columns, rows, unit="line" if not file.lower().endswith(".json") else "item", ragged=ragged)


def _items(text: str, file: str) -> Iterator[tuple[int, object]]:
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
