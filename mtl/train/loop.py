"""The training loop of one worker, from the last complete checkpoint to the end."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from mtl.config import MtlError
from mtl.data import sampler
from mtl.train.checkpoint import Checkpoints
from mtl.train.training import Progress, Training


def run(
    training: Training,
    checkpoints: Checkpoints,
    *,
    report: Callable[[dict[str, Any]], None],
    say: Callable[[str], None],
) -> Progress:
    """Train to the end of the last epoch, or until patience ends.

    Args:
        report: called on every worker after each epoch with that epoch's metrics.
        say: prints a line; called on the first worker only.
    """
    _resume(training, checkpoints, say)
    config, progress = training.config.train, training.progress
    began = time.monotonic() - progress.seconds
    while progress.epoch < config.epochs and progress.epoch - max(progress.best_epoch, 0) <= config.patience:
        order = sampler.epoch_order(training.config.seed, progress.epoch, len(training.train_split))
        while progress.step < training.steps_per_epoch:
            losses = training.one_step(order)
            progress.seconds = time.monotonic() - began
            _tell(training, losses, say)
            if progress.total_steps % config.checkpoint_every == 0 and progress.step < training.steps_per_epoch:
                _save(training, checkpoints)
        row = training.end_epoch()
        _save(training, checkpoints)
        report(row)
    return progress


def _resume(training: Training, checkpoints: Checkpoints, say: Callable[[str], None]) -> None:
    state = training.world.from_first(checkpoints.latest(say) if training.world.first else None)
    if state is not None:
        training.load(state)
        if training.world.first:
            say(f"train: goes on from step {training.progress.total_steps}")


def _tell(training: Training, losses: list[float], say: Callable[[str], None]) -> None:
    progress, world = training.progress, training.world
    if world.first and progress.skipped:
        say(f"train: step {progress.total_steps} was left out: something in it is not finite")
    elif world.first and progress.total_steps % 10 == 0:
        num_steps = training.config.train.epochs * training.steps_per_epoch
        say(f"train: step {progress.total_steps}/{num_steps} loss {sum(losses):.3f}")


def _save(training: Training, checkpoints: Checkpoints) -> None:
    """The first worker writes; all stop together if it cannot."""
    problem: MtlError | None = None
    state = training.state()
    if training.world.first:
        try:
            checkpoints.save(training.progress.total_steps, state)
        except MtlError as error:
            problem = error
    problem = training.world.from_first(problem)
    if problem is not None:
        raise problem
