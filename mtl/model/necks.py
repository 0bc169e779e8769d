"""The neck: gives every level of the pyramid the context of the levels above it."""

from __future__ import annotations

import torch.nn.functional as F
from torch import nn

from mtl.errors import ConfigError
from mtl.model.backbones import Pyramid
from mtl.model.blocks import conv_block


class FPN(nn.Module):
    """Feature pyramid network (Lin et al. 2017), for the strides that tasks read."""

    def __init__(self, in_channels: dict[int, int], channels: int, strides: set[int]) -> None:
        super().__init__()
        missing = strides - set(in_channels)
        if missing:
            raise ConfigError(
                f"tasks read features at stride {sorted(missing)}, which the backbone does not have",
                found=f"it has {sorted(in_channels)}",
                fix="set the tasks' stride to one of these",
            )
        self.levels = sorted(s for s in in_channels if s >= min(strides))
        self.strides = sorted(strides)
        self.order = [s for s in reversed(self.levels) if s in strides]
        """Strides in the order of what `forward` returns."""
        self.lateral = nn.ModuleDict({str(s): nn.Conv2d(in_channels[s], channels, 1) for s in self.levels})
        self.smooth = nn.ModuleDict({str(s): conv_block(channels, channels) for s in self.strides})

    def forward(self, pyramid: Pyramid) -> Pyramid:
        merged = None
        out: Pyramid = {}
        for stride in reversed(self.levels):
            level = self.lateral[str(stride)](pyramid[stride])
            if merged is not None:
                level = level + F.interpolate(merged, size=level.shape[2:], mode="nearest")
            merged = level
            if stride in self.strides:
                out[stride] = self.smooth[str(stride)](level)
        return out
