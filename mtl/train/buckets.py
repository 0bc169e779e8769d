"""Gradients summed over all workers in buckets, each as soon as a backward pass has all of it: the rest goes on meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager

import torch
from torch import nn

from mtl.train.process_group import ProcessGroup

BUCKET = 8_000_000
"""Numbers that travel in one message."""


class Buckets:
    """Sums `.grad` of some parameters in place; a worker without one takes part with zeros.

    Buckets travel in one order, whatever order a worker computes them in: collectives must come in the same order everywhere.

    Args:
        parameters: in the order of the forward pass; a backward pass reaches the last ones first.
    """

    def __init__(self, world: ProcessGroup, parameters: Iterable[nn.Parameter]) -> None:
        self.world = world
        self._buckets: list[list[nn.Parameter]] = []
        size = BUCKET
        for parameter in reversed([p for p in parameters if p.requires_grad]):
            if size >= BUCKET:
                self._buckets.append([])
                size = 0
            self._buckets[-1].append(parameter)
            size += parameter.numel()
        self._where = {id(p): number for number, bucket in enumerate(self._buckets) for p in bucket}
        self._missing = [len(bucket) for bucket in self._buckets]
        self._under_way: list[Callable[[], None]] = []

    @contextmanager
    def during(self) -> Generator[None]:
        """Within it a backward pass has the sums; it must be the only one that changes these gradients."""
        if self.world.size == 1:
            yield
            return
        self._missing, self._under_way = [len(bucket) for bucket in self._buckets], []
        parameters = [parameter for bucket in self._buckets for parameter in bucket]
        hooks = [parameter.register_post_accumulate_grad_hook(self._has) for parameter in parameters]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()
        self.begin()
        self.end()

    def begin(self) -> None:
        """Send what is not under way yet."""
        if self.world.size > 1:
            while len(self._under_way) < len(self._buckets):
                self._send()

    def end(self) -> None:
        """Have the sums."""
        for done in self._under_way:
            done()
        self._under_way = []

    def _has(self, parameter: torch.Tensor) -> None:
        """A backward pass is done with a parameter."""
        self._missing[self._where[id(parameter)]] -= 1
        while len(self._under_way) < len(self._buckets) and not self._missing[len(self._under_way)]:
            self._send()

    def _send(self) -> None:
        """The next bucket: its gradients in one message."""
        gradients: list[torch.Tensor] = []
        for parameter in self._buckets[len(self._under_way)]:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            gradients.append(parameter.grad)
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        wait = self.world.begin_sum(flat)

        def done() -> None:
            wait()
            parts = flat.split([gradient.numel() for gradient in gradients])
            for gradient, part in zip(gradients, parts, strict=True):
                gradient.copy_(part.view_as(gradient))

        self._under_way.append(done)
