"""What a method remembers from step to step: changed only by steps that were made."""

from __future__ import annotations

import torch
from torch import nn


class Remembering(nn.Module):
    """A method whose memory is in its `state_dict`, and changes only once a step is made.

    While a step is computed, nobody knows yet whether it will be made: something in it may not be finite. So what a
    method will remember of it is planned then, and taken over by `settle` after it. A step that is left out leaves no
    trace.
    """

    def __init__(self) -> None:
        super().__init__()
        self._planned: dict[str, torch.Tensor] = {}

    def plan(self, **values: torch.Tensor) -> None:
        """The memory after this step, by name, in place of what was planned before."""
        self._planned = values

    def settle(self) -> None:
        """The step was made: what was planned is the memory now."""
        for name, value in self._planned.items():
            setattr(self, name, value)
        self._planned = {}


def register_state(module: nn.Module, name: str, value: torch.Tensor) -> None:
    """A tensor that is part of the method's state."""
    module.register_buffer(name, value)
