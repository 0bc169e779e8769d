"""Stratified splits: balanced over several labels at once, and what is placed stays."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from mtl.data.raw.splits import read_table, write_table
from mtl.data.raw.stratify import stratify
from mtl.errors import DataError


def units(count: int, seed: int = 0) -> list[tuple[str, Counter[str]]]:
    """Images with one of four unequal classes, and some with a rare second label."""
    rng = np.random.default_rng(seed)
    classes = rng.choice(4, count, p=[0.6, 0.25, 0.1, 0.05])
    rare = rng.random(count) < 0.03
    return [
        (f"{seed}-{n:05d}", Counter({f"a={c}": 1, **({"b=rare": 1} if r else {})}))
        for n, (c, r) in enumerate(zip(classes, rare, strict=True))
    ]


def shares(placed: dict[str, str], given: list[tuple[str, Counter[str]]], label: str) -> dict[str, float]:
    """Of a label's images, the share in each split."""
    own = Counter(placed[name] for name, labels in given if labels[label])
    return {split: own[split] / sum(own.values()) for split in ("train", "val", "test")}


def test_every_label_gets_its_share() -> None:
    given = units(1000)
    placed = stratify(given, {}, 0.1, 0.2)
    for label in ("a=0", "a=1", "a=2", "a=3", "b=rare"):
        found = shares(placed, given, label)
        number = sum(labels[label] > 0 for _, labels in given)
        assert abs(found["val"] - 0.1) <= 1.5 / number + 0.01, label
        assert abs(found["test"] - 0.2) <= 1.5 / number + 0.01, label


def test_what_is_placed_stays_and_new_ones_even_it_out() -> None:
    before = units(200)
    lopsided = {name: "train" for name, _ in before}
    after = before + units(300, seed=1)
    placed = stratify(after, lopsided, 0.2, 0.2)
    assert lopsided.items() <= placed.items()
    assert placed.keys() == {name for name, _ in after}
    assert shares(placed, after, "a=0")["val"] == pytest.approx(0.2, abs=0.02)


def test_the_table_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "splits.csv"
    assert read_table(path) == {}
    write_table(path, {"b,c": "val", "a": "train"})
    assert read_table(path) == {"a": "train", "b,c": "val"}
    path.write_text("id,split\na,nowhere\n")
    with pytest.raises(DataError, match="not id,split"):
        read_table(path)
