"""Masks as COCO codes them: the lengths of runs of 0 and 1, column by column, as a list or in characters."""

from __future__ import annotations

import ast

import numpy as np

from mtl.codecs.header import MAX_PIXELS
from mtl.errors import DataError

LONGEST = 60
"""Bits of a run's length: more than any picture has pixels."""


def draw_runs(segmentation: dict[str, object], height: int, width: int) -> np.ndarray:
    """uint8 [height, width] of a run-length code.

    Args:
        segmentation: `size`, height and width, and `counts`: a list, or a text in COCO's own code.

    Raises:
        DataError: it is damaged, or of another size.
    """
    size = segmentation.get("size")
    if not isinstance(size, list | tuple) or [*size] != [height, width]:
        found = f"{str(size)[:40]} for {height}×{width}"
        raise DataError("a run-length mask has another size than its image", found=found)
    counts = segmentation.get("counts")
    if isinstance(counts, bytes):
        counts = counts.decode("latin-1")
    if isinstance(counts, str):
        counts = uncompressed(_bare(counts))
    if not isinstance(counts, list) or not all(type(n) is int and n >= 0 for n in counts):
        raise DataError("a run-length mask has no counts", found=str(counts)[:80])
    if sum(counts) != height * width or height * width > MAX_PIXELS:
        raise DataError("a run-length mask is not as long as its image", found=f"{sum(counts)} of {height * width}")
    return np.ascontiguousarray(drawn(counts).reshape(width, height).T)  # by columns


def drawn(counts: list[int]) -> np.ndarray:
    """uint8 [pixels] of runs of 0 and 1, by turns."""
    return np.repeat(np.arange(len(counts), dtype=np.int32).astype(np.uint8) & 1, counts)


def _bare(text: str) -> str:
    """A code without what Python's str() puts around bytes, b'…': a quotation mark is no character of the code."""
    if text[:2] not in ("b'", 'b"'):
        return text
    try:
        found = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError) as error:
        raise DataError("a run-length code is damaged", found=text[:80]) from error
    return found.decode("latin-1") if isinstance(found, bytes) else text


def uncompressed(text: str) -> list[int]:
    """The counts of COCO's compressed run-length code: differences in a variable-length code of five bits per character.

    Decoded here, for the C code reads beyond the end of a damaged one.

    Raises:
        DataError: it is damaged.
    """
    counts: list[int] = []
    place = 0
    while place < len(text):
        value, shift, more = 0, 0, True
        while more:
            if place == len(text) or shift > LONGEST:
                raise DataError("a run-length code ends in mid-number")
            bits = ord(text[place]) - 48
            if not 0 <= bits < 64:
                raise DataError("a run-length code has a character that is none of its own", found=repr(text[place]))
            value |= (bits & 31) << shift
            more = bool(bits & 32)
            shift += 5
            place += 1
            if not more and bits & 16:
                value -= 1 << shift
        counts.append(value + counts[-2] if len(counts) > 2 else value)
    return counts
