"""Every pair of near duplicates is counted, and floods of one image are named as such, whatever memory has room for."""

from __future__ import annotations

import itertools
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtl.data.inspect import bands, linked, near_duplicates, scattered
from mtl.data.inspect.bands import DISTANCE
from mtl.data.inspect.near_duplicates import CROWD, FIRST, LISTED, NearCopies
from mtl.data.inspect.report import Crowd
from mtl.data.spec import SPLITS

HERE = Path(tempfile.gettempdir())


def found(hashes: list[int], splits: list[str] | None = None) -> NearCopies:
    """Of images whose ids are their places; the splits are in order."""
    said = splits or ["train"] * len(hashes)
    ends = np.cumsum([said.count(split) for split in SPLITS])
    return near_duplicates.near_duplicates(
        np.array(hashes, np.uint64), ends, lambda places: {i: (said[i], f"{i:05d}") for i in places}, HERE
    )


def compared(hashes: list[int], splits: list[str]) -> NearCopies:
    """The same by comparing all with all, in memory."""
    names = [(split, f"{i:05d}") for i, split in enumerate(splits)]
    alike: dict[int, list[int]] = {}
    for i, value in enumerate(hashes):
        alike.setdefault(value, []).append(i)
    plain = alike.pop(0, [])
    near = [(a, b) for a, b in itertools.combinations(sorted(alike), 2) if (a ^ b).bit_count() <= DISTANCE]
    pairs = [pair for value in sorted(alike) for pair in itertools.combinations(alike[value], 2)]
    pairs += [(min(i, j), max(i, j)) for a, b in near for i in alike[a] for j in alike[b]]
    leaks = [pair for pair in pairs if splits[pair[0]] != splits[pair[1]]]
    listed = sorted(
        [*leaks, *(pair for pair in pairs if pair not in leaks)][:LISTED], key=lambda p: [names[i] for i in p]
    )
    group = {value: value for value in sorted(alike)}
    for _ in alike:
        for a, b in near:
            group[a] = group[b] = min(group[a], group[b])
    members = [sorted(i for v in alike if group[v] == root for i in alike[v]) for root in {*group.values()}]
    crowds = sorted((one for one in members if len(one) >= CROWD), key=lambda one: (-len(one), one[0]))
    return NearCopies(
        len(pairs),
        len(leaks),
        [(names[a], names[b]) for a, b in listed],
        listed,
        [
            Crowd(
                number=len(one),
                splits=dict(Counter(splits[i] for i in one)),
                first=tuple(names[i][1] for i in one[:FIRST]),
            )
            for one in crowds
        ],
        [names[i] for i in plain],
    )


@contextmanager
def small(part: int, few: int) -> Iterator[None]:
    """Little room in memory, and few hashes that are compared each with each."""
    with (
        mock.patch.object(scattered, "PART", part),
        mock.patch.object(scattered, "MOST", 8),
        mock.patch.object(bands, "FEW", few),
        mock.patch.object(bands, "CHEAP", few),
        mock.patch.object(near_duplicates, "SOME", part + 1),
        mock.patch.object(linked, "LINKS", part),
    ):
        yield


@st.composite
def alike(draw: st.DrawFn) -> tuple[list[int], list[str]]:
    """Hashes of which many differ in some bits, some in none; and their splits, in order."""
    centres = draw(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=4))
    flips = st.lists(st.integers(0, 63), max_size=4)
    chosen = draw(st.lists(st.tuples(st.sampled_from(centres), flips, st.booleans()), max_size=60))
    hashes = [0 if plain and not bits else centre for centre, bits, plain in chosen]
    for i, (_, bits, _) in enumerate(chosen):
        for bit in bits:
            hashes[i] ^= 1 << bit
    splits = draw(st.lists(st.sampled_from(SPLITS), min_size=len(hashes), max_size=len(hashes)))
    return hashes, sorted(splits, key=SPLITS.index)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(alike(), st.sampled_from([1, 7, 1 << 22]), st.sampled_from([2, 8, 64]))
def test_as_when_all_are_compared(images: tuple[list[int], list[str]], part: int, few: int) -> None:
    hashes, splits = images
    with small(part, few):
        assert found(hashes, splits) == compared(hashes, splits)


@pytest.mark.parametrize("few", [8, 64])
def test_each_pair_of_many_hashes_is_found_once(few: int) -> None:
    """Four thousand in a ball of 24 bits around each of three centres, with bits that all have in common between."""
    draw = np.random.default_rng(0)
    low = draw.integers(0, 1 << 24, 4000, dtype=np.uint64)
    spread = (low & np.uint64(0xFFF)) | (low & np.uint64(0xFFF000)) << np.uint64(30)
    hashes = np.unique(spread ^ draw.choice(draw.integers(1, 2**63, 3).astype(np.uint64), 4000))
    near = np.bitwise_count(hashes[:, None] ^ hashes[None]) <= DISTANCE
    expected = np.stack([hashes[side] for side in np.nonzero(np.triu(near, 1))])
    with small(1 << 22, few):
        pairs = np.concatenate([some for band in range(4) for some in bands.near_pairs(hashes, band)], 1)
    assert pairs.shape == expected.shape
    assert {*zip(*pairs.tolist(), strict=True)} == {*zip(*expected.tolist(), strict=True)}


def test_what_leaks_is_listed_before_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(near_duplicates, "LISTED", 5)
    splits = ["train"] * 20 + ["val"] * 2
    result = found([7] * 20 + [7, 9], splits)
    assert (result.num_pairs, result.num_leaks) == (231, 40)
    assert len(result.leaks) == len(result.pairs) == 5
    assert result.places == [(0, 20), (1, 20), (2, 20), (3, 20), (4, 20)]


@pytest.mark.attack(boundary="data supplier", attack="a flood of copies of one image")
@pytest.mark.parametrize("number", [64, 65, 3000])
def test_a_flood_of_one_image_is_counted(number: int) -> None:
    result = found([12345] * number)
    assert result.num_pairs == number * (number - 1) // 2
    assert [crowd.number for crowd in result.crowds] == [number]
    assert len(result.pairs) <= LISTED


@pytest.mark.attack(boundary="data supplier", attack="a flood of near duplicates whose hashes all differ")
def test_a_flood_whose_hashes_differ_is_counted() -> None:
    centre = 0x0123456789ABCDEF
    hashes = [centre ^ (1 << a) ^ (1 << b) for a in range(64) for b in range(a)]
    result = found([centre, *hashes])
    assert [crowd.number for crowd in result.crowds] == [len(hashes) + 1]
    # To the centre 2,016; two of the others are near if they have a bit in common: then they differ in two.
    assert result.num_pairs == len(hashes) + 64 * (63 * 62 // 2)


def test_none() -> None:
    assert found([]) == NearCopies()
