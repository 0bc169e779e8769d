"""Optimizer, learning-rate schedule and the moving average of the weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from mtl.config.objective import WeightingSection
from mtl.config.train import TrainConfig
from mtl.model.backbones import Backbone
from mtl.objective.weighting import Weighting
from mtl.train.sharding import divided, local


def build_optimizer(
    model: nn.Module, weighting: Weighting[WeightingSection], config: TrainConfig
) -> torch.optim.Optimizer:
    """No weight decay on norms and biases; earlier stages of the backbone learn slower by `layer_decay` each; the
    weighting's own parameters are a group of their own.
    """
    depths = layer_depths(model) if config.layer_decay != 1.0 else {}
    members: dict[tuple[int, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            members.setdefault((depths.get(name, 0), parameter.ndim > 1), []).append(parameter)
    groups: list[dict[str, Any]] = [
        {
            "params": parameters,
            "lr": config.learning_rate * config.layer_decay**depth,
            "weight_decay": config.weight_decay if decayed else 0.0,
        }
        for (depth, decayed), parameters in members.items()
    ]
    own = weighting.parameter_group()
    if own is not None:
        groups.append(own)
    if config.optimizer == "sgd":
        optimizer = torch.optim.SGD(
            groups, lr=config.learning_rate, momentum=0.9, nesterov=True, fused=config.sharding == "none"
        )
    else:
        optimizer = torch.optim.AdamW(groups, lr=config.learning_rate, fused=True)
    _prime(optimizer)
    return optimizer


@torch.no_grad()
def _prime(optimizer: torch.optim.Optimizer) -> None:
    """Have the optimizer make its state now, all zeros, by a step of no length: were it made in a step that is left out, SGD
    would go on with whatever is in the memory (torch 2.13).
    """
    rates = [group["lr"] for group in optimizer.param_groups]
    for group in optimizer.param_groups:
        group["lr"] = 0.0
        for parameter in group["params"]:
            parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        group["lr"] = rate
    for state in optimizer.state.values():
        for value in state.values():
            value.zero_()


def update(optimizer: torch.optim.Optimizer, made: Tensor) -> None:
    """The optimizer's step, if it is made. Fused optimizers look at `found_inf`, on the device; of others all is kept, and put
    back if it is not.
    """
    if getattr(optimizer, "_step_supports_amp_scaling", False):
        optimizer.found_inf = (~made).float()  # type: ignore[attr-defined]
        optimizer.step()
        return
    kept = [(tensor, tensor.detach().clone()) for tensor in map(local, _tensors(optimizer))]
    optimizer.step()
    with torch.no_grad():
        for tensor, before in kept:
            tensor.copy_(torch.where(made, tensor, before))


def _tensors(optimizer: torch.optim.Optimizer) -> Iterator[Tensor]:
    """All that a step changes."""
    for group in optimizer.param_groups:
        yield from group["params"]
    for state in optimizer.state.values():
        yield from state.values()


def layer_depths(model: nn.Module) -> dict[str, int]:
    """Parameter of a backbone → its stage, counted from the neck, the last is 1; others are not named.

    Raises:
        ConfigError: a backbone does not tell its stages.
    """
    names = {id(p): n for n, p in model.named_parameters()}
    backbones = [module for module in model.modules() if isinstance(module, Backbone)]
    return {
        names[id(parameter)]: depth
        for backbone in backbones
        for depth, parameters in enumerate(reversed(backbone.stage_parameters()), 1)
        for parameter in parameters
    }


def build_schedule(
    optimizer: torch.optim.Optimizer, config: TrainConfig, num_steps: int
) -> torch.optim.lr_scheduler.LambdaLR:
    """Learning rate by step: linear warm-up, then cosine, one-cycle or constant."""
    return torch.optim.lr_scheduler.LambdaLR(optimizer, schedule_factor(config, num_steps))


def schedule_factor(config: TrainConfig, num_steps: int) -> Callable[[int], float]:
    """Step → share of the declared learning rate.

    one_cycle rises and falls along cosines (Smith & Topin 2017) from a 25th to the top, down to a 10,000th.
    """
    warmup = max(1, round(config.warmup * num_steps))

    def factor(step: int) -> float:
        rising = min(1.0, (step + 1) / warmup)
        left = max(0, step - warmup) / max(1, num_steps - warmup)
        falling = 0.5 * (1 + math.cos(math.pi * min(1.0, left)))
        if config.schedule == "constant":
            return rising
        if config.schedule == "cosine":
            return rising if step < warmup else falling
        if step < warmup:
            return 0.04 + 0.96 * 0.5 * (1 - math.cos(math.pi * rising))
        return max(falling, 1e-4)

    return factor


class EMA:
    """Exponential moving average of all weights and buffers; early steps count more, as in TensorFlow's EMA."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.shadow = {name: value.detach().clone() for name, value in model.state_dict().items()}
        device = next(iter(self.shadow.values())).device
        self.num_updates = torch.zeros((), dtype=torch.int64, device=device)

    @torch.no_grad()
    def update(self, model: nn.Module, made: Tensor) -> None:
        """Move the average towards the model's present weights, if a step was made."""
        self.num_updates += made
        decay = ((1 + self.num_updates) / (10 + self.num_updates).double()).clamp(max=self.decay)
        share = torch.where(made, 1 - decay, 0.0)
        current = model.state_dict()
        moved: dict[torch.dtype, tuple[list[Tensor], list[Tensor]]] = {}
        for name, value in self.shadow.items():
            if value.is_floating_point():
                averages, weights = moved.setdefault(value.dtype, ([], []))
                averages.append(local(value))
                weights.append(local(current[name]))
            else:
                local(value).copy_(local(current[name]))
        for dtype, (averages, weights) in moved.items():
            _move(averages, weights, share.to(dtype))

    def state_dict(self) -> dict[str, Any]:
        """All that a resumed run needs."""
        return {"num_updates": self.num_updates, "shadow": self.shadow}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over a saved average."""
        self.num_updates.copy_(state["num_updates"])
        for name, value in state["shadow"].items():
            local(self.shadow[name]).copy_(local(divided(value, self.shadow[name])))


def _move(averages: list[Tensor], weights: list[Tensor], share: Tensor) -> None:
    """Averages towards weights by a share, which stays on the device; nowhere where it is 0."""
    if share.device.type == "cpu":  # a call per tensor in any case, and one pass instead of three
        torch._foreach_lerp_(averages, weights, [share] * len(averages))  # pyright: ignore[reportPrivateImportUsage, reportPrivateUsage]
        return
    apart = torch._foreach_sub(weights, averages)  # pyright: ignore[reportPrivateImportUsage, reportPrivateUsage]
    torch._foreach_mul_(apart, share)  # pyright: ignore[reportPrivateImportUsage, reportPrivateUsage]
    torch._foreach_add_(averages, apart)  # pyright: ignore[reportPrivateImportUsage, reportPrivateUsage]
