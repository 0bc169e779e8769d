"""Two workers: micro-batches do not travel, sharded weights are gathered in half precision, compiled networks are summed, too."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import torch
import torch.multiprocessing as mp
from torch import nn

from mtl.config.model import ModelConfig
from mtl.config.objective import ObjectiveConfig
from mtl.data.loading.loader import Batch
from mtl.model.recompute import recompute_stages
from mtl.objective.combination import Objective
from mtl.tasks import Task, build_model, build_tasks
from mtl.tasks.base import ImageSpec
from mtl.train import compiling, sharding
from mtl.train.gradients import FeatureGradients, GradientMethod, ParameterGradients, SumGradients
from mtl.train.process_group import ProcessGroup
from tests.objective.tiny_steps import TARGETS, TASKS

SIZE, IMAGES = 32, 8
BACKBONE = {"type": "compact", "widths": (8, 8, 8, 8), "depths": (1, 1, 1, 1)}
WAYS: dict[str, set[str]] = {
    "data": {"accumulate"},
    "features": {"accumulate"},
    "parameters": {"accumulate"},
    "sharded": {"accumulate", "fsdp"},
    "sharded, bf16": {"fsdp", "bf16"},
    "compiled": {"compile"},
    "sharded, compiled": {"fsdp", "compile"},
    "sharded, computed again": {"fsdp", "again"},
}


def tiny_tasks() -> dict[str, Task]:
    return build_tasks(TASKS, TARGETS, ImageSpec(SIZE, SIZE, 3, (0.5,) * 3, (0.25,) * 3))


def batch_of(places: range, tasks: dict[str, Task]) -> Batch:
    """Some images of the global batch."""
    generator = torch.Generator().manual_seed(1)
    images, draws = torch.randn(IMAGES, 3, SIZE, SIZE, generator=generator), torch.rand(IMAGES, generator=generator)
    targets = {"a": torch.arange(IMAGES) % 2, "b": torch.rand(IMAGES, generator=generator)}
    present = {"a": torch.ones(IMAGES, dtype=torch.bool), "b": torch.arange(IMAGES) < 3}
    at = torch.tensor(places)
    own, known = ({name: value[at] for name, value in values.items()} for values in (targets, present))
    found = Batch([str(i) for i in places], images[at], own, known, draws[at])
    for task in tasks.values():
        task.derive(found)
    return found


def method_of(way: str, options: set[str], world: ProcessGroup) -> GradientMethod:
    torch.manual_seed(0)
    tasks = tiny_tasks()
    values = {"backbone": BACKBONE, "neck_channels": 8, "sharing": {"type": "hard"}}
    model = build_model(ModelConfig.model_validate(values), tasks)
    level = way if way in ("features", "parameters") else "features"
    aggregator = {"type": "upgrad" if way == level else "sum"}
    objective = {"weighting": {"type": "fixed"}, "aggregator": aggregator, "level": level}
    parts = (model, tasks, Objective(ObjectiveConfig.model_validate(objective), TASKS, seed=1), world)
    if way == level:
        return (FeatureGradients if level == "features" else ParameterGradients)(*parts)
    if "again" in options:
        recompute_stages(model)
    sharded, bf16 = "fsdp" in options, "bf16" in options
    if sharded and world.size > 1:
        sharding.shard(model, bf16=bf16)
        method = SumGradients(*parts, sharded=True, bf16=bf16)
    else:
        wrapped = nn.parallel.DistributedDataParallel(model, gradient_as_bucket_view=True) if world.size > 1 else None
        method = SumGradients(*parts, wrapped=wrapped, bf16=bf16)
    if "compile" in options:
        compiling.compile_method(
            compiling.Compiling(compiling.DEFAULT), method, sharded=sharded and world.size > 1, deterministic=True
        )
    return method


def gradients(method: GradientMethod, accumulate: int) -> dict[str, torch.Tensor]:
    """Of one step's batch, and its losses."""
    mine = range(method.world.rank, IMAGES, method.world.size)
    shares = [mine[start : start + len(mine) // accumulate] for start in range(0, len(mine), len(mine) // accumulate)]
    method.model.zero_grad(set_to_none=True)
    found = method.compute([batch_of(share, method.tasks) for share in shares])
    named = {name: p.grad for name, p in method.model.named_parameters() if p.grad is not None}
    return {**sharding.whole(named), "losses": found.losses}


def sums(method: GradientMethod) -> int:
    """How often gradients travel in a step of two micro-batches: in buckets, or stage by stage."""
    wrapped = getattr(method, "wrapped", None)
    if wrapped is not None:
        from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import allreduce_hook

        buckets: list[int] = []
        group = torch.distributed.group.WORLD
        assert group is not None
        wrapped.register_comm_hook(buckets, lambda seen, bucket: (seen.append(1), allreduce_hook(group, bucket))[1])
        gradients(method, 2)
        return len(buckets)
    with patch("torch.distributed.reduce_scatter_single", wraps=torch.distributed.reduce_scatter_single) as seen:
        gradients(method, 2)
    return seen.call_count


def precisions(method: GradientMethod) -> dict[str, list[torch.dtype]]:
    """In which a stage's weights are computed with, and kept."""
    computed: list[torch.dtype] = []
    stage = method.model.get_submodule("backbone.stages.0")
    stage.get_submodule("0").register_forward_hook(lambda module, *_: computed.append(next(module.parameters()).dtype))
    gradients(method, 1)
    return {"computed": computed, "kept": [p.dtype for p in stage.parameters()]}


def _worker(rank: int, folder: Path) -> None:
    os.environ.update({"MASTER_ADDR": "127.0.0.1", "RANK": str(rank), "WORLD_SIZE": "2"})
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    compiling.BACKEND = "aot_eager"
    for way, options in WAYS.items():
        method = method_of(way, options, ProcessGroup(rank, 2))
        found: dict[str, Any] = {"gradients": gradients(method, 2 if "accumulate" in options else 1)}
        if way in ("data", "sharded"):
            found["sums"] = sums(method)
        if "bf16" in options:
            found |= precisions(method)
        if rank == 0:
            torch.save(found, folder / f"{way}.pt")
    torch.distributed.destroy_process_group()


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two workers find in every way."""
    folder = tmp_path_factory.mktemp("together")
    mp.spawn(_worker, args=(folder,), nprocs=2)  # pyright: ignore[reportPrivateImportUsage]
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_two_workers_have_the_gradients_of_one(way: str, together: Path) -> None:
    half = WAYS[way] & {"bf16"}
    alone = gradients(method_of(way, half, ProcessGroup()), 1)
    found = torch.load(together / f"{way}.pt")["gradients"]
    assert found.keys() == alone.keys()
    whole = torch.cat([value.flatten() for name, value in alone.items() if name != "losses"]).norm()
    for name, value in alone.items():
        assert found[name].dtype == value.dtype
        apart, length = float((found[name] - value).norm()), float(whole if name != "losses" else value.norm())
        assert apart <= (0.02 if half else 1e-5) * length, name


@pytest.mark.slow
def test_only_the_last_micro_batch_travels(together: Path) -> None:
    parts = len(BACKBONE["widths"]) + len(TASKS) + 1  # stages, heads, and what is left
    assert torch.load(together / "data.pt")["sums"] == 1  # one bucket holds so small a network
    assert torch.load(together / "sharded.pt")["sums"] == parts


@pytest.mark.slow
def test_sharded_weights_are_gathered_in_half_precision(together: Path) -> None:
    found = torch.load(together / "sharded, bf16.pt")
    assert set(found["computed"]) == {torch.bfloat16}
    assert set(found["kept"]) == {torch.float32}


def test_batch_norms_are_gathered_as_their_statistics_are(monkeypatch: pytest.MonkeyPatch) -> None:
    policies: list[Any] = []
    monkeypatch.setattr("torch.distributed.fsdp.fully_shard", lambda _, mp_policy: policies.append(mp_policy))
    for norm, expected in ((nn.BatchNorm2d(2), None), (nn.GroupNorm(1, 2), torch.bfloat16)):
        sharding.shard(nn.Sequential(nn.Conv2d(2, 2, 1), norm), bf16=True)
        assert policies.pop().param_dtype == expected
