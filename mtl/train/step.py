"""One optimizer step: gradient, verdict, clipping, update, and what the methods learn from it.

The host reads nothing of it: whether the step is made is a number on the device, by which all that would change is kept as
it was or not.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mtl.data.loading.loader import Batch
from mtl.train.gradients import GradientMethod, Outcome
from mtl.train.optimizer import update
from mtl.train.sharding import whole
from mtl.train.verdicts import Verdicts


def train_step(
    method: GradientMethod,
    optimizer: torch.optim.Optimizer,
    batches: Sequence[Batch],
    *,
    step: int,
    clip_norm: float,
    verdicts: Verdicts,
) -> tuple[Outcome, Tensor]:
    """One step, and whether it was made: a scalar on the device.

    Whether it is made is decided once, by all workers together, when all is computed and before anything is learnt: by
    the model, the weighting's own parameters, the optimizer, the methods. A step that is left out changes none of them;
    `verdicts` has it until it is read.
    """
    optimizer.zero_grad(set_to_none=True)
    # Statistics that norms keep of their inputs change while a gradient is computed.
    buffers = [(buffer, buffer.clone()) for buffer in method.model.buffers()]
    found = method.compute(batches)
    own = method.objective.weighting.own_loss(found.losses, found.present)
    if own is not None:
        own.backward()
    norm = whole(nn.utils.clip_grad_norm_(method.model.parameters(), clip_norm or float("inf")))
    own_gradients = [p.grad for p in method.objective.parameters() if p.grad is not None]
    made = verdicts.decide(torch.cat([found.figures(), norm.double().flatten(), *own_gradients]))
    verdicts.keep(step, found, made, batches)
    update(optimizer, made)
    after = method.losses(batches) if method.objective.weighting.config.needs_losses_after else None
    with torch.no_grad():
        for buffer, before in buffers:
            buffer.copy_(torch.where(made, buffer, before))
    method.objective.after_step(found.losses, after, found.present, made)
    return found, made
