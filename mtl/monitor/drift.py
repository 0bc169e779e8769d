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
OWN_BATCHES = 50
"""Drawn from each group of the reference."""
MOST = 300
"""Images of each side in the embedding's test: its cost grows with their square."""


@dataclass(frozen=True)
class Finding:
    """One comparison.

    p is of a two-sample test: Kolmogorov-Smirnov for values, chi-squared for labels, permutations of the maximum mean
    discrepancy for embeddings. `index` is the population stability index, or the squared MMD; `usual` the largest one of
    batches of this size from any group of the reference against its other groups.
    """

    name: str
    test: str
    p: float
    index: float
    reference: float | None
    batch: float | None
    usual: float = 0.0
    shifted: bool = False

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def compare(reference: Profile, batch: Profile, *, alpha: float, min_psi: float, seed: int = 0) -> list[Finding]:
    """Every comparison, the surest first; `shifted` where it is.

    Shifted means: significant at `alpha` over all comparisons together (Holm), further from the reference than its own groups are
    from each other (production images come from places and days of their own), and for values and labels a stability index of at
    least `min_psi` as well, for in a large batch the smallest shift is significant.
    """
    usual = _usual(reference, len(batch), seed)
    counts = _counts(reference, batch)
    found = [_value(n, v, batch.values[n], counts[n]) for n, v in reference.values.items() if n in counts]
    found += [_label(name, counts[name]) for name in reference.labels if name in counts]
    if reference.embedding is not None and batch.embedding is not None:
        found.append(_embedding(reference.embedding, batch.embedding, seed))
    found.sort(key=lambda one: (one.p, -one.index))
    going = True
    judged: list[Finding] = []
    for i, one in enumerate(found):
        going = going and one.p <= alpha / (len(found) - i)
        far = one.index > usual.get(one.name, 0.0)
        large = one.test == "mmd" or one.index >= min_psi
        judged.append(replace(one, usual=usual.get(one.name, 0.0), shifted=going and far and large))
    return judged


def _usual(reference: Profile, size: int, seed: int) -> dict[str, float]:
    """Comparison → the largest index of batches of the reference's own groups; nothing if it has a single one."""
    groups = np.unique(reference.groups) if reference.groups is not None else np.array([])
    largest: dict[str, float] = {}
    if len(groups) < 2:
        return largest
    rng = np.random.default_rng(seed)
    for group in groups:
        own = np.flatnonzero(reference.groups == group)
        others = reference.take(np.flatnonzero(reference.groups != group))
        for _ in range(OWN_BATCHES):
            batch = reference.take(rng.choice(own, size))
            for name, counts in _counts(others, batch).items():
                largest[name] = max(largest.get(name, 0.0), psi(*counts))
            if others.embedding is not None and batch.embedding is not None:
                kernel, first = _kernel(others.embedding, batch.embedding, rng)
                signs = _signs(len(kernel), np.arange(first))
                largest["embedding"] = max(largest.get("embedding", 0.0), float(signs @ kernel @ signs))
    return largest


def psi(reference: np.ndarray, batch: np.ndarray) -> float:
    """Population stability index of counts by bin, half a count added to each so that an empty one is not infinite."""
    shares = [(counts + 0.5) / (counts.sum() + 0.5 * len(counts)) for counts in (reference, batch)]
    return float(np.sum((shares[1] - shares[0]) * np.log(shares[1] / shares[0])))


def _counts(reference: Profile, batch: Profile) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Comparison → images of either side by bin or class; those that both sides have."""
    found: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for name, values in reference.values.items():
        old, new = values[~np.isnan(values)], batch.values.get(name, np.array([]))
        new = new[~np.isnan(new)]
        if len(old) and len(new):
            edges = np.unique(np.quantile(old, np.linspace(0, 1, BINS + 1)[1:-1]))
            bins = [np.bincount(np.searchsorted(edges, v, side="right"), minlength=len(edges) + 1) for v in (old, new)]
            found[name] = bins[0], bins[1]
    for name, labels in reference.labels.items():
        classes = len(reference.classes[name])
        old, new = labels[labels >= 0], batch.labels.get(name, np.array([], np.int64))
        new = new[new >= 0]
        if len(old) and len(new):
            found[name] = np.bincount(old, minlength=classes), np.bincount(new, minlength=classes)
    return found


def _value(name: str, reference: np.ndarray, batch: np.ndarray, counts: tuple[np.ndarray, np.ndarray]) -> Finding:
    old, new = reference[~np.isnan(reference)], batch[~np.isnan(batch)]
    tested: Any = stats.ks_2samp(old, new, method="asymp")
    return Finding(name, "ks", float(tested.pvalue), psi(*counts), float(old.mean()), float(new.mean()))


def _label(name: str, counts: tuple[np.ndarray, np.ndarray]) -> Finding:
    seen = (counts[0] + counts[1]) > 0
    p = 1.0
    if seen.sum() > 1:
        tested: Any = stats.chi2_contingency(np.stack([side[seen] for side in counts]))
        p = float(tested.pvalue)
    return Finding(name, "chi2", p, psi(*counts), None, None)


def _embedding(reference: np.ndarray, batch: np.ndarray, seed: int) -> Finding:
    """Squared MMD (Gretton et al. 2012) and how many permutations of the images reach it."""
    rng = np.random.default_rng(seed)
    kernel, first = _kernel(reference, batch, rng)
    drawn = (rng.choice(len(kernel), first, replace=False) for _ in range(NUM_PERMUTATIONS))
    signs = np.stack([_signs(len(kernel), rows) for rows in (np.arange(first), *drawn)])
    values = np.einsum("pi,pi->p", signs @ kernel, signs)
    p = float((1 + (values[1:] >= values[0]).sum()) / (NUM_PERMUTATIONS + 1))
    return Finding("embedding", "mmd", p, float(values[0]), None, None)


def _signs(total: int, reference: np.ndarray) -> np.ndarray:
    """What images count for in the squared MMD, s·K·s: those of the reference, and the others."""
    signs = np.full(total, -1.0 / (total - len(reference)))
    signs[reference] = 1.0 / len(reference)
    return signs


def _kernel(reference: np.ndarray, batch: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, int]:
    """Gaussian kernel of the median distance, each dimension scaled as in the reference, of at most MOST images a side; how many
    of them are the reference's."""
    scale = reference.std(0) + 1e-6
    sides = [
        side[rng.choice(len(side), min(MOST, len(side)), replace=False)].astype(np.float64) / scale
        for side in (reference, batch)
    ]
    pooled = np.concatenate(sides)
    squares = (pooled**2).sum(1)
    distances = np.maximum(squares[:, None] + squares[None] - 2 * pooled @ pooled.T, 0.0)
    apart = distances[distances > 0]
    kernel = np.exp(-distances / max(float(np.median(apart)), 1e-12)) if len(apart) else distances
    return kernel, len(sides[0])
