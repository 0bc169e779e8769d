"""Archives as streams whose size is watched: a megabyte of gzip can be a gigabyte of nothing."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
from typing import Any

from mtl.errors import DataError

RATIO = 200
"""By how much what an archive holds may exceed the archive: images are packed already, annotations shrink to a tenth."""
HARMLESS = 64 << 20
"""Bytes that any archive may hold."""

_PACKERS: dict[bytes, Any] = {b"\x1f\x8b": gzip.GzipFile, b"BZh": bz2.BZ2File, b"\xfd7zXZ": lzma.LZMAFile}


def refuse_bomb(name: str, unpacked: int, packed: int) -> None:
    """Nothing, of an archive that holds so many bytes in so many.

    Raises:
        DataError: it must be a bomb.
    """
    if unpacked > max(HARMLESS, RATIO * packed):
        raise DataError(
            f"{name} holds far more than its size",
            found=f"more than {max(HARMLESS, RATIO * packed) / 2**20:.0f} MiB in {packed / 2**20:.2f}",
            fix="it may be a bomb; if it is not, unpack it, and name the folder",
        )


def unpacked(name: str, file: Any) -> Any:
    """The stream itself, if nothing packed it; else what is in it, as far as it is no bomb.

    Args:
        file: open at its beginning, and can be moved in.
    """
    magic = file.read(5)
    packed = file.seek(0, os.SEEK_END)
    file.seek(0)
    packer = next((packer for mark, packer in _PACKERS.items() if magic.startswith(mark)), None)
    if packer is None:
        return file
    return _Watched(name, packer(fileobj=file) if packer is gzip.GzipFile else packer(file), packed)


class _Watched:
    """A packed stream that ends in an error where it turns out to be a bomb."""

    def __init__(self, name: str, stream: Any, packed: int) -> None:
        self._name, self._stream, self._packed = name, stream, packed

    def read(self, size: int = -1) -> bytes:
        """The next bytes, or all that remain.

        Raises:
            DataError: it is a bomb.
        """
        parts: list[bytes] = []
        place = self._stream.tell()
        if size >= 0:  # a header may ask for any size, whatever there is
            refuse_bomb(self._name, place + size, self._packed)
            return self._stream.read(size)
        while part := self._stream.read(1 << 20):
            refuse_bomb(self._name, self._stream.tell(), self._packed)
            parts.append(part)
        return b"".join(parts)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """As of a file, from its beginning or from where it is."""
        target = offset + (self._stream.tell() if whence == os.SEEK_CUR else 0)
        assert whence in (os.SEEK_SET, os.SEEK_CUR)
        refuse_bomb(self._name, target, self._packed)
        return self._stream.seek(target)

    def tell(self) -> int:
        """Bytes before the next."""
        return self._stream.tell()

    def seekable(self) -> bool:
        """Yes."""
        return True

    def readable(self) -> bool:
        """Yes."""
        return True

    def close(self) -> None:
        """Of the packed stream; the file below stays open."""
        self._stream.close()
