"""FSDP2: weights, gradients and optimizer state divided among the workers; checkpoints hold them whole.

A checkpoint is the same with and without sharding, so a training can go on with another number of workers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.nn.modules.batchnorm import _BatchNorm  # pyright: ignore[reportPrivateUsage]


def shard(model: nn.Module, *, bf16: bool = False) -> None:
    """Divide a model: each stage of the backbone, and every head, is gathered on its own when it computes.

    Args:
        bf16: weights are gathered in bf16, half as much to send and to hold; each worker's part of them, gradients' sums and the
            optimizer stay in float32.
    """
    from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

    # A BatchNorm's weights must be of the precision of its statistics, which are float32.
    half = bf16 and not any(isinstance(module, _BatchNorm) for module in model.modules())
    policy = MixedPrecisionPolicy(torch.bfloat16, torch.float32) if half else MixedPrecisionPolicy()
    for part in sharded_parts(model):
        fully_shard(part, mp_policy=policy)
    fully_shard(model, mp_policy=policy)


def sharded_parts(model: nn.Module, without: Sequence[str] = ()) -> list[nn.Module]:
    """The stages of the backbone and the heads, but those of some tasks."""
    found: list[nn.Module] = []
    for name, module in model.named_children():
        inner = getattr(module, "stages", module if name == "heads" else None)
        if isinstance(inner, nn.ModuleDict):
            found += [part for task, part in inner.items() if task not in without]
        elif isinstance(inner, nn.ModuleList):
            found += list(inner)
    return found


def local(value: torch.Tensor) -> torch.Tensor:
    """This worker's part of a divided tensor, as a view; others as they are."""
    return value.to_local() if isinstance(value, DTensor) else value


def whole(tree: Any) -> Any:
    """A tree of tensors with every divided one brought together. All workers call it together."""
    if isinstance(tree, DTensor):
        return tree.full_tensor()
    if isinstance(tree, Mapping):
        return {key: whole(value) for key, value in tree.items()}
    if isinstance(tree, list):
        return [whole(value) for value in tree]
    return tree


def divided(value: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """A whole tensor, divided as another of its shape is."""
    if isinstance(like, DTensor) and value.shape == like.shape:
        return distribute_tensor(value.to(like.device), like.device_mesh, like.placements)
    return value


def load_model(model: nn.Module, state: Mapping[str, torch.Tensor]) -> None:
    """Whole tensors into a model that may be divided."""
    own = model.state_dict()
    model.load_state_dict({name: divided(value, own[name]) for name, value in state.items()})


def load_optimizer(optimizer: torch.optim.Optimizer, state: Mapping[str, Any]) -> None:
    """An optimizer's whole state into one whose parameters may be divided."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    ours = {
        index: {key: divided(v, parameters[index]) if isinstance(v, torch.Tensor) else v for key, v in entry.items()}
        for index, entry in state["state"].items()
    }
    optimizer.load_state_dict({**state, "state": ours})
