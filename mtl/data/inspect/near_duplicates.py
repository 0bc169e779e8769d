"""Images that look alike though their bytes differ: by their perceptual hashes, which the shards hold.

Of memory it takes what a few million hashes take and what is found, whatever the number of images: hashes lie in files, by their bands.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np

from mtl.data.inspect.bands import BANDS, near_pairs
from mtl.data.inspect.linked import Groups, Linked
from mtl.data.inspect.report import Crowd, Name
from mtl.data.inspect.scattered import Scattered
from mtl.data.spec import SPLITS

LISTED = 10_000
"""Pairs that are listed; all are counted."""
CROWD = 10
"""Images that look alike, from which on they are named as one crowd: a motif, or a flood of copies of one image."""
FIRST = 10
"""Images of a crowd that are named."""
SOME = 1 << 20
"""Hashes that are gone through at a time."""

GIVEN = np.dtype([("hash", np.uint64), ("split", np.uint8)])
DISTINCT = np.dtype([("hash", np.uint64), ("images", np.uint32, len(SPLITS))])

Names = Callable[[Iterable[int]], dict[int, Name]]
"""Split and id of images, by their place."""
Pair = tuple[int, int]
"""Places of two images."""


@dataclass
class NearCopies:
    """Pairs of images that look alike, and crowds of them: whatever is linked by pairs.

    pairs: by name; places: the same by place. plain: images without structure, of which nothing is known.
    """

    num_pairs: int = 0
    num_leaks: int = 0
    pairs: list[tuple[Name, Name]] = field(default_factory=list[tuple[Name, Name]])
    places: list[Pair] = field(default_factory=list[Pair])
    crowds: list[Crowd] = field(default_factory=list[Crowd])
    plain: list[Name] = field(default_factory=list[Name])

    @property
    def leaks(self) -> list[tuple[Name, Name]]:
        """Listed pairs that lie in two splits."""
        return [pair for pair in self.pairs if pair[0][0] != pair[1][0]]


def near_duplicates(hashes: np.ndarray, ends: Sequence[int] | np.ndarray, names: Names, folder: Path) -> NearCopies:
    """Every pair is counted, however many there are of one image; those that leak come first in the list, which is sorted.

    Args:
        hashes: uint64 [images], split after split; 0 is that of an image without structure.
        ends: the number of images up to the end of each split.
        folder: of a disk with room for some fifty bytes an image.
    """
    distinct = _distinct(hashes, ends, folder)
    linked = Linked(LISTED)
    for rows in distinct.parts():
        several = rows["images"].sum(1, dtype=np.int64) > 1
        linked.add(rows[several], rows[several])
    for band in range(BANDS):
        for rows in _by_band(distinct, len(hashes), band, folder):
            for pairs in _gathered(near_pairs(rows["hash"], band)):
                one, other = (rows[np.searchsorted(rows["hash"], side)] for side in pairs)
                linked.add(one, other)
    groups = linked.groups(distinct.parts(), CROWD)
    distinct.close()
    found = NearCopies(linked.num_pairs, linked.num_leaks)
    listed = linked.listed()
    places = _places(hashes, ends, np.union1d(listed, groups.hashes), np.unique(listed))
    chosen = _chosen(listed, places)
    crowds = _first(groups, places)
    plain = _plain(hashes)
    said = names({*(i for pair in chosen for i in pair), *(i for some in crowds for i in some), *plain})
    named = sorted((((said[a], said[b]), (a, b)) for a, b in chosen), key=lambda one: one[0])
    found.pairs, found.places = [pair for pair, _ in named], [pair for _, pair in named]
    found.crowds = _crowds(groups, crowds, said)
    found.plain = [said[i] for i in plain]
    return found


def _pieces(hashes: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    for start in range(0, len(hashes), SOME):
        yield start, np.asarray(hashes[start : start + SOME])


def _distinct(hashes: np.ndarray, ends: Sequence[int] | np.ndarray, folder: Path) -> Scattered:
    """Every hash but 0 once, with how many images of each split have it; each file in order."""
    given = Scattered(folder, len(hashes), GIVEN)
    for start, some in _pieces(hashes):
        rows = np.empty(len(some), GIVEN)
        rows["hash"] = some
        rows["split"] = np.searchsorted(ends, np.arange(start, start + len(some)), side="right")
        rows = rows[some != 0]
        given.add(rows["hash"], rows)
    found = Scattered(folder, len(hashes), DISTINCT)
    for rows in given.parts():
        values, place = np.unique(rows["hash"], return_inverse=True)
        counted = np.empty(len(values), DISTINCT)
        counted["hash"] = values
        for split in range(len(SPLITS)):
            counted["images"][:, split] = np.bincount(place[rows["split"] == split], minlength=len(values))
        found.add(values, counted)
    given.close()
    return found


def _by_band(distinct: Scattered, expected: int, band: int, folder: Path) -> Iterator[np.ndarray]:
    """The distinct hashes in order, those that agree in a band together."""
    width = 64 // BANDS
    found = Scattered(folder, expected, DISTINCT)
    for rows in distinct.parts():
        shift = np.uint64(64 - width * (band + 1))
        found.add(rows["hash"] >> shift & np.uint64((1 << width) - 1), rows)
    for rows in found.parts():
        yield rows[np.argsort(rows["hash"])]
    found.close()


def _gathered(pairs: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    """The same, many at a time."""
    waiting, number = list[np.ndarray](), 0
    for some in pairs:
        if not some.size:
            continue
        waiting.append(some)
        number += some.shape[1]
        if number > SOME:
            yield np.concatenate(waiting, 1)
            waiting, number = [], 0
    if waiting:
        yield np.concatenate(waiting, 1)


Places = dict[int, list[list[int]]]
"""Hash → by split the places of the first images that have it."""


def _places(hashes: np.ndarray, ends: Sequence[int] | np.ndarray, wanted: np.ndarray, listed: np.ndarray) -> Places:
    """Of a hash whose pairs are listed as many images of each split as a list can have, of others as many as a crowd names."""
    found: Places = {value: [[] for _ in SPLITS] for value in wanted.tolist()}
    most = dict.fromkeys(wanted.tolist(), FIRST) | dict.fromkeys(listed.tolist(), LISTED + 1)
    for start, some in _pieces(hashes) if len(wanted) else ():
        which = np.minimum(np.searchsorted(wanted, some), len(wanted) - 1)
        at = np.flatnonzero(wanted[which] == some)
        at = at[np.argsort(which[at], kind="stable")]
        cuts = np.flatnonzero(which[at][1:] != which[at][:-1]) + 1
        for group in np.split(at, cuts) if len(at) else ():
            value = int(some[group[0]])
            splits = np.searchsorted(ends, start + group, side="right")
            for split, mine in enumerate(found[value]):
                mine += (start + group[splits == split][: most[value] - len(mine)]).tolist()
    return found


def _chosen(listed: np.ndarray, places: Places) -> list[Pair]:
    """The pairs of images to be listed, of pairs of hashes in order: those that leak, then others, while there is room."""
    leaking: list[Pair] = []
    inside: list[Pair] = []
    for a, b in listed.T.tolist():
        if len(leaking) >= LISTED:
            break
        for kept, leaks in ((leaking, True), (inside, False)):
            pairs = _pairs(places[a], places[b], same=a == b, leaks=leaks)
            kept += islice(pairs, LISTED - len(kept))
    return [*leaking, *inside][:LISTED]


def _pairs(one: list[list[int]], other: list[list[int]], *, same: bool, leaks: bool) -> Iterator[Pair]:
    """Of one image of each hash, in one split or in two."""
    for mine, members in enumerate(one):
        for i, a in enumerate(members):
            for theirs, partners in enumerate(other):
                if (mine != theirs) == leaks and not (same and theirs < mine):
                    first = i + 1 if same and theirs == mine else 0
                    yield from ((min(a, b), max(a, b)) for b in islice(partners, first, None))


def _first(groups: Groups, places: Places) -> list[list[int]]:
    """Of each crowd the first images."""
    found: list[list[int]] = [[] for _ in groups.images]
    for value, group in zip(groups.hashes.tolist(), groups.of.tolist(), strict=True):
        found[group] += (place for split in places[value] for place in split)
    return [sorted(some)[:FIRST] for some in found]


def _crowds(groups: Groups, first: list[list[int]], said: dict[int, Name]) -> list[Crowd]:
    """Largest first."""
    order = sorted(range(len(first)), key=lambda i: (-int(groups.images[i].sum()), first[i][0]))
    return [
        Crowd(
            number=int(groups.images[i].sum()),
            splits={split: n for split, n in zip(SPLITS, groups.images[i].tolist(), strict=True) if n},
            first=tuple(said[place][1] for place in first[i]),
        )
        for i in order
    ]


def _plain(hashes: np.ndarray) -> list[int]:
    return [i for start, some in _pieces(hashes) for i in (start + np.flatnonzero(some == 0)).tolist()]
