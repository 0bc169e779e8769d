"""A batch's rows out of the shards that they lie in. Many threads may gather at once: nothing is kept between two calls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from mtl.data.codecs import ImageCodec
from mtl.data.codecs.threads import decode_all
from mtl.data.kinds import KINDS
from mtl.data.shards.coded import Coded
from mtl.data.shards.collection import ShardCollection
from mtl.data.spec import DatasetSpec

Codes = dict[str, tuple[ImageCodec, list[Any]]]
"""Name → what decodes its rows, and their codes."""


def gather_rows(
    shards: ShardCollection,
    spec: DatasetSpec,
    where: np.ndarray,
    local: np.ndarray,
    empty: Callable[..., np.ndarray] = np.empty,
    *,
    decode: bool = True,
) -> dict[str, Any]:
    """Arrays of samples in their order, and of kinds with any number of rows a list of tables.

    Coded rows are decoded after all are gathered, on all cores; a shard is borrowed for as long as its rows are copied.

    Args:
        where, local: int [n], each sample's shard and its place in it.
        empty: as NumPy's, what makes the arrays.
        decode: false leaves images coded that a device could decode: `image` is then a list of n codes, uint8 [bytes].
    """
    kinds = {name: KINDS[target.kind] for name, target in spec.targets.items()}
    tables: dict[str, list[Any]] = {n: [None] * len(where) for n, kind in kinds.items() if kind.rows}
    rows: dict[str, Any] = {}
    for name in ("image", *(f"{n}.present" for n in kinds), *(n for n in kinds if n not in tables)):
        shape, dtype = shards.row_of(name)
        rows[name] = empty((len(where), *shape), dtype)
    codes: Codes = {}
    for number in np.unique(where):
        slots = np.nonzero(where == number)[0]
        places = local[slots]
        with shards.borrowed(int(number)) as arrays:
            for name, row in rows.items():
                array = arrays[name]
                if isinstance(array, Coded):  # the shard may be gone when they are decoded
                    _, found = codes.setdefault(name, (array.codec, [None] * len(where)))
                    for slot, place in zip(slots.tolist(), places.tolist(), strict=True):
                        found[slot] = array.code(place).copy()
                else:
                    row[slots] = array[places]
            for name, table in tables.items():
                for slot, i in zip(slots, places, strict=True):
                    table[slot] = kinds[name].unpack(arrays, name, int(i))
    shards.advanced(len(where))
    for name, (codec, found) in codes.items():
        if name == "image" and not decode and rows[name].shape[-1] in codec.on_devices:
            rows[name] = found
        else:
            decode_all(codec, found, rows[name])
    return {**rows, **tables}
