"""How fast a training goes, told every few steps: when the host reads what the device has computed."""

from __future__ import annotations

import time

from mtl.reports.events import ProgressEvent

EVERY_SECONDS = 5.0
"""Steps are read at least so often, if one takes less: whoever looks, or asks for a checkpoint, is not to wait longer."""


class Pace:
    """Of one worker, since it last told.

    Args:
        images: per optimizer step, summed over workers.
        total: optimizer steps of the training, if it goes to the end.
        log_every: steps between two readings, at most; to people multiples of it are told, to programs all.
    """

    def __init__(self, images: int, total: int, log_every: int) -> None:
        self.images, self.total, self.log_every = images, total, log_every
        self._steps, self._busy, self._told = 0, 0.0, time.monotonic()
        self._read_at = 0

    def stepped(self, seconds: float) -> None:
        """A step was made in so many seconds."""
        self._steps, self._busy = self._steps + 1, self._busy + seconds

    def reads(self, step: int) -> bool:
        """Whether the host reads at a step, counted from the beginning of the training."""
        return step >= self._read_at

    def ahead(self) -> int:
        """How many steps this worker could make before it is to read again."""
        return max(int(EVERY_SECONDS * self._steps / self._busy), 1) if self._busy else 1

    def plan(self, step: int, ahead: int) -> None:
        """It was read at a step; the next time is after so many more, on which all workers have agreed, and no later than at
        a multiple of `log_every`.
        """
        self._read_at = min(step + ahead, (step // self.log_every + 1) * self.log_every)

    def due(self, step: int) -> bool:
        """Whether a step that was read is one to tell."""
        return step % self.log_every == 0 or time.monotonic() - self._told > EVERY_SECONDS

    def event(self, step: int, seconds: float) -> ProgressEvent:
        """How far it is at a step, after so many seconds of training, evaluations included; and begin to count anew."""
        speed = self._steps * self.images / self._busy if self._busy else None
        self._steps, self._busy, self._told = 0, 0.0, time.monotonic()
        left = seconds / step * (self.total - step) if step else None
        return ProgressEvent(done=step, total=self.total, unit="steps", images_per_second=speed, seconds_left=left)
