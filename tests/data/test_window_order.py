"""`train.order: window`: every image once, few shards at a time, the same for any number of workers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from mtl.config.order import WholeOrder, WindowOrder
from mtl.config.params import Config, parse
from mtl.data.loading import sampler
from mtl.errors import ConfigError


def open_shards(order: np.ndarray, sizes: list[int]) -> int:
    """The most shards that are begun and not at their end at any time."""
    where = np.repeat(np.arange(len(sizes)), sizes)[order]
    first = {int(s): i for i, s in reversed(list(enumerate(where)))}
    last = {int(s): i for i, s in enumerate(where)}
    return int(max(sum(first[s] <= i <= last[s] for s in first) for i in range(0, len(where), 3)))


@given(
    sizes=some.lists(some.integers(1, 40), max_size=30),
    lanes=some.integers(1, 4),
    width=some.integers(1, 6),
    epoch=some.integers(0, 3),
)
def test_every_image_comes_once(sizes: list[int], lanes: int, width: int, epoch: int) -> None:
    window = WindowOrder(type="window", shards=lanes * width, lanes=lanes)
    order = sampler.windowed_order(7, epoch, sizes, window)
    assert sorted(order.tolist()) == list(range(sum(sizes)))


@pytest.mark.parametrize(("shards", "lanes"), [(1, 1), (6, 1), (8, 4)])
def test_no_more_shards_are_open_than_declared(shards: int, lanes: int) -> None:
    sizes = np.random.default_rng(0).integers(20, 60, 60).tolist()
    order = sampler.windowed_order(0, 0, sizes, WindowOrder(type="window", shards=shards, lanes=lanes))
    assert shards <= open_shards(order, sizes) <= shards + 2 * lanes  # a lane begins and ends within a shard


def test_the_order_is_mixed_over_the_window_and_anew_each_epoch() -> None:
    sizes, window = [50] * 40, WindowOrder(type="window", shards=8, lanes=2)
    one, other = (sampler.windowed_order(0, epoch, sizes, window) for epoch in (0, 1))
    assert (one != other).any()
    assert (one == sampler.windowed_order(0, 0, sizes, window)).all()
    steps = one[: 2000 // 40 * 40].reshape(-1, 40) // 50
    assert np.mean([len(set(step)) for step in steps]) > 7  # from the first step to the last
    whole = sampler.order_of(WholeOrder(type="whole"), 0, 1, sizes)
    assert (whole == sampler.epoch_order(0, 1, 2000)).all()


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_workers_share_the_same_batches(workers: int) -> None:
    sizes, window = [50] * 12, WindowOrder(type="window", shards=6, lanes=6)
    order = sampler.windowed_order(0, 0, sizes, window)
    each = [list(sampler.of_worker(order, 3, 12, rank, workers)) for rank in range(workers)]
    for number, parts in enumerate(zip(*each, strict=True)):
        assert sorted(np.concatenate(parts)) == sorted(sampler.global_batch(order, 3 + number, 12))
    read = [len({int(i) // 50 for part in parts for i in part}) for parts in each]
    assert max(read) <= 12 // workers + 6 // workers  # each its own lanes' shards, and those that two lanes share


@pytest.mark.parametrize(
    ("train", "cluster", "fragment"),
    [
        ({"order": {"type": "window", "shards": 6, "lanes": 4}}, {}, "must be a multiple of lanes"),
        ({"order": {"type": "window", "shards": 6, "lanes": 3}}, {}, "train.order.lanes"),
        ({"order": {"type": "window", "shards": 4}, "mixing": {"type": "equal"}}, {}, "train.mixing: equal"),
        ({}, {"shards": "stream", "storage": "s3://x/y"}, "train.order: whole needs all of them"),
        ({"order": {"type": "window", "shards": 4}}, {"shards": "stream"}, "needs storage"),
    ],
)
def test_orders_that_cannot_be_are_refused(config: Config, train: object, cluster: object, fragment: str) -> None:
    values = config.model_dump(mode="json")
    values["train"] |= train
    values["cluster"] |= cluster
    with pytest.raises(ConfigError, match=fragment):
        parse(values)
