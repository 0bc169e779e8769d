"""Activations that are computed again: the same bits, statistics of norms taken up once, and less that is kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from mtl.config.model import ModelConfig
from mtl.config.objective import ObjectiveConfig
from mtl.data.loading.loader import Batch, Split, collate
from mtl.errors import ConfigError
from mtl.model.backbones import Timm
from mtl.model.recompute import recompute_stages
from mtl.model.sharing import MultiTaskModel
from mtl.objective.combination import Objective
from mtl.tasks import Task, build_model
from mtl.train.compiling import DEFAULT, Compiling, compile_method
from mtl.train.gradients import FeatureGradients, GradientMethod, ParameterGradients, SumGradients
from mtl.train.process_group import ProcessGroup
from tests.model.test_sharing import everything_tasks

COMPACT = {"type": "compact"}
RESNET = {"type": "resnet18", "norm": "batch"}
WAYS = {"sum": SumGradients, "features": FeatureGradients, "parameters": ParameterGradients}


class Dropped(nn.Module):
    """A stage that forgets some of its features, by chance."""

    def __init__(self, stage: nn.Module) -> None:
        super().__init__()
        self.stage, self.dropout = stage, nn.Dropout(0.3)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.dropout(self.stage(images))


@pytest.fixture(scope="module")
def tasks(everything: Path) -> dict[str, Task]:
    return everything_tasks(everything, "digit", "count")


@pytest.fixture(scope="module")
def batch(everything: Path) -> Batch:
    return collate(Split(everything, "train"), np.arange(8))


def model_of(backbone: dict[str, Any], tasks: dict[str, Task], *, again: bool, sharing: str = "hard") -> MultiTaskModel:
    values = {"backbone": backbone, "neck_channels": 16, "sharing": {"type": sharing}}
    torch.manual_seed(0)
    model = build_model(ModelConfig.model_validate(values), tasks)
    if backbone["type"] == "compact" and sharing == "hard":
        stages = model.get_submodule("backbone.stages")
        assert isinstance(stages, nn.ModuleList)
        stages[1] = Dropped(stages[1])
    if again:
        recompute_stages(model)
    return model


def method_of(model: MultiTaskModel, tasks: dict[str, Task], way: str) -> GradientMethod:
    aggregator = {"type": "sum" if way == "sum" else "upgrad"}
    values = {"weighting": {"type": "fixed"}, "aggregator": aggregator, "level": "features" if way == "sum" else way}
    configs = {name: task.config for name, task in tasks.items()}
    objective = Objective(ObjectiveConfig.model_validate(values), configs)
    return WAYS[way](model, tasks, objective, ProcessGroup(), reseed=torch.manual_seed)


def kept(model: nn.Module, batch: Batch) -> int:
    """Bytes that a forward pass keeps for the backward pass, parameters left out."""
    own = {p.untyped_storage().data_ptr() for p in model.parameters()}
    found: dict[int, int] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            found[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        outputs = model(batch.images)
    del outputs
    return sum(found.values())


@pytest.mark.parametrize(
    ("backbone", "way", "sharing"),
    [
        (COMPACT, "sum", "hard"),
        (COMPACT, "features", "hard"),
        (COMPACT, "parameters", "hard"),
        (COMPACT, "sum", "cross_stitch"),
        (RESNET, "sum", "hard"),
    ],
)
def test_bits_are_those_of_activations_that_are_kept(
    backbone: dict[str, Any], way: str, sharing: str, tasks: dict[str, Task], batch: Batch
) -> None:
    states: list[dict[str, torch.Tensor]] = []
    for again in (False, True):
        model = model_of(backbone, tasks, again=again, sharing=sharing)
        method_of(model, tasks, way).compute([batch])
        grads = {f"{name}.grad": p.grad for name, p in model.named_parameters() if p.grad is not None}
        states.append({**grads, **dict(model.named_buffers())})
    for name, value in states[0].items():
        assert torch.equal(value, states[1][name]), name
    if backbone is RESNET:
        tracked = [value for name, value in states[1].items() if name.endswith("num_batches_tracked")]
        assert {int(value) for value in tracked} == {1}


def test_much_less_is_kept(tasks: dict[str, Task], batch: Batch) -> None:
    for backbone, most in ((COMPACT, 0.5), (RESNET, 0.7)):
        models = (model_of(backbone, tasks, again=again).get_submodule("backbone") for again in (False, True))
        plain, again = (kept(model, batch) for model in models)
        print(f"{backbone['type']}: kept {plain / 1e6:.2f} MB, computed again {again / 1e6:.2f} MB")
        assert again < most * plain


def test_a_compiled_network_takes_up_statistics_once(
    tasks: dict[str, Task], batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mtl.train.compiling.BACKEND", "aot_eager")
    states: list[dict[str, torch.Tensor]] = []
    for compiled in (False, True):
        model = model_of(RESNET, tasks, again=True)
        method = method_of(model, tasks, "sum")
        if compiled:
            compile_method(Compiling(DEFAULT), method, sharded=False, deterministic=True)
        method.compute([batch])
        states.append(dict(model.named_buffers()))
    assert all(torch.allclose(value, states[1][name], rtol=1e-5) for name, value in states[0].items())


def test_a_backbone_without_chains_of_blocks_is_refused() -> None:
    backbone = Timm("hrnet_w18_small", 3, "group")
    for module in backbone.modules():
        if isinstance(module, nn.Sequential):
            module.__class__ = nn.Module  # type: ignore[assignment]
    with pytest.raises(ConfigError, match="does not tell where its stages end"):
        recompute_stages(nn.ModuleDict({"backbone": backbone}))
