"""What methods gain over each task alone, and how sure that is over the seeds."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mtl.compare.results import Cell
from mtl.intervals import half_width
from mtl.yardstick import Yardstick

TAIL = 0.025
"""Of a 95 % interval, on each side."""


def mean_and_half(values: np.ndarray) -> Cell:
    """Mean, and half of the 95 % interval of the mean; None where they are not known."""
    if not len(values):
        return Cell(mean=None, half=None)
    return Cell(mean=float(values.mean()), half=half_width([_without_each(values)], TAIL))


def delta(found: Mapping[str, np.ndarray], base: Mapping[str, np.ndarray], yards: Mapping[str, Yardstick]) -> Cell:
    """Δm: the mean gain over each task alone, and half of its 95 % interval; None where a side has no seed, or only one.

    The seeds of a method are one group, those of each task alone another: what leaving out each seed changes (the jackknife)
    gives the variance of each, and Welch and Satterthwaite's rule their degrees of freedom together.

    Args:
        found: task → its test metric with each seed [seeds]; base: the same of each task alone.
    """

    def mean(means: Mapping[str, float], alone: Mapping[str, float]) -> float:
        return float(np.mean([yards[t].gain(means[t], alone[t]) for t in yards]))

    if not all(len(found[t]) and len(base[t]) for t in yards):
        return Cell(mean=None, half=None)
    means, alone = ({t: float(side[t].mean()) for t in yards} for side in (found, base))
    without = {t: _without_each(found[t]) for t in yards}
    parts = [[mean(dict(zip(yards, left, strict=True)), alone) for left in zip(*without.values(), strict=True)]]
    parts += [[mean(means, {**alone, t: left}) for left in _without_each(base[t])] for t in yards]
    return Cell(mean=mean(means, alone), half=half_width(parts, TAIL))


def _without_each(values: np.ndarray) -> list[float]:
    """The mean without each of the values; nothing to say of a single one."""
    return [float(np.delete(values, i).mean()) for i in range(len(values))] if len(values) > 1 else []
