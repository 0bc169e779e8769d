"""What an epoch's row says of its steps: sums that stay on the device until the epoch is over."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from mtl.train.gradients import Outcome

SUMS, COSINES = ("loss", "weight", "steps"), ("cosines", "compared")


class Tally:
    """Of the steps of an epoch that were made, by task: losses and weights where the task was present; and how far the tasks'
    gradients agree, of the steps that had both of a pair: an absent one's cosine is not 0, there is none.
    """

    def __init__(self, num_tasks: int, device: torch.device) -> None:
        numbers: dict[str, Any] = {"dtype": torch.float64, "device": device}
        self._sums = {name: torch.zeros(num_tasks, **numbers) for name in SUMS}
        self._sums |= {name: torch.zeros(num_tasks, num_tasks, **numbers) for name in COSINES}

    @torch.no_grad()
    def add(self, found: Outcome, made: Tensor) -> None:
        """A step is over."""
        there = found.present & made
        row = {"loss": found.losses, "weight": found.weights * found.coefficients, "steps": there.double()}
        if found.gramian is not None:
            lengths = found.gramian.diagonal().clamp(min=0).sqrt()
            areas = torch.outer(lengths, lengths)
            both = (areas > 0) & made
            row["compared"] = both.double()
            row["cosines"] = torch.where(both, found.gramian / areas, 0.0)
        for name, values in row.items():
            self._sums[name] += torch.where(there, values, 0.0) if name in SUMS else values

    def means(self, names: list[str]) -> dict[str, dict[str, float]]:
        """Mean loss and weight by task; of a task that no step had they are not known. The host waits."""
        loss, weight, steps = (self._sums[name].tolist() for name in SUMS)
        return {
            name: {"loss": a / n, "weight": b / n} if n else {"loss": math.nan, "weight": math.nan}
            for name, a, b, n in zip(names, loss, weight, steps, strict=True)
        }

    def cosines(self) -> list[list[float | None]]:
        """Mean cosines, None for a pair that no step had; empty if no step compared gradients. The host waits."""
        sums, counts = (self._sums[name].tolist() for name in COSINES)
        if not any(map(any, counts)):
            return []
        return [[s / n if n else None for s, n in zip(*lines, strict=True)] for lines in zip(sums, counts, strict=True)]

    def clear(self) -> None:
        """An epoch begins."""
        for values in self._sums.values():
            values.zero_()

    def state_dict(self) -> dict[str, Tensor]:
        """All that an exact resume needs."""
        return self._sums

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take over saved sums."""
        for name, values in self._sums.items():
            values.copy_(state[name])
