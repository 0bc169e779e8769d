"""What every sharing is: a network cut where the tasks part."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from mtl.config.model import ModelConfig
from mtl.model.backbones import build_backbone
from mtl.model.necks import FPN

INITIAL = "/initial"
"""Suffix of a task's name for its initial prediction, where a sharing makes two."""


@dataclass(frozen=True)
class HeadPlan:
    """What a sharing must know of a task.

    build: a new head for features of that many channels. stride: pixels per cell of the features it reads.
    view: whether the task looks at images of its own, beside the batch's.
    """

    build: Callable[[int], nn.Module]
    stride: int
    view: bool = False


class MultiTaskModel(nn.Module, ABC):
    """Images → each task's raw output, in two parts: `shared` up to the cut, `specific` from there.

    Args:
        config: backbone, neck and the sharing's own section.
        in_channels: channels of the image.
        plans: task → what its head needs, in the tasks' order.
    """

    heads: nn.ModuleDict

    def __init__(self, config: ModelConfig, in_channels: int, plans: Mapping[str, HeadPlan]) -> None:
        super().__init__()
        self.plans = dict(plans)
        self.strides = {plan.stride for plan in plans.values()}
        self.sharing = config.sharing
        """Its section of params.yaml, which says what the network is like."""

    @abstractmethod
    def shared(self, images: torch.Tensor, views: Mapping[str, torch.Tensor]) -> Sequence[torch.Tensor]:
        """The features at the cut, of the batch's images and behind them those of the views."""

    @abstractmethod
    def specific(
        self, features: Sequence[torch.Tensor], rows: Mapping[str, slice], only: Sequence[str]
    ) -> dict[str, torch.Tensor]:
        """Features at the cut → raw outputs of the tasks in `only`. rows: task → its images' places."""

    @abstractmethod
    def own_modules(self, task: str) -> list[nn.Module]:
        """The modules that one task alone trains."""

    @abstractmethod
    def before_cut(self) -> list[nn.Module]:
        """The modules before the cut."""

    def forward(
        self,
        images: torch.Tensor,
        views: Mapping[str, torch.Tensor] | None = None,
        only: Sequence[str] | None = None,
    ) -> dict[str, torch.Tensor]:
        """Raw outputs by task, in the tasks' order.

        Args:
            images: [n, channels, height, width].
            views: task → images of its own, for tasks that look at other ones; the batch's are taken where missing.
            only: the tasks wanted; all by default.
        """
        views = views or {}
        return self.specific(self.shared(images, views), self.rows(images, views), list(only or self.plans))

    def compile_parts(self, *, again: bool = False) -> None:
        """torch.compile of what lies before the cut, and of each head by itself, so that one task's backward pass
        does not go through the others'; what cannot be compiled is named, and runs as it is.

        Args:
            again: one graph will see several backward passes. A compiled one overwrites what it has saved (donated
                buffers). Switched off, it still does so if it was compiled before, by this process or in the cache on
                disk, whose keys do not tell (torch 2.13: wrong gradients, no error). So none of those are taken.
        """
        import torch._dynamo
        import torch._functorch.config
        import torch.compiler.config

        torch._dynamo.config.suppress_errors = True
        if again:
            torch._functorch.config.donated_buffer = False
            torch.compiler.config.cache_key_tag = "no donated buffers"
            torch._dynamo.reset()
        self.shared = torch.compile(self.shared)  # type: ignore[method-assign]
        for head in self.heads.values():
            head.compile()

    def rows(self, images: torch.Tensor, views: Mapping[str, torch.Tensor]) -> dict[str, slice]:
        """Task → places of its images in the features."""
        found = {name: slice(0, len(images)) for name in self.plans}
        start = len(images)
        for name, view in views.items():
            found[name] = slice(start, start + len(view))
            start += len(view)
        return found

    def task_parameters(self, task: str) -> Iterator[nn.Parameter]:
        """Parameters that one task alone trains."""
        for module in self.own_modules(task):
            yield from module.parameters()

    def shared_parameters(self) -> Iterator[nn.Parameter]:
        """Parameters that several tasks train."""
        own = {id(p) for task in self.plans for p in self.task_parameters(task)}
        return (p for p in self.parameters() if id(p) not in own)

    def after_cut(self) -> Iterator[nn.Parameter]:
        """Parameters after the cut."""
        before = {id(p) for module in self.before_cut() for p in module.parameters()}
        return (p for p in self.parameters() if id(p) not in before)


class BehindNeck(MultiTaskModel):
    """The cut is behind the neck: all tasks pass one backbone and one neck. Abstract: what follows is a subclass's."""

    def __init__(self, config: ModelConfig, in_channels: int, plans: Mapping[str, HeadPlan]) -> None:
        super().__init__(config, in_channels, plans)
        self.backbone = build_backbone(config.backbone, in_channels)
        self.neck = FPN(self.backbone.channels, config.neck_channels, self.strides)

    def shared(self, images: torch.Tensor, views: Mapping[str, torch.Tensor]) -> list[torch.Tensor]:
        return list(self.neck(self.backbone(stack(images, views))).values())

    def by_stride(self, features: Sequence[torch.Tensor]) -> dict[int, torch.Tensor]:
        """The features at the cut by their stride."""
        return dict(zip(self.neck.order, features, strict=True))

    def before_cut(self) -> list[nn.Module]:
        return [self.backbone, self.neck]


def stack(images: torch.Tensor, views: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """The batch's images and behind them the views'."""
    return torch.cat([images, *views.values()]) if views else images


def groups(rows: Mapping[str, slice], only: Sequence[str]) -> list[tuple[slice, list[str]]]:
    """Tasks that look at the same images, together."""
    found: dict[tuple[Any, Any], list[str]] = {}
    for name in only:
        found.setdefault((rows[name].start, rows[name].stop), []).append(name)
    return [(slice(*key), names) for key, names in found.items()]
