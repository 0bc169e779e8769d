"""One optimizer step, exact for any number of workers: counts and losses are global before they are used."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from mtl.config import TrainingError
from mtl.data.loader import Batch
from mtl.objective.losses import Term
from mtl.objective.weighting import Weighting
from mtl.tasks import Task
from mtl.train.distributed import World


@dataclass
class GlobalLosses:
    """What all workers agree on.

    losses: float32 [tasks], each task's loss over the global batch, detached; 0 where absent.
    present: bool [tasks], whether any worker has a target for the task.
    objective: scalar whose gradient, averaged over the workers, is the gradient of the weighted global loss.
    """

    losses: torch.Tensor
    present: torch.Tensor
    weights: torch.Tensor
    objective: torch.Tensor


def combine(terms: list[list[Term]], weighting: Weighting, world: World) -> GlobalLosses:
    """Normalise each term by its global count, weigh the tasks at their global losses, and sum."""
    flat = [term for task in terms for term in task]
    sums = torch.stack([term.sum.float() for term in flat])
    local = torch.cat([sums.detach().double(), torch.stack([t.count.double() for t in flat])])
    total_sums, counts = world.sum(local).chunk(2)
    scale = torch.tensor([t.weight for t in flat], dtype=torch.float64, device=sums.device) / counts.clamp(min=1)
    owner = torch.tensor([i for i, task in enumerate(terms) for _ in task], device=sums.device)
    losses = torch.zeros(len(terms), dtype=torch.float64, device=sums.device)
    losses = losses.index_add(0, owner, total_sums * scale).float()
    present = torch.zeros(len(terms), dtype=torch.float64, device=sums.device).index_add(0, owner, counts) > 0
    weights = weighting.weights(losses, present)
    objective = (sums * (scale.float() * weights[owner])).sum() * world.size
    own = weighting.own_loss(losses, present)
    if own is not None:
        objective = objective + own
    return GlobalLosses(losses, present, weights, objective)


def refuse_non_finite(
    found: GlobalLosses, terms: list[list[Term]], tasks: dict[str, Task], batch: Batch, step: int, world: World
) -> None:
    """Stop, on all workers together, before the optimizer takes in a loss that is not a number.

    Raises:
        TrainingError: names the tasks, the step and the samples of the workers whose part is not finite.
    """
    if bool(torch.isfinite(found.losses).all()):
        return
    mine = not all(bool(torch.isfinite(term.sum)) for task in terms for term in task)
    ids = [i for ids in world.gather(batch.ids if mine else []) for i in ids]
    bad = [name for name, loss in zip(tasks, found.losses.tolist(), strict=True) if not abs(loss) < float("inf")]
    shown = ", ".join(ids[:16]) + (f" and {len(ids) - 16} more" if len(ids) > 16 else "")
    raise TrainingError(
        f"the loss of {', '.join(bad)} is not finite at step {step}; the weights were not changed",
        found=f"in a batch with the samples {shown}",
        fix="lower train.learning_rate, set train.clip_norm, or look at these samples; "
        "the run goes on from its last checkpoint",
    )


def train_step(
    model: nn.Module,
    tasks: dict[str, Task],
    weighting: Weighting,
    optimizer: torch.optim.Optimizer,
    batch: Batch,
    *,
    step: int,
    clip_norm: float,
    bf16: bool,
    world: World,
) -> GlobalLosses:
    """Forward, global losses, backward, clip, update."""
    with torch.autocast(world.device.type, torch.bfloat16, enabled=bf16):
        outputs = model(batch.images)
    terms = [task.terms(outputs[name], batch) for name, task in tasks.items()]
    found = combine(terms, weighting, world)
    refuse_non_finite(found, terms, tasks, batch, step, world)
    optimizer.zero_grad(set_to_none=True)
    found.objective.backward()
    if clip_norm:
        nn.utils.clip_grad_norm_(model.parameters(), clip_norm)
    optimizer.step()
    return found
