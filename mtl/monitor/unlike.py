"""Which production images are least like what a model was made with: those that a person should look at first."""

from __future__ import annotations

import numpy as np

from mtl.monitor.profile import Profile

SMALLEST = 1e-6
"""Deviation of a column below which it is taken for constant."""


def distances(reference: Profile, batch: Profile) -> np.ndarray:
    """How far each image of a batch is from the mean of the reference, in standard deviations, as a root mean square over the
    columns of the embedding, or of the values where the models have no embedding: float64 [images].

    A column that is constant in the reference, or missing for an image, counts for nothing.
    """
    before, now = (_columns(side, reference) for side in (reference, batch))
    with np.errstate(invalid="ignore"):
        deviation = np.nanstd(before, axis=0)
        apart = (now - np.nanmean(before, axis=0)) / np.where(deviation > SMALLEST, deviation, np.inf)
    return np.sqrt(np.square(np.nan_to_num(apart)).mean(axis=1))


def _columns(side: Profile, reference: Profile) -> np.ndarray:
    """float64 [images, columns]."""
    if reference.embedding is not None and side.embedding is not None:
        return side.embedding.astype(np.float64)
    names = sorted(name for name, column in reference.values.items() if np.isfinite(column).any())
    empty = np.full(len(side), np.nan)
    found = np.stack([side.values.get(name, empty) for name in names], axis=1).astype(np.float64)
    return np.where(np.isfinite(found), found, np.nan)
