"""Which source the samples of a step come from, when a data set has several with different labels.

Every worker computes the same: draws depend on seed, step and the state alone, the state on global losses.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from mtl.config.mixing import Mixing
from mtl.data.loading.loader import Split
from mtl.errors import ConfigError
from mtl.seeds import Stream, generator

SLICE = "source"
"""The slice of the data set that names each sample's source."""


class Mixer:
    """Draws global batches from sources; each source is gone through in an order of its own, again and again.

    Args:
        config: `train.mixing`.
        groups: source → indices of its samples.
        teaches: source → names of the tasks that its samples have targets for.
    """

    def __init__(
        self, config: Mixing, groups: Mapping[str, np.ndarray], teaches: Mapping[str, list[str]], seed: int
    ) -> None:
        self.config, self.groups, self.teaches, self.seed = config, dict(groups), dict(teaches), seed
        self.drawn = dict.fromkeys(self.groups, 0)
        self.first: dict[str, float] = {}
        self.recent: dict[str, float] = {}

    def state_dict(self) -> dict[str, Any]:
        """All that an exact resume needs."""
        return {"drawn": dict(self.drawn), "first": dict(self.first), "recent": dict(self.recent)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over a saved state."""
        self.drawn, self.first = dict(state["drawn"]), dict(state["first"])
        self.recent = dict(state["recent"])

    def probabilities(self) -> dict[str, float]:
        """Source → the share of the next draws that it gets."""
        size = {name: float(len(indices)) for name, indices in self.groups.items()}
        if self.config.type == "natural":
            score = size
        elif self.config.type == "equal":
            score = dict.fromkeys(size, 1.0)
        elif self.config.type == "temperature":
            score = {name: value ** (1.0 / self.config.temperature) for name, value in size.items()}
        else:
            score = self._roulette()
        total = sum(score.values())
        return {name: value / total for name, value in score.items()}

    def _roulette(self) -> dict[str, float]:
        assert self.config.type == "roulette"
        behind = {name: self._behind(tasks) for name, tasks in self.teaches.items()}
        total, floor = sum(behind.values()), self.config.floor
        even = 1.0 / len(behind)
        return {n: floor * even + (1 - floor) * (b / total if total > 0 else even) for n, b in behind.items()}

    def _behind(self, tasks: list[str]) -> float:
        """How far a source's tasks are behind, a mean over those that have been seen; 1 before any was."""
        assert self.config.type == "roulette"
        if self.config.by == "loss":
            found = [self.recent[t] / self.first[t] for t in tasks if self.first.get(t, 0.0) > 0]
        else:
            known = self.config.baselines
            found = [max(self.recent[t] / known[t] - 1.0, 0.0) for t in tasks if t in self.recent and t in known]
        return sum(found) / len(found) if found else 1.0

    def next_batch(self, step: int, batch_size: int) -> np.ndarray:
        """Sample indices of one global batch, in random order."""
        rng = generator(self.seed, Stream.MIXING, step)
        shares = np.array(list(self.probabilities().values()))
        # Systematic sampling: each source gets its share of the batch, rounded up or down at random.
        edges = np.floor(np.concatenate([[0.0], np.cumsum(shares)]) * batch_size + rng.uniform())
        edges[0], edges[-1] = 0, batch_size
        counts = np.diff(edges).astype(int)
        parts = [self._take(name, int(count)) for name, count in zip(self.groups, counts, strict=True)]
        return rng.permutation(np.concatenate(parts))

    def _take(self, name: str, count: int) -> np.ndarray:
        """The next samples of a source: every one once, in an order of the cycle's own, before any comes again."""
        indices, start = self.groups[name], self.drawn[name]
        self.drawn[name] += count
        number = list(self.groups).index(name)
        cycles, offsets = np.divmod(np.arange(start, start + count), len(indices))
        found = [np.zeros(0, np.int64)]
        for cycle in np.unique(cycles):
            rng = generator(self.seed, Stream.MIXING_ORDER, number, int(cycle))
            found.append(indices[rng.permutation(len(indices))[offsets[cycles == cycle]]])
        return np.concatenate(found)

    def observe(self, losses: Mapping[str, float]) -> None:
        """Take in the global losses of the tasks that were present in a step."""
        memory = self.config.memory if self.config.type == "roulette" else 0.0
        for task, loss in losses.items():
            self.first.setdefault(task, loss)
            self.recent[task] = memory * self.recent.get(task, loss) + (1 - memory) * loss


def build_mixer(config: Mixing, split: Split, targets: Mapping[str, str], seed: int) -> Mixer | None:
    """The mixer of a training split; None for natural mixing, which is a plain shuffle.

    Args:
        targets: task → name of its target in the data, for tasks that need one and count: an auxiliary one draws no source.

    Raises:
        ConfigError: the data set does not say where its samples come from.
    """
    if config.type == "natural":
        return None
    names = split.slices().get(SLICE)
    if names is None:
        raise ConfigError(
            f"train.mixing: {config.type} draws from sources, and this data set has one alone",
            found=f"slices: {', '.join(split.slices()) or 'none'}",
            fix="set train.mixing to {type: natural}",
        )
    array = np.array(names)
    groups = {name: np.nonzero(array == name)[0] for name in sorted(set(names))}
    present = {target: split.present(target) for target in set(targets.values())}
    teaches = {
        name: [task for task, target in targets.items() if present[target][indices].any()]
        for name, indices in groups.items()
    }
    return Mixer(config, groups, teaches, seed)
