"""Images that look alike though their bytes differ: by their perceptual hashes, which the shards hold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mtl.data.shards import shards
from mtl.data.shards.manifest import Manifest
from mtl.data.spec import SPLITS

DISTANCE = 3
"""Bits of 64 by which the hashes of near duplicates differ at most."""
LISTED = 10_000
"""Pairs that are listed; all are counted."""
CROWD = 10
"""Images that look alike, from which on they are named as one crowd: a motif, or a flood of copies of one image."""
BLOCK = 2048
"""Hashes that are compared with all others at a time."""

Name = tuple[str, str]
"""Split and id."""


@dataclass
class NearCopies:
    """Pairs of images that look alike, and crowds of them: whatever is linked by pairs.

    plain: images without structure, of which nothing is known.
    """

    num_pairs: int = 0
    num_leaks: int = 0
    pairs: list[tuple[Name, Name]] = field(default_factory=list[tuple[Name, Name]])
    crowds: list[list[Name]] = field(default_factory=list[list[Name]])
    plain: list[Name] = field(default_factory=list[Name])

    @property
    def leaks(self) -> list[tuple[Name, Name]]:
        """Listed pairs that lie in two splits."""
        return [pair for pair in self.pairs if pair[0][0] != pair[1][0]]


def near_duplicates(folder: Path, manifest: Manifest) -> NearCopies:
    """Every pair is counted, however many there are of one image; those that leak come first in the list, which is sorted."""
    names, hashes = _read(folder, manifest)
    told = np.flatnonzero(hashes)  # 0 is the hash of images without structure
    distinct, place = np.unique(hashes[told], return_inverse=True)
    ends = np.cumsum(np.bincount(place, minlength=len(distinct)))
    alike = np.split(told[np.argsort(place, kind="stable")], ends[:-1]) if len(told) else []
    splits = [Counter(names[i][0] for i in members) for members in alike]
    found = NearCopies(plain=[names[i] for i in np.flatnonzero(hashes == 0)])
    root = np.arange(len(distinct))
    linked = [(i, i) for i, members in enumerate(alike) if len(members) > 1]
    leaking: list[tuple[Name, Name]] = []
    inside: list[tuple[Name, Name]] = []
    for a, b in (*linked, *_close(distinct)):
        number, leaks = _counted(splits[a], splits[b], same=a == b)
        found.num_pairs, found.num_leaks = found.num_pairs + number, found.num_leaks + leaks
        _join(root, a, b)
        if len(leaking) < LISTED:
            for pair in _pairs(names, alike[a], alike[b], same=a == b):
                kept = leaking if pair[0][0] != pair[1][0] else inside
                if len(kept) < LISTED:
                    kept.append(pair)
    found.pairs = sorted([*leaking, *inside][:LISTED])
    found.crowds = _crowds(names, alike, root)
    return found


def _read(folder: Path, manifest: Manifest) -> tuple[list[Name], np.ndarray]:
    names: list[Name] = []
    parts: list[np.ndarray] = [np.zeros(0, np.uint64)]
    for split in SPLITS:
        for record in manifest.of(split):
            shard = shards.Shard(folder / record.file)
            names += [(split, found) for found in shard.ids]
            parts.append(np.array(shard.arrays[shards.HASH]))
    return names, np.concatenate(parts)


def _close(hashes: np.ndarray) -> list[tuple[int, int]]:
    """Pairs of distinct hashes that differ in three bits or fewer, in order: one of four quarters is the same, and of the other
    48 bits, in four parts, one part.
    """
    found: list[np.ndarray] = [np.zeros((0, 2), np.int64)]
    for quarter in range(4):
        turned = _turned(hashes, 16 * quarter)
        for group in _same(turned & np.uint64(0xFFFF), np.arange(len(hashes))):
            if len(group) <= BLOCK:
                found += _compared(hashes, group)
                continue
            for part in range(4):
                keys = turned[group] >> np.uint64(16 + 12 * part) & np.uint64(0xFFF)
                found += (pairs for some in _same(keys, group) for pairs in _compared(hashes, some))
    return [(a, b) for a, b in np.unique(np.concatenate(found), axis=0).tolist()]


def _turned(hashes: np.ndarray, bits: int) -> np.ndarray:
    return hashes if not bits else (hashes >> np.uint64(bits)) | (hashes << np.uint64(64 - bits))


def _same(keys: np.ndarray, members: np.ndarray) -> Iterator[np.ndarray]:
    """Groups of members of one key, of two or more, each in order."""
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    for group in np.split(members[order], np.flatnonzero(ordered[1:] != ordered[:-1]) + 1):
        if len(group) > 1:
            yield np.sort(group)


def _compared(hashes: np.ndarray, group: np.ndarray) -> Iterator[np.ndarray]:
    """Pairs, int64 [pairs, 2]; the group is in order."""
    own = hashes[group]
    for start in range(0, len(group), BLOCK):
        near = np.bitwise_count(own[start : start + BLOCK, None] ^ own[None, start:]) <= DISTANCE
        first, second = np.nonzero(np.triu(near, 1))
        yield np.stack([group[start + first], group[start + second]], 1)


def _counted(one: Counter[str], other: Counter[str], *, same: bool) -> tuple[int, int]:
    """Pairs of one member of each, and how many of them lie in two splits."""
    total = one.total() * (one.total() - 1) // 2 if same else one.total() * other.total()
    inside = sum(n * (n - 1) // 2 if same else n * other[split] for split, n in one.items())
    return total, total - inside


def _pairs(names: list[Name], one: np.ndarray, other: np.ndarray, *, same: bool) -> Iterator[tuple[Name, Name]]:
    """At most as many as are listed at all."""
    number = 0
    for i, a in enumerate(one):
        for b in one[i + 1 :] if same else other:
            first, second = sorted((int(a), int(b)))
            yield names[first], names[second]
            number += 1
            if number >= LISTED:
                return


def _join(root: np.ndarray, a: int, b: int) -> None:
    first, second = sorted((_root(root, a), _root(root, b)))
    root[second] = first


def _root(root: np.ndarray, i: int) -> int:
    while root[i] != i:
        root[i] = root[root[i]]
        i = int(root[i])
    return i


def _crowds(names: list[Name], alike: list[np.ndarray], root: np.ndarray) -> list[list[Name]]:
    """Largest first."""
    found: dict[int, list[int]] = {}
    for i, members in enumerate(alike):
        found.setdefault(_root(root, i), []).extend(members.tolist())
    crowds = [sorted(members) for members in found.values() if len(members) >= CROWD]
    return [[names[i] for i in members] for members in sorted(crowds, key=lambda one: (-len(one), one[0]))]
