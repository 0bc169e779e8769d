"""The parts that networks here are built of. GroupNorm throughout: its result does not depend on the worker's share."""

from __future__ import annotations

import torch
from torch import nn


def group_norm(channels: int) -> nn.GroupNorm:
    """GroupNorm with up to eight groups that divide the channels."""
    return nn.GroupNorm(next(g for g in (8, 6, 5, 4, 3, 2, 1) if channels % g == 0), channels)


def conv_block(channels: int, out_channels: int, stride: int = 1) -> nn.Sequential:
    """3×3 convolution, GroupNorm, SiLU."""
    return nn.Sequential(
        nn.Conv2d(channels, out_channels, 3, stride, 1, bias=False), group_norm(out_channels), nn.SiLU(inplace=True)
    )


class Residual(nn.Module):
    """Two 3×3 convolutions around a shortcut; [n, c, h, w] → the same shape."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = conv_block(channels, channels)
        self.second = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.norm = group_norm(channels)
        self.act = nn.SiLU(inplace=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.act(x + self.norm(self.second(self.first(x))))
