"""Images that look alike though their bytes differ: by their perceptual hashes, which the shards hold."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from mtl.data import shards
from mtl.data.manifest import Manifest
from mtl.data.spec import SPLITS

DISTANCE = 3
"""Bits of 64 by which the hashes of near copies differ at most."""
CROWD = 64
"""Images of one quarter hash above which they are taken for one motif, e.g. empty ones, not for copies."""


def near_copies(folder: Path, manifest: Manifest) -> list[tuple[tuple[str, str], tuple[str, str]]]:
    """Pairs of (split, id), sorted."""
    names: list[tuple[str, str]] = []
    parts: list[np.ndarray] = []
    for split in SPLITS:
        for record in manifest.of(split):
            shard = shards.Shard(folder / record.file)
            names += [(split, found) for found in shard.ids]
            parts.append(np.array(shard.arrays[shards.HASH]))
    hashes = np.concatenate([np.zeros(0, np.uint64), *parts])
    pairs = {pair for pair in _candidates(hashes) if int(hashes[pair[0]] ^ hashes[pair[1]]).bit_count() <= DISTANCE}
    return sorted((names[a], names[b]) for a, b in pairs)


def _candidates(hashes: np.ndarray) -> Iterator[tuple[int, int]]:
    """Pairs that agree in a quarter of their bits: of hashes that differ in three, one of four quarters is the same."""
    told = np.flatnonzero(hashes)  # 0 is the hash of images without structure
    for quarter in range(4):
        keys = (hashes[told] >> np.uint64(16 * quarter)) & np.uint64(0xFFFF)
        order = told[np.argsort(keys, kind="stable")]
        ordered = np.sort(keys, kind="stable")
        starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
        for start, stop in zip(starts, np.r_[starts[1:], len(ordered)], strict=True):
            group = np.sort(order[start:stop])
            if 1 < len(group) <= CROWD:
                yield from ((int(a), int(b)) for i, a in enumerate(group) for b in group[i + 1 :])
