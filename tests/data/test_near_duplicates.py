"""Every pair of near duplicates is counted, and floods of one image are named as such."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mtl.data.inspect import near_duplicates as module
from mtl.data.inspect.near_duplicates import DISTANCE, NearCopies, near_duplicates


def found(monkeypatch: pytest.MonkeyPatch, hashes: list[int], splits: list[str] | None = None) -> NearCopies:
    names = [(splits[i] if splits else "train", f"{i:05d}") for i in range(len(hashes))]
    monkeypatch.setattr(module, "_read", lambda *_: (names, np.array(hashes, np.uint64)))
    return near_duplicates(Path(), None)  # type: ignore[arg-type]


@pytest.mark.parametrize("block", [4, 2048])
def test_as_many_as_when_all_are_compared(monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    monkeypatch.setattr(module, "BLOCK", block)
    rng = np.random.default_rng(0)
    centres = rng.integers(1, 2**63, 12).tolist()
    hashes = [0, *centres]
    for centre in centres:
        for _ in range(12):
            flipped = centre
            for bit in rng.choice(64, rng.integers(0, 5), replace=False).tolist():
                flipped ^= 1 << bit
            hashes.append(flipped)
    splits = rng.choice(["train", "val", "test"], len(hashes)).tolist()
    result = found(monkeypatch, hashes, splits)
    pairs = {
        ((splits[i], f"{i:05d}"), (splits[j], f"{j:05d}"))
        for i in range(len(hashes))
        for j in range(i + 1, len(hashes))
        if hashes[i] and (hashes[i] ^ hashes[j]).bit_count() <= DISTANCE
    }
    assert set(result.pairs) == pairs
    assert result.num_pairs == len(result.pairs) == len(pairs)
    assert result.num_leaks == len(result.leaks)
    assert [name[1] for name in result.plain] == ["00000"]


@pytest.mark.attack(boundary="data supplier", attack="a flood of copies of one image")
@pytest.mark.parametrize("number", [64, 65, 3000])
def test_a_flood_of_one_image_is_counted(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    result = found(monkeypatch, [12345] * number)
    assert result.num_pairs == number * (number - 1) // 2
    assert [len(crowd) for crowd in result.crowds] == [number]
    assert len(result.pairs) <= module.LISTED


@pytest.mark.attack(boundary="data supplier", attack="a flood of near duplicates whose hashes all differ")
def test_a_flood_whose_hashes_differ_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    centre = 0x0123456789ABCDEF
    hashes = [centre ^ (1 << a) ^ (1 << b) for a in range(64) for b in range(a)]
    result = found(monkeypatch, [centre, *hashes])
    assert [len(crowd) for crowd in result.crowds] == [len(hashes) + 1]
    # To the centre 2,016; two of the others are near if they have a bit in common: then they differ in two.
    assert result.num_pairs == len(hashes) + 64 * (63 * 62 // 2)


def test_none(monkeypatch: pytest.MonkeyPatch) -> None:
    assert found(monkeypatch, []) == NearCopies()
