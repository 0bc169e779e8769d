"""Masks as Label Studio codes them: bits of runs and single words (thi.ng's rle-pack), of a picture of four channels."""

from __future__ import annotations

from functools import partial

import numpy as np

from mtl.codecs.header import MAX_PIXELS
from mtl.data.formats.shapes import Shape, box_of
from mtl.errors import DataError


class _Bits:
    """Bits of a list of bytes, read from the first."""

    def __init__(self, data: bytes) -> None:
        self._bits = np.unpackbits(np.frombuffer(data, np.uint8))
        self._place = 0

    def words(self, count: int, size: int) -> np.ndarray:
        """The next numbers of so many bits each.

        Raises:
            DataError: there are fewer.
        """
        end = self._place + count * size
        if end > len(self._bits):
            raise DataError("a brush's code ends too early", found=f"{len(self._bits) // 8} bytes")
        found = self._bits[self._place : end].reshape(count, size) @ (1 << np.arange(size - 1, -1, -1, dtype=np.int64))
        self._place = end
        return found

    def word(self, size: int) -> int:
        """The next number."""
        return int(self.words(1, size)[0])


def decode_brush(code: object, height: int, width: int) -> np.ndarray:
    """uint8 [height, width] of 0 and 1: where the fourth channel is not 0.

    Raises:
        DataError: it is damaged, or of another size.
    """
    if not isinstance(code, list) or not all(type(value) is int and 0 <= value < 256 for value in code):
        raise DataError("a brush's code is no list of bytes", found=str(code)[:80])
    bits = _Bits(bytes(code))
    total, size = bits.word(32), bits.word(5) + 1
    if total != height * width * 4 or height * width > MAX_PIXELS:
        raise DataError("a brush's mask has another size than its picture", found=f"{total} for {width}×{height}×4")
    runs = [bits.word(4) + 1 for _ in range(4)]
    out = np.zeros(total, np.uint8)
    place = 0
    while place < total:
        repeated = bits.word(1)
        count = 1 + bits.word(runs[bits.word(2)])
        if place + count > total:
            raise DataError("a brush's code is longer than its mask", found=f"{place + count} of {total}")
        out[place : place + count] = bits.word(size) > 0 if repeated else bits.words(count, size) > 0
        place += count
    return np.ascontiguousarray(out.reshape(height, width, 4)[:, :, 3])


def brush(what: str, code: object, height: int, width: int) -> Shape:
    """An object that was painted.

    Raises:
        DataError: its code is damaged, or nothing is painted.
    """
    return Shape(what, 0, box_of(decode_brush(code, height, width)), mask=partial(decode_brush, code))
