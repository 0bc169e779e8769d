"""A network of a few hundred weights with every kind of objective, for tests of single steps."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import torch

from mtl.config.choices import sections
from mtl.config.model import ModelConfig
from mtl.config.objective import ObjectiveConfig
from mtl.config.tasks import AnyTask, Classification, Regression, Rotation
from mtl.data.loading.loader import Batch
from mtl.data.spec import TargetSpec
from mtl.objective.aggregation import AGGREGATORS
from mtl.objective.combination import Objective
from mtl.objective.weighting import WEIGHTINGS
from mtl.tasks import build_model, build_tasks
from mtl.tasks.base import ImageSpec
from mtl.train.gradients import FeatureGradients, GradientMethod, Outcome, ParameterGradients, SumGradients
from mtl.train.process_group import ProcessGroup
from mtl.train.step import train_step
from mtl.train.verdicts import Verdicts

TASKS: dict[str, AnyTask] = {
    "a": Classification(type="classification", stride=8, hidden=4),
    "b": Regression(type="regression", stride=8, hidden=4),
    "turn": Rotation(type="rotation", stride=8, hidden=4, auxiliary=True, weight=0.5),
}
TARGETS = {"a": TargetSpec(kind="label", classes=("x", "y")), "b": TargetSpec(kind="value")}
PERCEPTRON = {"type": "mlp", "patch": 8, "widths": (6, 4)}


def objectives() -> list[dict[str, Any]]:
    """Every weighting with every aggregator at every level that it works at."""
    found: list[dict[str, Any]] = []
    for weighting in WEIGHTINGS:
        chosen = {"type": weighting} | ({"warmup_steps": 1} if weighting == "stch" else {})
        for aggregator in ("sum", *AGGREGATORS):
            alike = aggregator == "sum" and not sections()["weightings"][weighting].needs_gramian
            levels = ["features"] if alike else ["features", "parameters"]
            found += [
                {"weighting": chosen, "aggregator": {"type": aggregator}, "level": level}
                for level in (levels[1:] if sections()["aggregators"][aggregator].needs_jacobian else levels)
            ]
    return found


class Steps:
    """A tiny network with one objective, its optimizer, and what it consists of."""

    def __init__(
        self, values: dict[str, Any], backbone: dict[str, Any] = PERCEPTRON, sharing: str = "hard", size: int = 16
    ) -> None:
        self.size = size
        torch.manual_seed(0)
        self.tasks = build_tasks(TASKS, TARGETS, ImageSpec(size, size, 3, (0.5,) * 3, (0.25,) * 3))
        model = {"backbone": backbone, "neck_channels": 8, "sharing": {"type": sharing}}
        model = build_model(ModelConfig.model_validate(model), self.tasks)
        objective = Objective(ObjectiveConfig.model_validate(values), TASKS, seed=1)
        kind: type[GradientMethod] = SumGradients
        if objective.config.compares_gradients:
            kind = FeatureGradients if objective.config.level == "features" else ParameterGradients
        self.method = kind(model, self.tasks, objective, ProcessGroup())
        own = objective.weighting.parameter_group()
        groups = [{"params": list(model.parameters())}, *([own] if own else [])]
        self.optimizer = torch.optim.AdamW(groups, lr=1e-2, fused=True)

    def batch(self, seed: int) -> Batch:
        generator = torch.Generator().manual_seed(seed)
        images = torch.randn(4, 3, self.size, self.size, generator=generator)
        targets = {"a": torch.tensor([0, 1, 1, 0]), "b": torch.rand(4, generator=generator)}
        present = {name: torch.ones(4, dtype=torch.bool) for name in targets}
        found = Batch([f"image {i}" for i in range(4)], images, targets, present, torch.rand(4, generator=generator))
        for task in self.tasks.values():
            task.derive(found)
        return found

    @contextlib.contextmanager
    def multiplied(self, factor: float, *names: str) -> Iterator[None]:
        """Within it some tasks' losses are larger by a factor."""
        with pytest.MonkeyPatch.context() as patch:
            for name in names:
                terms = self.tasks[name].loss_terms
                patch.setattr(self.tasks[name], "loss_terms", lambda *g, t=terms: [factor * term for term in t(*g)])
            yield

    def make(self, batches: Sequence[Batch], may_skip: bool = True) -> Outcome | None:
        """One step that is read at once; None if it was left out."""
        verdicts = Verdicts(self.method.world, list(self.tasks), int(may_skip))
        found, _ = train_step(self.method, self.optimizer, batches, step=0, clip_norm=1.0, verdicts=verdicts)
        (told,) = verdicts.read()
        return None if told.left_out else found

    def state(self) -> dict[str, torch.Tensor]:
        """All of it, flat, but for the number of the step, which a step that is left out has too."""
        parts = {**self.method.model.state_dict(), **self.method.objective.state_dict()}
        for number, entry in self.optimizer.state_dict()["state"].items():
            parts |= {f"optimizer {number} {key}": value for key, value in entry.items()}
        return {name: value.clone() for name, value in parts.items() if not name.endswith("_extra_state")}
