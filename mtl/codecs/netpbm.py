"""PBM, PGM and PPM, with NumPy: PIL takes a minute for large ones, and OpenCV does not scale by what they declare."""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np

from mtl.errors import DataError

_GAP = rb"(?:\s|#[^\r\n]*[\r\n])+"
_SIZE = _GAP + rb"(\d{1,9})" + _GAP + rb"(\d{1,9})"
_HEADER = re.compile(rb"P(?:([14])" + _SIZE + rb"|([2356])" + _SIZE + _GAP + rb"(\d{1,5}))\s")
LONGEST = 1 << 14
"""Bytes of a header, comments among them: the pattern remembers each of its steps."""
_PLAIN = {1, 2, 3}
_COLOUR = {3, 6}
_BITS = {1, 4}
_PACKED = 4
_SPACES = np.frombuffer(b" \t\n\v\f\r", np.uint8)


class NetpbmHeader(NamedTuple):
    """The digit after P, width and height in pixels, the largest value that a sample can have, and where samples begin."""

    kind: int
    width: int
    height: int
    maximum: int
    start: int


def netpbm_header(data: bytes) -> NetpbmHeader | None:
    """What a file says of itself; None if it is no PBM, PGM or PPM."""
    found = _HEADER.match(data[:LONGEST])
    if found is None:
        return None
    kind, width, height = (int(found[1] or found[4]), int(found[2] or found[5]), int(found[3] or found[6]))
    maximum = 1 if kind in _BITS else int(found[7])
    return NetpbmHeader(kind, width, height, maximum, found.end()) if 0 < maximum < 65536 and width and height else None


def netpbm_values(data: bytes) -> np.ndarray:
    """Samples as they stand: [height, width] or [height, width, 3]; of a PBM, 1 is white.

    Raises:
        DataError: there are fewer than it declares, or larger ones.
    """
    header = netpbm_header(data)
    assert header is not None
    kind, width, height, maximum, start = header
    shape = (height, width, 3) if kind in _COLOUR else (height, width)
    number = int(np.prod(shape))
    body = data[start:]
    if kind == _PACKED:
        row = -(-width // 8)
        packed = _enough(np.frombuffer(body, np.uint8), height * row).reshape(height, row)
        return 1 - np.unpackbits(packed, axis=1)[:, :width]
    if kind in _PLAIN:
        values = _plain(re.sub(rb"#[^\r\n]*", b"", body), kind, number)
    else:
        size = 1 if maximum < 256 else 2
        whole = body[: len(body) // size * size]
        values = np.frombuffer(whole, np.uint8 if size == 1 else np.dtype(">u2"))
    values = _enough(values, number)
    if values.min() < 0 or values.max() > maximum:
        raise DataError("an image has another value than it declares", found=f"{values.max()} of {maximum}")
    values = (1 - values) if kind == 1 else values
    return values.astype(np.uint8 if maximum < 256 else np.uint16).reshape(shape)


def _plain(text: bytes, kind: int, number: int) -> np.ndarray:
    if kind == 1:  # its digits need no space between them
        digits = np.frombuffer(b"".join(text.split()), np.uint8).astype(np.int32) - ord("0")
        return digits if digits.size == 0 or digits.max() < 2 else np.zeros(0, np.int32)
    codes = np.frombuffer(text, np.uint8)
    digits = (codes >= ord("0")) & (codes <= ord("9"))
    if not (digits | np.isin(codes, _SPACES)).all():
        raise DataError("an image has a value that is no number", fix="save it anew")
    begins = digits[:-1] < digits[1:]
    # Of fewer numbers than asked for, NumPy makes up the rest.
    available = int(np.count_nonzero(begins)) + bool(digits[:1].any())
    return np.fromstring(text, np.int64, count=min(available, number), sep=" ") if available else codes[:0]


def _enough(values: np.ndarray, number: int) -> np.ndarray:
    if len(values) < number:
        raise DataError("an image is cut off", found=f"{len(values)} of {number} values")
    return values[:number]
