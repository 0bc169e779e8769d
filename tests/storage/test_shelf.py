"""A dictionary that goes into a file when it grows: to who uses it, it is the same."""

from __future__ import annotations

import random

import pytest

from mtl.storage import shelf
from mtl.storage.shelf import Shelf


@pytest.mark.parametrize("near", [3, 1000])
def test_a_shelf_is_a_dictionary_in_order(near: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shelf, "NEAR", near)
    mine, expected = Shelf[object](), dict[str, object]()
    draw = random.Random(0)
    names = ["", "a", "a/b", "a-b", "é", "\ud800x", "\U0001f600", "z\0y"]
    for _ in range(300):
        name, value = draw.choice(names), draw.choice(["text", None, ("a", 1), {"b": [2.5]}])
        assert (name in mine) == (name in expected)
        assert mine.get(name) == expected.get(name)
        if draw.random() < 0.2 and name in expected:
            del mine[name], expected[name]
        elif draw.random() < 0.5:
            mine[name] = expected[name] = value
        else:
            assert mine.setdefault(name, value) == expected.setdefault(name, value)
        assert len(mine) == len(expected)
    assert list(mine) == sorted(expected)
    assert list(mine.pairs()) == sorted(expected.items(), key=lambda pair: pair[0])
    for missing in (mine.__getitem__, mine.__delitem__):
        with pytest.raises(KeyError):
            missing("nobody")
