"""Backbones: an image → a map of features at each of several strides."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from mtl.config import ConfigError
from mtl.config.model import CompactBackbone, TimmBackbone
from mtl.model.blocks import Residual, conv_block

Pyramid = dict[int, torch.Tensor]
"""Stride in pixels → features [n, channels, height / stride, width / stride]."""


class Compact(nn.Module):
    """Residual stages at strides 2, 4, 8 and 16, for small images on a CPU."""

    def __init__(self, config: CompactBackbone, in_channels: int) -> None:
        super().__init__()
        self.channels = dict(zip((2, 4, 8, 16), config.widths, strict=True))
        stages: list[nn.Module] = []
        previous = in_channels
        for width, depth in zip(config.widths, config.depths, strict=True):
            stages.append(nn.Sequential(conv_block(previous, width, 2), *(Residual(width) for _ in range(depth))))
            previous = width
        self.stages = nn.ModuleList(stages)

    def forward(self, images: torch.Tensor) -> Pyramid:
        pyramid: Pyramid = {}
        for stride, stage in zip(self.channels, self.stages, strict=True):
            images = stage(images)
            pyramid[stride] = images
        return pyramid


class Timm(nn.Module):
    """Any timm network, by name, cut into its feature levels."""

    def __init__(self, config: TimmBackbone, in_channels: int) -> None:
        super().__init__()
        import timm

        if config.name.split(".")[0] not in timm.list_models():
            import difflib

            near = difflib.get_close_matches(config.name, timm.list_models(), n=3)
            raise ConfigError(
                f"model.backbone.name: timm has no model {config.name!r}",
                fix=f"did you mean {', '.join(near)}?" if near else "timm.list_models() names them",
            )
        try:
            self.net: Any = timm.create_model(
                config.name, pretrained=config.pretrained, features_only=True, in_chans=in_channels
            )
        except (RuntimeError, AttributeError, ValueError) as error:
            raise ConfigError(
                f"model.backbone.name: {config.name!r} cannot give feature maps", found=str(error)
            ) from error
        strides, channels = self.net.feature_info.reduction(), self.net.feature_info.channels()
        self.channels: dict[int, int] = dict(zip(strides, channels, strict=True))

    def forward(self, images: torch.Tensor) -> Pyramid:
        return dict(zip(self.channels, self.net(images), strict=True))


BACKBONES: dict[str, Any] = {"compact": Compact, "timm": Timm}
