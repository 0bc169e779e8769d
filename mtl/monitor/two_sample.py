"""Two samples of one statistic beside each other: brought to one precision, counted, and tested."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import stats

BINS = 10
"""Of the population stability index: tenths of the reference."""
FEW_VALUES = 20
"""Different values up to which a statistic is one of classes: where most are tied, distances of distributions find little."""
EXPECTED = 5.0
"""Images of either side that a class is to have for the chi-squared distribution to hold (Cochran 1954)."""
ROUNDING = 4
"""Steps of the floating-point type by which a value that many images share may differ between machines."""

Counts = tuple[np.ndarray, np.ndarray]
"""Images of the reference and of the batch, by bin or class."""


class Scale:
    """How values of one statistic are told apart and counted, from a reference's.

    What a tenth of the reference has in common (no box, a score of 1, a constant) is told apart from its neighbours only beyond
    what arithmetic rounds, for another machine's last digit is no shift; and it is a bin of its own.
    """

    def __init__(self, reference: np.ndarray, dtype: Any) -> None:
        self.dtype = dtype
        self.common: list[tuple[float, float]] = []
        """Such values, each with the distance up to which another value is the same."""
        found = self._exact(reference)
        self._choose_common(found)
        self.values = self.settled(reference)
        tenths = np.quantile(self.values, np.linspace(0, 1, BINS + 1)[1:-1], method="inverted_cdf")
        common = np.array([value for value, _ in self.common])
        self.edges = np.unique(np.concatenate([tenths, common, np.nextafter(common, np.inf)]))
        self.counts = self.binned(self.values)
        self.num_values = len(np.unique(self.values))

    def settled(self, values: np.ndarray) -> np.ndarray:
        """The finite ones, float64 at this precision, with common values exactly as the reference has them."""
        found = self._exact(values)
        for value, tolerance in self.common:
            found[np.abs(found - value) <= tolerance] = value
        return found

    def binned(self, settled: np.ndarray) -> np.ndarray:
        """How many lie in each bin."""
        return np.bincount(np.searchsorted(self.edges, settled, side="right"), minlength=len(self.edges) + 1)

    def _exact(self, values: np.ndarray) -> np.ndarray:
        return values[np.isfinite(values)].astype(self.dtype).astype(np.float64)

    def _choose_common(self, found: np.ndarray) -> None:
        values, counts = np.unique(found, return_counts=True)
        often = np.flatnonzero(counts * BINS >= len(found))
        step = ROUNDING * float(np.finfo(self.dtype).eps)
        middle = float(np.median(np.abs(found)))
        for i in often[np.argsort(-counts[often], kind="stable")]:
            value = float(values[i])
            tolerance = step * max(abs(value), middle)
            if all(abs(value - other) > tolerance for other, _ in self.common):
                self.common.append((value, tolerance))


def coarser(reference: np.ndarray, batch: np.ndarray) -> Any:
    """The floating-point type in which both sides are equally exact; whole numbers are exact."""
    exact = np.dtype(np.float64)
    return max((s.dtype if s.dtype.kind == "f" else exact for s in (reference, batch)), key=lambda d: np.finfo(d).eps)


def psi(reference: np.ndarray, batch: np.ndarray) -> float:
    """Population stability index of counts by bin, half a count added to each so that an empty one is not infinite; bins
    that neither side has are none.
    """
    seen = (reference + batch) > 0
    shares = [(side[seen] + 0.5) / (side.sum() + 0.5 * seen.sum()) for side in (reference, batch)]
    return float(np.sum((shares[1] - shares[0]) * np.log(shares[1] / shares[0])))


def by_value(old: np.ndarray, new: np.ndarray) -> Counts:
    """Both sides by their different values."""
    values, places = np.unique(np.concatenate([old, new]), return_inverse=True)
    return (
        np.bincount(places[: len(old)], minlength=len(values)),
        np.bincount(places[len(old) :], minlength=len(values)),
    )


def merged(counts: Counts) -> Counts:
    """Classes that are too rare for the chi-squared distribution put together, the rarest first.

    Which are put together depends on both sides' sum alone, so that it favours neither. Two remain at least, however rare
    the one: a class that the reference never had may be all that there is in a small batch.
    """
    both = counts[0] + counts[1]
    fewest = min(counts[0].sum(), counts[1].sum()) / both.sum()
    order = np.argsort(both, kind="stable")
    starts, expected = [0], 0.0
    for place, number in enumerate(both[order]):
        if expected >= EXPECTED:
            starts.append(place)
            expected = 0.0
        expected += number * fewest
    if expected < EXPECTED and len(starts) > 1:
        starts.pop()  # the last, which has too few, joins the one before
    if len(starts) == 1 and (both > 0).sum() > 1:
        starts.append(len(order) - 1)
    sides = [np.add.reduceat(side[order], starts) for side in counts]
    return sides[0], sides[1]


def kolmogorov_smirnov(old: np.ndarray, new: np.ndarray) -> float:
    """p of the largest distance between two distributions; conservative where values are tied."""
    tested: Any = stats.ks_2samp(old, new, method="asymp")
    return float(tested.pvalue)


def chi_squared(counts: Counts) -> float:
    """p of a table of classes, by Fisher's exact test where there are two and one is rare; 1 where there is one class."""
    both = counts[0] + counts[1]
    table = np.stack([side[both > 0] for side in counts])
    if table.shape[1] < 2:
        return 1.0
    rare = both[both > 0].min() * table.sum(1).min() < EXPECTED * table.sum()
    tested: Any = stats.fisher_exact(table) if rare and table.shape == (2, 2) else stats.chi2_contingency(table)
    return float(tested.pvalue)


def more_often(counts: Counts) -> float:
    """p of the batch having the second of two classes as often as it has, or more often (Fisher's exact test)."""
    old, new = counts
    total, hits = int(old.sum() + new.sum()), int(old[1] + new[1])
    return float(stats.hypergeom.sf(int(new[1]) - 1, total, hits, int(new.sum())))
