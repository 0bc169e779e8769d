"""What a metric's values are worth, in one unit for all: how far from perfect, how much better than without looking."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

Direction = Literal["max", "min"]
DECIBEL = "dB"


@dataclass(frozen=True)
class Yardstick:
    """A metric of one task on one set of samples.

    A metric that improves upwards is a share, perfect at 1, or in dB; one that improves downwards is an error, perfect
    at 0. `blind` is its value for the best answer that does not look at the image; None where that is not known.
    """

    direction: Direction
    unit: str = ""
    blind: float | None = None

    @property
    def is_share(self) -> bool:
        """Whether the metric lies between 0 and 1, 1 being perfect."""
        return self.direction == "max" and self.unit != DECIBEL

    @property
    def all_alike(self) -> bool:
        """Whether the blind answer is perfect, for all targets are the same: nothing can be shown with them."""
        return self.blind is not None and self.error(self.blind) <= 0

    def error(self, value: float) -> float:
        """Distance from perfect: what a share lacks of 1, an error itself, the squared error behind dB."""
        return float(self.errors(np.array(value)))

    def errors(self, values: np.ndarray) -> np.ndarray:
        """The same of many values."""
        if self.direction == "min":
            return values
        return 1.0 - values if self.is_share else np.power(10.0, -values / 10.0)

    def skill(self, value: float) -> float:
        """How much of the blind answer's error is gone (Murphy 1988): 1 is perfect, 0 no better than without looking.

        Below 0 it is the blind error over the own one, minus 1: all lies between -1 and 1, so no task outvotes the
        others. Where the blind answer is perfect there is nothing to show: 0 if as good, -1 if not. NaN for an error
        whose blind answer is not known: its unit has no scale. Of a share, 0 stands in its place.
        """
        unknown = 0.0 if self.is_share else np.nan
        return float(self.skills(np.array(value), np.array(unknown if self.blind is None else self.blind)))

    def skills(self, values: np.ndarray, blind: np.ndarray) -> np.ndarray:
        """The same of many values, each beside the blind answer's on the same resample."""
        own, other = (np.maximum(self.errors(found), 0.0) for found in (values, blind))
        with np.errstate(invalid="ignore", divide="ignore"):
            better = np.where(other > 0, 1.0 - own / other, 0.0)
            return np.where(own <= other, better, other / own - 1.0)

    def gain(self, new: float, old: float) -> float:
        """The change from `old` to `new` as a share of what the metric has, or can still gain, whichever is more: positive
        is better, whatever its direction.

        A share has its value, and can gain the rest; what an error has is the distance to the blind answer's. So a
        change of a tiny metric is tiny, none gains more than 100 %, and from 0.5 on, a share changes relative to its
        own value. Where no blind answer is known, an error changes relative to the larger of the two.
        """
        return float(self.gains(np.array(new), np.array(old)))

    def gains(self, new: np.ndarray, old: np.ndarray) -> np.ndarray:
        """The same of many values, each pair by itself."""
        after, before = self.errors(new), self.errors(old)
        if self.is_share:
            has = 1.0 - before
        else:
            has = after if self.blind is None else self.error(self.blind) - before
        scale = np.maximum(before, has)
        return (before - after) / np.where(scale == 0, 1.0, scale)  # both perfect: no change, of whatever
