"""Every sharing with every task type: gradients reach where they should, costs are counted, 16 samples are learnt."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter

from mtl.config.model import ModelConfig
from mtl.config.objective import ObjectiveConfig
from mtl.config.params import Config
from mtl.config.tasks import AnyTask
from mtl.data.loading.loader import Batch, Split, collate
from mtl.errors import ConfigError
from mtl.model.sharing import SHARINGS, MultiTaskModel
from mtl.objective.combination import Objective
from mtl.tasks import TASKS, Task, build_model, build_tasks, image_spec, network_cost
from mtl.train.gradients import FeatureGradients, GradientMethod, ParameterGradients, SumGradients
from mtl.train.optimizer import build_optimizer
from mtl.train.process_group import ProcessGroup
from mtl.train.step import train_step
from mtl.train.verdicts import Verdicts

EVERY_TASK: dict[str, dict[str, Any]] = {
    "digit": {"type": "classification"},
    "contents": {"type": "multilabel"},
    "count": {"type": "regression", "hidden": 16},
    "objects": {"type": "detection"},
    "poses": {"type": "keypoints", "hidden": 32, "oks_sigmas": (0.1, 0.1, 0.1)},
    "regions": {"type": "segmentation"},
    "depth": {"type": "depth"},
    "normals": {"type": "normals"},
    "image": {"type": "reconstruction", "auxiliary": True},
    "turn": {"type": "rotation", "auxiliary": True},
    "outline": {"type": "edges", "auxiliary": True},
}
# Metric, and what 16 samples learnt by heart reach at least (or at most, where less is better).
LEARNT = {
    "digit": ("accuracy", 0.95),
    "contents": ("map", 0.95),
    "count": ("mae", 0.4),
    "objects": ("map50", 0.8),
    "poses": ("oks_map50", 0.6),
    "regions": ("miou", 0.6),
    "depth": ("mae", 0.25),
    "normals": ("angle", 16.0),
    "image": ("psnr", 15.0),
    "turn": ("accuracy", 0.9),
    "outline": ("miou", 0.55),
}


def task_configs() -> dict[str, AnyTask]:
    adapter: TypeAdapter[AnyTask] = TypeAdapter(AnyTask)
    return {name: adapter.validate_python({"stride": 4, **values}) for name, values in EVERY_TASK.items()}


def model_config(sharing: str, **options: Any) -> ModelConfig:
    backbone = {"type": "compact", "widths": (16, 24, 32, 32), "depths": (1, 1, 1, 1)}
    values = {"backbone": backbone, "neck_channels": 32, "sharing": {"type": sharing, **options}}
    return ModelConfig.model_validate(values)


def objective(weighting: str = "fixed", **aggregator: Any) -> Objective:
    values: dict[str, Any] = {"weighting": {"type": weighting}, "level": aggregator.pop("level", "features")}
    if aggregator:
        values["aggregator"] = aggregator
    return Objective(ObjectiveConfig.model_validate(values), task_configs())


def everything_tasks(prepared: Path, *names: str) -> dict[str, Task]:
    """Some of the tasks, on a prepared data set."""
    split = Split(prepared, "train")
    chosen = {name: config for name, config in task_configs().items() if name in names}
    return build_tasks(chosen, split.spec.targets, image_spec(split.manifest))


@pytest.fixture(scope="module")
def tasks(everything: Path) -> dict[str, Task]:
    split = Split(everything, "train")
    return build_tasks(task_configs(), split.spec.targets, image_spec(split.manifest))


@pytest.fixture(scope="module")
def batch(everything: Path, tasks: dict[str, Task]) -> Batch:
    found = collate(Split(everything, "train"), np.arange(16))
    for task in tasks.values():
        task.derive(found)
    return found


def test_the_tables_are_whole() -> None:
    assert {values["type"] for values in EVERY_TASK.values()} == set(TASKS)
    assert len(SHARINGS) == 6


@pytest.mark.parametrize("sharing", SHARINGS)
def test_gradients_reach_every_parameter_and_only_the_right_ones(
    sharing: str, tasks: dict[str, Task], batch: Batch
) -> None:
    torch.manual_seed(0)
    model = build_model(model_config(sharing), tasks)
    SumGradients(model, tasks, objective(), ProcessGroup()).compute([batch])
    untouched = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert untouched == []
    owners = {id(p): name for name in tasks for p in model.task_parameters(name)}
    model.zero_grad(set_to_none=True)
    outputs = model(batch.images, batch.views)
    sum(term for term in tasks["digit"].loss_terms(outputs["digit"], batch)).backward()  # type: ignore[union-attr]
    reached = {owners.get(id(p), "shared") for p in model.parameters() if p.grad is not None and p.grad.any()}
    assert reached == {"digit", "shared"}


@pytest.mark.parametrize("sharing", SHARINGS)
def test_levels_agree_where_there_is_no_aggregator(sharing: str, tasks: dict[str, Task], batch: Batch) -> None:
    """With gradients compared but only the weights used, all three ways give the same gradient."""
    torch.manual_seed(0)
    model = build_model(model_config(sharing), tasks)
    kinds = [SumGradients, ParameterGradients] + ([FeatureGradients] if model.sharing.cut else [])
    found: list[dict[str, torch.Tensor]] = []
    for kind in kinds:
        model.zero_grad(set_to_none=True)
        kind(model, tasks, objective(), ProcessGroup()).compute([batch])
        found.append({n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None})
    for other in found[1:]:
        for name, value in found[0].items():
            assert ((value - other[name]).abs().max() / value.abs().max().clamp(min=1e-4)) < 1e-3, name


@pytest.mark.parametrize("kind", [SumGradients, FeatureGradients, ParameterGradients])
def test_half_precision_changes_the_gradient_by_rounding_only(kind: Any, tasks: dict[str, Task], batch: Batch) -> None:
    found: list[torch.Tensor] = []
    for bf16 in (False, True):
        model = build("hard", tasks)
        outcome = kind(model, tasks, objective(type="upgrad"), ProcessGroup(), bf16=bf16).compute([batch])
        assert torch.isfinite(outcome.losses).all()
        assert all(p.grad is not None and p.grad.dtype == torch.float32 for p in model.parameters())
        found.append(torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]))
    assert torch.nn.functional.cosine_similarity(found[0], found[1], dim=0) > 0.99


@pytest.mark.parametrize(
    "sharing", [pytest.param(name, marks=pytest.mark.slow if name == "hard" else pytest.mark.long) for name in SHARINGS]
)
def test_every_sharing_and_task_type_learns_sixteen_samples(
    sharing: str, tasks: dict[str, Task], batch: Batch, config: Config
) -> None:
    learn(build(sharing, tasks), tasks, batch, config, steps=220)


@pytest.mark.slow
def test_hard_sharing_learns_sixteen_samples_with_an_aggregator(
    tasks: dict[str, Task], batch: Batch, config: Config
) -> None:
    learn(build("hard", tasks), tasks, batch, config, steps=220, aggregator="upgrad")


@pytest.mark.slow
def test_the_two_stage_detector_learns_sixteen_samples(prepared: Path, config: Config) -> None:
    split = Split(prepared, "train")
    adapter: TypeAdapter[AnyTask] = TypeAdapter(AnyTask)
    configs = {"objects": adapter.validate_python({"type": "detection", "method": "faster_rcnn"})}
    chosen = build_tasks(configs, split.spec.targets, image_spec(split.manifest))
    torch.manual_seed(0)
    model = build_model(model_config("hard"), chosen)
    combined = Objective(ObjectiveConfig.model_validate({"weighting": {"type": "fixed"}}), configs)
    method = SumGradients(model, chosen, combined, ProcessGroup())
    learn_with(method, combined, chosen, collate(split, np.arange(16)), config, steps=250)


def build(sharing: str, tasks: dict[str, Task]) -> MultiTaskModel:
    torch.manual_seed(0)
    return build_model(model_config(sharing), tasks)


def learn(
    model: MultiTaskModel, tasks: dict[str, Task], batch: Batch, config: Config, steps: int, aggregator: str = "sum"
) -> None:
    combined = objective(type=aggregator)
    kind = FeatureGradients if combined.config.compares_gradients else SumGradients
    learn_with(kind(model, tasks, combined, ProcessGroup()), combined, tasks, batch, config, steps)


def learn_with(
    method: GradientMethod, combined: Objective, tasks: dict[str, Task], batch: Batch, config: Config, steps: int
) -> None:
    model = method.model
    optimizer = build_optimizer(model, combined.weighting, config.train)
    verdicts = Verdicts(method.world, list(tasks))
    for step in range(steps):
        train_step(method, optimizer, [batch], step=step, clip_norm=5.0, verdicts=verdicts)
        for group in optimizer.param_groups:
            group["lr"] = 3e-3 * min(1.0, (steps - step) / (0.5 * steps))
    model.eval()
    with torch.inference_mode():
        outputs = model(batch.images, batch.views)
    found: dict[str, float] = {}
    for name, task in tasks.items():
        scorer = task.scorer()
        scorer.add(task.predict(outputs[name]), batch)
        found[name] = scorer.value()[LEARNT[name][0]]
    for name, task in tasks.items():
        metric, bound = LEARNT[name]
        better = found[name] >= bound if task.directions[metric] == "max" else found[name] <= bound
        assert better, f"{name} {metric} {found[name]:.3f}, of {found}"


def test_counts_are_what_terms_are_divided_by(tasks: dict[str, Task], batch: Batch) -> None:
    model = build("hard", tasks)
    outputs = model(batch.images, batch.views)
    for name, task in tasks.items():
        terms, counts = task.loss_terms(outputs[name], batch), task.target_counts(batch)
        assert len(terms) == len(counts), name
        assert all(float(count) > 0 and term.ndim == 0 for term, count in zip(terms, counts, strict=True)), name


def test_the_cost_of_sharing_is_known(tasks: dict[str, Task]) -> None:
    costs = {sharing: network_cost(model_config(sharing), tasks) for sharing in SHARINGS}
    for sharing, cost in costs.items():
        assert cost["parameters"] == sum(p.numel() for p in build(sharing, tasks).parameters()), sharing
        assert cost["separate_parameters"] == costs["hard"]["separate_parameters"]
    assert costs["hard"]["multiply_adds"] < 0.5 * costs["hard"]["separate_multiply_adds"]
    assert costs["cross_stitch"]["multiply_adds"] > 0.9 * costs["hard"]["separate_multiply_adds"]
    # A convolution of known size: 3·16·3·3 weights at 16×16 cells.
    counted = build("hard", tasks)
    first = next(m for m in counted.modules() if isinstance(m, torch.nn.Conv2d))
    from mtl.model.cost import multiply_adds

    assert multiply_adds(first, torch.zeros(1, 3, 32, 32)) == 3 * 16 * 9 * 16 * 16


def test_more_extraction_levels_are_ple(tasks: dict[str, Task], batch: Batch) -> None:
    torch.manual_seed(0)
    model = build_model(model_config("cgc", levels=2), tasks)
    SumGradients(model, tasks, objective(), ProcessGroup()).compute([batch])
    assert [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_a_backbone_that_cannot_be_opened_is_refused(tasks: dict[str, Task]) -> None:
    values = {"backbone": {"type": "resnet18"}, "neck_channels": 16, "sharing": {"type": "cross_stitch"}}
    with pytest.raises(ConfigError, match="cannot open the backbone resnet18"):
        build_model(ModelConfig.model_validate(values), tasks)


@pytest.mark.parametrize("backbone", ["compact", "mlp", "cnn", "pyramid", "resnet18", "efficientnet_lite0"])
def test_every_backbone_trains_a_step(backbone: str, tasks: dict[str, Task], batch: Batch) -> None:
    stride = {"mlp": 16, "pyramid": 4}.get(backbone, 4)
    chosen = {n: t for n, t in tasks.items() if n in ("digit", "count", "regions")}
    for task in chosen.values():
        task.config = task.config.model_copy(update={"stride": stride})
    values = {"backbone": {"type": backbone}, "neck_channels": 16, "sharing": {"type": "hard"}}
    model = build_model(ModelConfig.model_validate(values), chosen)
    configs = {n: t.config for n, t in chosen.items()}
    combined = Objective(ObjectiveConfig.model_validate({"weighting": {"type": "fixed"}}), configs)
    found = SumGradients(model, chosen, combined, ProcessGroup()).compute([batch])
    assert torch.isfinite(found.losses).all()
    for task in chosen.values():
        task.config = task.config.model_copy(update={"stride": 4})
