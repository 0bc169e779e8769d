"""Everything that one worker's training consists of, and its state."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import JsonValue
from torch import nn

from mtl.config.trees.training import TrainingTree
from mtl.data.loading import sampler
from mtl.data.loading.layers import joined
from mtl.data.loading.loader import Batch, Split
from mtl.data.loading.mixing import build_mixer
from mtl.data.spec import SPLITS
from mtl.evaluate.evaluator import overall, score
from mtl.model.cost import multiply_adds
from mtl.model.pretrained import freeze, load_pretrained
from mtl.model.recompute import recompute_stages
from mtl.model.sharing import MultiTaskModel
from mtl.objective.combination import Objective
from mtl.seeds import Stream, torch_seed
from mtl.tasks import build_model, build_tasks, image_spec
from mtl.train.augmenting import Augmenting
from mtl.train.compiling import CAPTURED, OFF, Compiling, choose, compile_method
from mtl.train.feed import Feed
from mtl.train.gradients import FeatureGradients, GradientMethod, ParameterGradients, SumGradients
from mtl.train.optimizer import EMA, build_optimizer, build_schedule
from mtl.train.process_group import ProcessGroup, set_up_torch, use_bf16
from mtl.train.sharding import load_model, load_optimizer, shard, whole
from mtl.train.step import train_step
from mtl.train.tally import Tally
from mtl.train.targets import doubts, val_yardsticks
from mtl.train.verdicts import Told, Verdicts


@dataclass
class Progress:
    """Where a training stands; part of every checkpoint."""

    epoch: int = 0
    step: int = 0  # of the epoch
    total_steps: int = 0  # optimizer steps since the beginning
    skipped: int = 0  # steps in a row that were left out
    best_score: float = -math.inf
    best_epoch: int = -1
    seconds: float = 0.0
    history: list[dict[str, JsonValue]] = field(default_factory=list[dict[str, JsonValue]])
    worlds: list[list[int]] = field(default_factory=list[list[int]])  # from which step on with how many workers


class Training:
    """A model, its objective and its data, on one worker of a world."""

    def __init__(self, config: TrainingTree, prepared: Path, world: ProcessGroup, cache: Path | None = None) -> None:
        self.config, self.world = config, world
        self.deterministic = world.device.type == "cpu" if (wish := config.train.deterministic) == "auto" else wish
        set_up_torch(config.seed, config.train.threads_per_worker, deterministic=self.deterministic)
        splits = {name: Split(prepared, name) for name in SPLITS}
        self.train_split, self.val_split = splits["train"], splits["val"]
        manifest = self.train_split.manifest
        self.tasks = build_tasks(config.tasks, manifest.spec.targets, image_spec(manifest))
        self.yardsticks = val_yardsticks(self.tasks, splits, config.evaluate.batch_size)
        self.doubts = doubts(self.tasks, splits, self.yardsticks, config.train.batch_size)
        self.model = build_model(config.model, self.tasks).to(world.device)
        self.pretrained = load_pretrained(self.model, config.model, cache)
        freeze(self.model, config.model)
        self.sharded = config.train.sharding == "fsdp" and world.size > 1
        if config.train.activation_checkpointing == "stages":
            recompute_stages(self.model)
        self.bf16 = use_bf16(config.train.precision, world.device)
        if self.sharded:
            shard(self.model, bf16=self.bf16)
        if world.device.type == "cuda" and config.objective.level == "features":
            # As cuDNN likes them best. At the parameters, gradients are views of a Jacobian's rows, which are plain.
            self.model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        self.averaged = build_model(config.model, self.tasks).to(world.device).eval()
        self.objective = Objective(config.objective, config.tasks, config.seed).to(world.device)
        self.optimizer = build_optimizer(self.model, self.objective.weighting, config.train)
        self.steps_per_epoch = sampler.steps_per_epoch(len(self.train_split), config.train.batch_size)
        self.schedule = build_schedule(self.optimizer, config.train, self.steps_per_epoch * config.train.epochs)
        self.ema = EMA(self.model, config.train.ema_decay)
        self.best = whole({name: value.clone() for name, value in self.ema.shadow.items()})
        self.progress = Progress()
        self.tally = Tally(len(self.tasks), world.device)
        self.verdicts = Verdicts(world, list(self.tasks), config.train.max_skipped)
        own = {n: task.target_name for n, task in self.tasks.items() if task.kind and not task.config.auxiliary}
        self.mixer = build_mixer(config.train.mixing, self.train_split, own, config.seed)
        self.augmenting = Augmenting(config.augment, self.train_split, self.tasks)
        self.feed = Feed(config, self._batches, self.mixer, self.steps_per_epoch, world.device)
        self.method = self._method()
        self.compiling = self._compiling()
        if self.compiling.mode != OFF:
            options = {"sharded": self.sharded, "deterministic": self.deterministic}
            compile_method(self.compiling, self.method, cache=cache, **options)

    def _method(self) -> GradientMethod:
        """How this training computes its gradient."""
        config, world = self.config, self.world
        divided = config.train.parallelism == "tasks"
        options: dict[str, Any] = {
            "bf16": self.bf16,
            "mine": list(self.tasks)[world.rank :: world.size] if divided else None,
            "reseed": self._reseed,
        }
        parts = (self.model, self.tasks, self.objective, world)
        if config.objective.compares_gradients:
            features = config.objective.level == "features"
            return (FeatureGradients if features else ParameterGradients)(*parts, **options)
        if self.sharded:
            return SumGradients(*parts, sharded=True, **options)
        wrapped = None
        if world.size > 1 and not divided:
            wrapped = nn.parallel.DistributedDataParallel(
                self.model, forward_sync_buffers=False, gradient_as_bucket_view=True
            )
        return SumGradients(*parts, wrapped=wrapped, **options)

    def _compiling(self) -> Compiling:
        """What `train.compile` means for this training."""
        config, world = self.config.train, self.world
        sharers = world.size if config.parallelism == "data" else 1

        def work() -> int:
            image = next(iter(self.tasks.values())).image
            example = torch.zeros(1, image.channels, image.height, image.width, device=world.device)
            return multiply_adds(self.averaged, example) * (config.batch_size // sharers // config.accumulate)

        steps, compares = self.steps_per_epoch * config.epochs, self.config.objective.compares_gradients
        return choose(
            config.compile, world, deterministic=self.deterministic, steps=steps, compares=compares, work=work
        )

    def _reseed(self, micro: int) -> None:
        """Whatever draws random numbers inside the network (dropout) depends on seed, step and share alone."""
        place = (self.progress.total_steps, micro, self.world.rank)
        torch.manual_seed(torch_seed(self.config.seed, Stream.FORWARD, *place))

    def state(self) -> dict[str, Any]:
        """All that an exact resume needs; all workers call it together. Augmentation, order and dropout draw from seed
        and step, not from a state.
        """
        return {
            "model": whole(self.model.state_dict()),
            "objective": self.objective.state_dict(),
            "optimizer": whole(self.optimizer.state_dict()),
            "schedule": self.schedule.state_dict(),
            "ema": whole(self.ema.state_dict()),
            "best": self.best,
            "mixer": self.feed.mixer_state(),
            "tally": self.tally.state_dict(),
            "progress": asdict(self.progress),
        }

    def load(self, state: dict[str, Any]) -> None:
        """Take over a saved state."""
        load_model(self.model, state["model"])
        self.objective.load_state_dict(state["objective"])
        load_optimizer(self.optimizer, state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        self.ema.load_state_dict(state["ema"])
        self.best = {name: value.to(self.world.device) for name, value in state["best"].items()}
        self.feed.load_mixer_state(state["mixer"])
        self.tally.load_state_dict(state["tally"])
        self.progress = Progress(**state["progress"])
        self.verdicts = Verdicts(self.world, list(self.tasks), self.config.train.max_skipped, self.progress.skipped)

    def order(self, epoch: int) -> np.ndarray:
        """All training samples in the order of an epoch: the same for any number of workers."""
        return sampler.order_of(self.config.train.order, self.config.seed, epoch, self.train_split.shard_sizes())

    def expect(self) -> None:
        """Tell the shards what this worker reads from where the training stands: those that lie elsewhere come in time."""
        if not self.mixer:  # which draws as it goes
            self.train_split.expect(self._reading(self.progress.epoch, self.progress.step))

    def _reading(self, epoch: int, step: int) -> Iterator[np.ndarray]:
        """Sample indices of this worker, a step after the other."""
        config = self.config.train
        rank, size = (0, 1) if config.parallelism == "tasks" else (self.world.rank, self.world.size)
        for number in range(epoch, config.epochs):
            order = self.order(number)
            for turn in range(step if number == epoch else 0, self.steps_per_epoch):
                indices = sampler.global_batch(order, turn, config.batch_size)
                places = np.arange(rank, len(indices), size)
                yield self.augmenting.reads(indices, places, self.config.seed, number, turn)

    def _batches(self, indices: np.ndarray, epoch: int, step: int) -> list[Batch]:
        return self.batches(indices, epoch, step)  # the one of the moment: a test may put another in its place

    def batches(self, indices: np.ndarray, epoch: int, step: int) -> list[Batch]:
        """This worker's micro-batches of a global batch, on its device; asked for by the feed's threads."""
        config, world = self.config, self.world
        changes = self.augmenting.draw(indices, config.seed, epoch, step)
        divided = config.train.parallelism == "tasks"
        rank, size = (0, 1) if divided else (world.rank, world.size)
        found: list[Batch] = []
        for places in sampler.micro_batches(len(indices), rank, size, config.train.accumulate):
            batch = joined(self.train_split, indices, changes, places, world.device)
            for task in self.tasks.values():
                task.derive(batch)
            found.append(batch)
        return found

    @property
    def reads_each_step(self) -> bool:
        """Whether a step needs the losses of the one before it on the host."""
        return self.config.train.mixing.reads_losses

    def one_step(self, order: np.ndarray) -> None:
        """The next step of the epoch; what came of it is told by `read`.

        A step that is left out has had its turn, or its samples would come again and again: the places in the epoch, in
        the mixer's sources, in the schedule and in the methods' random streams move on. All else is as before it.
        """
        config, progress = self.config, self.progress
        if self.compiling.mode == CAPTURED:
            torch.compiler.cudagraph_mark_step_begin()  # what graphs gave in the step before may be overwritten
        found, made = train_step(
            self.method,
            self.optimizer,
            self.feed.take(progress.epoch, progress.step, progress.total_steps, order),
            step=progress.total_steps,
            clip_norm=config.train.clip_norm,
            verdicts=self.verdicts,
        )
        self.schedule.step()
        progress.step += 1
        progress.total_steps += 1
        self.ema.update(self.model, made)
        self.tally.add(found, made)

    def read(self) -> list[Told]:
        """What came of the steps since the last reading; all workers call it together.

        Raises:
            TrainingError: one was not finite and could not be left out; the weights are those before it.
        """
        told = self.verdicts.read()
        self.progress.skipped = self.verdicts.skipped
        if self.mixer and self.reads_each_step:
            for step in told:
                if not step.left_out:
                    self.mixer.observe(step.losses)
        return told

    def end_epoch(self) -> dict[str, float]:
        """Score the averaged weights on the validation split, remember them if they are the best so far, and start
        the next epoch. Returns this epoch's row of the history.
        """
        progress, world = self.progress, self.world
        weights = whole(self.ema.shadow if self.config.train.ema_decay else self.model.state_dict())
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
        # The first worker's, for all must agree: another machine's may differ in the last bit.
        value = world.from_first(overall(scorers, self.tasks, self.yardsticks))
        if value > progress.best_score:
            progress.best_score, progress.best_epoch = value, progress.epoch
            self.best = {name: tensor.clone() for name, tensor in weights.items()}
        row: dict[str, float] = {"epoch": progress.epoch, "step": progress.total_steps, "val/score": value}
        row["learning_rate"] = float(self.schedule.get_last_lr()[0])
        means = self.tally.means(list(self.tasks))
        for name, task in self.tasks.items():
            row |= {f"train/{name}/{key}": value for key, value in means[name].items()}
            if name in self.yardsticks:
                row[f"val/{name}/{task.primary}"] = scorers[name].value()[task.primary]
        if self.mixer:
            row |= {f"train/draws/{name}": share for name, share in self.mixer.probabilities().items()}
        cosines = self.tally.cosines()
        kept: dict[str, JsonValue] = {**row, "seconds": round(progress.seconds, 1)}
        if cosines:
            kept["cosines"] = [list[JsonValue](line) for line in cosines]
        progress.history.append(kept)
        self.objective.weighting.end_epoch()
        progress.epoch, progress.step = progress.epoch + 1, 0
        self.tally.clear()
        return row


def parameter_counts(model: MultiTaskModel) -> dict[str, int]:
    """Numbers of parameters: shared by several tasks, then each task's own."""
    shared = sum(p.numel() for p in model.shared_parameters())
    return {"shared": shared, **{n: sum(p.numel() for p in model.task_parameters(n)) for n in model.plans}}
