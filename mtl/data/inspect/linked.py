"""Hashes that near pairs link: counted, the first of them kept, and put together into groups. Of pairs it keeps no more than a forest."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

LINKS = 1 << 20
"""Links that are kept before they are made a forest."""


class Groups(NamedTuple):
    """hashes: uint64 [hashes], in order, of all groups; of: int64 [hashes], the group of each; images: int64 [groups, splits]."""

    hashes: np.ndarray
    of: np.ndarray
    images: np.ndarray


class Linked:
    """What there is to know of pairs of hashes that look alike.

    Args:
        listed: pairs of hashes that are kept: the first ones, and the first of those that have images in two splits.
    """

    def __init__(self, listed: int) -> None:
        self.num_pairs = self.num_leaks = 0
        self._most = listed
        self._kept = [np.zeros((2, 0), np.uint64), np.zeros((2, 0), np.uint64)]
        self._links: list[np.ndarray] = []
        self._num_links = 0

    def add(self, one: np.ndarray, other: np.ndarray) -> None:
        """Pairs, none of which was added before: rows of the lower hash and of the higher one, or twice that of the same.

        Args:
            one, other: `hash`, and the number of its `images` in each split.
        """
        if not len(one):
            return
        mine, theirs = (rows["images"].astype(np.int64) for rows in (one, other))
        same = one["hash"] == other["hash"]
        total = np.where(same, mine.sum(1) * (mine.sum(1) - 1) // 2, mine.sum(1) * theirs.sum(1))
        inside = np.where(same, (mine * (mine - 1) // 2).sum(1), (mine * theirs).sum(1))
        self.num_pairs += int(total.sum())
        self.num_leaks += int((total - inside).sum())
        pairs = np.stack([one["hash"], other["hash"]])
        for place, some in enumerate((pairs[:, total > inside], pairs)):
            self._kept[place] = _ordered(np.concatenate([self._kept[place], some], 1))[:, : self._most]
        self._links.append(pairs[:, ~same])
        self._num_links += int((~same).sum())
        if self._num_links > LINKS:
            self._links = [_forest(self._links)]
            self._num_links = 0

    def listed(self) -> np.ndarray:
        """The kept pairs, uint64 [2, pairs]: those of one hash first, each kind in order."""
        return _ordered(np.unique(np.concatenate(self._kept, 1), axis=1))

    def groups(self, distinct: Iterable[np.ndarray], least: int) -> Groups:
        """Linked hashes, and such that are alone, of as many images.

        Args:
            distinct: rows of all hashes, each once.
        """
        links = _forest(self._links)
        hashes, ends = np.unique(links, return_inverse=True)
        _, of = _components(ends.reshape(2, -1), len(hashes))
        images = np.zeros((0, 0), np.int64)
        alone: list[np.ndarray] = []
        for rows in distinct:
            if not images.size:
                images = np.zeros((int(of.max(initial=-1)) + 1, rows["images"].shape[1]), np.int64)
            at = np.minimum(np.searchsorted(hashes, rows["hash"]), max(len(hashes) - 1, 0))
            known = hashes[at] == rows["hash"] if len(hashes) else np.zeros(len(rows), bool)
            np.add.at(images, of[at[known]], rows["images"][known])
            alone.append(rows[~known & (rows["images"].sum(1, dtype=np.int64) >= least)])
        single = np.concatenate(alone)
        large = images.sum(1) >= least
        number = np.cumsum(large) - 1
        members = large[of]
        every = np.r_[hashes[members], single["hash"]]
        groups = np.r_[number[of[members]], int(large.sum()) + np.arange(len(single))]
        order = np.argsort(every)
        return Groups(every[order], groups[order], np.concatenate([images[large], single["images"].astype(np.int64)]))


def _ordered(pairs: np.ndarray) -> np.ndarray:
    return pairs[:, np.lexsort((pairs[1], pairs[0], pairs[0] != pairs[1]))]


def _forest(links: list[np.ndarray]) -> np.ndarray:
    """As few links as link the same hashes: each with the lowest of its group."""
    if not links:
        return np.zeros((2, 0), np.uint64)
    hashes, ends = np.unique(np.concatenate(links, 1), return_inverse=True)
    number, of = _components(ends.reshape(2, -1), len(hashes))
    lowest = np.full(number, len(hashes), np.int64)
    np.minimum.at(lowest, of, np.arange(len(hashes)))
    found = np.stack([hashes[lowest[of]], hashes])
    return found[:, found[0] != found[1]]


def _components(links: np.ndarray, number: int) -> tuple[int, np.ndarray]:
    graph = coo_array((np.ones(links.shape[1], bool), (links[0], links[1])), shape=(number, number))
    count, of = connected_components(graph, directed=False)
    return int(count), of.astype(np.int64)
