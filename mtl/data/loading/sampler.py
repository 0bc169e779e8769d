"""The order of training samples: a pure function of seed and epoch, cut among the workers.

Its whole state is (epoch, step): any number of workers resumes at any step with the same global batches.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from mtl.config.order import WholeOrder, WindowOrder
from mtl.seeds import Stream, generator


def steps_per_epoch(num_samples: int, batch_size: int) -> int:
    """Whole global batches per epoch; the incomplete last one is dropped, other samples next epoch. Of fewer samples than a
    batch has, one that repeats some.
    """
    return max(num_samples // batch_size, 1) if num_samples else 0


def epoch_order(seed: int, epoch: int, num_samples: int) -> np.ndarray:
    """All sample indices in the global order of this epoch."""
    return generator(seed, Stream.SAMPLE_ORDER, epoch).permutation(num_samples)


def windowed_order(seed: int, epoch: int, sizes: Sequence[int], window: WindowOrder) -> np.ndarray:
    """All sample indices in the order of this epoch, so that at any time few shards are read.

    The shards come in random order. The row of their samples is cut into `lanes` equal parts, and the batches take from the lanes
    in turn: place p of the epoch is of lane p mod lanes. In a lane, a sample of the r-th shard gets a random time between r -
    width + 1 and r + 1, cut where the lane begins and ends, and the lane goes by time: `width` shards are open at any time, and each
    is closed one unit after the one before it.

    Args:
        sizes: samples of each shard, in the order of their indices.
    """
    rng = generator(seed, Stream.SAMPLE_ORDER, epoch)
    shards = rng.permutation(len(sizes))
    counts = np.asarray(sizes, np.int64)[shards]
    rank = np.repeat(np.arange(len(shards)), counts)
    # Of each sample in the row: where its shard begins among all indices, and its place in it.
    begins = np.repeat((np.cumsum(sizes, dtype=np.int64) - sizes)[shards], counts)
    row = begins + np.arange(len(rank)) - np.repeat(np.cumsum(counts) - counts, counts)
    draws = rng.uniform(0.0, 1.0, len(row))
    width, length = window.shards // window.lanes, len(row) // window.lanes
    lanes = [slice(lane * length, (lane + 1) * length) for lane in range(window.lanes)]
    mixed = [row[part][_by_time(rank[part], draws[part], width)] for part in lanes]
    left = row[length * window.lanes :]
    return np.concatenate([np.stack(mixed, 1).ravel(), left])


def _by_time(rank: np.ndarray, draws: np.ndarray, width: int) -> np.ndarray:
    """The order of a lane: rank [samples] of each one's shard, not falling; draws [samples] from 0 to 1."""
    if not len(rank):
        return np.zeros(0, np.int64)
    rank = rank - rank[0]
    end = max(rank[-1] + 2 - width, 1)
    begin, stop = np.clip(rank - width + 1, 0, end - 1), np.minimum(rank + 1, end)
    return np.argsort(begin + draws * (stop - begin), kind="stable")


def order_of(order: WholeOrder | WindowOrder, seed: int, epoch: int, sizes: Sequence[int]) -> np.ndarray:
    """All sample indices as `train.order` says.

    Args:
        sizes: samples of each shard.
    """
    if isinstance(order, WindowOrder):
        return windowed_order(seed, epoch, sizes, order)
    return epoch_order(seed, epoch, sum(sizes))


def of_worker(order: np.ndarray, step: int, batch_size: int, rank: int, world_size: int) -> Iterator[np.ndarray]:
    """What one worker reads of an epoch from a step on: an array of sample indices for each step."""
    for number in range(step, steps_per_epoch(len(order), batch_size)):
        yield global_batch(order, number, batch_size)[rank::world_size]


def global_batch(order: np.ndarray, step: int, batch_size: int) -> np.ndarray:
    """Sample indices of the epoch's batch number `step`, for all workers together: `batch_size` of them."""
    return np.resize(order, batch_size) if len(order) < batch_size else order[step * batch_size :][:batch_size]


def micro_batches(num_samples: int, rank: int, world_size: int, accumulate: int) -> list[np.ndarray]:
    """Places in a global batch that one worker computes, micro-batch by micro-batch."""
    return np.array_split(np.arange(rank, num_samples, world_size), accumulate)
