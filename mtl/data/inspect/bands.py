"""Pairs of 64-bit hashes that differ in few bits, found without comparing all with all (multi-index hashing, Norouzi, Punjani & Fleet
2012): of any pair that differs in three bits or fewer, one of four bands of its bits is the same. Of hashes that agree in a band the
other bits are cut into four bands again, until few agree.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

import numpy as np

DISTANCE = 3
"""Bits of 64 by which the hashes of near duplicates differ at most."""
BANDS = DISTANCE + 1
FEW = 64
"""Hashes that agree, up to which each is compared with each."""
CHEAP = 1 << 22
"""Pairs that are compared rather than looked at more closely, whoever agrees."""


def near_pairs(hashes: np.ndarray, band: int, fixed: int = 0) -> Iterator[np.ndarray]:
    """Pairs that agree in a band of their bits and in none of those before it, as uint64 [2, pairs]; over all bands each once.

    Args:
        hashes: uint64 [n], distinct.
        fixed: bits from the highest on that stand before the bands: only hashes that agree in them are compared.
    """
    rest = 64 - fixed
    cuts = [rest * i // BANDS for i in range(BANDS + 1)]
    known = fixed + cuts[band + 1] - cuts[band]
    turned = np.sort(_turned(hashes, rest, cuts[band]))  # the band lies behind the fixed bits: who agrees lies together
    keys = turned >> np.uint64(64 - known)
    first = np.flatnonzero(np.r_[True, keys[1:] != keys[:-1]]) if len(keys) else np.zeros(0, np.int64)
    sizes = np.diff(np.r_[first, len(keys)])
    closer = 64 - known >= BANDS and int((sizes * (sizes - 1)).sum()) > 2 * CHEAP
    many = np.repeat((sizes > FEW) & closer, sizes)
    deeper = (near_pairs(turned[many], further, known) for further in range(BANDS if many.any() else 0))
    for pairs in chain(_compared(turned[~many], keys[~many]), *deeper):
        found = _turned(pairs, rest, rest - cuts[band])
        apart = found[0] ^ found[1]
        new = np.ones(len(apart), bool)
        for before in range(band):
            new &= (apart >> np.uint64(rest - cuts[before + 1])) & _low(cuts[before + 1] - cuts[before]) != 0
        yield np.sort(found[:, new], axis=0)


def _compared(values: np.ndarray, keys: np.ndarray) -> Iterator[np.ndarray]:
    """Near pairs among neighbours of one key, at every distance from each other that there is."""
    step, at = 1, np.flatnonzero(keys[1:] == keys[:-1])
    while len(at):
        near = at[np.bitwise_count(values[at] ^ values[at + step]) <= DISTANCE]
        yield np.stack([values[near], values[near + step]])
        step += 1
        at = at[at + step < len(values)]
        at = at[keys[at] == keys[at + step]]


def _turned(hashes: np.ndarray, bits: int, by: int) -> np.ndarray:
    """With the lowest `bits` rotated to the left."""
    if by in (0, bits):
        return hashes
    low = hashes & _low(bits)
    return hashes & ~_low(bits) | (low << np.uint64(by)) & _low(bits) | low >> np.uint64(bits - by)


def _low(bits: int) -> np.uint64:
    return np.uint64((1 << bits) - 1)
