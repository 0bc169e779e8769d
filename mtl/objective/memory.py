"""What a method remembers from step to step: changed only by steps that were made."""

from __future__ import annotations

import torch
from jaxtyping import Bool
from torch import Tensor, nn


class Remembering(nn.Module):
    """A method whose memory is in its `state_dict`, and changes only once a step is made.

    While a step is computed, nobody knows yet whether it will be made: something in it may not be finite. So what a
    method will remember of it is planned then, and taken over by `settle` after it. A step that is left out leaves no
    trace; but its number is over, as its place in the epoch is: `step` goes on.

    Whether a step is made is known on the device alone. What is taken over is chosen there.
    """

    def __init__(self) -> None:
        super().__init__()
        self._planned: dict[str, Tensor] = {}
        self.step = 0
        """Steps that the method has seen, also those that were left out."""

    def plan(self, **values: Tensor) -> None:
        """The memory after this step, by name, in place of what was planned before."""
        self._planned = values

    def settle(self, made: Bool[Tensor, ""] | None = None) -> None:
        """A step is over. What was planned is the memory now, if the step was made; without `made` it was."""
        for name, value in self._planned.items():
            setattr(self, name, value if made is None else chosen(made, value, getattr(self, name)))
        self._planned = {}
        self.step += 1

    def get_extra_state(self) -> Tensor:
        """The number of the step, as a part of `state_dict`."""
        return torch.tensor(self.step)

    def set_extra_state(self, state: Tensor) -> None:
        """Take over a saved number."""
        self.step = int(state)


def register_state(module: nn.Module, name: str, value: Tensor) -> None:
    """A tensor that is part of the method's state."""
    module.register_buffer(name, value)


def chosen(made: Bool[Tensor, ""], after: Tensor, before: Tensor) -> Tensor:
    """The one if a step was made, else the other; where the memory is, which is the host for some."""
    return torch.where(made.to(after.device), after, before)
