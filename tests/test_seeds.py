"""Random streams: each is its own, and the same for ever."""

from __future__ import annotations

import ast
import itertools
from collections.abc import Iterator

import numpy as np
import pytest

from mtl import seeds
from mtl.seeds import Stream, generator, torch_seed
from tests.conftest import ROOT

INDICES = {
    Stream.FORWARD: 3,
    Stream.SAMPLE_ORDER: 1,
    Stream.AUGMENTATION: 2,
    Stream.MIXING: 1,
    Stream.MIXING_ORDER: 2,
    Stream.WEIGHTING: 1,
    Stream.AGGREGATION: 1,
    Stream.CROPS: 2,
    Stream.COLOURS: 2,
    Stream.ERASING: 2,
    Stream.JOINS: 2,
}
"""How many a stream has; none of them: none."""
FEW = range(13)


def first(rng: np.random.Generator) -> tuple[int, ...]:
    """What tells one stream from another: 128 bits."""
    return tuple(rng.integers(0, 2**64, 2, np.uint64).tolist())


def streams() -> Iterator[tuple[object, tuple[int, ...]]]:
    """Name and beginning of every stream with small seeds and indices."""
    for seed, stream in itertools.product(range(3), Stream):
        for place in itertools.product(FEW, repeat=INDICES.get(stream, 0)):
            yield (seed, stream, place), first(generator(seed, stream, *place))
    for seed in range(3):
        for split, index in itertools.product(range(3), FEW):
            yield ("scene", seed, split, index), first(seeds.scene(seed, split, index))
        for size in range(20, 60):
            yield ("resampling", seed, size), first(seeds.resampling(seed, size))
    for index in range(100):
        yield ("corruption", index), first(seeds.corruption(index))


def test_no_two_streams_are_the_same() -> None:
    seen: dict[tuple[int, ...], object] = {}
    for name, start in streams():
        assert start not in seen, f"{name} is {seen[start]}"
        seen[start] = name
    assert len(seen) > 5000


def test_no_two_streams_are_the_same_for_torch() -> None:
    places = [
        (seed, stream, *place)
        for seed, stream in itertools.product(range(3), Stream)
        for place in itertools.product(FEW, repeat=INDICES.get(stream, 0))
    ]
    found = {torch_seed(*place) for place in places}
    assert len(found) == len(places)
    assert 0 <= min(found) < max(found) < 2**63


def test_every_stream_has_a_number_of_its_own_that_stays() -> None:
    """A number that changes redraws every training."""
    assert {stream.name: int(stream) for stream in Stream.__members__.values()} == {
        "INITIAL_WEIGHTS": 1,
        "FORWARD": 2,
        "SAMPLE_ORDER": 3,
        "AUGMENTATION": 4,
        "MIXING": 5,
        "MIXING_ORDER": 6,
        "WEIGHTING": 7,
        "AGGREGATION": 8,
        "STATIC_WEIGHTS": 9,
        "REFERENCE_EMBEDDINGS": 10,
        "USUAL_BATCHES": 11,
        "LATENCY": 12,
        "CROPS": 13,
        "COLOURS": 14,
        "ERASING": 15,
        "JOINS": 16,
    }
    assert len(Stream.__members__) == len(set(Stream))


@pytest.mark.parametrize(
    ("found", "golden"),
    [
        (generator(0, Stream.SAMPLE_ORDER, 0).integers(2**32), 856055097),
        (generator(0, Stream.SAMPLE_ORDER, 11).integers(2**32), 3576952026),
        (generator(7, Stream.AUGMENTATION, 2, 3).integers(2**32), 4265772289),
        (generator(0, Stream.STATIC_WEIGHTS).integers(2**32), 2951975520),
        (seeds.scene(0, 1, 2).integers(2**32), 2384177762),
        (seeds.single(0, 1, 2, 3).integers(2**32), 2508946597),
        (seeds.parts(0, 1).integers(2**32), 2242647589),
        (seeds.resampling(0, 100).integers(2**32), 3312082018),
        (seeds.corruption(5).integers(2**32), 1439560057),
        (seeds.tie(0.25).integers(2**32), 2426762635),
        (torch_seed(0, Stream.INITIAL_WEIGHTS), 2440950710608614359),
        (torch_seed(7, Stream.FORWARD, 10, 1, 0), 8316939164184450207),
    ],
)
def test_the_values_are_the_same_for_ever(found: int, golden: int) -> None:
    assert found == golden


def test_nobody_draws_from_a_stream_without_a_name() -> None:
    """What makes a generator of numbers or names a hash as a seed, elsewhere than in the table."""
    makers = {"default_rng", "PCG64", "RandomState", "SeedSequence", "Random"}
    for path in sorted(path for folder in ("mtl", "flows") for path in (ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            called = node.func if isinstance(node, ast.Call) else None
            name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
            assert name not in makers or path.name == "seeds.py", f"{path}:{getattr(node, 'lineno', 0)} {name}"
            if name == "manual_seed" and isinstance(node, ast.Call):
                (seed,) = node.args
                named = isinstance(seed, ast.Name) or (isinstance(seed, ast.Call) and "torch_seed" in ast.dump(seed))
                assert named, f"{path}:{node.lineno} draws from a stream without a name"
