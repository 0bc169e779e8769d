"""What a comparison trains: methods, single-task baselines, static weights, each over the same grid and seeds."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import Field

from mtl.config.choices import refuse_unknown, sections
from mtl.config.objective import ObjectiveConfig
from mtl.config.params import Config
from mtl.config.section import Count, Positive, Section
from mtl.errors import ConfigError
from mtl.seeds import Stream, generator
from mtl.storage.digest import bytes_sha256

ALL = "all"


class Comparison(Section):
    """What is compared with what."""

    weightings: tuple[str, ...] = Field(description="names, or all")
    aggregators: tuple[str, ...] = Field(description="names, or all")
    learning_rates: tuple[Positive, ...] = Field(description="the same for every method")
    seeds: Count = Field(description="trainings of each method at each learning rate")
    static: Annotated[int, Field(ge=0)] = Field(
        default=4, description="random vectors of static weights that are tried"
    )


@dataclass(frozen=True)
class Trial:
    """One training: a method at a learning rate with a seed."""

    method: str
    learning_rate: float
    seed: int
    config: Config

    @property
    def key(self) -> str:
        """Content key: the same trial is not run twice."""
        values = self.config.model_dump(mode="json", exclude={"cluster", "flow", "schedule", "gate", "registry"})
        return bytes_sha256(json.dumps(values, sort_keys=True).encode())[:16]


def single_task(config: Config, name: str) -> Config:
    """The same settings with one task, its weight 1.

    Raises:
        ConfigError: there is no such task.
    """
    if name not in config.tasks:
        raise ConfigError(f"no task {name!r} in params.yaml", fix=f"choose from {', '.join(config.tasks)}")
    task = config.tasks[name].model_copy(update={"weight": 1.0, "auxiliary": False})
    return config.model_copy(update={"tasks": {name: task}, "objective": _objective("fixed", "sum")})


def methods(config: Config, wanted: Comparison) -> dict[str, Config]:
    """Method's name → settings, but for learning rate and seed. Gradients are compared where `objective.level` says, unless a
    method can only do so at the parameters.

    Raises:
        ConfigError: an unknown name.
    """
    found: dict[str, Config] = {
        f"alone: {n}": single_task(config, n) for n, t in config.tasks.items() if not t.auxiliary
    }
    sharing = config.model.sharing
    declared = config.objective.level if sharing.cut else "parameters"
    for name in _chosen(wanted.weightings, "weightings"):
        level = "parameters" if sections()["weightings"][name].needs_gramian and sharing.entangled else declared
        found[name] = config.model_copy(update={"objective": _objective(name, "sum", level)})
    for name in _chosen(wanted.aggregators, "aggregators"):
        if name != "sum":
            level = "parameters" if sections()["aggregators"][name].needs_jacobian else declared
            found[name] = config.model_copy(update={"objective": _objective("fixed", name, level)})
    found["equal weights"] = weighted(config, {n: 1.0 for n, t in config.tasks.items() if not t.auxiliary})
    names = [n for n, t in config.tasks.items() if not t.auxiliary]
    rng = generator(config.seed, Stream.STATIC_WEIGHTS)
    for number in range(wanted.static):
        drawn = rng.dirichlet(np.ones(len(names))) * len(names)
        found[f"static {number + 1}"] = weighted(config, dict(zip(names, drawn.tolist(), strict=True)))
    return found


def weighted(config: Config, weights: dict[str, float]) -> Config:
    """The settings with these fixed weights in place of the declared ones."""
    tasks = {n: t.model_copy(update={"weight": weights.get(n, t.weight)}) for n, t in config.tasks.items()}
    return config.model_copy(update={"tasks": tasks, "objective": _objective("fixed", "sum")})


def trials(configs: dict[str, Config], wanted: Comparison) -> list[Trial]:
    """Every method at every learning rate with every seed."""
    made: list[Trial] = []
    for method, config in configs.items():
        for rate in wanted.learning_rates:
            for seed in range(wanted.seeds):
                train = config.train.model_copy(update={"learning_rate": rate, "num_workers": 1})
                made.append(Trial(method, rate, seed, config.model_copy(update={"seed": seed, "train": train})))
    return made


def _objective(weighting: str, aggregator: str, level: str = "features") -> ObjectiveConfig:
    values: dict[str, object] = {"weighting": {"type": weighting}, "aggregator": {"type": aggregator}, "level": level}
    return ObjectiveConfig.model_validate(values)


def _chosen(names: Sequence[str], kind: str) -> list[str]:
    known = list(sections()[kind])
    if tuple(names) == (ALL,):
        return known
    refuse_unknown(f"--{kind}", names, [ALL, *known])
    return list(names)
