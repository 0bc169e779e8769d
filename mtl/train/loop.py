"""The training loop of one worker, from the last complete checkpoint to the end."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from mtl.config import Config, MtlError
from mtl.data import sampler
from mtl.data.augment import augmented, draw_changes
from mtl.data.loader import Split
from mtl.evaluate.evaluator import overall, score
from mtl.objective.weighting import build_weighting
from mtl.tasks import build_model, build_tasks, image_spec
from mtl.train.checkpoint import Checkpoints
from mtl.train.distributed import World, make_deterministic, use_bf16
from mtl.train.optimizer import EMA, build_optimizer, build_schedule
from mtl.train.step import train_step


@dataclass
class Progress:
    """Where a training stands; part of every checkpoint."""

    epoch: int = 0
    step: int = 0  # of the epoch
    total_steps: int = 0  # optimizer steps since the beginning
    best_score: float = -1.0
    best_epoch: int = -1
    seconds: float = 0.0
    loss_sums: list[float] = field(default_factory=list[float])
    history: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])


class Training:
    """Everything that one worker's training consists of."""

    def __init__(self, config: Config, prepared: Path, world: World) -> None:
        self.config, self.world = config, world
        make_deterministic(config.seed, config.train.threads_per_worker)
        self.train_split, self.val_split = Split(prepared, "train"), Split(prepared, "val")
        manifest = self.train_split.manifest
        self.tasks = build_tasks(config.tasks, manifest.spec.targets, image_spec(manifest))
        self.model = build_model(config.model, self.tasks).to(world.device)
        self.averaged = build_model(config.model, self.tasks).to(world.device).eval()
        self.weighting = build_weighting(config.objective, dict(config.tasks)).to(world.device)
        self.optimizer = build_optimizer(self.model, self.weighting, config.train)
        self.steps_per_epoch = sampler.steps_per_epoch(len(self.train_split), config.train.batch_size)
        num_steps = self.steps_per_epoch * config.train.epochs
        self.schedule = build_schedule(self.optimizer, config.train, num_steps)
        self.ema = EMA(self.model, config.train.ema_decay)
        self.bf16 = use_bf16(config.train.precision, world.device)
        self.best = {name: value.clone() for name, value in self.ema.shadow.items()}
        self.progress = Progress()
        self.wrapped: nn.Module = self.model
        if world.size > 1:
            self.wrapped = nn.parallel.DistributedDataParallel(self.model, broadcast_buffers=False)

    def state(self) -> dict[str, Any]:
        """All that an exact resume needs. Augmentation, order and dropout draw from seed and step, not from a state."""
        return {
            "model": self.model.state_dict(),
            "weighting": self.weighting.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "ema": self.ema.state_dict(),
            "best": self.best,
            "progress": asdict(self.progress),
            "torch_random": torch.get_rng_state(),
        }

    def load(self, state: dict[str, Any]) -> None:
        """Take over a saved state."""
        self.model.load_state_dict(state["model"])
        self.weighting.load_state_dict(state["weighting"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        self.ema.load_state_dict(state["ema"])
        self.ema.shadow = {n: v.to(self.world.device) for n, v in self.ema.shadow.items()}
        self.best = {name: value.to(self.world.device) for name, value in state["best"].items()}
        self.progress = Progress(**state["progress"])
        torch.set_rng_state(state["torch_random"])

    def one_step(self, order: np.ndarray) -> list[float]:
        """The next step of the epoch: the global losses by task."""
        config, world, progress = self.config, self.world, self.progress
        indices = sampler.global_batch(order, progress.step, config.train.batch_size)
        changes = draw_changes(config.augment, config.seed, progress.epoch, progress.step, len(indices))
        mine = sampler.rank_share(indices, world.rank, world.size)
        batch = augmented(self.train_split, mine, changes.share(world.rank, world.size)).to(world.device)
        # Whatever draws random numbers inside the network (dropout) depends on seed, step and rank alone.
        torch.manual_seed(hash((config.seed, progress.total_steps, world.rank)) & 0x7FFFFFFF)
        found = train_step(
            self.wrapped,
            self.tasks,
            self.weighting,
            self.optimizer,
            batch,
            step=progress.total_steps,
            clip_norm=config.train.clip_norm,
            bf16=self.bf16,
            world=world,
        )
        self.schedule.step()
        self.ema.update(self.model)
        progress.step += 1
        progress.total_steps += 1
        return found.losses.tolist()

    def validate(self) -> dict[str, Any]:
        """Score the averaged weights on the validation split; remember them if they are the best so far."""
        progress, world = self.progress, self.world
        weights = self.ema.shadow if self.config.train.ema_decay else self.model.state_dict()
        self.averaged.load_state_dict(weights)
        scorers = score(
            self.averaged,
            self.tasks,
            self.val_split,
            self.config.evaluate.batch_size,
            device=world.device,
            rank=world.rank,
            world_size=world.size,
            gather=world.gather,
        )
        value = overall(scorers, self.tasks)
        if value > progress.best_score:
            progress.best_score, progress.best_epoch = value, progress.epoch
            self.best = {name: tensor.clone() for name, tensor in weights.items()}
        row: dict[str, Any] = {"epoch": progress.epoch, "step": progress.total_steps, "val/score": value}
        row["learning_rate"] = self.schedule.get_last_lr()[0]
        for i, (name, task) in enumerate(self.tasks.items()):
            row[f"train/{name}/loss"] = progress.loss_sums[i] / max(progress.step, 1)
            row[f"val/{name}/{task.primary}"] = scorers[name].value()[task.primary]
        return row


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
    config, world = training.config.train, training.world
    state = world.from_first(checkpoints.latest(say) if world.first else None)
    if state is not None:
        training.load(state)
        if world.first:
            say(f"train: goes on from step {training.progress.total_steps}")
    progress = training.progress
    began = time.monotonic() - progress.seconds
    num_steps = config.epochs * training.steps_per_epoch
    while progress.epoch < config.epochs and progress.epoch - max(progress.best_epoch, 0) <= config.patience:
        order = sampler.epoch_order(training.config.seed, progress.epoch, len(training.train_split))
        while progress.step < training.steps_per_epoch:
            losses = training.one_step(order)
            progress.loss_sums = [a + b for a, b in zip(progress.loss_sums or [0.0] * len(losses), losses, strict=True)]
            progress.seconds = time.monotonic() - began
            if world.first and progress.total_steps % 10 == 0:
                say(f"train: step {progress.total_steps}/{num_steps} loss {sum(losses):.3f}")
            if progress.total_steps % config.checkpoint_every == 0 and progress.step < training.steps_per_epoch:
                _save(training, checkpoints)
        row = training.validate()
        progress.history.append(row | {"seconds": round(progress.seconds, 1)})
        progress.epoch, progress.step, progress.loss_sums = progress.epoch + 1, 0, []
        _save(training, checkpoints)
        report(row)
    return progress


def _save(training: Training, checkpoints: Checkpoints) -> None:
    """The first worker writes; all stop together if it cannot."""
    problem: MtlError | None = None
    if training.world.first:
        try:
            checkpoints.save(training.progress.total_steps, training.state())
        except MtlError as error:
            problem = error
    problem = training.world.from_first(problem)
    if problem is not None:
        raise problem
