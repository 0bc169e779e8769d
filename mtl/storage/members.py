"""Images inside files that stay as they are: a tar's member, a cell of a Parquet or Arrow file.

A name of one reads `container!location!digest!name`. The digest is of the bytes that were there when the set was read: a container
that was written anew since must not pass for it, whatever lies there now.
"""

from __future__ import annotations

import bisect
import itertools
import re
import tarfile
from typing import Any, NamedTuple

from mtl.errors import DataError
from mtl.storage.digest import bytes_sha256

_PATTERN = re.compile(
    r"(?P<container>.+\.(?:tar|parquet|arrow))!(?P<location>[^!]+)!(?P<digest>[0-9a-f]{16})!(?P<name>.*)",
    re.DOTALL,
)
_BLOCK = 1 << 20


class Member(NamedTuple):
    """One member.

    location: `<offset>+<size>` in bytes of a tar; `<row>.<column>` of a table. name: in a tar.
    """

    container: str
    location: str
    digest: str
    name: str

    @classmethod
    def of(cls, container: str, location: str, sha256: str, name: str = "") -> Member:
        """Of bytes with this SHA-256 that were read there."""
        return cls(container, location, sha256[:16], name)

    @classmethod
    def parse(cls, text: str) -> Member | None:
        """From a file's name; None if it is an ordinary one."""
        found = _PATTERN.fullmatch(text) if "!" in text else None
        return cls(**found.groupdict()) if found else None

    def __str__(self) -> str:
        return f"{self.container}!{self.location}!{self.digest}!{self.name}"

    @property
    def span(self) -> tuple[int, int]:
        """Offset and size in a tar."""
        offset, _, size = self.location.partition("+")
        return int(offset), int(size)

    @property
    def cell(self) -> tuple[int, str]:
        """Row and column of a table."""
        row, _, column = self.location.partition(".")
        return int(row), column

    def checked(self, data: bytes) -> bytes:
        """The bytes, if they are those that were there.

        Raises:
            DataError: they are others.
        """
        if bytes_sha256(data)[:16] != self.digest:
            raise DataError(f"{self.container} has changed since it was read", found=f"other bytes at {self.location}")
        return data


class Table:
    """The cells of one Parquet file, or Arrow stream. The part that was read last stays in memory: its neighbours come next.

    Args:
        source: a path; of Parquet else an open file, of Arrow its bytes.
    """

    def __init__(self, source: Any, *, arrow: bool) -> None:
        import pyarrow as pa  # a look at a folder must not wait for it
        import pyarrow.parquet as pq

        self._batches: list[Any] | None = None
        if arrow:
            whole = pa.memory_map(source) if isinstance(source, str) else pa.BufferReader(source)
            self._batches = list(pa.ipc.open_stream(whole))
            sizes = [batch.num_rows for batch in self._batches]
        else:
            self._file = pq.ParquetFile(source, memory_map=isinstance(source, str), pre_buffer=False)
            sizes = [self._file.metadata.row_group(i).num_rows for i in range(self._file.num_row_groups)]
        self._ends = list(itertools.accumulate(sizes))
        self._last: tuple[int, str, Any] | None = None

    def bytes_at(self, row: int, column: str) -> bytes:
        """An image as Hugging Face's `datasets` keeps it: a struct of bytes and path; or the bytes alone.

        Raises:
            DataError: there is none.
        """
        part = bisect.bisect_right(self._ends, row)
        try:
            if self._last is None or self._last[:2] != (part, column):
                self._last = (part, column, self._column(part, column))
            before = self._ends[part - 1] if part else 0
            cell = self._last[2][row - before].as_py()
            found = cell if isinstance(cell, bytes) else cell["bytes"]
        except (LookupError, TypeError, ValueError, OSError, NotImplementedError, MemoryError) as error:
            raise DataError(f"no bytes in row {row}, {column}", found=f"{type(error).__name__}: {error}") from error
        if not isinstance(found, bytes):
            raise DataError(f"no bytes in row {row}, {column}", found=type(found).__name__)
        return found

    def _column(self, part: int, column: str) -> Any:
        if self._batches is not None:
            found = self._batches[part].column(column)
            found.validate(full=True)  # wrong offsets would reach out of memory
            return found
        return self._file.read_row_group(part, columns=[column]).column(column)


def refuse_cut_off(tar: tarfile.TarFile) -> None:
    """Python takes whatever is no header for the end of an archive: what comes after it would be left out in silence.

    Args:
        tar: all of whose members were read.

    Raises:
        DataError: it does not end as an archive does: two empty blocks, and nothing but zeros.
    """
    file: object = tar.fileobj
    file.seek(tar.offset)
    found = 0
    while block := file.read(_BLOCK):
        if block.strip(b"\0"):
            raise DataError(
                "a tar file is damaged, or another one was appended to it",
                found=f"something other than zeros after its last member, at byte {tar.offset}",
                fix="write it anew; tar -A joins archives",
            )
        found += len(block)
    if found < tarfile.BLOCKSIZE:
        raise DataError("a tar file is cut off", found="no end after its last member", fix="copy it again")
