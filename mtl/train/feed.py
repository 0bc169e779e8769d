"""What the steps of a training are computed from, loaded ahead."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from mtl.config.trees.training import TrainingTree
from mtl.data.loading import sampler
from mtl.data.loading.ahead import ahead
from mtl.data.loading.loader import Batch
from mtl.data.loading.mixing import Mixer


@dataclass(frozen=True)
class Turn:
    """A step of an epoch: its samples, and the mixer's state once they are drawn."""

    epoch: int
    step: int
    indices: np.ndarray
    mixer: dict[str, Any]


@dataclass(frozen=True)
class Loaded:
    """A worker's micro-batches of a turn."""

    turn: Turn
    batches: list[Batch]

    def tensors(self) -> Iterator[torch.Tensor]:
        """All of them."""
        for batch in self.batches:
            yield from batch.tensors()


class Feed:
    """Micro-batches of one worker, step by step, from any step on.

    Args:
        batches: (indices of a global batch, epoch, step of it) → this worker's micro-batches; called in several threads.
        mixer: what draws the samples; None for the order of the epoch.
    """

    def __init__(
        self,
        config: TrainingTree,
        batches: Callable[[np.ndarray, int, int], list[Batch]],
        mixer: Mixer | None,
        steps_per_epoch: int,
        device: torch.device,
    ) -> None:
        self.config, self.mixer, self.steps_per_epoch, self.device = config, mixer, steps_per_epoch, device
        self._batches = batches
        self._prefetch = 0 if config.train.mixing.reads_losses else config.cluster.prefetch
        self._taken = mixer.state_dict() if mixer else {}
        self._next = (-1, -1)
        self._loaded: Iterator[Loaded] = iter(())

    def take(self, epoch: int, step: int, total_steps: int, order: np.ndarray) -> list[Batch]:
        """The micro-batches of a step.

        Args:
            total_steps: steps since the beginning of the training.
            order: of the epoch's samples.
        """
        if self._next != (epoch, step):
            self.reset()
            turns = self._turns(epoch, step, total_steps, order)
            threads = self.config.cluster.loader_threads
            if self.device.type == "cpu":  # more would take the cores from those that compute
                threads = min(threads, self.config.train.threads_per_worker)
            self._loaded = ahead(self._load, turns, self.device, threads=threads, prefetch=self._prefetch)
        self._next = (epoch, step + 1)
        found = next(self._loaded)
        self._taken = found.turn.mixer
        return found.batches

    def reset(self) -> None:
        """Forget what was loaded ahead: the mixer stands again where it stood when the last step was taken."""
        close = getattr(self._loaded, "close", None)
        if close:
            close()
        self._next = (-1, -1)
        if self.mixer and self._prefetch:
            self.mixer.load_state_dict(self._taken)

    def mixer_state(self) -> dict[str, Any]:
        """The mixer's as of the last step that was taken, whatever was drawn ahead."""
        if self.mixer and not self._prefetch:
            return self.mixer.state_dict()
        return self._taken

    def load_mixer_state(self, state: dict[str, Any]) -> None:
        """Take over a saved state."""
        self._taken = dict(state)
        if self.mixer:
            self.mixer.load_state_dict(state)
        self._next = (-1, -1)

    def _turns(self, epoch: int, first: int, total_steps: int, order: np.ndarray) -> Iterator[Turn]:
        size = self.config.train.batch_size
        for step in range(first, self.steps_per_epoch):
            if self.mixer:
                indices = self.mixer.next_batch(total_steps + step - first, size)
            else:
                indices = sampler.global_batch(order, step, size)
            yield Turn(epoch, step, indices, self.mixer.state_dict() if self.mixer else {})

    def _load(self, turn: Turn) -> Loaded:
        return Loaded(turn, self._batches(turn.indices, turn.epoch, turn.step))
