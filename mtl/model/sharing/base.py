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


Compiled = Callable[[Callable[..., Any]], Callable[..., Any]]
"""A function → the same, compiled."""


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

    def compile_whole(self, compiled: Compiled) -> None:
        """The network as one graph, for one backward pass of a sum."""
        self.forward = compiled(self.forward)  # type: ignore[method-assign]

    def compile_parts(self, compiled: Compiled, leave: Sequence[str] = ()) -> None:
        """What lies before the cut as one graph, and every block behind it as one, so that a backward pass of one task does
        not go through the others'.

        Args:
            leave: tasks whose own modules stay as they are.
        """
        self.shared = compiled(self.shared)  # type: ignore[method-assign]
        left = {id(module) for task in leave for own in self.own_modules(task) for module in own.modules()}
        for block in self.blocks():
            if id(block) not in left:
                block.forward = compiled(block.forward)

    def blocks(self) -> Iterator[nn.Module]:
        """The modules behind the cut that are called as a whole."""
        before = {id(module) for module in self.before_cut()}
        for child in self.children():
            if id(child) not in before:
                yield from _called(child)

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


def _called(module: nn.Module) -> Iterator[nn.Module]:
    """A module, or what a list or dictionary of modules holds."""
    if isinstance(module, nn.ModuleList | nn.ModuleDict):
        for child in module.children():
            yield from _called(child)
    elif not isinstance(module, nn.ParameterList):
        yield module


def stack(images: torch.Tensor, views: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """The batch's images and behind them the views'."""
    return torch.cat([images, *views.values()]) if views else images


def groups(rows: Mapping[str, slice], only: Sequence[str]) -> list[tuple[slice, list[str]]]:
    """Tasks that look at the same images, together."""
    found: dict[tuple[Any, Any], list[str]] = {}
    for name in only:
        found.setdefault((rows[name].start, rows[name].stop), []).append(name)
    return [(slice(*key), names) for key, names in found.items()]
