"""One optimizer step: gradient, refusal of what is not finite, clipping, update, and what the methods learn from it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from mtl.data.loading.loader import Batch
from mtl.errors import TrainingError
from mtl.train.gradients import GradientMethod, Outcome
from mtl.train.sharding import whole


def train_step(
    method: GradientMethod,
    optimizer: torch.optim.Optimizer,
    batches: Sequence[Batch],
    *,
    step: int,
    clip_norm: float,
    may_skip: bool = False,
) -> Outcome | None:
    """One step; None if it was left out because something in it is not finite.

    Whether it is made is decided once, by all workers together, when all is computed and before anything is learnt: by
    the model, the weighting's own parameters, the optimizer, the methods. A step that is left out changes nothing.

    Raises:
        TrainingError: something is not finite and `may_skip` is false; nothing was changed.
    """
    optimizer.zero_grad(set_to_none=True)
    before = _Untouched(method)
    found = method.compute(batches)
    own = method.objective.weighting.own_loss(found.losses, found.present)
    if own is not None:
        own.backward()
    norm = whole(nn.utils.clip_grad_norm_(method.model.parameters(), clip_norm or float("inf")))
    own_gradients = [p.grad for p in method.objective.parameters() if p.grad is not None]
    figures = torch.cat([found.figures(), norm.double().flatten(), *own_gradients])
    if method.world.highest(int(not bool(torch.isfinite(figures).all()))):
        optimizer.zero_grad(set_to_none=True)
        before.restore()
        problem = _not_finite(method, found, batches, step)
        if may_skip:
            return None
        raise problem
    optimizer.step()
    after = method.losses(batches) if method.objective.weighting.config.needs_losses_after else None
    method.objective.after_step(found.losses, after, found.present)
    return found


class _Untouched:
    """What computing a gradient changes beside gradients: statistics that norms keep of their inputs, random streams."""

    def __init__(self, method: GradientMethod) -> None:
        self.buffers = [(buffer, buffer.clone()) for buffer in method.model.buffers()]
        self.device = method.world.device
        self.random = torch.get_rng_state()
        self.device_random = torch.cuda.get_rng_state(self.device) if self.device.type == "cuda" else None

    def restore(self) -> None:
        """All as it was."""
        with torch.no_grad():
            for buffer, value in self.buffers:
                buffer.copy_(value)
        torch.set_rng_state(self.random)
        if self.device_random is not None:
            torch.cuda.set_rng_state(self.device_random, self.device)


def _not_finite(method: GradientMethod, found: Outcome, batches: Sequence[Batch], step: int) -> TrainingError:
    """Which tasks and whose samples: asked of all workers together."""
    bad = [n for n, loss in zip(method.tasks, found.losses.tolist(), strict=True) if not abs(loss) < float("inf")]
    mine = not bool(torch.isfinite(found.local).all()) or not bad
    ids = [i for ids in method.world.gather([i for b in batches for i in b.ids] if mine else []) for i in ids]
    shown = ", ".join(ids[:16]) + (f" and {len(ids) - 16} more" if len(ids) > 16 else "")
    what = f"the loss of {', '.join(bad)}" if bad else "the gradient"
    return TrainingError(
        f"{what} is not finite at step {step}; the weights were not changed",
        found=f"in a batch with the samples {shown}",
        fix="lower train.learning_rate, set train.clip_norm, or look at these samples (train.max_skipped leaves such "
        "steps out); the run goes on from its last checkpoint",
    )
