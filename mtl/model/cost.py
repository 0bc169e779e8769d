"""What a network costs, beside one network per task."""

from __future__ import annotations

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


def multiply_adds(model: nn.Module, image: torch.Tensor) -> int:
    """Of one forward pass of one image [1, channels, height, width]: convolutions and matrix products."""
    counter: object = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        model.eval()(image)
    return int(counter.get_total_flops()) // 2


def num_parameters(model: nn.Module) -> int:
    """All of them."""
    return sum(p.numel() for p in model.parameters())
