"""Bootstrap intervals over test images."""

from __future__ import annotations

import numpy as np


def resample_counts(seed: int, num_resamples: int, num_samples: int) -> np.ndarray:
    """How often each sample is drawn in each resample: float64 [resamples, samples].

    Depends on the three numbers alone, so two models judged on the same samples are judged on the same resamples.
    """
    rng = np.random.Generator(np.random.PCG64([seed, num_samples, 7]))
    counts = np.empty((num_resamples, num_samples))
    for row in counts:
        row[:] = np.bincount(rng.integers(num_samples, size=num_samples), minlength=num_samples)
    return counts


def interval(replicates: np.ndarray, confidence: float) -> tuple[float | None, float | None]:
    """Percentile interval of the finite replicates; None where there are none."""
    finite = replicates[np.isfinite(replicates)]
    if not len(finite):
        return None, None
    tail = (1 - confidence) / 2
    low, high = np.quantile(finite, [tail, 1 - tail])
    return float(low), float(high)
