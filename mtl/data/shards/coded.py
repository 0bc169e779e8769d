"""Arrays of a shard whose rows are coded each for itself: they index as the arrays would that they stand for.

In the file an array `<name>` [n, …] is then two, and the header says how to decode them:

    <name>.code    uint8 [total]   all rows' codes one after the other
    <name>.starts  int64 [n + 1]   row i has code[starts[i]:starts[i + 1]]
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mtl.data.codecs import CODECS, ImageCodec
from mtl.data.codecs.pictures import Lossless
from mtl.data.codecs.threads import decode_all

CODE, STARTS = ".code", ".starts"


class Coded:
    """Rows of one shape and type, decoded when they are asked for.

    Args:
        code, starts: as a file has them.
        row, dtype: of a row.
    """

    def __init__(
        self, codec: ImageCodec, code: np.ndarray, starts: np.ndarray, row: tuple[int, ...], dtype: Any
    ) -> None:
        self.codec, self.codes, self.starts = codec, code, starts
        self.shape, self.dtype = (len(starts) - 1, *row), np.dtype(dtype)

    def __len__(self) -> int:
        return self.shape[0]

    def code(self, index: int) -> np.ndarray:
        """A row's code, uint8 [bytes]: a view of the file."""
        return self.codes[self.starts[index] : self.starts[index + 1]]

    def __getitem__(self, key: Any) -> np.ndarray:
        """A row, or those that a slice, indices or a mask of rows choose, decoded."""
        if isinstance(key, int | np.integer):
            return self.codec.decode(self.code(int(key)), self.shape[1:], self.dtype)
        chosen = np.arange(len(self))[key]
        found = np.empty((len(chosen), *self.shape[1:]), self.dtype)
        decode_all(self.codec, [self.code(int(i)) for i in chosen], found)
        return found


def coded(
    arrays: Mapping[str, np.ndarray], codec: ImageCodec, images: Sequence[bytes]
) -> dict[str, np.ndarray | Coded]:
    """The arrays of a shard with all that has a value per pixel coded: images as they are given, the rest without loss."""
    found: dict[str, np.ndarray | Coded] = dict(arrays)
    found["image"] = _joined(codec, images, arrays["image"])
    exact = Lossless()
    for name, array in arrays.items():
        if name != "image" and array.shape[1:3] == arrays["image"].shape[1:3] and array.ndim > 2:
            found[name] = _joined(exact, [exact.encode(row) for row in array], array)
    return found


def _joined(codec: ImageCodec, codes: Sequence[bytes], like: np.ndarray) -> Coded:
    starts = np.cumsum([0, *map(len, codes)], dtype=np.int64)
    return Coded(codec, np.frombuffer(b"".join(codes), np.uint8), starts, like.shape[1:], like.dtype)


def parted(arrays: Mapping[str, np.ndarray | Coded]) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The arrays as a file has them, and what its header says of those that are coded."""
    plain: dict[str, np.ndarray] = {}
    how: dict[str, Any] = {}
    for name, array in arrays.items():
        if isinstance(array, Coded):
            plain[name + CODE], plain[name + STARTS] = array.codes, array.starts
            how[name] = {"codec": array.codec.name, "shape": list(array.shape[1:]), "dtype": array.dtype.name}
        else:
            plain[name] = array
    return plain, how


def joined(arrays: Mapping[str, np.ndarray], how: Mapping[str, Any]) -> dict[str, Any]:
    """What `parted` was given.

    Raises:
        KeyError, ValueError: a codec or an array that is not there, or codes that do not fill theirs.
    """
    found: dict[str, Any] = dict(arrays)
    for name, entry in how.items():
        code, starts = found.pop(name + CODE), found.pop(name + STARTS)
        if starts[0] != 0 or starts[-1] != len(code) or (np.diff(starts) < 0).any():
            raise ValueError(f"the codes of {name} do not fill it")
        codec = CODECS[entry["codec"]]()
        found[name] = Coded(codec, code, starts, tuple(entry["shape"]), entry["dtype"])
    return found
