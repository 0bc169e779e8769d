"""Backbones: an image → a map of features at each of several strides."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from mtl.config.model import (
    CNNBackbone,
    CompactBackbone,
    EfficientNetLite0Backbone,
    MLPBackbone,
    PyramidBackbone,
    ResNet18Backbone,
    TimmBackbone,
)
from mtl.errors import ConfigError
from mtl.model.blocks import Residual, conv_block, group_norm

Pyramid = dict[int, torch.Tensor]
"""Stride in pixels → features [n, channels, height / stride, width / stride]."""


class Backbone(nn.Module, ABC):
    """An image → a pyramid; `channels` has the strides and widths of its levels, in order."""

    channels: dict[int, int]

    @abstractmethod
    def stage_parameters(self) -> list[list[nn.Parameter]]:
        """Its parameters by stage: a stage is what an image passes from one level of the pyramid to the next.

        Raises:
            ConfigError: it does not tell.
        """

    @abstractmethod
    def stage_modules(self) -> list[nn.Module]:
        """Modules that an image passes one after the other, each called as a whole: what is computed in one may be computed
        again when it is needed.

        Raises:
            ConfigError: it does not tell.
        """


class Staged(Backbone):
    """A chain of stages, each the next level of the pyramid."""

    stages: nn.ModuleList

    def forward(self, images: torch.Tensor) -> Pyramid:
        pyramid: Pyramid = {}
        for stride, stage in zip(self.channels, self.stages, strict=True):
            images = stage(images)
            pyramid[stride] = images
        return pyramid

    def stage_parameters(self) -> list[list[nn.Parameter]]:
        return [list(stage.parameters()) for stage in self.stages]

    def stage_modules(self) -> list[nn.Module]:
        return list(self.stages)


class Compact(Staged):
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


class MLP(Staged):
    """The perceptron input-64-32 on every square patch: with 28×28 grey images and patches of 28 it is 784-64-32."""

    def __init__(self, config: MLPBackbone, in_channels: int) -> None:
        super().__init__()
        first, second = config.widths
        self.channels = {config.patch: second}
        layers = nn.Sequential(
            nn.Conv2d(in_channels, first, config.patch, config.patch), nn.ReLU(), nn.Conv2d(first, second, 1), nn.ReLU()
        )
        self.stages = nn.ModuleList([layers])


class CNN(Staged):
    """Convolutions 32-64, pool, 128, pool."""

    def __init__(self, config: CNNBackbone, in_channels: int) -> None:
        super().__init__()
        a, b, c = config.widths
        self.channels = {2: b, 4: c}
        self.stages = nn.ModuleList(
            [
                nn.Sequential(conv_block(in_channels, a), conv_block(a, b), nn.MaxPool2d(2)),
                nn.Sequential(conv_block(b, c), nn.MaxPool2d(2)),
            ]
        )


class PooledScales(nn.Module):
    """Features pooled to several sizes, brought back and put beside the original ones (Zhao et al. 2017)."""

    def __init__(self, channels: int, out_channels: int, scales: tuple[int, ...]) -> None:
        super().__init__()
        self.scales = scales
        part = max(out_channels // (2 * len(scales)), 1)
        self.branches = nn.ModuleList([nn.Conv2d(channels, part, 1) for _ in scales])
        self.merge = conv_block(channels + part * len(scales), out_channels)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        parts = [features]
        for scale, branch in zip(self.scales, self.branches, strict=True):
            pooled = branch(F.adaptive_avg_pool2d(features, scale))
            parts.append(F.interpolate(pooled, size=features.shape[2:], mode="nearest"))
        return self.merge(torch.cat(parts, 1))


class PyramidNet(Staged):
    """Multi-scale pooled features, concatenated, at strides 4 and 8."""

    def __init__(self, config: PyramidBackbone, in_channels: int) -> None:
        super().__init__()
        a, b, c = config.widths
        self.channels = {4: b, 8: c}
        self.stages = nn.ModuleList(
            [
                nn.Sequential(conv_block(in_channels, a, 2), conv_block(a, b, 2), PooledScales(b, b, config.scales)),
                nn.Sequential(conv_block(b, c, 2), PooledScales(c, c, config.scales)),
            ]
        )


class Timm(Backbone):
    """Any timm network, by name, cut into its feature levels."""

    def __init__(self, name: str, in_channels: int, norm: str) -> None:
        super().__init__()
        import timm

        if name.split(".")[0] not in timm.list_models():
            import difflib

            near = difflib.get_close_matches(name, timm.list_models(), n=3)
            raise ConfigError(
                f"model.backbone.name: timm has no model {name!r}",
                fix=f"did you mean {', '.join(near)}?" if near else "timm.list_models() names them",
            )
        try:
            self.net: Any = timm.create_model(name, features_only=True, in_chans=in_channels)
        except (RuntimeError, AttributeError, ValueError) as error:
            raise ConfigError(f"model.backbone.name: {name!r} cannot give feature maps", found=str(error)) from error
        strides, channels = self.net.feature_info.reduction(), self.net.feature_info.channels()
        self.channels: dict[int, int] = dict(zip(strides, channels, strict=True))
        if norm == "group":
            _replace_batch_norms(self.net)
        elif norm == "frozen":
            _freeze_batch_norms(self.net)

    def forward(self, images: torch.Tensor) -> Pyramid:
        return dict(zip(self.channels, self.net(images), strict=True))

    def stage_parameters(self) -> list[list[nn.Parameter]]:
        # timm names the module that each level comes from; modules stand in the order in which an image passes them.
        order = [name for name, _ in self.net.named_modules()]
        levels = self.net.feature_info.module_name()
        ends = [end for level in levels if (end := _end(order, level)) is not None]
        if len(ends) < len(levels):
            raise ConfigError(
                "train.layer_decay: this backbone does not tell where its stages end",
                found=f"its levels come from {', '.join(levels)}",
                fix="set train.layer_decay to 1.0, or choose another backbone",
            )
        found: list[list[nn.Parameter]] = [[] for _ in ends]
        for place, module in enumerate(self.net.modules()):
            stage = next((stage for stage, end in enumerate(ends) if place <= end), len(ends) - 1)
            found[stage] += module.parameters(recurse=False)
        return [stage for stage in found if stage]  # the last may be a pooling

    def stage_modules(self) -> list[nn.Module]:
        # Chains of blocks; a chain of nothing but chains is taken apart by some networks.
        found: list[nn.Module] = []
        inside: set[int] = set()
        for module in self.net.modules():
            whole = isinstance(module, nn.Sequential) and any(not isinstance(m, nn.Sequential) for m in module)
            if whole and id(module) not in inside:
                found.append(module)
                inside |= {id(part) for part in module.modules()}
        if not found:
            raise ConfigError(
                "train.activation_checkpointing: this backbone does not tell where its stages end",
                found="no chain of blocks in it",
                fix="set train.activation_checkpointing to off, or choose another backbone",
            )
        return found


class _FrozenBatchNorm(nn.BatchNorm2d):
    """BatchNorm that always uses its running statistics."""

    def train(self, mode: bool = True) -> _FrozenBatchNorm:
        super().train(False)
        return self


def _end(order: list[str], level: str) -> int | None:
    """The last place of a module, or of one inside it; the network may have been unpacked, or packed once more."""
    names = (level, level.replace(".", "_"), f"model.{level}")
    places = [i for i, name in enumerate(order) for own in names if name == own or name.startswith(f"{own}.")]
    return max(places, default=None)


def _freeze_batch_norms(module: nn.Module) -> None:
    for child in module.modules():
        if isinstance(child, nn.BatchNorm2d):
            child.__class__ = type("FrozenBatchNorm", (_FrozenBatchNorm, child.__class__), {})
            child.train(False)


def _replace_batch_norms(module: nn.Module) -> None:
    """GroupNorm in their place, with the activation that timm puts into them kept."""
    for name, child in module.named_children():
        if isinstance(child, nn.BatchNorm2d):
            act = getattr(child, "act", None)
            norm = group_norm(child.num_features)
            setattr(module, name, nn.Sequential(norm, act) if isinstance(act, nn.Module) else norm)
        else:
            _replace_batch_norms(child)


def _named(name: str) -> Any:
    def build(config: ResNet18Backbone | EfficientNetLite0Backbone, in_channels: int) -> Timm:
        return Timm(name, in_channels, config.norm)

    return build


def _timm(config: TimmBackbone, in_channels: int) -> Timm:
    return Timm(config.name, in_channels, config.norm)


BACKBONES: dict[str, Any] = {
    "compact": Compact,
    "mlp": MLP,
    "cnn": CNN,
    "pyramid": PyramidNet,
    "resnet18": _named("resnet18"),
    "efficientnet_lite0": _named("tf_efficientnet_lite0"),
    "timm": _timm,
}


def build_backbone(config: Any, in_channels: int) -> Any:
    """The backbone that params.yaml names, randomly initialised."""
    return BACKBONES[config.type](config, in_channels)
