"""The order of training samples: a pure function of seed and epoch, cut among the workers.

Its whole state is (epoch, step): any number of workers resumes at any step with the same global batches.
"""

from __future__ import annotations

import numpy as np

from mtl.seeds import Stream, generator


def steps_per_epoch(num_samples: int, batch_size: int) -> int:
    """Whole global batches per epoch; the incomplete last one is dropped, other samples next epoch. Of fewer samples than a
    batch has, one that repeats some.
    """
    return max(num_samples // batch_size, 1) if num_samples else 0


def epoch_order(seed: int, epoch: int, num_samples: int) -> np.ndarray:
    """All sample indices in the global order of this epoch."""
    return generator(seed, Stream.SAMPLE_ORDER, epoch).permutation(num_samples)


def global_batch(order: np.ndarray, step: int, batch_size: int) -> np.ndarray:
    """Sample indices of the epoch's batch number `step`, for all workers together: `batch_size` of them."""
    return np.resize(order, batch_size) if len(order) < batch_size else order[step * batch_size :][:batch_size]


def micro_batches(num_samples: int, rank: int, world_size: int, accumulate: int) -> list[np.ndarray]:
    """Places in a global batch that one worker computes, micro-batch by micro-batch."""
    return np.array_split(np.arange(rank, num_samples, world_size), accumulate)
