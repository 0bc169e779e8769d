"""A compiled training: network, losses and counts are graphs without a break, few of them, and the gradients are the eager ones."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch._dynamo.utils import counters

from mtl.config.objective import ObjectiveConfig
from mtl.config.params import Config
from mtl.config.tasks import Detection
from mtl.data.loading.augment import augmented, draw_changes
from mtl.data.loading.loader import Batch, Split
from mtl.data.loading.padded import Padded
from mtl.errors import TrainingError
from mtl.model.sharing import SHARINGS
from mtl.objective.combination import Objective
from mtl.tasks import Task, build_model, build_tasks, image_spec
from mtl.train.compiling import CAPTURED, DEFAULT, FEW_STEPS, LAUNCH_BOUND, OFF, Compiling, choose, compile_method
from mtl.train.gradients import FeatureGradients, GradientMethod, ParameterGradients, SumGradients
from mtl.train.process_group import ProcessGroup
from tests.conftest import heard
from tests.model.test_sharing import model_config, task_configs

WAYS = {"sum": SumGradients, "features": FeatureGradients, "parameters": ParameterGradients}


@pytest.fixture(autouse=True)
def backend(monkeypatch: pytest.MonkeyPatch) -> None:
    """Graphs as Inductor gets them, run as they are: machine code would take minutes."""
    monkeypatch.setattr("mtl.train.compiling.BACKEND", "aot_eager")
    monkeypatch.setattr("torch._functorch.config.donated_buffer", True)
    monkeypatch.setattr("torch.compiler.config.cache_key_tag", "")
    torch._dynamo.reset()
    counters.clear()


@pytest.fixture(scope="module")
def split(everything: Path) -> Split:
    return Split(everything, "train")


def loaded(split: Split, tasks: dict[str, Task], config: Config, first: int = 0) -> Batch:
    places = np.arange(first, first + 4)
    batch = augmented(split, places, draw_changes(config.augment, 0, 0, 0, 4))
    for task in tasks.values():
        task.derive(batch)
    return batch


def method_of(tasks: dict[str, Task], sharing: str, way: str, mode: str) -> GradientMethod:
    torch.manual_seed(0)
    model = build_model(model_config(sharing), tasks)
    aggregator = {"type": "sum" if way == "sum" else "upgrad"}
    level = "features" if way == "sum" else way
    values = {"weighting": {"type": "fixed"}, "aggregator": aggregator, "level": level}
    configs = {name: task.config for name, task in tasks.items()}
    objective = Objective(ObjectiveConfig.model_validate(values), configs)
    method = WAYS[way](model, tasks, objective, ProcessGroup())
    if mode != OFF:
        compile_method(Compiling(mode), method, sharded=False, deterministic=True)
    return method


def gradients(method: GradientMethod, batch: Batch) -> dict[str, torch.Tensor]:
    method.model.zero_grad(set_to_none=True)
    found = method.compute([batch])
    named = {name: p.grad for name, p in method.model.named_parameters() if p.grad is not None}
    return named | {"losses": found.losses}


def graphs() -> int:
    return counters["stats"]["unique_graphs"]


FEW = ("digit", "objects", "turn")
CASES = [
    ("hard", "sum", FEW),
    *(pytest.param(s, "sum", FEW, marks=pytest.mark.slow) for s in SHARINGS if s != "hard"),
    pytest.param("hard", "sum", tuple(task_configs()), marks=pytest.mark.slow),
    ("hard", "features", FEW[:2]),
    pytest.param("fusion", "features", FEW, marks=pytest.mark.slow),
    pytest.param("mtan", "parameters", FEW, marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("sharing", "way", "names"), CASES, ids=lambda v: v if isinstance(v, str) else str(len(v)))
def test_a_compiled_step_has_the_gradients_of_an_eager_one(
    sharing: str, way: str, names: tuple[str, ...], split: Split, config: Config
) -> None:
    configs = {name: section for name, section in task_configs().items() if name in names}
    tasks = build_tasks(configs, split.spec.targets, image_spec(split.manifest))
    batch = loaded(split, tasks, config)
    expected = gradients(method_of(tasks, sharing, way, OFF), batch)
    compiled = method_of(tasks, sharing, way, DEFAULT)
    found = gradients(compiled, batch)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert torch.allclose(found[name], value.to(found[name]), rtol=1e-4, atol=1e-6), name
    if way == "sum":
        assert graphs() == 1 + 2 * len(tasks)  # the network; of each task its counts and its loss
    before = graphs()
    assert gradients(compiled, batch).keys() == expected.keys()
    assert graphs() == before


def with_rows(batch: Batch, rows: int) -> Batch:
    """The same boxes with room for that many per image."""
    tables = batch.targets["objects"].rows
    room = torch.zeros(len(tables), rows, tables.shape[2])
    room[:, : min(rows, tables.shape[1])] = tables[:, :rows]
    return Batch(batch.ids, batch.images, {**batch.targets, "objects": Padded(room)}, batch.present, batch.draws)


def test_sizes_that_come_again_are_not_compiled_again(split: Split, config: Config) -> None:
    configs = {name: section for name, section in task_configs().items() if name in ("objects", "count")}
    tasks = build_tasks(configs, split.spec.targets, image_spec(split.manifest))
    method, batch = method_of(tasks, "hard", "sum", DEFAULT), loaded(split, tasks, config)
    seen = list[int]()
    for rows in (2, 4, 8, 4, 2, 8):
        gradients(method, with_rows(batch, rows))
        seen.append(graphs())
    first = 1 + 2 * len(tasks)
    assert seen == [first, first + 2, first + 4, *[first + 4] * 3]  # the boxes' counts and loss; never the network
    method.model.eval()(batch.images[:3])  # others look at the network in their own sizes, uncompiled or not
    gradients(method, with_rows(batch, 4))
    assert graphs() <= first + 5


def test_a_task_that_waits_for_the_host_stays_as_it_is(split: Split, config: Config) -> None:
    section = Detection(type="detection", method="faster_rcnn", hidden=8, stride=4)
    configs = {"objects": section, "count": task_configs()["count"]}
    tasks = build_tasks(configs, split.spec.targets, image_spec(split.manifest))
    batch = loaded(split, tasks, config)
    with heard() as lines:
        method = method_of(tasks, "hard", "sum", DEFAULT)
    assert lines == ["train: not compiled: objects, which waits for the host"]
    expected, found = gradients(method_of(tasks, "hard", "sum", OFF), batch), gradients(method, batch)
    assert all(torch.allclose(found[name], value, rtol=1e-4, atol=1e-6) for name, value in expected.items())
    assert graphs() == 1 + 1 + 2  # what is shared; the head of the other, its counts and its loss


def broken(method: GradientMethod, monkeypatch: pytest.MonkeyPatch) -> None:
    """A loss of somebody's own that looks at a number on the host."""
    task = method.tasks["count"]
    terms = task.loss_terms

    def looks(output: torch.Tensor, batch: Batch) -> list[torch.Tensor]:
        found = terms(output, batch)
        print("loss", float(found[0]))
        return found

    monkeypatch.setattr(task, "loss_terms", looks)


@pytest.mark.parametrize("optional", [True, False])
def test_what_cannot_be_compiled_is_named(
    optional: bool, split: Split, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks = build_tasks({"count": task_configs()["count"]}, split.spec.targets, image_spec(split.manifest))
    batch, method = loaded(split, tasks, config), method_of(tasks, "hard", "sum", OFF)
    expected = gradients(method, batch)
    broken(method, monkeypatch)
    compile_method(Compiling(DEFAULT, optional=optional), method, sharded=False, deterministic=True)
    if not optional:
        with pytest.raises(TrainingError, match=r"TaskPart\.loss cannot be compiled"):
            gradients(method, batch)
        return
    with heard() as lines:
        found = gradients(method, batch)
    assert [line for line in lines if "not compiled: TaskPart.loss" in line] == lines != []
    assert all(torch.allclose(found[name], value, rtol=1e-4, atol=1e-6) for name, value in expected.items())


def test_compiled_code_lies_where_nobody_else_writes(
    split: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "")
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR")
    tasks = build_tasks({"count": task_configs()["count"]}, split.spec.targets, image_spec(split.manifest))
    method = method_of(tasks, "hard", "sum", OFF)
    compile_method(Compiling(DEFAULT), method, sharded=False, deterministic=True, cache=tmp_path)
    assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == str(tmp_path / "compiled")


GPU, TWO = ProcessGroup(0, 1, torch.device("cuda")), ProcessGroup(0, 2, torch.device("cuda"))


@pytest.mark.parametrize(
    ("wish", "world", "changes", "mode", "word"),
    [
        ("auto", ProcessGroup(), {}, OFF, ""),
        ("default", ProcessGroup(), {}, DEFAULT, "asks for it"),
        ("off", GPU, {}, OFF, ""),
        ("auto", GPU, {}, CAPTURED, "billion"),
        ("auto", GPU, {"work": LAUNCH_BOUND}, DEFAULT, "worth it"),
        ("auto", GPU, {"compares": True}, DEFAULT, "worth it"),
        ("auto", TWO, {}, DEFAULT, "worth it"),
        ("auto", GPU, {"deterministic": True}, OFF, "deterministic"),
        ("auto", GPU, {"steps": FEW_STEPS - 1}, OFF, "over before"),
        ("reduce-overhead", GPU, {"deterministic": True, "steps": 1}, CAPTURED, "asks for it"),
    ],
)
def test_auto_chooses_by_a_rule_and_says_it(
    wish: str, world: ProcessGroup, changes: dict[str, Any], mode: str, word: str
) -> None:
    given = {"deterministic": False, "steps": FEW_STEPS, "compares": False, "work": LAUNCH_BOUND - 1} | changes
    amount = given.pop("work")
    found = choose(wish, world, work=lambda: amount, **given)
    assert found.mode == mode
    assert word in found.said
    assert bool(found.said) == bool(word)
    assert found.optional == (wish == "auto" and mode != OFF)
