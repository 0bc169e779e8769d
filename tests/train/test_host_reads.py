"""Between two readings no step reads anything on the host: for every task, weighting, aggregator and way to the gradient; of
what does, its own class says why."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from mtl.config.choices import sections
from mtl.config.objective import ObjectiveConfig
from mtl.config.params import Config
from mtl.config.tasks import Detection
from mtl.data.loading import sampler
from mtl.data.loading.augment import augmented, draw_changes
from mtl.data.loading.loader import Batch, Split
from mtl.objective.aggregation import AGGREGATORS
from mtl.objective.combination import Objective
from mtl.objective.weighting import WEIGHTINGS
from mtl.tasks import Task, build_model, build_tasks, image_spec
from mtl.train.gradients import FeatureGradients, GradientMethod, ParameterGradients, SumGradients
from mtl.train.optimizer import EMA
from mtl.train.process_group import ProcessGroup
from mtl.train.step import train_step
from mtl.train.tally import Tally
from mtl.train.training import Training
from mtl.train.verdicts import Verdicts
from tests.model.test_sharing import model_config, task_configs
from tests.objective.tiny_steps import Steps
from tests.train import by_nodes
from tests.train.host_reads import HostReads

WAYS = {"sum": SumGradients, "features": FeatureGradients, "parameters": ParameterGradients}


def methods() -> list[dict[str, Any]]:
    """Every weighting at every level, and every aggregator at those where it works."""
    found: list[dict[str, Any]] = []
    for level in ("features", "parameters"):
        found += [{"weighting": {"type": name}, "aggregator": {"type": "sum"}, "level": level} for name in WEIGHTINGS]
        found += [
            {"weighting": {"type": "fixed"}, "aggregator": {"type": name}, "level": level}
            for name in AGGREGATORS
            if level == "parameters" or not sections()["aggregators"][name].needs_jacobian
        ]
    return found


@pytest.mark.parametrize(
    "values", methods(), ids=lambda v: f"{v['weighting']['type']}-{v['aggregator']['type']}-{v['level']}"
)
def test_a_method_reads_nothing_or_says_why(values: dict[str, Any]) -> None:
    steps = Steps(values)
    verdicts = Verdicts(steps.method.world, list(steps.tasks), 1)
    reads = HostReads()
    for number in range(2):  # in the first an optimizer makes its state
        batch = steps.batch(number)
        with (reads := HostReads()):
            train_step(steps.method, steps.optimizer, [batch], step=number, clip_norm=1.0, verdicts=verdicts)
    assert bool(reads.found) == bool(sections()["aggregators"][values["aggregator"]["type"]].on_host), reads.found


def step_of(tasks: dict[str, Task], way: str, batch: Batch, device: torch.device) -> tuple[GradientMethod, list[str]]:
    """One step of a network with all that a training does beside it, and what the host waited for in it."""
    torch.manual_seed(0)
    with device:
        model = build_model(model_config("hard"), tasks)
    world, level = ProcessGroup(0, 1, device), "features" if way == "sum" else way
    values = {
        "weighting": {"type": "fixed" if way == "sum" else "db_mtl"},
        "level": level,
    }
    configs = {name: task.config for name, task in tasks.items()}
    combined = Objective(ObjectiveConfig.model_validate(values), configs).to(device)
    method = WAYS[way](model, tasks, combined, world)
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    ema, tally, verdicts = EMA(model, 0.99), Tally(len(tasks), device), Verdicts(world, list(tasks))
    with HostReads() as reads:
        found, made = train_step(method, optimizer, [batch], step=0, clip_norm=1.0, verdicts=verdicts)
        ema.update(model, made)
        tally.add(found, made)
    return method, reads.found


@pytest.fixture(scope="module")
def split(everything: Path) -> Split:
    return Split(everything, "train")


def tasks_of(split: Split) -> dict[str, Task]:
    return build_tasks(task_configs(), split.spec.targets, image_spec(split.manifest))


def loaded(split: Split, tasks: dict[str, Task], config: Config) -> Batch:
    batch = augmented(split, np.arange(4), draw_changes(config.augment, 0, 0, 0, 4))
    for task in tasks.values():
        task.derive(batch)
    return batch


@pytest.mark.parametrize("way", WAYS)
def test_no_type_of_task_reads_anything(way: str, split: Split, config: Config) -> None:
    tasks = tasks_of(split)
    assert not any(task.on_host for task in tasks.values())
    _, found = step_of(tasks, way, loaded(split, tasks, config), torch.device("cpu"))
    assert found == []


def test_two_stages_of_detection_read_and_say_so(split: Split, config: Config) -> None:
    section = Detection(type="detection", method="faster_rcnn", hidden=8, stride=4)
    tasks = build_tasks({"objects": section}, split.spec.targets, image_spec(split.manifest))
    assert tasks["objects"].on_host
    assert step_of(tasks, "sum", loaded(split, tasks, config), torch.device("cpu"))[1]


@pytest.mark.parametrize("way", WAYS)
def test_a_pass_by_nodes_is_that_of_the_engine(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def gradients() -> list[torch.Tensor | None]:
        values = {"weighting": {"type": "fixed"}, "aggregator": {"type": "sum" if way == "sum" else "upgrad"}}
        steps = Steps({**values, "level": "features" if way == "sum" else way})
        steps.method.compute([steps.batch(0)])
        return [parameter.grad for parameter in steps.method.model.parameters()]

    expected = gradients()
    monkeypatch.setattr(torch.Tensor, "backward", by_nodes.of_tensor)
    monkeypatch.setattr(torch.autograd, "backward", by_nodes.backward)
    for one, other in zip(gradients(), expected, strict=True):
        assert one is not None and other is not None and torch.allclose(one, other, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("way", WAYS)
def test_a_step_traces_with_tensors_of_a_gpu(
    way: str, split: Split, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No GPU is needed: its tensors have shapes and no values, so whatever reads one stops, and a copy is seen."""
    monkeypatch.setattr(torch.Tensor, "backward", by_nodes.of_tensor)
    monkeypatch.setattr(torch.autograd, "backward", by_nodes.backward)
    tasks = tasks_of(split)
    batch = loaded(split, tasks, config)
    with FakeTensorMode(allow_non_fake_inputs=True):
        method, found = step_of(tasks, way, batch.to(torch.device("cuda")), torch.device("cuda"))
    assert {parameter.device.type for parameter in method.model.parameters()} == {"cuda"}
    assert {p.grad.device.type for p in method.model.parameters() if p.grad is not None} == {"cuda"}
    assert all(parameter.grad is not None for parameter in method.model.parameters())
    assert found == []


def test_a_training_reads_nothing_between_two_log_steps(config: Config, prepared: Path) -> None:
    training = Training(config, prepared, ProcessGroup())
    order = sampler.epoch_order(0, 0, len(training.train_split))
    with HostReads() as reads:
        for _ in range(3):
            training.one_step(order)
    assert reads.found == []
    assert len(training.read()) == 3
