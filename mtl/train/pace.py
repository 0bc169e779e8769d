"""How fast a training goes, told every few steps."""

from __future__ import annotations

import time

from mtl.reports.events import ProgressEvent

EVERY_STEPS, EVERY_SECONDS = 10, 5.0
"""A step is told if one of them is over, for there are fast and slow ones: to people the first, to programs both."""


class Pace:
    """Of one worker, since it last told.

    Args:
        images: per optimizer step, summed over workers.
        total: optimizer steps of the training, if it goes to the end.
    """

    def __init__(self, images: int, total: int) -> None:
        self.images, self.total = images, total
        self._steps, self._busy, self._told = 0, 0.0, time.monotonic()

    def stepped(self, seconds: float) -> None:
        """A step was made in so many seconds."""
        self._steps, self._busy = self._steps + 1, self._busy + seconds

    def due(self, step: int) -> bool:
        """Whether a step, counted from the beginning of the training, is one to tell."""
        return step % EVERY_STEPS == 0 or time.monotonic() - self._told > EVERY_SECONDS

    def event(self, step: int, seconds: float) -> ProgressEvent:
        """How far it is at a step, after so many seconds of training, evaluations included; and begin to count anew."""
        speed = self._steps * self.images / self._busy if self._busy else None
        self._steps, self._busy, self._told = 0, 0.0, time.monotonic()
        left = seconds / step * (self.total - step) if step else None
        return ProgressEvent(done=step, total=self.total, unit="steps", images_per_second=speed, seconds_left=left)
