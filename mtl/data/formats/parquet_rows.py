"""Rows of Parquet, of which a file of kilobytes can have billions: the same value again and again takes no space in it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from mtl.errors import DataError
from mtl.storage.unpacked import refuse_bomb

ROWS = 64
"""Read at a time."""
FEW, ROWS_A_BYTE = 100_000, 64
"""Rows that any file may have, and further ones for each of its bytes: each row names an image."""


def batches(file: str, source: Any, size: int, columns: Sequence[str] | None, rows: int = ROWS) -> Iterator[Any]:
    """Some rows at a time, as Arrow has them.

    Args:
        source: a pyarrow.parquet.ParquetFile.
        size: of the file, in bytes.

    Raises:
        DataError: it has far more rows, or more in them, than its size.
    """
    number, allowed = source.metadata.num_rows, FEW + ROWS_A_BYTE * size
    if number > allowed:
        fix = "it may be a bomb; if it is not, write it anew without compression"
        raise DataError(f"{file} has far more rows than its size", found=f"{number} in {size} bytes", fix=fix)
    total = 0
    for batch in source.iter_batches(rows, columns=None if columns is None else [*columns]):
        total += batch.nbytes
        refuse_bomb(file, total, size)
        yield batch
