"""Adam for the few numbers that a weighting learns by itself, with its state in the weighting's `state_dict`."""

from __future__ import annotations

import torch
from jaxtyping import Float64
from torch import Tensor, nn

from mtl.objective.memory import register_state

BETA_1, BETA_2 = 0.9, 0.999


class OwnAdam(nn.Module):
    """Adam (Kingma & Ba 2015) with L2 weight decay, as torch.optim.Adam's, on one vector.

    Args:
        epsilon: as Adam's, in the unit of the gradients: 0 where they have one, for then it would decide how much is
            little.
    """

    steps: Tensor
    first: Tensor
    second: Tensor

    def __init__(
        self, values: nn.Parameter, learning_rate: float, weight_decay: float = 0.0, epsilon: float = 1e-8
    ) -> None:
        super().__init__()
        # In a list, so that the values stay the owner's and are saved once.
        self._values = [values]
        self.learning_rate, self.weight_decay, self.epsilon = learning_rate, weight_decay, epsilon
        register_state(self, "steps", torch.zeros((), dtype=torch.int64))
        register_state(self, "first", torch.zeros_like(values.data))
        register_state(self, "second", torch.zeros_like(values.data))

    @torch.no_grad()
    def step(self, gradient: Float64[Tensor, " values"]) -> None:
        """Move the values against a gradient of their shape."""
        (values,) = self._values
        gradient = gradient + self.weight_decay * values
        self.steps += 1
        self.first.lerp_(gradient, 1 - BETA_1)
        self.second.mul_(BETA_2).addcmul_(gradient, gradient, value=1 - BETA_2)
        count = self.steps.double()
        scale = (self.second / (1 - BETA_2**count)).sqrt() + self.epsilon
        move = torch.where(scale > 0, self.first / scale, 0.0)
        values -= self.learning_rate / (1 - BETA_1**count) * move
