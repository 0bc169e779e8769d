"""Which steps are made: decided on the device, step by step, and read by the host every few steps.

What is not finite leaves its step out, and of too many in a row the last one halts the training: no step after it is made
either, however many were launched before the host reads of it. So the weights of the error are those before that step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mtl.data.loading.loader import Batch
from mtl.errors import TrainingError
from mtl.train.gradients import Outcome
from mtl.train.process_group import ProcessGroup

SHOWN = 16
"""Samples that are named, of a step that was left out."""


@dataclass(frozen=True)
class Told:
    """What the host has read of a step.

    losses: over the global batch, of the tasks that were present. left_out: why the step was not made; empty if it was.
    """

    step: int
    losses: dict[str, float]
    left_out: str = ""


class Verdicts:
    """Of the steps of one training.

    Args:
        names: the tasks'.
        max_skipped: steps in a row that may be left out.
        skipped: steps in a row that were, just before.
    """

    def __init__(self, world: ProcessGroup, names: Sequence[str], max_skipped: int = 0, skipped: int = 0) -> None:
        self.world, self.names, self.max_skipped, self.skipped = world, list(names), max_skipped, skipped
        self._in_a_row = torch.full((), skipped, dtype=torch.int64, device=world.device)
        self._halted = torch.zeros((), dtype=torch.bool, device=world.device)
        self._unread: list[tuple[int, Tensor, list[str]]] = []

    def decide(self, figures: Tensor) -> Tensor:
        """Whether a step is made, all of whose figures must be finite: one answer for all workers, on the device."""
        finite = self.world.all_agree(torch.isfinite(figures).all())
        self._halted = self._halted | (~finite & (self._in_a_row >= self.max_skipped))
        made = finite & ~self._halted
        self._in_a_row = torch.where(made, 0, self._in_a_row + 1)
        return made

    def keep(self, step: int, found: Outcome, made: Tensor, batches: Sequence[Batch]) -> None:
        """Have a step's losses, and whose samples they are of, until they are read."""
        verdict = torch.stack([made, torch.isfinite(found.local).all()])
        ids = [identifier for batch in batches for identifier in batch.ids]
        self._unread.append((step, torch.cat([found.losses, found.present.double(), verdict.double()]), ids))

    def read(self) -> list[Told]:
        """The steps since the last reading, in order; the host waits until the device has made them. All workers call it
        together.

        Raises:
            TrainingError: one was not finite and could not be left out; the weights are those before it.
        """
        unread, self._unread = self._unread, []
        if not unread:
            return []
        found: list[Told] = []
        for (step, _, ids), numbers in zip(unread, torch.stack([row for _, row, _ in unread]).tolist(), strict=True):
            *values, made, sound = numbers
            count = len(self.names)
            losses = {n: v for n, v, there in zip(self.names, values[:count], values[count:], strict=True) if there}
            if made:
                self.skipped = 0
                found.append(Told(step, losses))
                continue
            what, where = self._problem(losses, ids, sound=bool(sound))
            if self.skipped >= self.max_skipped:
                raise _stopped(what, where, step)
            self.skipped += 1
            found.append(Told(step, losses, f"{what} is not finite {where}"))
        return found

    def _problem(self, losses: dict[str, float], ids: list[str], *, sound: bool) -> tuple[str, str]:
        """Which tasks and whose samples: asked of all workers together."""
        bad = [name for name, loss in losses.items() if not abs(loss) < float("inf")]
        named = [i for part in self.world.gather(ids if not sound or not bad else []) for i in part]
        shown = ", ".join(named[:SHOWN]) + (f" and {len(named) - SHOWN} more" if len(named) > SHOWN else "")
        return f"the loss of {', '.join(bad)}" if bad else "the gradient", f"in a batch with the samples {shown}"


def _stopped(what: str, where: str, step: int) -> TrainingError:
    return TrainingError(
        f"{what} is not finite at step {step}; the weights were not changed",
        found=where,
        fix="lower train.learning_rate, set train.clip_norm, or look at these samples (train.max_skipped leaves such "
        "steps out); the run goes on from its last checkpoint",
    )
