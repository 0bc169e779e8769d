"""Stages of a backbone whose activations are computed again in the backward pass instead of kept (Chen et al. 2016, 1604.06174)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase  # pyright: ignore[reportPrivateUsage]
from torch.utils.checkpoint import checkpoint

from mtl.model.backbones import Backbone


def recompute_stages(model: nn.Module) -> None:
    """Have every backbone of a model keep what goes into its stages alone. The result is the same: random numbers are drawn
    again as they were, and norms take up the statistics of a batch once.

    Raises:
        ConfigError: a backbone does not tell its stages.
    """
    for backbone in (module for module in model.modules() if isinstance(module, Backbone)):
        for stage in backbone.stage_modules():
            stage.forward = _recomputed(stage)


def _recomputed(stage: nn.Module) -> Callable[..., Any]:
    forward = stage.forward
    norms = [module for module in stage.modules() if isinstance(module, _NormBase)]

    def contexts() -> tuple[Any, Any]:
        return nullcontext(), _Aside(norms)

    def run(*given: Any) -> Any:
        if torch.compiler.is_compiling():  # a graph has its changes of buffers once, whatever it computes twice
            return checkpoint(forward, *given, use_reentrant=False)
        return checkpoint(forward, *given, use_reentrant=False, context_fn=contexts)

    return run


class _Aside:
    """Within it norms keep running statistics of their own: those of the model have the batch already. It may be entered again, for
    each of several backward passes.
    """

    def __init__(self, norms: Sequence[_NormBase]) -> None:
        self._norms = norms
        self._kept: list[tuple[_NormBase, str, torch.Tensor]] = []

    def __enter__(self) -> None:
        self._kept = [(norm, name, value) for norm in self._norms for name, value in norm.named_buffers(recurse=False)]
        for norm, name, value in self._kept:
            setattr(norm, name, value.clone())

    def __exit__(self, *_: object) -> None:
        for norm, name, value in self._kept:
            setattr(norm, name, value)
