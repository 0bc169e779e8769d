"""Tables of boxes: a row per box, x1, y1, x2, y2, label; and where an image has boxes that do not count, a sixth number.

That number is 0 for a box that counts. Other boxes are neither found nor missed: metrics ignore what is found there, and a
detector learns nothing there, neither an object nor that there is none. Most data sets have none, so a table of five
columns is one where every box counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mtl.errors import DataError

CROWD = 1.0
"""A region of many objects that are not told apart (COCO's iscrowd): any number of detections may lie in it."""
DIFFICULT = 2.0
"""One object that even people may miss (VOC's difficult)."""

Table = Any
"""An array of NumPy or a tensor of PyTorch: what is asked of it, both can."""


def kinds(table: Table) -> Table:
    """[..., 5 or 6] → [...]: 0 for a box that counts, else CROWD or DIFFICULT."""
    return table[..., 5:].sum(-1)


def objects(table: Table) -> Table:
    """The boxes that count: [m, 5]."""
    return table[kinds(table) == 0][:, :5]


def as_rows(boxes: list[list[float]], kinds: list[float]) -> list[list[float]]:
    """Rows of a raw data set from boxes of five numbers and what each is: with a sixth only if one does not count."""
    return [[*box, kind] for box, kind in zip(boxes, kinds, strict=True)] if any(kinds) else boxes


def as_table(rows: Sequence[Sequence[float]] | np.ndarray) -> np.ndarray:
    """Rows of a raw data set as float32 [k, 5 or 6].

    Raises:
        DataError: a row has another length.
    """
    lengths = {len(row) for row in rows} or {5}
    if len(lengths) > 1 or not lengths <= {5, 6}:
        raise DataError(
            "a box is not x1, y1, x2, y2, label", found=f"rows of {sorted(lengths)} numbers", fix="five, or six, in all"
        )
    return np.array(rows, np.float32).reshape(-1, *lengths)
