"""Sums over samples under many weights at once, as products of matrices: what metrics on resamples are made of."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

MOST_NUMBERS = 2**20
"""Of one array while something is computed under many weights: 8 MiB, which is faster than 32."""


def weighted_mean(weights: np.ndarray, values: np.ndarray) -> np.ndarray:
    """weights [resamples, samples], values [samples] with NaN for absent → [resamples], NaN where nothing counts."""
    known = ~np.isnan(values)
    with np.errstate(invalid="ignore", divide="ignore"):
        return (weights @ np.where(known, values, 0.0)) / (weights @ known.astype(np.float64))


def mean_known(values: np.ndarray) -> np.ndarray:
    """Mean over the first axis without NaN; NaN where all are."""
    known = ~np.isnan(values)
    return np.where(known.any(0), np.nansum(values, 0) / np.maximum(known.sum(0), 1), np.nan)


def group_sums(
    weights: np.ndarray, samples: np.ndarray, groups: np.ndarray, num_groups: int, values: np.ndarray | None = None
) -> np.ndarray:
    """Sums by group under each of some weights; an entry is a sample, a group and a value, and any number may be of one sample.

    Args:
        weights: [resamples, samples]; they are not copied if Fortran-contiguous.
        samples, groups: of each entry, int [entries].
        values: of each entry; 1 if not said.

    Returns:
        float64 [groups, resamples].
    """
    if not num_groups:
        return np.zeros((0, len(weights)))
    from scipy.sparse import csr_array  # a quarter of a second to import, which most commands need not wait for

    data = np.ones(len(samples)) if values is None else values
    return csr_array((data, (groups, samples)), shape=(num_groups, weights.shape[1])) @ weights.T


def in_blocks(compute: Callable[[np.ndarray], np.ndarray], weights: np.ndarray, width: int) -> np.ndarray:
    """What `compute` makes of weights [resamples, samples], [resamples, …], of some resamples at a time, Fortran-contiguous.

    Args:
        width: numbers that it needs of each resample.
    """
    step = max(1, MOST_NUMBERS // max(width, 1))
    parts = (weights[i : i + step] for i in range(0, max(len(weights), 1), step))
    return np.concatenate([compute(np.asfortranarray(part)) for part in parts])
