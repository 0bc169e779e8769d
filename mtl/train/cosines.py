"""How far the tasks' gradients agree: mean cosines over the steps that had both of a pair."""

from __future__ import annotations

import numpy as np

Sums = list[list[float]]
Counts = list[list[int]]


def add_cosines(sums: Sums, counts: Counts, gramian: np.ndarray) -> tuple[Sums, Counts]:
    """Sums of cosines and numbers of steps, task by task, with one step more; both empty before the first.

    A step counts for a pair if both tasks had a gradient in it: an absent one's cosine is not 0, there is none.

    Args:
        gramian: of the tasks' gradients, [tasks, tasks].
    """
    lengths = np.sqrt(np.maximum(np.diag(gramian), 0.0))
    areas = np.outer(lengths, lengths)
    both = areas > 0.0
    cosines = np.divide(gramian, areas, out=np.zeros_like(gramian), where=both)
    if sums:
        return (cosines + sums).tolist(), (both + np.array(counts)).tolist()
    return cosines.tolist(), both.astype(int).tolist()


def mean_cosines(sums: Sums, counts: Counts) -> list[list[float | None]]:
    """Means over the steps that had both; None for a pair that none had."""
    return [[s / n if n else None for s, n in zip(*lines, strict=True)] for lines in zip(sums, counts, strict=True)]
