"""Intervals of metrics and of differences between them, from resamples of the samples that they were measured on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

NORMAL = NormalDist()


@dataclass(frozen=True)
class Estimate:
    """A number and what it becomes on other samples: all that an interval is made of.

    replicates: on each bootstrap resample; jackknife: with each of some equal parts of the samples left out, may be
    empty. NaN where nothing counts.
    """

    point: float
    replicates: np.ndarray
    jackknife: np.ndarray

    @staticmethod
    def mean(estimates: Sequence[Estimate]) -> Estimate:
        """The mean of numbers with the same resamples."""
        jackknives = [one.jackknife for one in estimates]
        paired = len({len(found) for found in jackknives}) == 1
        return Estimate(
            float(np.mean([one.point for one in estimates])),
            np.mean([one.replicates for one in estimates], axis=0),
            np.mean(jackknives, axis=0) if paired else np.array([]),
        )

    def interval(self, tail: float) -> tuple[float, float] | None:
        """The interval that leaves out `tail` on each side; None where nothing is known.

        It reaches as far as two that fail in different places (`tests/evaluate/test_intervals.py` has how often each metric's
        holds): the bootstrap's, bias-corrected and accelerated (BCa, Efron 1987), which follows a skewed
        distribution; and the jackknife's, bias-corrected and with Student's t, which holds where the metric itself is
        biased on few samples, as means over rare classes are. It always holds its own estimate.
        """
        replicates = self.replicates[np.isfinite(self.replicates)]
        if not len(replicates) or not np.isfinite(self.point):
            return None
        jackknife = self.jackknife[np.isfinite(self.jackknife)]
        reach = student(tail, len(jackknife) - 1) if len(jackknife) > 1 else -NORMAL.inv_cdf(tail)
        low, high = _bca(self.point, replicates, jackknife, reach)
        if len(jackknife) > 1:
            centre, error = _without_bias(self.point, jackknife)
            low, high = min(low, centre - reach * error), max(high, centre + reach * error)
        return min(low, self.point), max(high, self.point)


def student(tail: float, freedom: float) -> float:
    """How many standard errors leave out `tail` on one side, by Student's t."""
    from scipy.special import stdtrit  # a second to import, which most commands need not wait for

    return float(stdtrit(freedom, 1.0 - tail))


def wilson(share: float, count: int, tail: float) -> tuple[float, float]:
    """Interval of a share of `count` samples (Wilson 1927), which is never of width 0."""
    squared = NORMAL.inv_cdf(tail) ** 2 / count
    centre, reach = share + squared / 2, (squared * (share * (1 - share) + squared / 4)) ** 0.5
    low, high = (centre - reach) / (1 + squared), (centre + reach) / (1 + squared)
    return max(min(low, share), 0.0), min(max(high, share), 1.0)  # at 0 and 1 rounding alone would leave it out


def _bca(point: float, replicates: np.ndarray, jackknife: np.ndarray, reach: float) -> tuple[float, float]:
    below = (replicates < point).sum() + (replicates == point).sum() / 2
    bias = NORMAL.inv_cdf((below + 0.5) / (len(replicates) + 1))
    deviations = jackknife.mean() - jackknife if len(jackknife) else np.zeros(1)
    squares = float((deviations**2).sum())
    skew = float((deviations**3).sum()) / (6 * squares**1.5) if squares > 0 else 0.0

    def place(z: float) -> float:
        return NORMAL.cdf(bias + (bias + z) / max(1 - skew * (bias + z), 1e-3))

    low, high = np.quantile(replicates, [place(-reach), place(reach)])
    return float(low), float(high)


def _without_bias(point: float, jackknife: np.ndarray) -> tuple[float, float]:
    """The jackknife's estimate and its standard error."""
    parts, mean = len(jackknife), float(jackknife.mean())
    error = ((parts - 1) / parts * float(((jackknife - mean) ** 2).sum())) ** 0.5
    return point - (parts - 1) * (mean - point), error


def half_width(groups: Sequence[Sequence[float]], tail: float) -> float | None:
    """Half of an interval that leaves out `tail` on each side, of a number that depends on groups of independent values.

    Args:
        groups: for each of them, the number without each of its values. None is known where one has a single value.
    """
    if any(len(group) < 2 for group in groups):
        return None
    variances = [(len(g) - 1) / len(g) * float(((np.array(g) - np.mean(g)) ** 2).sum()) for g in groups]
    total = sum(variances)
    if total == 0:
        return 0.0
    freedom = total**2 / sum(v**2 / (len(g) - 1) for v, g in zip(variances, groups, strict=True))
    return student(tail, freedom) * total**0.5
