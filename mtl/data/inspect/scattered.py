"""Rows that memory has no room for, in files of which each has room: rows of one key lie in one."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

PART = 1 << 22
"""Rows of a file, if keys are even."""
MOST = 128
"""Files, as many as a process may have open."""
_SPREAD = np.uint64(0x9E3779B97F4A7C15)


class Scattered:
    """Files without a name, which nobody else sees and which end with us.

    Args:
        folder: of the disk on which they are.
        expected: rows.
        dtype: of a row.
    """

    def __init__(self, folder: Path, expected: int, dtype: Any) -> None:
        self._bits = (min(-(-expected // PART), MOST) - 1).bit_length() if expected else 0
        self._dtype = np.dtype(dtype)
        self._files = [tempfile.TemporaryFile(dir=folder) for _ in range(1 << self._bits)]  # noqa: SIM115 (see close)

    def add(self, keys: np.ndarray, rows: np.ndarray) -> None:
        """Rows with a key each, uint64."""
        if not self._bits:
            rows.tofile(self._files[0])
            return
        parts = keys * _SPREAD >> np.uint64(64 - self._bits)  # keys that lie near each other are no crowd
        ordered = rows[np.argsort(parts, kind="stable")]
        ends = np.cumsum(np.bincount(parts.astype(np.int64), minlength=len(self._files)))
        for file, some in zip(self._files, np.split(ordered, ends[:-1]), strict=True):
            some.tofile(file)

    def parts(self) -> Iterator[np.ndarray]:
        """All rows of one file, file by file."""
        for file in self._files:
            file.seek(0)
            yield np.fromfile(file, self._dtype)

    def close(self) -> None:
        """Give the disk back."""
        for file in self._files:
            file.close()
