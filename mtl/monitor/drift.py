"""Tests for shift between two profiles, corrected for their number, so that a look at unshifted images rarely alarms."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from scipy import stats

from mtl.monitor.profile import Profile

BINS = 10
"""Of the population stability index: tenths of the reference."""
NUM_PERMUTATIONS = 500
MOST = 300
"""Images of each side in the embedding's test: its cost grows with their square."""


@dataclass(frozen=True)
class Finding:
    """One comparison.

    p is of a two-sample test: Kolmogorov-Smirnov for values, chi-squared for labels, permutations of the maximum mean
    discrepancy for embeddings. `index` is the population stability index, or the squared MMD.
    """

    name: str
    test: str
    p: float
    index: float
    reference: float | None
    batch: float | None
    shifted: bool = False

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def compare(reference: Profile, batch: Profile, *, alpha: float, min_psi: float, seed: int = 0) -> list[Finding]:
    """Every comparison, the surest first; `shifted` where it is.

    Shifted means: significant at `alpha` over all comparisons together (Holm), and for values and labels a stability index of
    at least `min_psi` as well, for in a large batch the smallest shift is significant.
    """
    found = [
        _value(name, reference.values[name], batch.values[name]) for name in reference.values if name in batch.values
    ]
    for name in reference.labels:
        if name in batch.labels:
            found.append(_label(name, reference.labels[name], batch.labels[name], len(reference.classes[name])))
    if reference.embedding is not None and batch.embedding is not None:
        found.append(_embedding(reference.embedding, batch.embedding, seed))
    found.sort(key=lambda one: (one.p, -one.index))
    going = True
    judged: list[Finding] = []
    for i, one in enumerate(found):
        going = going and one.p <= alpha / (len(found) - i)
        large = one.test == "mmd" or one.index >= min_psi
        judged.append(replace(one, shifted=going and large))
    return judged


def psi(reference: np.ndarray, batch: np.ndarray) -> float:
    """Population stability index of counts by bin, half a count added to each so that an empty one is not infinite."""
    shares = [(counts + 0.5) / (counts.sum() + 0.5 * len(counts)) for counts in (reference, batch)]
    return float(np.sum((shares[1] - shares[0]) * np.log(shares[1] / shares[0])))


def _value(name: str, reference: np.ndarray, batch: np.ndarray) -> Finding:
    old, new = reference[~np.isnan(reference)], batch[~np.isnan(batch)]
    if not len(old) or not len(new):
        return Finding(name, "ks", 1.0, 0.0, None, None)
    edges = np.unique(np.quantile(old, np.linspace(0, 1, BINS + 1)[1:-1]))
    counts = [np.bincount(np.searchsorted(edges, v, side="right"), minlength=len(edges) + 1) for v in (old, new)]
    tested: Any = stats.ks_2samp(old, new, method="asymp")
    p = float(tested.pvalue)
    return Finding(name, "ks", p, psi(*counts), float(old.mean()), float(new.mean()))


def _label(name: str, reference: np.ndarray, batch: np.ndarray, num_classes: int) -> Finding:
    counts = [np.bincount(labels[labels >= 0], minlength=num_classes) for labels in (reference, batch)]
    seen = (counts[0] + counts[1]) > 0
    p = 1.0
    if seen.sum() > 1 and all(c.sum() for c in counts):
        table = np.stack([c[seen] for c in counts])
        tested: Any = stats.chi2_contingency(table)
        p = float(tested.pvalue)
    return Finding(name, "chi2", p, psi(*counts), None, None)


def _embedding(reference: np.ndarray, batch: np.ndarray, seed: int) -> Finding:
    """Squared MMD with a Gaussian kernel of the median distance (Gretton et al. 2012), each dimension scaled as in the
    reference."""
    rng = np.random.default_rng(seed)
    scale = reference.std(0) + 1e-6
    sides = [
        side[rng.choice(len(side), min(MOST, len(side)), replace=False)].astype(np.float64) / scale
        for side in (reference, batch)
    ]
    pooled = np.concatenate(sides)
    squares = (pooled**2).sum(1)
    distances = np.maximum(squares[:, None] + squares[None] - 2 * pooled @ pooled.T, 0.0)
    kernel = (
        np.exp(-distances / max(float(np.median(distances[distances > 0])), 1e-12)) if distances.any() else distances
    )
    first = len(sides[0])
    signs = np.full((NUM_PERMUTATIONS + 1, len(pooled)), -1.0 / (len(pooled) - first))
    signs[0, :first] = 1.0 / first
    for row in signs[1:]:
        row[rng.choice(len(pooled), first, replace=False)] = 1.0 / first
    values = np.einsum("pi,pi->p", signs @ kernel, signs)
    p = float((1 + (values[1:] >= values[0]).sum()) / (NUM_PERMUTATIONS + 1))
    return Finding("embedding", "mmd", p, float(values[0]), None, None)
