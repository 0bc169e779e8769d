"""Masks of which there are pictures: in which colour each value is painted."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mtl.codecs.mask_codes import colours_of, numbers_of, value_of
from mtl.codecs.rasters import read_raster
from mtl.data.onboard.look import some
from mtl.errors import DataError
from mtl.storage.file_tree import FileTree

LOOKED_INTO = 16


def painted_values(tree: FileTree, both: Sequence[tuple[str, str]]) -> dict[int, str]:
    """Value → '#rrggbb', where a value has one colour in all of some pictures; nothing of pictures that show something else.

    Args:
        both: masks with their pictures.
    """
    found: dict[int, set[int]] = {}
    for mask, picture in some(both)[:LOOKED_INTO]:
        try:
            values = numbers_of(read_raster(tree.read(mask))).astype(np.int64)
            colours = colours_of(read_raster(tree.read(picture))).astype(np.int64)
        except DataError:
            continue
        if values.shape != colours.shape:
            continue
        for pair in np.unique(values << 32 | colours):
            found.setdefault(int(pair >> 32), set()).add(int(pair & 0xFFFFFFFF))
    if any(len(colours) > 1 for colours in found.values()):
        return {}
    return {value: str(value_of(min(colours), coloured=True)) for value, colours in found.items()}
