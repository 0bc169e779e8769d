"""The same network, losses and optimizer in a loop as anybody would write it, its batch on the device from the beginning.

It does less than the project's: no batch is loaded, no average of the weights is kept, nothing is counted or refused, and what
losses are divided by is computed once. So it is what computing alone costs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import nn

from mtl.config.params import Config
from mtl.data.loading.loader import Batch
from mtl.tasks import Task, build_model


@contextmanager
def tuned() -> Iterator[None]:
    """Torch as fast as it goes: not deterministic, convolutions chosen by trying, TF32; as it was afterwards."""
    deterministic = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    before = torch.backends.cudnn.benchmark, torch.backends.cudnn.allow_tf32, torch.get_float32_matmul_precision()
    torch.use_deterministic_algorithms(False)
    torch.backends.cudnn.benchmark, torch.backends.cudnn.allow_tf32 = True, True
    if torch.cuda.is_available():  # what a CPU makes of it is no gain for certain
        torch.set_float32_matmul_precision("high")
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(deterministic, warn_only=warn_only)
        torch.backends.cudnn.benchmark, torch.backends.cudnn.allow_tf32 = before[:2]
        torch.set_float32_matmul_precision(before[2])


def tuned_loop(
    config: Config, tasks: dict[str, Task], batch: Batch, *, channels_last: bool, compiled: str = ""
) -> Callable[[], None]:
    """A step of it, as fast as torch goes.

    Args:
        batch: whole, on the device.
        compiled: a mode of torch.compile; empty: none.
    """
    device = batch.images.device
    layout = torch.channels_last if channels_last else torch.contiguous_format
    model = build_model(config.model, tasks).to(device).to(memory_format=layout)  # pyright: ignore[reportCallIssue]  # not in its stubs
    images = batch.images.contiguous(memory_format=layout)
    network = torch.compile(model, mode=compiled) if compiled else model
    optimizer = torch.optim.AdamW(model.parameters(), lr=config.train.learning_rate, fused=True)
    counts = {name: [c.clamp(min=1) for c in task.target_counts(batch)] for name, task in tasks.items()}

    @tuned()
    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device.type, torch.bfloat16, enabled=config.train.precision == "bf16"):
            outputs = network(images, batch.views, list(tasks))
        losses = [
            task.config.weight
            * torch.stack([term / count for term, count in zip(terms, counts[name], strict=True)]).sum()
            for name, task in tasks.items()
            for terms in [task.loss_terms(outputs[name], batch)]
        ]
        torch.stack(losses).sum().backward()
        nn.utils.clip_grad_norm_(model.parameters(), config.train.clip_norm, foreach=True)
        optimizer.step()

    return step


def forward(model: nn.Module, batch: Batch) -> Callable[[], None]:
    """A pass over the batch without gradients: what scoring cannot do without."""

    @torch.inference_mode()
    def step() -> None:
        model.eval()(batch.images, batch.views)
        model.train()

    return step
