"""Resamples of test images: bootstrap and jackknife."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mtl import seeds

NUM_PARTS = 25
"""Of the jackknife: parts of the samples that are left out, one after the other."""


def resample_counts(seed: int, num_resamples: int, num_samples: int) -> np.ndarray:
    """How often each sample is drawn in each resample: float64 [resamples, samples].

    Depends on the three numbers alone, so two models judged on the same samples are judged on the same resamples.
    """
    rng = seeds.resampling(seed, num_samples)
    counts = np.empty((num_resamples, num_samples))
    for row in counts:
        row[:] = np.bincount(rng.integers(num_samples, size=num_samples), minlength=num_samples)
    return counts


def jackknife_weights(num_samples: int) -> np.ndarray:
    """1 for each sample, but 0 for one part of them: float64 [parts, samples], at most NUM_PARTS parts."""
    parts = min(NUM_PARTS, num_samples)
    return (np.arange(num_samples) % parts != np.arange(parts)[:, None]).astype(np.float64)


def ranks(ids: Sequence[str]) -> np.ndarray:
    """Where each sample stands in the order of ids: resamples are drawn there, so that they are the same whatever the
    order in which samples were judged: int64 [samples].
    """
    found = np.empty(len(ids), np.int64)
    found[np.argsort(np.array(ids), kind="stable")] = np.arange(len(ids))
    return found


def interval(replicates: np.ndarray, confidence: float) -> tuple[float | None, float | None]:
    """Percentile interval of the finite replicates; None where there are none. `mtl.intervals.Estimate` has one that
    holds for more than means.
    """
    finite = replicates[np.isfinite(replicates)]
    if not len(finite):
        return None, None
    tail = (1 - confidence) / 2
    low, high = np.quantile(finite, [tail, 1 - tail])
    return float(low), float(high)
